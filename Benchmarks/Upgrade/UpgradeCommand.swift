// The command `upgrade`: what do clients notice when one process follows another, or reloads, or leaves?

import Glibc
import ProxyCore

func upgradeCommand() -> Command {
    Command(
        name: "upgrade", summary: "one process after another under load: what do clients lose?",
        help: """
            usage: hdproxy-bench upgrade [OPTIONS]

            Starts hdproxy under load (new connections, connections that stay, WebSockets) and then, again and again, a
            process that takes its place; the old one gets SIGTERM, as the kubelet would send it. Modes:

              handoff    by HDProxy's handoff: nothing may be lost
              reuseport  the same without a handoff, both listening on one port: must be seen to lose connections, or a
                         run in which nothing is lost proves nothing; what it loses stands in the queues of a process
                         that has no time to empty them, so both want --busy
              reload     a changed configuration and SIGHUP instead: no connection may even be closed
              drain      one SIGTERM: what had begun is finished, and the exit status is 0

            With --kill-every N each Nth new process is killed right after it took over. What was open at that moment is
            counted apart; what is opened afterwards must be answered. With --strict exit status 1 when a target is missed.
            """,
        options: [
            OptionSpec("--mode", "MODE", "handoff, reuseport, reload or drain (handoff)"),
            OptionSpec("--upgrades", "N", "how many in a row (50)"),
            OptionSpec("--rate", "N", "new connections a second (5000)"),
            OptionSpec("--kept", "N", "connections that stay (200)"),
            OptionSpec("--interval", "TIME", "between two requests of such a connection (50ms)"),
            OptionSpec("--sockets", "N", "WebSockets (1000)"),
            OptionSpec("--threads", "N", "threads of the load (2)"),
            OptionSpec("--workers", "LIST", "workers of one process after another (2,1,4)"),
            OptionSpec("--pause", "TIME", "from one upgrade to the next (1s)"),
            OptionSpec("--confirm", "TIME", "handoff.confirm (1s)"),
            OptionSpec("--drain", "TIME", "drain.timeout (3s)"),
            OptionSpec("--kill-every", "N", "kill each Nth new process; 0: none (0)"),
            OptionSpec("--busy", "N", "threads that do nothing but take time from all others (0)"),
            OptionSpec("--proxy", "FILE", "the hdproxy to measure; default: beside this program, built if missing"),
            OptionSpec("--strict", nil, "a missed target is an exit status of 1"),
        ],
        run: runUpgrade)
}

/// What is measured.
struct UpgradePlan {
    enum Mode: String, CaseIterable { case handoff, reuseport, reload, drain }

    var mode = Mode.handoff
    var upgrades = 50
    var rate = 5000.0
    var kept = 200
    var interval: UInt64 = 50_000_000
    var sockets = 1000
    var threads = 2
    var workers = [2, 1, 4]
    var pause: UInt64 = 1_000_000_000
    var confirm = "1s"
    var drain = "3s"
    var killEvery = 0
    var busy = 0
    var program: String
}

private func runUpgrade(_ arguments: Arguments) throws -> Int32 {
    var plan = UpgradePlan(program: try ProxyProgram.find(arguments.text("--proxy")))
    if let text = arguments.text("--mode") {
        guard let mode = UpgradePlan.Mode(rawValue: text) else {
            throw UsageError(
                "--mode \(text): there is no such mode",
                nearest: nearest(text, in: UpgradePlan.Mode.allCases.map(\.rawValue)))
        }
        plan.mode = mode
    }
    plan.upgrades = try arguments.number("--upgrades", plan.upgrades, in: 1...10_000)
    plan.rate = try arguments.rate("--rate") ?? plan.rate
    plan.kept = try arguments.number("--kept", plan.kept, in: 0...10_000)
    plan.interval = try arguments.time("--interval", plan.interval)
    plan.sockets = try arguments.number("--sockets", plan.sockets, in: 0...10_000)
    plan.threads = try arguments.number("--threads", plan.threads, in: 1...64)
    plan.pause = try arguments.time("--pause", plan.pause)
    plan.killEvery = try arguments.number("--kill-every", plan.killEvery, in: 0...10_000)
    plan.busy = try arguments.number("--busy", plan.busy, in: 0...256)
    plan.confirm = arguments.text("--confirm") ?? plan.confirm
    plan.drain = arguments.text("--drain") ?? plan.drain
    if let list = arguments.text("--workers") {
        plan.workers = list.split(separator: ",").compactMap { Int($0) }.filter { 1...64 ~= $0 }
        guard !plan.workers.isEmpty else { throw UsageError("--workers \(list): numbers from 1 to 64 are needed") }
    }
    for text in [plan.confirm, plan.drain] {
        guard nanoseconds(text) != nil else { throw UsageError("\(text): a time with a unit is needed") }
    }
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    let figures = try UpgradeRun(plan, folder).run()
    printOut(figures.text)
    return arguments.has("--strict") && !figures.isGood ? 1 : 0
}
