// When may this process let go, when does it take back, and when does it leave? The predecessor's side of a handoff, and
// what signals mean in it: values in, actions out.
//
//     serving ─asked─► offered ─received─► stopping ─stopped─► watching ─time─► given
//        ▲               │ lost, time         │ lost, time        │ lost          ▲
//        └───────────────┴────── takes back ──┴───────────────────┤               │ time
//                                                                 └─passedOn─► waiting
//     serving ─signal─► leaving        else: a signal counts when it is decided who serves
//
// While it watches, sockets and control connection are kept, and nothing makes the process end. A signal then is its first
// one: it acts when the time is over, whoever serves by then. One that comes while a peer is being given descriptors waits,
// too, for the peer to have them, or to fail: between a listener that goes and one that comes somebody would be refused.

import ProxyCore

/// The predecessor's side.
struct Giving: Equatable {
    /// A process that asks, by the number of its connection.
    typealias Peer = Int

    /// Where the process is.
    enum Phase: Equatable {
        /// It accepts.
        case serving
        /// It accepts; a peer is being given descriptors, until then at most.
        case offered(Peer, until: Instant)
        /// The peer has everything; the workers are told to stop.
        case stopping(Peer, until: Instant)
        /// The peer accepts; if it dies before that time, this process takes back.
        case watching(Peer, until: Instant)
        /// The peer has a successor of its own; only the time has to pass.
        case waiting(until: Instant)
        /// It is over: this process finishes what it has.
        case given
        /// This process leaves without a successor.
        case leaving
    }

    /// What is to be done.
    enum Action: Equatable {
        /// Say no.
        case refuse(Peer, HandoffRefusal)
        /// Send the descriptors, in this version of the protocol.
        case offer(Peer, version: Int)
        /// Have the workers stop; ``stopped(at:)`` when they have.
        case stopAccepting
        /// Tell the peer that it may accept.
        case confirm(Peer)
        /// Close the connection.
        case drop(Peer)
        /// Accept again.
        case takeBack(Failure)
        /// Close all copies of sockets: nobody needs them any more.
        case closeCopies
        /// Finish what there is, without a deadline.
        case finish
        /// Finish what there is, within the time that is configured.
        case drain
        /// End now.
        case exit
    }

    /// Why a handoff failed.
    enum Failure: String, Equatable {
        /// The connection ended.
        case died
        /// It said something out of place.
        case strange
        /// It said nothing in time.
        case hung
        /// Our own workers did not stop in time.
        case stuck
    }

    /// For how long a peer may take to receive everything.
    static let offerTakes = Instant.Span.milliseconds(5000)
    /// For how long our workers may take to stop.
    static let stoppingTakes = Instant.Span.milliseconds(2000)

    /// For how long this process can take back.
    var confirm: Instant.Span
    private(set) var phase = Phase.serving
    /// Signals that told it to leave.
    private(set) var signals = 0
    /// Whether somebody has told it by the admin listener. That is no signal: who is told so, as by a container's preStop
    /// hook, gets a SIGTERM next, which is its first one and must not end it at once.
    private(set) var isWishedAway = false
    /// When a process leaves that has taken back and was told to leave before.
    private(set) var leavesAt = Instant.never

    /// A process that serves, and can take back for as long as `confirm`.
    init(confirm: Instant.Span) { self.confirm = confirm }

    /// Whether somebody else accepts.
    var isHandedOver: Bool {
        switch phase {
        case .watching, .waiting, .given: true
        case .serving, .offered, .stopping, .leaving: false
        }
    }

    /// Whether a peer is just taking over, which ends soon, one way or the other.
    var isUnderWay: Bool {
        switch phase {
        case .offered, .stopping: true
        case .serving, .watching, .waiting, .given, .leaving: false
        }
    }

    /// When ``time(_:)`` has to be called.
    var deadline: Instant {
        switch phase {
        case .serving, .given, .leaving: leavesAt
        case .offered(_, let until), .stopping(_, let until), .watching(_, let until), .waiting(let until): until
        }
    }

    // MARK: What peers do

    /// A peer wants to follow, and speaks these versions of the protocol.
    mutating func asked(_ peer: Peer, _ oldest: Int, _ newest: Int, at now: Instant) -> [Action] {
        let version = min(newest, HandoffMessage.versions.upperBound)
        guard version >= max(oldest, HandoffMessage.versions.lowerBound) else { return [.refuse(peer, .version)] }
        switch phase {
        case .serving:
            phase = .offered(peer, until: now + Self.offerTakes)
            return [.offer(peer, version: version)]
        case .offered(peer, _), .stopping(peer, _), .watching(peer, _): return failed(peer, .strange, at: now)
        case .offered, .stopping: return [.refuse(peer, .busy)]
        case .watching, .waiting, .given: return [.refuse(peer, .handedOver)]
        case .leaving: return [.refuse(peer, .leaving)]
        }
    }

    /// A peer has all descriptors, and waits for us to stop.
    mutating func received(_ peer: Peer, at now: Instant) -> [Action] {
        guard case .offered(peer, _) = phase else { return failed(peer, .strange, at: now) }
        phase = .stopping(peer, until: now + Self.stoppingTakes)
        return [.stopAccepting]
    }

    /// No worker accepts any more.
    mutating func stopped(at now: Instant) -> [Action] {
        guard case .stopping(let peer, _) = phase else { return [] }
        phase = .watching(peer, until: now + confirm)
        return [.confirm(peer)]
    }

    /// A peer has handed over in its turn.
    mutating func passedOn(_ peer: Peer, at now: Instant) -> [Action] {
        guard case .watching(peer, let until) = phase else { return failed(peer, .strange, at: now) }
        phase = .waiting(until: until)
        return [.drop(peer), .closeCopies]
    }

    /// A peer's connection is no more, or no good.
    mutating func failed(_ peer: Peer, _ failure: Failure, at now: Instant) -> [Action] {
        switch phase {
        case .offered(peer, _):
            // Told to leave meanwhile, or at a time that has passed meanwhile: nobody follows, so it goes without.
            if isTold, leavesAt == .never || leavesAt <= now {
                leavesAt = .never
                phase = .leaving
                return [.drop(peer), .drain]
            }
            phase = .serving
            return [.drop(peer)]
        case .stopping(peer, _): return takeBack(peer, failure, leaving: now)
        case .watching(peer, let until): return takeBack(peer, failure, leaving: until)
        case .serving, .offered, .stopping, .watching, .waiting, .given, .leaving: return [.drop(peer)]
        }
    }

    /// `leaving` is when a process goes that was told to.
    private mutating func takeBack(_ peer: Peer, _ failure: Failure, leaving: Instant) -> [Action] {
        phase = .serving
        if isTold { leavesAt = min(leavesAt, leaving) }
        return [.drop(peer), .takeBack(failure)]
    }

    // MARK: What else happens

    /// It is ``deadline``.
    mutating func time(_ now: Instant) -> [Action] {
        guard now >= deadline else { return [] }
        switch phase {
        case .serving, .leaving, .given:
            leavesAt = .never
            guard phase == .serving else { return [] }
            phase = .leaving
            return [.drain]
        case .offered(let peer, _): return failed(peer, .hung, at: now)
        case .stopping(let peer, _): return failed(peer, .stuck, at: now)
        case .watching(let peer, _):
            phase = .given
            return [.closeCopies, .drop(peer), .finish] + due
        case .waiting:
            phase = .given
            return [.finish] + due
        }
    }

    private var isTold: Bool { signals > 0 || isWishedAway }

    /// What those who told it meanwhile ask for.
    private var due: [Action] { !isTold ? [] : signals < 2 ? [.drain] : [.exit] }

    /// Somebody wants the process to end. `isSignal` tells a signal, of which a second one ends it at once, from the admin
    /// listener's wish.
    mutating func toldToLeave(isSignal: Bool = true) -> [Action] {
        let wasTold = isTold
        if isSignal { signals += 1 } else { isWishedAway = true }
        if wasTold, !isSignal { return [] }
        switch phase {
        case .serving where signals < 2:
            phase = .leaving
            return [.drain]
        case .offered where signals < 2: return []
        case .given where signals < 2: return wasTold ? [] : [.drain]
        case .leaving where signals < 2: return []
        case .stopping, .watching, .waiting: return []
        case .serving, .offered, .given, .leaving: return [.exit]
        }
    }
}
