// How does a process get its predecessor's place? It asks on the handoff socket, takes what it is given, and accepts when
// the predecessor has stopped. `Taking` decides, this file carries it out.

import Discovery
import Glibc
import ProxyCore

/// What became of asking.
enum Takeover {
    /// The place is ours: the connection on which the predecessor watches us, what it has counted, and the keys of its
    /// session tickets.
    case taken(HandoffConnection, InheritedCounters, [TicketKey])
    /// There is no predecessor, or none that gives.
    case alone(Taking.Ending)
}

/// What a predecessor gives.
struct HandoffGift {
    /// Its process.
    var process = 0
    /// Its program's version.
    var version = ""
    /// For how long it can take back.
    var confirm = Duration.zero
    /// What it gives.
    var descriptors: [(place: HandoffPlace, descriptor: HeldDescriptor)] = []
}

/// The successor's end of the handoff socket.
@ControlThread
struct HandoffClient {
    private let path: String
    private var taking = Taking(at: Clock.now())
    private var gift = HandoffGift()
    private var dropped: [String] = []

    /// Asks at `path`.
    init(_ path: String) { self.path = path }

    /// Whether somebody listens at `path` now.
    nonisolated static func isSomebody(at path: String) -> Bool {
        if path.isEmpty { return false }
        switch UnixListener.connect(to: path) {
        case .connected(let socket): return socket.peerUser() == geteuid()
        case .failed(EAGAIN): return true
        case .failed: return false
        }
    }

    /// Asks until there is an answer. `prepare` gets what the predecessor gives and makes ready for it: the addresses
    /// where this process is not going to accept, or nil where it cannot be ready. `isWanted` tells whether the answer is
    /// still of interest.
    mutating func takeOver(
        isWanted: @ControlThread () -> Bool, prepare: @ControlThread (HandoffGift) -> [String]?
    ) async -> Takeover {
        while isWanted() {
            gift = HandoffGift()
            switch UnixListener.connect(to: path) {
            case .failed(let code):
                for case .giveUp(let ending) in taking.notConnected(code, at: Clock.now()) { return .alone(ending) }
            case .connected(let socket):
                let connection = HandoffConnection(socket, bytesMax: HandoffFrame.answerBytesMax)
                if let takeover = await converse(connection, isWanted, prepare) { return takeover }
                connection.close()
            }
            _ = await ControlThread.sleep(for: Taking.pause)
        }
        return .alone(.nobody)
    }

    /// One conversation; nil where another one may go better.
    private mutating func converse(
        _ connection: HandoffConnection, _ isWanted: @ControlThread () -> Bool,
        _ prepare: @ControlThread (HandoffGift) -> [String]?
    ) async -> Takeover? {
        var counters = InheritedCounters()
        var ticketKeys: [TicketKey] = []
        var actions = taking.connected(to: connection.peerUser, own: geteuid(), at: Clock.now())
        while isWanted() {
            while let action = actions.first {
                actions.removeFirst()
                switch action {
                case .ask:
                    let range = HandoffMessage.versions
                    await connection.send(
                        .ask(
                            oldest: range.lowerBound, newest: range.upperBound, version: hdproxyVersion,
                            process: Int(getpid())), until: taking.deadline)
                case .prepare:
                    let answer = prepare(gift)
                    dropped = answer ?? []
                    actions += taking.prepared(answer != nil, at: Clock.now())
                case .received: await connection.send(.received(dropped: dropped), until: taking.deadline)
                case .serve: return .taken(connection, counters, ticketKeys)
                case .again: return nil
                case .giveUp(let ending):
                    connection.close()
                    return .alone(ending)
                }
            }
            switch await connection.receive(until: taking.deadline) {
            case .message(let message, let descriptors):
                note(message, descriptors)
                if case .stopped(let all, let keys) = message {
                    counters = all
                    ticketKeys = TicketKeysText.read(keys)
                }
                actions = taking.heard(message, descriptors: descriptors.count, at: Clock.now())
            case .garbage: actions = taking.heardGarbage()
            case .end: actions = taking.closed(at: Clock.now())
            case .silence: actions = taking.time(Clock.now())
            }
        }
        connection.close()
        return .alone(.nobody)
    }

    private mutating func note(_ message: HandoffMessage, _ descriptors: [HeldDescriptor]) {
        switch message {
        case .offer(_, let version, let process, let milliseconds, _):
            gift.version = version
            gift.process = process
            gift.confirm = .milliseconds(max(0, min(milliseconds, 1 << 40)))
        case .descriptors(let places):
            for (place, descriptor) in zip(places, descriptors) { gift.descriptors.append((place, descriptor)) }
        case .ask, .refuse, .received, .stopped, .passedOn: break
        }
    }
}
