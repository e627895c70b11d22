// Who asks for our place? The serving process listens on the handoff socket; each connection there is a task that hears one
// peer. `Giving` decides, this file carries it out, and whoever owns the listeners (`HandoffOwner`) stops and goes on.

import Discovery
import Glibc
import ProxyCore

/// Who has what is handed over: the control loop.
@ControlThread
protocol HandoffOwner: AnyObject {
    /// What there is to give: places, and the descriptors that belong to them, which stay the owner's.
    var handoffPlaces: [(place: HandoffPlace, number: Int32)] { get }
    /// Whether its listeners are just being changed.
    var isReloading: Bool { get }
    /// Stops accepting. Whether every worker has.
    func stopAccepting() async -> Bool
    /// What was counted until now, for the successor.
    func countersToPassOn() async -> InheritedCounters
    /// The keys of session tickets, for the successor.
    var ticketKeys: [TicketKey] { get }
    /// Closes the sockets of addresses where nobody is going to accept.
    func drop(addresses: [String])
    /// The successor accepts from now on.
    func handedOver(to process: Int, version: String)
    /// Carries out what concerns this process itself.
    func act(_ action: Giving.Action)
    /// A peer was sent away, or failed before it had everything.
    func turnedAway(_ reason: String)
}

/// The predecessor's end of the handoff socket.
@ControlThread
final class HandoffServer {
    /// Peers that are heard at the same time; whoever comes beyond them is closed.
    private static let peersMax = 16
    /// For how long a peer may take to ask.
    private static let questionTakes = Instant.Span.milliseconds(2000)
    /// For how long an answer may take to be taken.
    private static let answerTakes = Instant.Span.milliseconds(5000)

    private weak var owner: (any HandoffOwner)?
    private(set) var giving: Giving
    private var listener: Listening?
    /// The name that is listened on, or is wanted; empty for none.
    private(set) var name = ""
    private var accepting: Task<Void, Never>?
    private var retry: Task<Void, Never>?
    private var alarm: (at: Instant, task: Task<Void, Never>)?
    private var peers: [Giving.Peer: Asker] = [:]
    private var lastPeer = 0
    private let report: @ControlThread (Notice) -> Void
    /// Open unless a handoff is under way of which nobody knows yet what becomes of it.
    private let settling = Gate()

    /// Who is being heard.
    private struct Asker {
        var connection: HandoffConnection
        var process = 0
        var version = ""
        /// Addresses that it has no use for.
        var dropped: [String] = []
    }

    /// The socket. It outlives the task that waits for it: another process has the same socket, so the kernel would go on
    /// telling of a descriptor that is closed before that wait is over.
    private final class Listening {
        var socket: UnixListener
        init(_ socket: consuming UnixListener) { self.socket = socket }
    }

    /// A server that hears nobody before ``listen(_:)`` or ``take(_:_:)``.
    init(owner: any HandoffOwner, confirm: Duration, report: @escaping @ControlThread (Notice) -> Void) {
        self.owner = owner
        giving = Giving(confirm: Instant.Span(confirm))
        self.report = report
        settling.open()
    }

    /// Waits until no handoff is under way: it has come to something, or to nothing.
    func settled() async { while giving.isUnderWay { await settling.passed() } }

    /// For how long this process can take back, from the next handoff on.
    func adopt(confirm: Duration) { giving.confirm = Instant.Span(confirm) }

    /// The socket's descriptor; nil where there is none.
    var number: Int32? { listener?.socket.number }

    // MARK: Listening

    /// Listens on `new` from now on, and only there. Where another process has the name it is tried again every second:
    /// that process may be about to leave.
    func listen(_ new: String) {
        guard new != name || (listener == nil && retry == nil) else { return }
        stopListening()
        name = new
        if new.isEmpty { return }
        if tryToListen(isFirst: true) { return }
        retry = ControlThread.spawn { [weak self] in
            while await ControlThread.sleep(for: .seconds(1)) == .timedOut {
                guard let self else { return }
                if self.tryToListen(isFirst: false) { return }
            }
        }
    }

    private func tryToListen(isFirst: Bool) -> Bool {
        do throws(SystemError) {
            listener = Listening(try UnixListener(path: name))
        } catch {
            if isFirst { report(Notice(.warn, "handoff_unavailable", ["socket": name, "reason": error.description])) }
            return false
        }
        retry = nil
        resume()
        return true
    }

    /// Listens on `descriptor`, which a predecessor gave and which has the name `path`.
    func take(_ descriptor: consuming FileDescriptor, _ path: String) {
        stopListening()
        name = path
        listener = Listening(UnixListener(owning: descriptor, path: path))
        resume()
    }

    /// Hears those who come from now on.
    private func resume() {
        listener?.socket.keepFile()
        let former = accepting
        accepting = ControlThread.spawn { [weak self] in
            // One task at a time waits for a descriptor.
            await former?.value
            await self?.accept()
        }
    }

    /// Leaves those who come to somebody else, who has the same socket.
    private func pause() {
        accepting?.cancel()
        listener?.socket.leaveFile()
    }

    /// Hears nobody any more; who is being heard is heard to the end.
    func stopListening() {
        retry?.cancel()
        retry = nil
        accepting?.cancel()
        if let accepting, let listener {
            ControlThread.spawn {
                await accepting.value
                withExtendedLifetime(listener) {}
            }
        }
        accepting = nil
        listener = nil
        name = ""
    }

    /// Ends everything.
    func stop() {
        stopListening()
        alarm?.task.cancel()
        for peer in peers.values { peer.connection.close() }
    }

    private func accept() async {
        while !Task.isCancelled, let number {
            guard await ControlThread.readable(number) == .ready, !Task.isCancelled else { return }
            var isExhausted = false
            waiting: while let accepted = listener?.socket.accept() {
                switch consume accepted {
                case .connection(let socket): admit(socket)
                case .none: break waiting
                case .exhausted:
                    isExhausted = true
                    break waiting
                }
            }
            if isExhausted { _ = await ControlThread.sleep(for: .milliseconds(100)) }
        }
    }

    private func admit(_ socket: consuming Socket) {
        let connection = HandoffConnection(socket, bytesMax: HandoffFrame.questionBytesMax)
        guard connection.peerUser == geteuid() else {
            owner?.turnedAway("another user's process")
            return connection.close()
        }
        guard peers.count < Self.peersMax else { return connection.close() }
        lastPeer += 1
        let peer = lastPeer
        peers[peer] = Asker(connection: connection)
        ControlThread.spawn { [self] in
            await hear(peer, connection)
            connection.close()
            peers[peer] = nil
        }
    }

    // MARK: Hearing

    private func hear(_ peer: Giving.Peer, _ connection: HandoffConnection) async {
        var deadline = Clock.now() + Self.questionTakes
        while true {
            let heard = await connection.receive(until: deadline)
            let now = Clock.now()
            switch heard {
            case .message(.ask(let oldest, let newest, let version, let process), _):
                peers[peer]?.process = process
                peers[peer]?.version = version
                // What would be given is about to be something else.
                let isTooEarly = owner?.isReloading ?? false
                await carryOut(isTooEarly ? [.refuse(peer, .busy)] : giving.asked(peer, oldest, newest, at: now))
                // From here on `Giving` watches the time.
                deadline = .never
            case .message(.received(let dropped), _):
                peers[peer]?.dropped = dropped
                await carryOut(giving.received(peer, at: now))
            case .message(.passedOn, _): return await carryOut(giving.passedOn(peer, at: now))
            case .message, .garbage:
                owner?.turnedAway("what it said has no meaning here")
                return await carryOut(giving.failed(peer, .strange, at: now))
            case .end: return await carryOut(giving.failed(peer, .died, at: now))
            case .silence:
                owner?.turnedAway("it said nothing")
                return await carryOut(giving.failed(peer, .hung, at: now))
            }
        }
    }

    /// Somebody wants the process to end.
    func toldToLeave(isSignal: Bool) async { await carryOut(giving.toldToLeave(isSignal: isSignal)) }

    private func carryOut(_ actions: [Giving.Action]) async {
        setAlarm()
        for action in actions {
            switch action {
            case .refuse(let peer, let reason):
                if !reason.isPassing { owner?.turnedAway(reason.rawValue) }
                await peers[peer]?.connection.send(
                    .refuse(reason: reason.rawValue, version: hdproxyVersion), until: Clock.now() + Self.answerTakes)
                // Whoever asks again comes again; nobody stays who has nothing to wait for.
                peers[peer]?.connection.close()
            case .offer(let peer, let version): await offer(peer, version)
            case .stopAccepting:
                pause()
                let hasStopped = await owner?.stopAccepting() ?? false
                // Otherwise the time runs out, and what did stop goes on.
                if hasStopped { await carryOut(giving.stopped(at: Clock.now())) }
            case .confirm(let peer): await confirm(peer)
            case .drop(let peer): peers[peer]?.connection.close()
            case .takeBack:
                resume()
                owner?.act(action)
            case .closeCopies:
                stopListening()
                owner?.act(action)
            case .finish, .drain, .exit:
                stopListening()
                owner?.act(action)
            }
        }
    }

    private func offer(_ peer: Giving.Peer, _ version: Int) async {
        guard let asker = peers[peer], let owner else { return }
        let places = owner.handoffPlaces
        let deadline = Clock.now() + Self.answerTakes
        let milliseconds = Int(clamping: giving.confirm.nanoseconds / 1_000_000)
        var isTaken = await asker.connection.send(
            .offer(
                protocol: version, version: hdproxyVersion, process: Int(getpid()), confirmMilliseconds: milliseconds,
                descriptors: places.count), until: deadline)
        var rest = places[...]
        while isTaken, !rest.isEmpty {
            let batch = rest.prefix(Socket.descriptorsMax)
            rest = rest.dropFirst(batch.count)
            isTaken = await asker.connection.send(
                .descriptors(places: batch.map(\.place)), with: batch.map(\.number), until: deadline)
        }
        if !isTaken { await carryOut(giving.failed(peer, .died, at: Clock.now())) }
    }

    private func confirm(_ peer: Giving.Peer) async {
        guard let asker = peers[peer], let owner else { return }
        owner.drop(addresses: asker.dropped)
        owner.handedOver(to: asker.process, version: asker.version)
        let counters = await owner.countersToPassOn()
        let isTaken = await asker.connection.send(
            .stopped(counters: counters, sessionTicketKeys: TicketKeysText.write(owner.ticketKeys)),
            until: Clock.now() + Self.answerTakes)
        if !isTaken { await carryOut(giving.failed(peer, .died, at: Clock.now())) }
    }

    private func setAlarm() {
        if giving.isUnderWay { settling.close() } else { settling.open() }
        let deadline = giving.deadline
        guard deadline != alarm?.at else { return }
        alarm?.task.cancel()
        alarm = nil
        if deadline == .never { return }
        let task = ControlThread.spawn { [weak self] in
            guard await ControlThread.sleep(until: deadline) == .timedOut, let self, alarm?.at == deadline else {
                return
            }
            alarm = nil
            await carryOut(giving.time(Clock.now()))
        }
        alarm = (deadline, task)
    }
}
