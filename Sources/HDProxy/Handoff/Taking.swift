// May this process accept yet? The successor's side of a handoff: values in, actions out.
//
//     asking ─offer─► receiving ─all descriptors─► preparing ─prepared─► confirming ─stopped─► serving
//       │ refuse, end: asks again, or gives up         │ cannot: gives up   │ end: asks again
//       └─ too late: gives up ─────────────────────────┴────────────────────┘
//
// Giving up is no failure of the service: the process then starts as if it were alone, beside a predecessor that goes on.

import Glibc
import ProxyCore

/// The successor's side.
struct Taking: Equatable {
    /// Where it is.
    enum Phase: Equatable {
        /// It has no connection, or has asked.
        case asking
        /// It gets descriptors: so many are missing.
        case receiving(missing: Int)
        /// It makes ready for them.
        case preparing
        /// It waits for the predecessor to stop.
        case confirming
        /// It may accept.
        case serving
        /// It starts alone.
        case over(Ending)
    }

    /// Why a process starts alone.
    enum Ending: Equatable {
        /// Nobody listens on the handoff socket.
        case nobody
        /// Whoever listens is another user's process.
        case stranger
        /// The predecessor says no.
        case refused(String)
        /// The predecessor says nothing.
        case silent
        /// The predecessor says something that has no meaning there.
        case strange
        /// Something that this process needs besides cannot be had.
        case unprepared
    }

    /// What is to be done.
    enum Action: Equatable {
        /// Send the question.
        case ask
        /// Check what came, and open what is missing.
        case prepare
        /// Send that everything is here.
        case received
        /// Accept.
        case serve
        /// Close the connection and connect again in a moment.
        case again
        /// Close the connection and start alone.
        case giveUp(Ending)
    }

    /// For how long the predecessor may be silent.
    static let silence = Instant.Span.milliseconds(5000)
    /// For how long this process asks again.
    static let patience = Instant.Span.milliseconds(15_000)
    /// The pause before it asks again.
    static let pause = Duration.milliseconds(50)

    private(set) var phase = Phase.asking
    /// When it asks no more.
    let givesUp: Instant
    /// Until when the predecessor has to say something.
    private(set) var deadline: Instant

    /// A process that begins to ask at `now`.
    init(at now: Instant) {
        givesUp = now + Self.patience
        deadline = now + Self.silence
    }

    /// There is a connection, to a process of the user `user`; ours is `own`.
    mutating func connected(to user: UInt32?, own: UInt32, at now: Instant) -> [Action] {
        guard phase == .asking else { return [] }
        guard user == own else { return end(.stranger) }
        deadline = now + Self.silence
        return [.ask]
    }

    /// There is none, for this reason (an errno).
    mutating func notConnected(_ code: Int32, at now: Instant) -> [Action] {
        guard phase == .asking else { return [] }
        switch code {
        // Too many ask already.
        case EAGAIN: return again(.silent, at: now)
        case EACCES, EPERM: return end(.stranger)
        default: return end(.nobody)
        }
    }

    /// A message came, and so many descriptors beside it.
    mutating func heard(_ message: HandoffMessage, descriptors: Int, at now: Instant) -> [Action] {
        deadline = now + Self.silence
        switch (phase, message) {
        case (.asking, .refuse(let reason, _)):
            guard let known = HandoffRefusal(rawValue: reason), known.isPassing else { return end(.refused(reason)) }
            return again(.refused(reason), at: now)
        case (.asking, .offer(let version, _, _, _, let count)):
            guard HandoffMessage.versions.contains(version), 1...HandoffFrame.descriptorsMax ~= count else {
                return end(.strange)
            }
            phase = .receiving(missing: count)
            return []
        case (.receiving(let missing), .descriptors(let places)):
            guard places.count == descriptors, 1...missing ~= places.count else { return end(.strange) }
            if places.count < missing {
                phase = .receiving(missing: missing - places.count)
                return []
            }
            phase = .preparing
            return [.prepare]
        case (.confirming, .stopped):
            phase = .serving
            return [.serve]
        case (.asking, _), (.receiving, _), (.preparing, _), (.confirming, _): return end(.strange)
        case (.serving, _), (.over, _): return []
        }
    }

    /// What this process needs besides is there, or not.
    mutating func prepared(_ isReady: Bool, at now: Instant) -> [Action] {
        guard phase == .preparing else { return [] }
        guard isReady else { return end(.unprepared) }
        phase = .confirming
        deadline = now + Self.silence
        return [.received]
    }

    /// The connection has ended. The predecessor may have died: then the next question finds nobody.
    mutating func closed(at now: Instant) -> [Action] {
        switch phase {
        case .asking, .receiving, .preparing, .confirming: again(.silent, at: now)
        case .serving, .over: []
        }
    }

    /// Bytes came that are no message.
    mutating func heardGarbage() -> [Action] {
        switch phase {
        case .asking, .receiving, .preparing, .confirming: end(.strange)
        case .serving, .over: []
        }
    }

    /// It is ``deadline``.
    mutating func time(_ now: Instant) -> [Action] {
        guard now >= deadline else { return [] }
        switch phase {
        case .asking, .receiving, .confirming: return end(.silent)
        case .preparing, .serving, .over: return []
        }
    }

    private mutating func again(_ ending: Ending, at now: Instant) -> [Action] {
        if now >= givesUp { return end(ending) }
        phase = .asking
        return [.again]
    }

    private mutating func end(_ ending: Ending) -> [Action] {
        phase = .over(ending)
        return [.giveUp(ending)]
    }
}
