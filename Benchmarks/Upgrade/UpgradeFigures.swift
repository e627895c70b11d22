// What does a run say? Counts beside their targets, as text.

import ProxyCore

/// The figures of `hdproxy-bench upgrade`.
struct UpgradeFigures {
    private let plan: UpgradePlan
    var upgrades = 0
    var tally = UpgradeTally()
    /// From the start of a process until it had taken over, in nanoseconds.
    var tookOver: [UInt64] = []
    /// From a kill until a new connection was answered.
    var takenBack: [UInt64] = []
    var unansweredAfterKill = 0
    /// Processes that ended otherwise than with status 0 in time, by how.
    var endings: [String: Int] = [:]
    /// When processes were told to leave.
    var told: [UInt64] = []
    /// Reloads that were applied.
    var reloads = 0

    /// Nothing yet, of `plan`.
    init(_ plan: UpgradePlan) { self.plan = plan }

    /// WebSockets that ended before the process that they were on had to close them: the one that served when they were
    /// opened was the next to be told to leave, and had nine tenths of its time at least.
    var socketsEarly: Int {
        let time = (nanoseconds(plan.drain) ?? 0) * 9 / 10
        return tally.socketsEnded.count { opened, ended in
            guard let told = told.first(where: { $0 >= opened }) else { return true }
            return ended < told + time
        }
    }

    /// How the ends of WebSockets are spread: the most in any 100 ms, and all.
    private var socketsMostAtOnce: Int {
        Dictionary(grouping: tally.socketsEnded) { $0.ended / 100_000_000 }.values.map(\.count).max() ?? 0
    }

    private var targets: [(name: String, value: Int, isGood: Bool)] {
        let lost = [("refused", tally.refused), ("reset", tally.reset), ("hung", tally.hung), ("not 200", tally.wrong)]
        let none = lost.map { (name: $0.0, value: $0.1, isGood: $0.1 == 0) }
        let kept = [
            (name: "requests lost on kept connections", value: tally.keptLost, isGood: tally.keptLost == 0),
            (
                name: "kept connections closed without a word", value: tally.keptUnannounced,
                isGood: tally.keptUnannounced == 0
            ),
        ]
        let ends = [(name: "bad exits", value: endings.values.reduce(0, +), isGood: endings.isEmpty)]
        switch plan.mode {
        case .handoff:
            let slowest = Int((takenBack.max() ?? 0) / 1_000_000)
            return none + kept + ends + [
                (name: "WebSockets ended early", value: socketsEarly, isGood: socketsEarly == 0),
                (name: "unanswered after a kill", value: unansweredAfterKill, isGood: unansweredAfterKill == 0),
                (name: "ms to accept after a kill, at most", value: slowest, isGood: slowest <= 100),
            ]
        case .reuseport:
            let all = tally.refused + tally.reset + tally.hung + tally.keptLost + tally.keptUnannounced
            return [(name: "lost, which must be some", value: all, isGood: all > 0)]
        case .reload:
            let closed = tally.keptAnnounced + tally.socketsEnded.count
            return none + kept + [
                (name: "connections closed", value: closed, isGood: closed == 0),
                (name: "reloads that were applied", value: reloads, isGood: reloads == upgrades),
            ]
        // Once it has stopped accepting, who comes is refused: that had not begun.
        case .drain: return Array(none.dropFirst()) + kept + ends
        }
    }

    /// Whether each target was met.
    var isGood: Bool { targets.allSatisfy(\.isGood) }

    /// For people.
    var text: String {
        func milliseconds(_ values: [UInt64]) -> String {
            guard let most = values.max() else { return "-" }
            let sorted = values.sorted()
            return "median \(sorted[sorted.count / 2] / 1_000_000) ms, at most \(most / 1_000_000) ms"
        }
        var text = "\(plan.mode.rawValue), \(upgrades) times, workers \(plan.workers)"
        text += plan.busy > 0 ? ", beside \(plan.busy) busy threads\n" : "\n"
        text += "  new connections      \(tally.opened) opened, \(tally.answered) answered"
        text += ", \(tally.refused) refused, \(tally.reset) reset, \(tally.hung) hung\n"
        text += "  kept connections     \(tally.keptRequests) requests, \(tally.keptLost) lost; closed "
        text += "\(tally.keptAnnounced) announced, \(tally.keptUnannounced) without a word\n"
        text += "  WebSockets           \(tally.socketsOpened) opened, \(tally.socketsEnded.count) ended "
        text += "(\(tally.socketsGoingAway) told 1001), \(socketsEarly) early, \(socketsMostAtOnce) in 100 ms at most\n"
        text += "  taking over          \(milliseconds(tookOver)) from the start of the process\n"
        if !takenBack.isEmpty {
            text += "  after a kill         answered after \(milliseconds(takenBack)); "
            text += "\(tally.excused) connections went with the killed ones\n"
        }
        for (ending, count) in endings.sorted(by: { $0.key < $1.key }) { text += "  \(count) ended: \(ending)\n" }
        for target in targets where !target.isGood { text += "  MISSED: \(target.name): \(target.value)\n" }
        return text + (isGood ? "  all targets met\n" : "")
    }
}
