// Faults of every kind at random: whom do they hit, when, and what is seen of them?

import Glibc

/// What can be done to a pod.
enum Fault: String, CaseIterable {
    /// Its process is killed; another one starts in it after a while.
    case killed
    /// It is stopped, and goes on later.
    case hung
    /// It answers late.
    case slow
    /// It resets connections, before its answers and in the middle of them.
    case resetting
    /// It answers what is no HTTP.
    case garbage
    /// It accepts no more.
    case deaf
}

/// One run.
final class FaultsRun {
    private struct Ill {
        var index: Int
        var fault: Fault
        var until: UInt64
        /// When its slice tells that it is not ready; nil once it does, or never.
        var toldAt: UInt64?
        var illness: Int
    }

    private let plan: FaultsPlan
    private let stage: ProofStage
    private var pods: [ProofPod] = []
    private var ill: [Ill] = []
    private var counts: [Fault: Int] = [:]
    private var chance: UInt64

    init(_ plan: FaultsPlan, _ stage: ProofStage) {
        self.plan = plan
        self.stage = stage
        chance = plan.seed
    }

    func run(_ progress: inout Progress) throws -> ProofReport {
        pods = try stage.begin(plan.pods, work: plan.work)
        for pod in pods { pod.ledger.slowness = 1_000_000_000 }
        // What a proxy holds after some load and without clients is what it comes back to.
        let warm = try load()
        guard warm.awaitAnswers(Int(plan.rate * 5)) else { throw Failure("no answers before any fault") }
        let warmFigures = warm.stopAndWait()
        pause(milliseconds: 2000)
        let before = stage.use

        let board = try load(firstID: warmFigures.sent + 1)
        let start = monotonicNow()
        var next = start + 1_000_000_000
        while monotonicNow() < start + plan.duration {
            try stage.checkProxy()
            let now = monotonicNow()
            try step(now)
            if now >= next {
                strike(now)
                next = now + 300_000_000 + random(1_500_000_000)
            }
            stage.gatherNotes()
            progress.show(
                "\(fixed(Double(now - start) / 1e9, 0)) s, \(grouped(board.answered)) answered, seed \(plan.seed)",
                isStep: false)
            pause(milliseconds: 20)
        }
        for index in ill.indices { ill[index].until = 0 }
        try step(monotonicNow())
        // Ejections and growing pauses end.
        let recovered = board.awaitAnswers(Int(plan.rate * 5))
        let figures = board.stopAndWait()
        var after = stage.use
        for _ in 0..<20 where after.descriptors > before.descriptors + 16 {
            pause(milliseconds: 500)
            after = stage.use
        }
        return try report(figures, warmFigures, before, after, recovered)
    }

    private func load(firstID: Int = 1) throws -> AskingBoard {
        try Asker.start(
            AskingPlan(
                port: stage.port, hosts: ["api.test"], service: ProofSettings.identity, connections: plan.connections,
                pace: .open(rate: plan.rate), timeout: 20_000_000_000, firstID: firstID))
    }

    private func report(
        _ figures: AskingBoard.Figures, _ warm: AskingBoard.Figures, _ before: ProofStage.Use, _ after: ProofStage.Use,
        _ recovered: Bool
    ) throws -> ProofReport {
        let list = Fault.allCases.compactMap { fault in counts[fault].map { "\($0) \(fault.rawValue)" } }
        var report = ProofReport(
            title: "\(plan.pods) pods with \(counts.values.reduce(0, +)) faults in "
                + "\(duration(ns: Double(plan.duration))) (\(list.joined(separator: ", "))), "
                + "\(figure(plan.rate)) requests a second, seed \(plan.seed)",
            version: stage.version)
        try report.take(figures, stage)
        report.demandNone("losses before any fault", "losses_before", warm.losses.count)
        report.demand(
            "answers after the last fault", "recovered", recovered ? 1 : 0, recovered ? "as before" : "too few",
            "as before", recovered)
        if let latency = figures.latencies.first {
            report.tell(
                "the longest answer", "longest_ms", Double(latency.longest) / 1e6, duration(ns: Double(latency.longest))
            )
        }
        let slack = before.resident / 10 + 16 << 20
        report.demand(
            "memory before and after", "resident_growth", Double(after.resident - before.resident),
            "\(fixed(Double(before.resident) / 1_048_576, 1)) → \(fixed(Double(after.resident) / 1_048_576, 1)) MiB",
            "+ 16 MiB, a tenth", after.resident <= before.resident + slack)
        report.demand(
            "descriptors before and after", "descriptor_growth", Double(after.descriptors - before.descriptors),
            "\(before.descriptors) → \(after.descriptors)", "+ 16", after.descriptors <= before.descriptors + 16)
        return report
    }

    // MARK: Faults

    private func random(_ limit: UInt64) -> UInt64 {
        chance = scrambled(chance)
        return chance % limit
    }

    /// Somebody falls ill, unless two of five are.
    private func strike(_ now: UInt64) {
        guard ill.count < max(1, plan.pods * 2 / 5) else { return }
        let well = pods.indices.filter { index in !ill.contains { $0.index == index } }
        let index = well[Int(random(UInt64(well.count)))]
        let fault = plan.kinds[Int(random(UInt64(plan.kinds.count)))]
        let pod = pods[index]
        counts[fault, default: 0] += 1
        stage.illnesses.append(Illness(address: pod.address, name: fault.rawValue, from: now))
        var toldAt: UInt64?
        switch fault {
        case .killed:
            pod.end(SIGKILL)
            toldAt = now + 200_000_000 + random(800_000_000)
        case .hung: kill(pod.process.pid, SIGSTOP)
        case .slow: pod.ledger.mode = .slow
        case .resetting: pod.ledger.mode = .resetting
        case .garbage: pod.ledger.mode = .garbage
        case .deaf: pod.ledger.mode = .deaf
        }
        let lasting = 1_000_000_000 + random(6_000_000_000)
        ill.append(
            Ill(
                index: index, fault: fault, until: now + lasting, toldAt: toldAt, illness: stage.illnesses.count - 1))
    }

    /// What is due now: slices that lag, and recoveries.
    private func step(_ now: UInt64) throws {
        for number in ill.indices {
            if let told = ill[number].toldAt, now >= told {
                tell(ill[number].index, ready: false)
                ill[number].toldAt = nil
            }
        }
        for one in ill where now >= one.until {
            var pod = pods[one.index]
            switch one.fault {
            case .killed:
                pod = try stage.restart(pod)
                pod.ledger.work = plan.work
                pod.ledger.slowness = 1_000_000_000
                pods[one.index] = pod
                tell(one.index, ready: true)
            case .hung: kill(pod.process.pid, SIGCONT)
            case .slow, .resetting, .garbage, .deaf: pod.ledger.mode = .healthy
            }
            // What was on its way may still come back as lost.
            stage.illnesses[one.illness].until = monotonicNow() + 1_000_000_000
        }
        ill.removeAll { now >= $0.until }
    }

    private func tell(_ index: Int, ready: Bool) {
        pods[index].told = pods[index].told.with(ready: ready, serving: ready, terminating: false)
        stage.publish(pods)
    }
}
