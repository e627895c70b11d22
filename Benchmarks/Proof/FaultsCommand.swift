// The command `faults`: what do clients lose while pods are killed, hang, crawl, lie and come back?

import Glibc
import ProxyCore

/// What is played.
enum FaultScenario: String, CaseIterable {
    /// Faults of every kind at random.
    case random
    /// An address goes to a stranger, and nobody is told.
    case ghost
    /// Pods that close connections after five idle seconds.
    case keepalive
    /// One endpoint of ten is slow.
    case slow
}

/// What happens.
struct FaultsPlan {
    var duration: UInt64 = 600_000_000_000
    var pods = 5
    var rate = 1000.0
    var connections = 64
    var work: UInt64 = 2_000_000
    var seed: UInt64 = 0
    var kinds: [Fault] = Fault.allCases
    var idle: UInt64 = 5_000_000_000
    var tellsIdle = true
    var usesNode = false
    var slowness: UInt64 = 40_000_000
}

func faultsCommand() -> Command {
    Command(
        name: "faults", summary: "pods that die, hang, crawl, lie or are somebody else, under load: what is lost?",
        help: """
            usage: hdproxy-bench faults [OPTIONS]

            Pods, each a process at an address of its own, get faults at random and recover: they are killed (and not
            ready in their slice a moment later, ready again once they are), hang (SIGSTOP), crawl, reset connections
            before or in their answers, answer what is no HTTP, accept nothing more. Two of five are ill at most. Only
            requests that had begun at an ill pod, and may not be asked again, may fail. Nothing may hang longer than its
            timeouts, and the proxy's memory and descriptors must come back to where they were: within 16 MiB and a
            tenth, and within 16 descriptors, with all clients gone.

            --only ghost      a pod is gone and its address a stranger's, with no event at all, until it is found out
            --only keepalive  pods close connections that were idle for 5 s, as Node does, and each connection of a client
                              asks every 5 s, all at the same time: 0 times 502
            --only slow       one of ten endpoints takes 40 ms for an answer, the others 2 ms: p99 against that of the nine
                              alone, both in turn in one run, at most 1.5 times as long

            With --strict exit status 1 when a target is missed.
            """,
        options: [
            OptionSpec("--only", "SCENARIO", "ghost, keepalive or slow"),
            OptionSpec("--duration", "TIME", "how long (10m; ghost and slow 1m)"),
            OptionSpec("--seed", "N", "which faults come when; default: another one each time"),
            OptionSpec("--kinds", "LIST", "of these faults: \(Fault.allCases.map(\.rawValue).joined(separator: ","))"),
            OptionSpec("--pods", "N", "pods of the service (5; ghost 3)"),
            OptionSpec("--rate", "N", "requests a second (1000)"),
            OptionSpec("--connections", "N", "connections of clients (64; keepalive 300)"),
            OptionSpec("--work", "TIME", "how long a healthy pod takes for an answer (2ms; keepalive 20ms)"),
            OptionSpec("--slowness", "TIME", "how long a slow one takes (40ms)"),
            OptionSpec("--idle", "TIME", "keepalive: when a pod closes (5s)"),
            OptionSpec("--without-telling", nil, "keepalive: pods say nothing of it in Keep-Alive"),
            OptionSpec("--node", nil, "keepalive: a real Node.js is the pod"),
        ] + ProofReport.options,
        run: runFaults)
}

private func runFaults(_ arguments: Arguments) throws -> Int32 {
    let name = arguments.text("--only") ?? "random"
    guard let scenario = FaultScenario(rawValue: name) else {
        throw UsageError(
            "there is no scenario “\(name)”", nearest: nearest(name, in: FaultScenario.allCases.map(\.rawValue)))
    }
    var plan = FaultsPlan()
    plan.seed = UInt64(try arguments.number("--seed", Int(monotonicNow() % 1_000_000), in: 0...Int.max))
    if let list = arguments.text("--kinds") {
        plan.kinds = try list.split(separator: ",").map { word in
            guard let kind = Fault(rawValue: String(word)) else {
                throw UsageError(
                    "there is no fault “\(word)”", nearest: nearest(String(word), in: Fault.allCases.map(\.rawValue)))
            }
            return kind
        }
    }
    let isLong = scenario == .random || scenario == .keepalive
    plan.duration = try arguments.time("--duration", isLong ? plan.duration : 60_000_000_000)
    plan.pods = try arguments.number("--pods", scenario == .random ? 5 : scenario == .slow ? 10 : 3, in: 1...50)
    plan.rate = try arguments.rate("--rate") ?? plan.rate
    plan.connections = try arguments.number(
        "--connections", scenario == .keepalive ? 300 : plan.connections, in: 1...5000)
    plan.work = try arguments.time("--work", scenario == .keepalive ? 20_000_000 : plan.work)
    plan.slowness = try arguments.time("--slowness", plan.slowness)
    plan.idle = try arguments.time("--idle", plan.idle)
    plan.tellsIdle = !arguments.has("--without-telling")
    plan.usesNode = arguments.has("--node")
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    var keys = ProofSettings.identityKeys + "retry: { attempts: 2, budgetPercent: 20 },"
    if scenario == .random {
        keys += ProofSettings.healthKeys
        keys += "outlier: { consecutiveFailures: 3, ejectFor: \"2s\", maxEjectedPercent: 50 },"
    }
    var settings = try ProofSettings(arguments, keys: keys)
    // Short enough that a run sees many of them end.
    if scenario == .random { settings.service += "\ntimeouts: { connect: \"500ms\", response: \"4s\", idle: \"4s\" }," }
    let stage = try ProofStage(settings, folder)
    defer { stage.stop() }
    var progress = Progress()
    let report =
        switch scenario {
        case .random: try FaultsRun(plan, stage).run(&progress)
        case .ghost: try GhostRun(plan, stage).run(&progress)
        case .keepalive: try KeepAliveRun(plan, stage).run(&progress)
        case .slow: try SlowRun(plan, stage).run(&progress)
        }
    progress.clear()
    return try report.show(arguments)
}

extension ProofStage {
    /// Starts `count` pods that are ready, publishes them, and starts the proxy.
    func begin(_ count: Int, work: UInt64, options: [String] = []) throws -> [ProofPod] {
        var pods: [ProofPod] = []
        for number in 0..<count {
            let pod = try startPod(at: ip(number), options: options)
            pod.ledger.work = work
            pod.told = pod.told.with(ready: true, serving: true, terminating: false)
            pods.append(pod)
        }
        publish(pods)
        try startProxy()
        return pods
    }

    /// The version of the program.
    var version: String { HDProxyContender(program: settings.program).version }
}
