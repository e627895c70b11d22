// The command `hostile`: what do others notice when thousands of clients keep the proxy waiting, and what does that cost?

import Glibc
import ProxyCore

func hostileCommand() -> Command {
    Command(
        name: "hostile", summary: "a crowd that keeps the proxy waiting: what do others notice, what does it cost?",
        help: """
            usage: hdproxy-bench hostile [OPTIONS]

            Measures the latency of well-behaved clients (an open loop, from the time a request was due) alone and beside a
            crowd that does its worst, in turns: the crowd comes and goes with each round, and ratios are formed round by
            round, of each round's middle second. Beside them stand those of the others alone to the others alone a round
            before: what the machine does by itself. Kinds of crowd:

              head       a request's head, a byte at a time
              body       a request's body, likewise
              reader     an answer of a mebibyte, read a byte at a time
              handshake  TLS begun and left

            Each in two stages. In `held` the proxy's time limits are an hour: the crowd is there, and trickles. In `siege`
            they are as they should be: whoever is thrown out comes back at once, which is a load of its own. At the end of
            the siege the crowd stops coming back, and it is measured how long the last of them lasts.

            The proxy has a core for itself; the others, their backend and the crowd share another one, where the crowd only
            gets what is left: the others are real-time processes. While it is measured neither core sleeps. Where a process
            may not have enough descriptors (ulimit -n), several hdproxy share the port, the budget and the core, and get in
            each other's way there, so that p99 says little. --processes 1 takes as many connections as one process may have,
            and lets them say as much in a second as all of them would have said. With --strict exit status 1 when hdproxy
            misses a target: none of the others failed, memory within the budget, in `held` p99 of the others 20 % worse at
            most, after `siege` everybody gone in twice the longest wait.
            """,
        options: [
            OptionSpec("--kind", "LIST", "head, body, reader, handshake (all of them)"),
            OptionSpec("--stage", "LIST", "held, siege (both)"),
            OptionSpec("--connections", "N", "how many in the crowd (20000)"),
            OptionSpec("--pace", "TIME", "between two bytes of one of them (1s)"),
            OptionSpec("--arrivals", "N", "connections a second with which it comes, and comes back (2000)"),
            OptionSpec("--memory", "SIZE", "the budget of all hdproxy together (256MiB)"),
            OptionSpec("--processes", "N", "hdproxy that share the port; 0: as many as N connections ask for (0)"),
            OptionSpec("--rate", "N", "requests a second of the others (1000)"),
            OptionSpec("--rounds", "N", "times that the crowd comes and goes (3)"),
            OptionSpec("--duration", "TIME", "each measurement, in whole seconds (8s)"),
            OptionSpec("--wait", "TIME", "requestBodyIdle and responseIdle in the siege (30s)"),
            OptionSpec("--peers", "LIST", "nginx, haproxy: under the same crowd, for comparison (none)"),
            OptionSpec("--proxy", "FILE", "the hdproxy to measure; default: beside this program, built if missing"),
            OptionSpec("--strict", nil, "a missed target is an exit status of 1"),
        ],
        run: runHostile)
}

/// Whether those that wait too long are thrown out.
enum HostileStage: String, CaseIterable {
    case held, siege
}

/// What is measured.
struct HostilePlan {
    var kinds = CrowdKind.allCases
    var stages = HostileStage.allCases
    var connections = 20_000
    var pace: UInt64 = 1_000_000_000
    var arrivals = 2000
    var memory = 256 << 20
    var processes = 0
    var rate = 1000.0
    var rounds = 3
    var duration: UInt64 = 8_000_000_000
    var wait = "30s"
    var peers: [String] = []
    var program: String

    /// Processes that as many connections of a kind ask for, where each may have so many descriptors.
    func processesNeeded(_ kind: CrowdKind) -> Int {
        // Those of one port are not dealt out quite evenly.
        let needed = connections * kind.descriptors * 21 / 20 + 500
        return (needed + raiseDescriptorLimit() - 1) / raiseDescriptorLimit()
    }

    /// This with as many connections as the processes may have, which say as much in a second as all would have said.
    func fitting(_ kind: CrowdKind) -> HostilePlan {
        guard processes > 0, processesNeeded(kind) > processes else { return self }
        var plan = self
        let room = processes * raiseDescriptorLimit() - 500
        plan.connections = processes == 1 ? room / kind.descriptors : room * 20 / 21 / kind.descriptors
        plan.pace = pace * UInt64(plan.connections) / UInt64(connections)
        return plan
    }
}

private func runHostile(_ arguments: Arguments) throws -> Int32 {
    var plan = HostilePlan(program: try ProxyProgram.find(arguments.text("--proxy")))
    plan.kinds = try list(arguments, "--kind", plan.kinds, "crowd") { CrowdKind(rawValue: $0) }
    plan.stages = try list(arguments, "--stage", plan.stages, "stage") { HostileStage(rawValue: $0) }
    plan.peers = try list(arguments, "--peers", [], "peer") { ["nginx", "haproxy"].contains($0) ? $0 : nil }
    plan.connections = try arguments.number("--connections", plan.connections, in: 1...1_000_000)
    plan.pace = try arguments.time("--pace", plan.pace)
    plan.arrivals = try arguments.number("--arrivals", plan.arrivals, in: 1...1_000_000)
    plan.memory = try arguments.size("--memory") ?? plan.memory
    plan.processes = try arguments.number("--processes", plan.processes, in: 0...64)
    plan.rate = try arguments.rate("--rate") ?? plan.rate
    plan.rounds = try arguments.number("--rounds", plan.rounds, in: 1...1000)
    plan.duration = try arguments.time("--duration", plan.duration)
    plan.wait = arguments.text("--wait") ?? plan.wait
    guard nanoseconds(plan.wait) != nil else { throw UsageError("--wait \(plan.wait): a time with a unit is needed") }
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    let room = NetworkRoom.enter()
    for complaint in room.complaints { printError(complaint) }
    if !comeFirst() { printError("no priority over what else the machine does: on a busy one p99 is the scheduler's") }
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    var progress = Progress()
    var isGood = true
    for kind in plan.kinds {
        for name in ["hdproxy"] + plan.peers where !stopWasAsked {
            let figures = try HostileRun(plan, kind, of: name, folder).run(&progress)
            progress.clear()
            if name == "hdproxy" { isGood = isGood && figures.isGood }
            printOut(figures.text)
        }
    }
    return arguments.has("--strict") && !isGood ? 1 : 0
}

/// The values that an option names, separated by commas; `standard` without it.
private func list<T>(
    _ arguments: Arguments, _ name: String, _ standard: [T], _ what: String, _ read: (String) -> T?
) throws -> [T] {
    guard let text = arguments.text(name) else { return standard }
    return try text.split(separator: ",").map { word in
        guard let value = read(String(word)) else { throw UsageError("\(name) \(word): there is no such \(what)") }
        return value
    }
}
