// The command `edge`: what does a zone lose that goes from Flexible to Full (strict) under load?

import Glibc
import ProxyCore

func edgeCommand() -> Command {
    Command(
        name: "edge", summary: "three nodes behind a client like Cloudflare: what does a zone lose that goes to https?",
        help: """
            usage: hdproxy-bench edge [OPTIONS]

            Three hdproxy, each at an address of its own, with an http and an https listener, behind one client that does
            as Cloudflare does: a random node for each request, connections that are kept for up to 900 s and carry many
            visitors' requests, its header fields, some with a forged X-Forwarded-For, and Pseudo IPv4 for those who come
            by IPv6. First all goes over http (Flexible), then by steps over https with a client certificate (Full
            (strict) with Authenticated Origin Pulls); then the nodes are told one after another to require it, and get
            new certificates. Nothing may be lost, no connection may close unannounced, and the application must be told
            the right visitor, who came by https, in each request.

            With --strict exit status 1 when a target is missed.
            """,
        options: [
            OptionSpec("--duration", "TIME", "how long (1m)"),
            OptionSpec("--rate", "N", "requests a second (1500)"),
            OptionSpec("--connections", "N", "connections to one node and port at most (40)"),
            OptionSpec("--age", "TIME", "how old a connection gets (900s)"),
            OptionSpec("--workers", "N", "workers of each hdproxy (2)"),
            OptionSpec("--proxy", "FILE", "the hdproxy to test; default: beside this program, built if missing"),
            OptionSpec("--json", "FILE", "the figures as JSON; - for standard output"),
            OptionSpec("--strict", nil, "a missed target is an exit status of 1"),
        ],
        run: runEdge)
}

private func runEdge(_ arguments: Arguments) throws -> Int32 {
    var plan = EdgePlan()
    plan.duration = try arguments.time("--duration", plan.duration)
    plan.rate = try arguments.rate("--rate") ?? plan.rate
    plan.connections = try arguments.number("--connections", plan.connections, in: 1...5000)
    plan.age = try arguments.time("--age", plan.age)
    let workers = try arguments.number("--workers", 2, in: 1...64)
    let program = try ProxyProgram.find(arguments.text("--proxy"))
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    let run = try EdgeRun(plan, program: program, workers: workers, folder)
    defer { run.stop() }
    var progress = Progress()
    let report = try run.run(&progress)
    progress.clear()
    return try report.show(arguments)
}
