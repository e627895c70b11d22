// One of ten endpoints is twenty times slower than the others: do the slowest answers get slower for it?

import Glibc

/// One run.
final class SlowRun {
    private let plan: FaultsPlan
    private let stage: ProofStage

    init(_ plan: FaultsPlan, _ stage: ProofStage) {
        self.plan = plan
        self.stage = stage
    }

    func run(_ progress: inout Progress) throws -> ProofReport {
        // The same nine pods behind both names; the slow one is behind the first alone.
        let pods = try stage.begin(plan.pods, work: plan.work)
        pods[0].ledger.slowness = plan.slowness
        pods[0].ledger.mode = .slow
        stage.publishNine(Array(pods.dropFirst()))
        pause(milliseconds: 500)
        let turn: UInt64 = 1_000_000_000
        let asking = AskingPlan(
            port: stage.port, hosts: ["api.test", "nine.test"], turn: turn, service: ProofSettings.identity,
            connections: plan.connections, pace: .open(rate: plan.rate), settling: 150_000_000)
        // Endpoints are new in the beginning and get less than their share.
        let warm = try Asker.start(asking)
        let warmEnd = monotonicNow() + 15_000_000_000
        while monotonicNow() < warmEnd {
            try stage.checkProxy()
            progress.show("warming up", isStep: false)
            pause(milliseconds: 50)
        }
        let warmed = warm.stopAndWait()
        let before = pods[0].ledger.count
        var measured = asking
        measured.firstID = warmed.sent + 1
        let board = try Asker.start(measured)
        let start = monotonicNow()
        while monotonicNow() < start + plan.duration {
            try stage.checkProxy()
            progress.show("\(grouped(board.answered)) answered", isStep: false)
            pause(milliseconds: 50)
        }
        let slowOnes = (pods[0].ledger.count - before) / 3
        let figures = board.stopAndWait()
        var report = ProofReport(
            title: "\(plan.pods) endpoints, one of which takes \(duration(ns: Double(plan.slowness))) and the others "
                + "\(duration(ns: Double(plan.work))), in turn with the others alone; \(figure(plan.rate)) requests a second",
            version: stage.version)
        try report.take(figures, stage)
        let (ten, nine) = (figures.latencies[0], figures.latencies[1])
        let share = Double(slowOnes) / Double(max(1, figures.answered)) * 2
        report.tell("share of the slow one", "slow_share", share, "\(fixed(share * 100, 2)) %")
        report.tell("p50, with the slow one", "p50_with_ms", ten.p50 / 1e6, duration(ns: ten.p50))
        report.tell("p50, the others alone", "p50_without_ms", nine.p50 / 1e6, duration(ns: nine.p50))
        report.tell("p99, with the slow one", "p99_with_ms", ten.p99 / 1e6, duration(ns: ten.p99))
        report.tell("p99, the others alone", "p99_without_ms", nine.p99 / 1e6, duration(ns: nine.p99))
        let ratio = nine.p99 > 0 ? ten.p99 / nine.p99 : 0
        report.demand("p99, ratio", "p99_ratio", ratio, fixed(ratio, 2), "≤ 1.5", ratio > 0 && ratio <= 1.5)
        return report
    }
}

extension ProofStage {
    /// The slices of the service behind `nine.test`, which the proxy is told of like of any other.
    func publishNine(_ pods: [ProofPod]) { cluster.setEndpoints(ProofSettings.namespace, "nine", pods.map(\.told)) }
}
