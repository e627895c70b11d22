// What load of numbered requests is wanted, and what came of it? A plan, and a board that every thread may read.

import Synchronization

/// What a load of numbered requests is.
struct AskingPlan: Sendable {
    /// When requests are due.
    enum Pace: Sendable {
        /// So many a second, whichever connection is free.
        case open(rate: Double)
        /// Each connection once in so many nanoseconds, all at nearly the same time: no further apart than `spread`.
        case waves(every: UInt64, spread: UInt64)
    }

    /// Where the proxy listens.
    var port: UInt16
    /// Who is asked for: each of them for `turn` nanoseconds.
    var hosts: [String]
    var turn: UInt64 = .max
    /// `X-Service` of a right answer.
    var service: String
    var connections = 64
    var pace: Pace
    /// What takes longer is lost.
    var timeout: UInt64 = 15_000_000_000
    /// The number of the first request.
    var firstID = 1
    /// Whether POSTs are among them; else all are GETs.
    var hasPosts = true
    /// Latencies of the first nanoseconds of each turn are not counted: they belong to the one before.
    var settling: UInt64 = 0
}

/// What has come of a load, for every thread.
final class AskingBoard: Sendable {
    /// The figures.
    struct Figures: Sendable {
        var sent = 0
        var answered = 0
        var posts = 0
        var losses: [Loss] = []
        /// Connections that the proxy ended between two requests, with and without an announcement.
        var ended = 0
        var endedUnannounced = 0
        /// Answers by pod, from whichever service.
        var pods: [String: Int] = [:]
        /// Per host: p50, p99 and the longest, in nanoseconds. Filled at the end.
        var latencies: [(p50: Double, p99: Double, longest: UInt64)] = []
    }

    private let state = Mutex(Figures())
    private let stop = Atomic<Bool>(false)
    private let over = Atomic<Bool>(false)

    /// The figures so far.
    var figures: Figures { state.withLock { $0 } }
    /// How many were sent, and answered rightly.
    var sent: Int { state.withLock { $0.sent } }
    var answered: Int { state.withLock { $0.answered } }
    /// Whether it shall end.
    var isStopping: Bool { stop.load(ordering: .relaxed) }
    /// Whether all requests have an end.
    var isOver: Bool { over.load(ordering: .acquiring) }

    func change(_ body: (inout Figures) -> Void) { state.withLock { body(&$0) } }
    func finish() { over.store(true, ordering: .releasing) }

    /// Sends nothing new, waits for what is under way; all that came.
    func stopAndWait() -> Figures {
        stop.store(true, ordering: .relaxed)
        while !isOver { pause(milliseconds: 2) }
        return figures
    }

    /// Waits until `count` more have been answered; whether they were in time.
    func awaitAnswers(_ count: Int, milliseconds: Int = 30_000) -> Bool {
        let wanted = answered + count
        let giveUpAt = monotonicNow() + UInt64(milliseconds) * 1_000_000
        while answered < wanted {
            if monotonicNow() > giveUpAt || stopWasAsked { return false }
            pause(milliseconds: 1)
        }
        return true
    }
}
