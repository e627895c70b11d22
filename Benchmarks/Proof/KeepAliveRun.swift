// Pods that close connections after some idle seconds, and clients that ask again at just that time: is a request ever sent
// into a connection that is being closed?

import Glibc

/// One run.
final class KeepAliveRun {
    private let plan: FaultsPlan
    private let stage: ProofStage

    init(_ plan: FaultsPlan, _ stage: ProofStage) {
        self.plan = plan
        self.stage = stage
    }

    func run(_ progress: inout Progress) throws -> ProofReport {
        var options = ["--idle", "\(plan.idle / 1_000_000)ms"] + (plan.tellsIdle ? ["--says-idle"] : [])
        if plan.usesNode { options = ["--node"] }
        _ = try stage.begin(plan.pods, work: plan.usesNode ? 0 : plan.work, options: options)
        // Around the pods' own limit: some of a wave a little before, some a little after it.
        let spread: UInt64 = 12_000_000
        let board = try Asker.start(
            AskingPlan(
                port: stage.port, hosts: ["api.test"], service: ProofSettings.identity, connections: plan.connections,
                pace: .waves(every: plan.idle + plan.work + 3_000_000, spread: spread)))
        let start = monotonicNow()
        while monotonicNow() < start + plan.duration {
            try stage.checkProxy()
            progress.show(
                "\(fixed(Double(monotonicNow() - start) / 1e9, 0)) s, \(grouped(board.answered)) answered, "
                    + "\(board.figures.losses.count) lost", isStep: false)
            stage.gatherNotes()
            pause(milliseconds: 200)
        }
        let figures = board.stopAndWait()
        let rate = 1e9 / Double(plan.idle)
        var report = ProofReport(
            title: "\(plan.pods) pods\(plan.usesNode ? " of Node" : "") that close after "
                + "\(duration(ns: Double(plan.idle))), \(plan.tellsIdle || plan.usesNode ? "and say so" : "without a word"), "
                + "\(plan.connections) connections with \(figure(rate)) requests a second each for "
                + "\(duration(ns: Double(plan.duration)))",
            version: stage.version)
        try report.take(figures, stage)
        report.demandNone("answers 502", "status_502", figures.losses.count { $0.kind == .status(502) })
        return report
    }
}
