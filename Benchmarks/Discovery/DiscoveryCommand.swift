// The command `discovery`: how long after an event of the API server has every worker the change, and what does it cost?

import Glibc
import ProxyCore

func discoveryCommand() -> Command {
    Command(
        name: "discovery", summary: "from an event of the Kubernetes API to the change in every worker",
        help: """
            usage: hdproxy-bench discovery [OPTIONS]

            Starts hdproxy with services in a cluster whose API server this program plays: it lists and watches them, and
            gets so many events a second, each of which makes the other half of a service's endpoints ready. Some of the
            services are asked for over many connections: a change counts as there when every connection, and so every
            worker, was answered by an endpoint that is ready only since then.

            With --strict exit status 1 when a target is missed.
            """,
        options: [
            OptionSpec("--services", "N", "services with an endpoint slice each (1000)"),
            OptionSpec("--endpoints", "N", "endpoints of each (10)"),
            OptionSpec("--rate", "N", "events a second (1000)"),
            OptionSpec("--duration", "TIME", "how long (20s)"),
            OptionSpec("--probes", "N", "events a second whose arrival is seen (50)"),
            OptionSpec("--connections", "N", "connections that see it (12)"),
            OptionSpec("--workers", "N", "workers of hdproxy (2)"),
            OptionSpec("--without-state", nil, "nothing is kept on disk for the next start"),
            OptionSpec("--proxy", "FILE", "the hdproxy to measure; default: beside this program, built if missing"),
            OptionSpec("--json", "FILE", "the figures as JSON; - for standard output"),
            OptionSpec("--strict", nil, "a missed target is an exit status of 1"),
        ],
        run: runDiscovery)
}

/// What is measured.
struct DiscoveryPlan {
    var services = 1000
    var endpoints = 10
    var rate = 1000
    var duration: UInt64 = 20_000_000_000
    var probes = 50
    var connections = 12
    var workers = 2
    /// Whether hdproxy keeps what it learns on disk.
    var keepsState = true
    /// The hdproxy to measure.
    var program: String

    /// Services whose changes are looked at; the others only keep the control thread busy.
    var probedServices: Int { min(20, services) }
    /// Events in all.
    var events: Int { Int(Double(rate) * Double(duration) / 1e9) }
    /// Every so many-th event is one of a service that is looked at.
    var probeEvery: Int { max(1, rate / max(1, probes)) }
}

private func runDiscovery(_ arguments: Arguments) throws -> Int32 {
    var plan = DiscoveryPlan(program: try ProxyProgram.find(arguments.text("--proxy")))
    // The addresses of endpoints are 127.X.Y.E: 200 times 250 services of 200 endpoints at most.
    plan.services = try arguments.number("--services", plan.services, in: 1...50_000)
    plan.endpoints = try arguments.number("--endpoints", plan.endpoints, in: 2...200)
    plan.rate = try arguments.number("--rate", plan.rate, in: 1...100_000)
    plan.duration = try arguments.time("--duration", plan.duration)
    plan.probes = try arguments.number("--probes", min(plan.probes, plan.rate), in: 1...plan.rate)
    plan.connections = try arguments.number("--connections", plan.connections, in: 1...1000)
    plan.workers = try arguments.number("--workers", plan.workers, in: 1...64)
    plan.keepsState = !arguments.has("--without-state")
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    var progress = Progress()
    let figures = try DiscoveryRun(plan, folder).run(&progress)
    progress.clear()
    let jsonPath = arguments.text("--json")
    if jsonPath != "-" { printOut(figures.text) }
    if let jsonPath {
        if jsonPath == "-" {
            printOut(figures.json.formatted())
        } else {
            try writeFile(jsonPath, figures.json.formatted())
        }
    }
    return arguments.has("--strict") && !figures.isGood ? 1 : 0
}
