// The command `hostile`: what do others notice when thousands of clients keep the proxy waiting, and what does that cost?

import Glibc
import ProxyCore

func hostileCommand() -> Command {
    Command(
        name: "hostile", summary: "a crowd that keeps the proxy waiting: what do others notice, what does it cost?",
        help: """
            usage: hdproxy-bench hostile [OPTIONS]

            Measures the latency of well-behaved clients (an open loop), first alone, then beside a crowd that does its
            worst, and how much memory the proxy takes. Whoever of the crowd is closed comes back at once. Then the crowd
            stops coming back, and it is measured how long the last of them lasts. Kinds of crowd:

              head       a request's head, a byte at a time
              body       a request's body, likewise
              reader     an answer of a mebibyte, read a byte at a time
              handshake  TLS begun and left

            Crowd, clients, backend and proxy share the machine; `pace` is what keeps the crowd's own work small. Where the
            limit of descriptors (ulimit -n) is below what the crowd needs at the proxy, the proxy gives up the slowest:
            that is measured, too, and said. With --strict exit status 1 when a target is missed: p99 of the others 20 %
            worse at most and none of them failed, memory within the budget, everybody gone in twice the longest wait.
            """,
        options: [
            OptionSpec("--kind", "LIST", "head, body, reader, handshake (all of them)"),
            OptionSpec("--connections", "N", "how many in the crowd (20000)"),
            OptionSpec("--pace", "TIME", "between two bytes of one of them (1s)"),
            OptionSpec("--memory", "SIZE", "the proxy's budget (256MiB)"),
            OptionSpec("--workers", "N", "workers of the proxy (0: one per CPU)"),
            OptionSpec("--rate", "N", "requests a second of the others (500)"),
            OptionSpec("--duration", "TIME", "each measurement (10s)"),
            OptionSpec("--wait", "TIME", "requestBodyIdle and responseIdle of the proxy (30s)"),
            OptionSpec("--proxy", "FILE", "the hdproxy to measure; default: beside this program, built if missing"),
            OptionSpec("--strict", nil, "a missed target is an exit status of 1"),
        ],
        run: runHostile)
}

/// What a crowd does.
enum CrowdKind: String, CaseIterable {
    case head, body, reader, handshake
}

/// What is measured.
struct HostilePlan {
    var kinds = CrowdKind.allCases
    var connections = 20_000
    var pace: UInt64 = 1_000_000_000
    var memory = 256 << 20
    var workers = 0
    var rate = 500.0
    var duration: UInt64 = 10_000_000_000
    var wait = "30s"
    var program: String
}

private func runHostile(_ arguments: Arguments) throws -> Int32 {
    var plan = HostilePlan(program: try ProxyProgram.find(arguments.text("--proxy")))
    if let list = arguments.text("--kind") {
        plan.kinds = try list.split(separator: ",").map { word in
            guard let kind = CrowdKind(rawValue: String(word)) else {
                throw UsageError(
                    "--kind \(word): there is no such crowd",
                    nearest: nearest(String(word), in: CrowdKind.allCases.map(\.rawValue)))
            }
            return kind
        }
    }
    plan.connections = try arguments.number("--connections", plan.connections, in: 1...1_000_000)
    plan.pace = try arguments.time("--pace", plan.pace)
    plan.memory = try arguments.size("--memory") ?? plan.memory
    plan.workers = try arguments.number("--workers", plan.workers, in: 0...256)
    plan.rate = try arguments.rate("--rate") ?? plan.rate
    plan.duration = try arguments.time("--duration", plan.duration)
    plan.wait = arguments.text("--wait") ?? plan.wait
    guard nanoseconds(plan.wait) != nil else { throw UsageError("--wait \(plan.wait): a time with a unit is needed") }
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    var progress = Progress()
    var isGood = true
    var text = ""
    for kind in plan.kinds where !stopWasAsked {
        let figures = try HostileRun(plan, kind, folder).run(&progress)
        progress.clear()
        text += figures.text
        isGood = isGood && figures.isGood
        printOut(figures.text)
    }
    return arguments.has("--strict") && !isGood ? 1 : 0
}
