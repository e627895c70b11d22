// An address becomes a stranger's, and nobody is told: is one answer of the stranger's delivered, and how soon is it named?

import Glibc

/// One run.
final class GhostRun {
    private let plan: FaultsPlan
    private let stage: ProofStage

    init(_ plan: FaultsPlan, _ stage: ProofStage) {
        self.plan = plan
        self.stage = stage
    }

    func run(_ progress: inout Progress) throws -> ProofReport {
        var pods = try stage.begin(plan.pods, work: plan.work)
        let board = try Asker.start(
            AskingPlan(
                port: stage.port, hosts: ["api.test"], service: ProofSettings.identity, connections: plan.connections,
                pace: .open(rate: plan.rate)))
        guard board.awaitAnswers(500) else { throw Failure("no answers") }
        let start = monotonicNow()
        var named: [Double] = []
        var inStatus: [Double] = []
        var rounds = 0
        var reached = 0
        // Rounds in which the stranger was asked at all: where the dead pod was let alone before, nothing is to be found.
        var asked = 0
        while monotonicNow() < start + plan.duration {
            try stage.checkProxy()
            let old = pods.removeFirst()
            rounds += 1
            progress.show("ghost \(rounds), \(board.figures.losses.count) lost", isStep: false)
            stage.illnesses.append(Illness(address: old.address, name: "a ghost", from: monotonicNow()))
            let illness = stage.illnesses.count - 1
            old.end(SIGKILL)
            let haunted = monotonicNow()
            let stranger = try stage.startPod(at: old.told.ip, service: "dozzle")
            // The proxy hears nothing. It is found out by its first answer.
            let giveUpAt = monotonicNow() + 3_000_000_000
            var seenInStatus: UInt64?
            while monotonicNow() < giveUpAt, seenInStatus == nil {
                if isNamed(old.address) { seenInStatus = monotonicNow() } else { pause(milliseconds: 2) }
            }
            pause(milliseconds: 300)
            var first: UInt64?
            stranger.ledger.forEach { note, _, time in
                if first == nil, note == .answered { first = time }
                if note == .begun { reached += 1 }
            }
            if let first {
                asked += 1
                if let line = stage.log.firstEvent(since: haunted, with: "ghost", old.address) {
                    named.append(line > first ? Double(line - first) : 0)
                }
                if let seenInStatus { inStatus.append(seenInStatus > first ? Double(seenInStatus - first) : 0) }
            }
            // The news arrives: another pod at another address, later the old address.
            let new = try stage.startPod(at: stage.ip(plan.pods + rounds % 20))
            new.ledger.work = plan.work
            new.told = new.told.with(ready: true, serving: true, terminating: false)
            pods.append(new)
            stage.publish(pods)
            pause(milliseconds: 300)
            stranger.end(SIGKILL)
            stage.illnesses[illness].until = monotonicNow() + 300_000_000
            stage.gatherNotes()
        }
        let figures = board.stopAndWait()
        var report = ProofReport(
            title: "\(rounds) addresses of \(plan.pods) pods became a stranger's, no event told of it; "
                + "\(figure(plan.rate)) requests a second",
            version: stage.version)
        try report.take(figures, stage)
        report.tell("strangers that answered something", "strangers_asked", Double(asked))
        report.tell("requests that strangers got", "reached_strangers", Double(reached))
        tell(&report, "named in the log after its first answer", "named", named, of: asked)
        tell(&report, "ejected in status after it", "ejected", inStatus, of: asked)
        return report
    }

    private func tell(_ report: inout ProofReport, _ name: String, _ key: String, _ times: [Double], of rounds: Int) {
        let times = times.sorted()
        let text =
            times.isEmpty
            ? "never"
            : "\(times.count) of \(rounds), \(duration(ns: times[times.count / 2])), at most \(duration(ns: times.last ?? 0))"
        report.demand(name, key, Double(times.count), text, "all", times.count == rounds)
    }

    /// Whether status calls the endpoint at `address` a ghost.
    private func isNamed(_ address: String) -> Bool {
        let services = stage.status()?["services"]?.elements ?? []
        return services.contains { service in
            service["name"]?.text == "api"
                && (service["endpoints"]?.elements ?? []).contains {
                    $0["address"]?.text == address && $0["ejected"]?.text?.contains("ghost") == true
                }
        }
    }
}
