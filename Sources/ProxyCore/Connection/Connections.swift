// Who is on each end? All connections of one worker, client and upstream, and what they share: buffers, timers,
// tables. Events come in here; `Exchange` says what should happen, and the extensions beside this file do it:
//
//     Connections+Admission     who is let in
//     Connections+Request       a head is read, routed, rewritten
//     Connections+Upstream      an endpoint is chosen, connected, given back
//     Connections+Queue         a request waits for an endpoint with room
//     Connections+Body          the request's body moves up
//     Connections+ResponseHead  the answer's head comes and is rewritten
//     Connections+Response      its body moves down; answers of our own
//     Connections+Tunnel        bytes move both ways after a 101
//     Connections+Ending        exchanges and connections end
//     Connections+Departure     an endpoint is gone
//     Connections+Farewell      we go ourselves
//     Connections+TLS           a handshake goes on; bytes come and go through TLS
//     Connections+UpstreamTLS   the same with endpoints
//     Connections+Shortage      what goes first when there is not enough
//     Connections+WaitingRoom   who trickles is served behind the others
//     Connections+Telemetry     what is counted, and told

/// All connections of one worker.
public struct Connections: ~Copyable {
    /// Bytes that one connection may move in a turn before others have theirs.
    static var bytesPerTurn: Int { 256 * 1024 }
    /// Deadlines of clients, and as many of upstreams, that are seen to in a turn.
    static var expirationsPerTurn: Int { 32 }
    /// For how long a closed connection's client may still send before we stop reading.
    static var lingerTime: Instant.Span { .milliseconds(3000) }
    /// The same while we are leaving, and only such connections may be left.
    static var lingerTimeDraining: Instant.Span { .milliseconds(250) }

    let clients: Slab<ClientConnection>
    let upstreams: Slab<UpstreamConnection>
    /// Where frames begin in the tunnels that are WebSockets.
    let webSockets: Slab<WebSocket>
    /// Ids that trusted proxies gave the exchanges under way.
    let givenIDs: Slab<GivenID>
    var clientTimers: TimerWheel
    var upstreamTimers: TimerWheel
    var buffers: BufferPool
    var pipes = PipePool()
    var directory: ServiceDirectory
    var routes: CompiledRoutes
    let poller: Poller
    /// Watches clients that trickle; see ``serveWaitingRoom()``.
    let waitingRoom: Poller
    /// How many they are, and when they are looked at next.
    var parkedCount = 0
    var waitingRoomDue = Instant.never

    /// Heads at hand: a message is parsed, decided on and rewritten in one go, so one of each is enough.
    var requestHead: RequestHead
    var responseHead: ResponseHead
    var trailers: FieldSection
    var headScratch: ByteBuffer
    /// Who sent the request at hand.
    var derivedClient = DerivedClient(peer: IPAddress(high: 0, low: 0), isTLS: false)
    /// Whose word about the client is believed.
    var trustedProxies = AddressSet([])
    /// Whether only ``admitted`` peers may connect.
    var isLockedDown = false
    var admitted = AddressSet([])
    /// Listeners whose connections begin with a PROXY header.
    private(set) var proxyHeaderListeners: Set<String> = []
    /// Connections of each client, in all workers.
    let counts: ClientCounts

    var limits: Limits
    var headLimits: HeadLimits
    var times: ClientTimes
    var random: RandomSource
    var date: HTTPDate
    /// Now, as of the beginning of the turn.
    var now: Instant
    /// Clients to go on with in the next turn.
    var pending: [SlotID] = []
    /// Clients that never said a word.
    var newcomers = IdleList()
    /// Clients that wait between two requests.
    var regulars = IdleList()
    /// Clients that keep us waiting in the middle of something: of a head, of a body, of their answer.
    var slow = IdleList()
    /// Those of them that do not take their answer.
    var slowReaders = 0
    /// Bytes of memory that connections may take; 0: as much as there is.
    var memoryMax = 0
    /// Clients that OpenSSL has something for.
    var secureClients = 0
    /// Those of them whose handshake is not over.
    var handshakingClients = 0
    /// Services of which requests wait for an endpoint with room.
    var waitingServices: [Int32] = []
    var idleUpstreamCount = 0
    /// The terms of the listeners that speak TLS, and of those before them that connections still have.
    let sites = Slab<TLSSite>(capacity: 1 << 14) { TLSSite() }
    /// Where the present terms of each listener are.
    var sitePlaces: [String: Int32] = [:]
    /// On what terms the endpoints of services are spoken to over TLS, by name.
    var upstreamTerms: [String: UpstreamTerms] = [:]
    /// What session tickets are sealed with.
    var keyring = TicketKeyring()
    /// Handshakes that had to let others go first, in their order.
    var handshakes: [SlotID] = []
    /// Steps of handshakes in this turn, and when the first of them began.
    var handshakeSteps = 0
    var handshakesBegan = Instant.never
    /// Client connections that were last reported.
    var reportedOpen = 0
    /// Whether every answer ends its connection, because we are leaving.
    var isDraining = false
    /// Whether there is a deadline for that.
    var isInHurry = false
    /// What was cut because we left.
    var cut = (exchanges: 0, tunnels: 0)
    var log: AccessLog
    /// What was counted so far.
    public internal(set) var counters = Counters()
    var totals = Totals()
    /// Heads that were refused.
    var refusedHeads = RefusedHeads()
    /// Connections that are kept only to see when the other side closes them; some may be closed.
    var observed: [SlotID] = []
    /// Where it is told which endpoints are ill.
    let outbox: Outbox?
    /// Counts for requests that no rule met.
    let unrouted: SlotID
    /// Services whose slots are in use.
    var countedServices: [String] = []

    /// Connections of a worker that serves `snapshot`.
    public init(
        _ snapshot: Snapshot, now: Instant, seed: UInt64, connectionsMax: Int, outbox: Outbox? = nil,
        loads: SharedLoads = SharedLoads(), counts: ClientCounts = ClientCounts(), log: consuming AccessLog
    ) throws(SystemError) {
        let first = try Poller()
        let second = try Poller()
        poller = first
        waitingRoom = second
        clients = Slab(capacity: connectionsMax, vacant: ClientConnection.vacant)
        upstreams = Slab(capacity: connectionsMax, vacant: UpstreamConnection.vacant)
        webSockets = Slab(capacity: connectionsMax) { WebSocket() }
        givenIDs = Slab(capacity: connectionsMax) { GivenID() }
        directory = ServiceDirectory(loads: loads)
        clientTimers = TimerWheel(now: now)
        upstreamTimers = TimerWheel(now: now)
        buffers = BufferPool(largeHeadBytes: Self.largeHeadBytes(snapshot.limits))
        requestHead = RequestHead(lines: snapshot.limits.headers)
        responseHead = ResponseHead(lines: snapshot.limits.headers)
        trailers = FieldSection(lines: snapshot.limits.headers)
        headScratch = ByteBuffer(capacity: BufferPool.headCapacity)
        limits = snapshot.limits
        headLimits = HeadLimits(
            headerBytes: snapshot.limits.headerBytes, requestTargetBytes: snapshot.limits.requestTargetBytes)
        times = ClientTimes(snapshot.limits)
        random = RandomSource(seed: seed)
        date = HTTPDate(unixSeconds: Clock.wallSecondsCoarse())
        self.now = now
        self.outbox = outbox
        self.counts = counts
        self.log = log
        unrouted = totals.use(RouteKey(route: "", service: ""))
        routes = CompiledRoutes(Snapshot(), services: [], totals: &totals)
        pending.reserveCapacity(64)
        adopt(snapshot)
    }

    deinit {
        clients.destroy()
        upstreams.destroy()
        webSockets.destroy()
        givenIDs.destroy()
        sites.destroy()
    }

    /// What the largest head needs that limits allow, with room to rewrite it.
    private static func largeHeadBytes(_ limits: Limits) -> Int {
        max(limits.headerBytes + limits.requestTargetBytes, BufferPool.streamCapacity) + 8192
    }

    /// Takes over a new snapshot. Exchanges under way go on with what they began with.
    public mutating func adopt(_ snapshot: Snapshot) {
        var gone: [Int32] = []
        let turned = servicesThatTurn(snapshot)
        let services = directory.adopt(snapshot.services, now: now) { gone.append($0) }
        // What was said in the clear is not gone on with over TLS, nor the other way round.
        if !turned.isEmpty { outdate { turned.contains($0) } }
        endpointsJoined()
        nameServices(snapshot, services)
        let countedRoutes = routes.counted
        routes = CompiledRoutes(snapshot, services: services, totals: &totals)
        trustedProxies = AddressSet(snapshot.trustedProxies)
        isLockedDown = snapshot.lockdown != nil
        admitted = AddressSet(snapshot.trustedProxies + (snapshot.lockdown ?? []))
        proxyHeaderListeners = snapshot.proxyHeaderListeners
        for key in countedRoutes { totals.release(key, at: now) }
        totals.forget(at: now)
        if snapshot.limits != limits {
            if snapshot.limits.headers != limits.headers {
                requestHead = RequestHead(lines: snapshot.limits.headers)
                responseHead = ResponseHead(lines: snapshot.limits.headers)
                trailers = FieldSection(lines: snapshot.limits.headers)
            }
            // Buffers that are out are larger or smaller than new ones would be, which only their capacity tells.
            buffers.largeHeadCapacity = Self.largeHeadBytes(snapshot.limits)
            limits = snapshot.limits
            headLimits = HeadLimits(
                headerBytes: limits.headerBytes, requestTargetBytes: limits.requestTargetBytes)
            times = ClientTimes(limits)
        }
        memoryMax = snapshot.workerMemory
        log.isOn = snapshot.accessLog
        endpointsLeft(gone)
    }

    // MARK: A turn

    /// Notes the time, once for all that happens in a turn.
    @inline(__always)
    public mutating func turnBegins(_ now: Instant) {
        self.now = now
        handshakeSteps = 0
        date.update(unixSeconds: Clock.wallSecondsCoarse())
    }

    /// Goes on with connections that had used up their share of the turn before; then with those that have to let the others
    /// go first, some of them: those that trickle, and handshakes.
    public mutating func servePending() {
        // Those that are added meanwhile wait for the next turn.
        let count = pending.count
        for i in 0..<count {
            let id = pending[i]
            guard clients.contains(id) else { continue }
            clients[id.index].isPending = false
            advance(id.index)
        }
        if count > 0 { pending.removeFirst(count) }
        serveWaitingRoom()
        if !handshakes.isEmpty { serveHandshakes() }
    }

    /// Whether some connection wants to go on without an event.
    public var hasPending: Bool { mutating get { !pending.isEmpty || !handshakes.isEmpty } }

    /// Fires what is due, up to a turn's share; the rest stays due. A crowd whose time is over at one moment holds nobody up.
    public mutating func fireTimers() {
        var left = Self.expirationsPerTurn
        while left > 0, let c = clientTimers.nextDue(at: now) {
            clientIsDue(c)
            left &-= 1
        }
        left = Self.expirationsPerTurn
        while left > 0, let u = upstreamTimers.nextDue(at: now) {
            upstreamIsDue(u)
            left &-= 1
        }
        if !waitingServices.isEmpty { serveQueues() }
    }

    /// When the next timer is due.
    public var nextTimer: Instant {
        mutating get {
            var next = min(clientTimers.nextWake(), upstreamTimers.nextWake())
            if parkedCount > 0 { next = min(next, waitingRoomDue) }
            // Other workers give places back without a word.
            return waitingServices.isEmpty ? next : min(next, now + Self.queueLookTime)
        }
    }

    // MARK: Events

    /// A connection was accepted, and its peer may speak. It begins with a PROXY header where that is needed; `site` has the
    /// terms of the listener that speaks TLS; -1: it does not.
    @inline(__always)
    public mutating func accepted(
        _ socket: consuming Socket, from peer: NetworkAddress, listener: SlotID, site: Int32 = -1,
        needsProxyHeader: Bool = false
    ) {
        guard let id = clients.insert(ClientConnection(socket: socket, peer: peer, listener: listener)) else {
            return noteShed()
        }
        let c = id.index
        clientTimers.reserve(Int(clients.slotCount))
        guard poller.add(clients[c].socket, Token(.client, id)) else {
            clients.remove(c)
            return noteShed()
        }
        counters.acceptedConnections &+= 1
        if totals.listeners.contains(listener) {
            totals.listeners[listener.index].accepted &+= 1
            totals.listeners[listener.index].open &+= 1
        }
        enterIdle(c, isNewcomer: true)
        if needsProxyHeader { return awaitProxyHeader(c, site) }
        if limits.connectionsPerClient > 0, !enterCount(c) {
            clients[c].socket.resetOnClose()
            return closeClient(c)
        }
        if site >= 0 { return beginTLS(c, site) }
        clients[c].waiting = .firstByte
        clientTimers.arm(c, at: now + times.requestHeader)
    }

    /// The poller saw something of a client.
    @inline(__always)
    public mutating func clientReady(_ id: SlotID, _ readiness: Readiness) {
        serveClient(id, readiness)
        if clients[id.index].isSlow || clients[id.index].phase == .handshake { parkIfTrickling(id.index) }
    }

    /// Something was seen of a client.
    @inline(__always)
    mutating func serveClient(_ id: SlotID, _ readiness: Readiness) {
        guard clients.contains(id) else { return }
        let c = id.index
        if readiness.isReadable { clients[c].isReadable = true }
        if readiness.isWritable { clients[c].isWritable = true }
        if readiness.isEnding { clients[c].isEnding = true }
        if !clients[c].secure.isNone { secureReady(c, readiness) }
        if readiness.isReset { return clientBroke(c) }
        if readiness.isBroken {
            // Both sides have ended; what came before is still to be read.
            clients[c].isReadable = true
            clients[c].isEnding = true
        }
        advance(c)
    }

    /// The poller saw something of an upstream connection.
    @inline(__always)
    public mutating func upstreamReady(_ id: SlotID, _ readiness: Readiness) {
        guard upstreams.contains(id) else { return }
        let u = id.index
        if readiness.isReadable { upstreams[u].isReadable = true }
        if readiness.isWritable { upstreams[u].isWritable = true }
        if readiness.isBroken || readiness.isEnding { upstreams[u].isEnding = true }
        if !upstreams[u].secure.isNone { secureUpstreamReady(u, readiness) }
        switch upstreams[u].state {
        case .active:
            // What arrived before a reset is read before the reset is.
            if readiness.isBroken { upstreams[u].isReadable = true }
            advance(upstreams[u].client)
        case .connecting: connectingReady(u, readiness)
        // It was idle when this was seen, and served an exchange meanwhile: nothing that matters any more.
        case .idle: break
        case .observed: if readiness.isReadable || readiness.isBroken { endObserved(u, wasClosed: true) }
        }
    }

    /// Looks the poller's latest batch of `count` events over before any of them is served; whether it says that mail
    /// is there. Pooled connections of which it tells something are closed: they have nothing to say, so they close or
    /// are confused (RFC 9112 §9.3), and must not be given to a request of the same batch.
    @inline(__always)
    public mutating func lookOver(_ count: Int) -> Bool {
        var isWoken = false
        for i in 0..<count {
            let (token, readiness) = poller.event(i)
            if token.kind == .wake { isWoken = true }
            let ends = readiness.isEnding || readiness.isBroken
            guard token.kind == .upstream, ends || (readiness.isReadable && idleUpstreamCount > 0),
                upstreams.contains(token.slot)
            else { continue }
            let u = token.slot.index
            switch upstreams[u].state {
            case .idle:
                unpool(u)
                sawIdleClose(u)
                closeUpstream(u)
            // It may have given its answer, and must not get to the pool before its own event is served.
            case .active: if ends { upstreams[u].isEnding = true }
            case .connecting, .observed: break
            }
        }
        return isWoken
    }

    /// Goes on with a client as far as its sockets allow.
    @inline(__always)
    mutating func advance(_ c: Int32) {
        switch clients[c].phase {
        case .exchange: relay(c)
        case .idle, .head: readRequest(c)
        case .lingering: linger(c)
        case .handshake: handshake(c)
        }
    }

    /// The id of a client's exchange: what a trusted proxy gave, else ours.
    @inline(__always)
    func requestID(_ c: Int32) -> RequestID {
        let given = clients[c].givenID
        return given < 0 ? .own(clients[c].ownID) : .given(givenIDs, given)
    }

    /// Moves what can be moved for an exchange.
    @inline(__always)
    mutating func relay(_ c: Int32) {
        if clients[c].exchange.response == .tunnel { return pumpTunnel(c) }
        // Without an upstream only what is at hand can be taken, while one is being connected; after an early answer
        // that ended the upload, nothing.
        if clients[c].upstream >= 0 || clients[c].exchange.isConnecting {
            guard pumpRequest(c) else { return }
        }
        guard pumpResponse(c) else { return }
        rest(c)
    }

    /// Lets a client be gone on with in the next turn.
    mutating func addPending(_ c: Int32) {
        if clients[c].isPending { return }
        clients[c].isPending = true
        pending.append(clients.id(c))
    }

    // MARK: Actions

    /// Carries out what the exchange asks for.
    mutating func perform(_ action: Action, _ c: Int32) {
        switch action {
        case .wait: break
        case .connect: connect(c)
        case .sendRequest(let tellContinue):
            clients[c].sentAt = now
            if tellContinue, clients[c].input.isEmpty { writeContinue(c) }
            relay(c)
        case .relayInterim, .dropInterim, .relayHead, .openTunnel:
            preconditionFailure("heads are relayed where they are read")
        case .answer(let outcome):
            if clients[c].isQueued { leaveQueue(c) }
            discardUpstream(c)
            answer(c, outcome)
        case .cut(let outcome):
            clients[c].outcome = outcome
            totals.refused(outcome)
            cutClient(c)
        case .abandon(let outcome):
            clients[c].outcome = outcome
            discardUpstream(c)
            closeClient(c)
        case .finish(let keepClient): finish(c, keepClient: keepClient)
        }
    }
}

/// The times of a client's side, ready to be added.
struct ClientTimes {
    let handshake: Instant.Span
    let requestHeader: Instant.Span
    let sending: Patience.Terms
    let reading: Patience.Terms
    /// Bytes that a client has to take in its longest wait.
    let leastTaken: UInt64
    let keepAlive: Instant.Span
    let tunnelIdle: Instant.Span

    init(_ limits: Limits) {
        handshake = Instant.Span(limits.handshake)
        requestHeader = Instant.Span(limits.requestHeader)
        sending = Patience.Terms(
            longest: Instant.Span(limits.requestBodyIdle), bytesPerSecond: limits.minRequestRate)
        reading = Patience.Terms(longest: Instant.Span(limits.responseIdle), bytesPerSecond: limits.minResponseRate)
        leastTaken = limits.minResponseRate == 0 ? 1 : UInt64(max(1, reading.longest / max(1, reading.perByte)))
        keepAlive = Instant.Span(limits.keepAlive)
        tunnelIdle = Instant.Span(limits.tunnelIdle)
    }
}
