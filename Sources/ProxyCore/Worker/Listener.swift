// Where do clients come in? A worker's own listening sockets, beside those of the other workers by SO_REUSEPORT, or, after a
// handoff from a process with fewer workers, the same socket as others; and what happens when there is no descriptor left
// for those who wait.

/// A socket that a worker accepts on.
struct Listener: ~Copyable {
    let spec: ListenerSpec
    let socket: Socket
    /// The slot that counts for it.
    let totals: SlotID
    /// The slot of the terms of TLS that it speaks; -1: it does not, or has none yet.
    var site: Int32 = -1
    /// How many connections the next turn may take: more while many wait, one while few do, so that a quiet listener
    /// costs no call in vain and a busy one no turn for each.
    var appetite = 1
    /// Whether its connections begin with a PROXY header.
    var needsProxyHeader = false

    init(_ listening: ListeningSocket, totals: SlotID) {
        spec = listening.spec
        self.totals = totals
        socket = Socket(owning: listening.descriptor)
    }

    /// What an unused slot holds.
    static func vacant() -> Listener {
        let nowhere = NetworkAddress(ip: IPAddress(high: 0, low: 0), port: 0)
        return Listener(ListeningSocket(spec: ListenerSpec(name: "", address: nowhere), descriptor: -1), totals: .none)
    }
}

/// A descriptor that is held so that there is one to give when there are none: closing it lets us accept a connection
/// just to close that, which tells the client more than silence.
struct ReserveDescriptor: ~Copyable {
    private var held = FileDescriptor.placeholder()

    init() {}

    /// Accepts one connection and closes it. Whether there was one.
    mutating func shed(_ listener: borrowing Socket) -> Bool {
        held = FileDescriptor(owning: -1)
        var wasThere = false
        switch listener.accept() {
        case .connection(let socket, _):
            socket.resetOnClose()
            wasThere = true
        case .gone: wasThere = true
        case .wouldBlock: break
        case .exhausted: break
        }
        held = .placeholder()
        return wasThere
    }
}

extension Worker {
    /// Connections that one listener gives a worker in one turn at most.
    private static var acceptsMax: Int { 16 }
    /// For how long a listener is left alone when nothing could be done for those who wait.
    private static var pause: Instant.Span { .milliseconds(50) }

    /// Begins to accept on a socket.
    mutating func open(_ listening: ListeningSocket) {
        let totals = connections.useListener(listening.spec.name)
        guard let id = listeners.insert(Listener(listening, totals: totals)) else { return }
        findTerms(id.index)
        _ = connections.poller.addListener(listeners[id.index].socket.number, Token(.listener, id))
    }

    /// Looks up on what terms a listener speaks TLS, if it does, and whether its connections begin with a PROXY header.
    mutating func findTerms(_ index: Int32) {
        let spec = listeners[index].spec
        listeners[index].site = spec.isSecure ? connections.site(of: spec.name) ?? -1 : -1
        listeners[index].needsProxyHeader = connections.proxyHeaderListeners.contains(spec.name)
    }

    /// Accepts those who wait, up to a turn's share.
    mutating func acceptClients(_ id: SlotID) {
        guard listeners.contains(id) else { return }
        let index = id.index
        var left = listeners[index].appetite
        while left > 0 {
            left -= 1
            switch listeners[index].socket.accept() {
            case .connection(let socket, let peer): admit(socket, peer, index)
            case .gone: continue
            case .wouldBlock:
                listeners[index].appetite = max(1, listeners[index].appetite / 2)
                return
            case .exhausted:
                connections.noteExhaustion()
                if connections.makeRoom() { continue }
                if reserve.shed(listeners[index].socket) {
                    connections.noteShed()
                } else {
                    return pauseListener(index)
                }
            }
        }
        listeners[index].appetite = min(Self.acceptsMax, listeners[index].appetite * 2)
    }

    /// Lets a connection in, unless the process has as many as it may.
    @inline(__always)
    private mutating func admit(_ socket: consuming Socket, _ peer: NetworkAddress, _ listener: Int32) {
        let needsProxyHeader = listeners[listener].needsProxyHeader
        guard connections.admits(peer, needsProxyHeader: needsProxyHeader) else { return socket.resetOnClose() }
        let most = connections.connectionsMax
        if most > 0, cap.count + connections.openSinceReport >= most, !connections.makeRoomForClient() {
            socket.resetOnClose()
            return connections.noteShed()
        }
        if connections.isShortOfMemory, !connections.relieve() {
            socket.resetOnClose()
            return connections.noteShed()
        }
        let site = listeners[listener].site
        // Never without TLS where it is configured.
        if site < 0, listeners[listener].spec.isSecure { return connections.noteShed() }
        connections.accepted(
            socket, from: peer, listener: listeners[listener].totals, site: site, needsProxyHeader: needsProxyHeader)
    }

    private mutating func pauseListener(_ index: Int32) {
        connections.poller.remove(listeners[index].socket.number)
        resumeAt = connections.now + Self.pause
        paused.append(listeners.id(index))
    }

    /// Goes on with listeners that were left alone.
    mutating func resumeListeners() {
        guard !paused.isEmpty, connections.now >= resumeAt else { return }
        for id in paused where listeners.contains(id) {
            _ = connections.poller.addListener(listeners[id.index].socket.number, Token(.listener, id))
        }
        paused.removeAll(keepingCapacity: true)
    }

    /// Accepts all who wait already, then stops listening: those who are in the queue would be lost otherwise.
    mutating func close(_ index: Int32) {
        accepting: while true {
            switch listeners[index].socket.accept() {
            case .connection(let socket, let peer): admit(socket, peer, index)
            case .gone: continue
            case .wouldBlock: break accepting
            case .exhausted: if !connections.makeRoom() { break accepting }
            }
        }
        connections.poller.remove(listeners[index].socket.number)
        connections.releaseListener(listeners[index].spec.name)
        listeners.remove(index)
    }

    /// Stops accepting everywhere, and leaves those who wait in the queues to whoever has the same sockets.
    mutating func letGo() {
        for index in 0..<listeners.slotCount where listeners.isUsed(index) {
            connections.poller.remove(listeners[index].socket.number)
            connections.releaseListener(listeners[index].spec.name)
            listeners.remove(index)
        }
        paused.removeAll(keepingCapacity: true)
    }

    /// Stops accepting at the addresses of `specs`.
    mutating func close(_ specs: [ListenerSpec]) {
        for index in 0..<listeners.slotCount where listeners.isUsed(index) && specs.contains(listeners[index].spec) {
            close(index)
        }
    }
}
