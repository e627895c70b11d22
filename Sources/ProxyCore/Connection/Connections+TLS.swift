// How does TLS fit between socket and exchange? A handshake goes on with each event, within a share of the turn, so that
// those who are served already wait for none of it; after that bytes come and go as over any socket.

/// On what terms TLS is provided: what the control plane tells workers.
public struct TLSProvision: Sendable {
    /// The present terms of each listener that speaks TLS, by its name.
    public var terms: [String: TLSTerms]
    /// What session tickets are sealed with, the present key first.
    public var ticketKeys: [TicketKey]
    /// On what terms the endpoints of services are spoken to, by the service's name.
    public var upstreams: [String: UpstreamTerms]

    /// These terms and keys.
    public init(
        terms: [String: TLSTerms] = [:], ticketKeys: [TicketKey] = [], upstreams: [String: UpstreamTerms] = [:]
    ) {
        self.terms = terms
        self.ticketKeys = ticketKeys
        self.upstreams = upstreams
    }
}

/// The terms that some connections began with.
struct TLSSite: ~Copyable {
    /// The terms; nil in an unused slot.
    var terms: TLSTerms?
    /// Whose they are.
    var listener = ""
    /// Connections that have them.
    var connections = 0
    /// Whether new connections get them.
    var isCurrent = true
    /// Whether they ask the same of clients as the present ones.
    var isUpToDate = true

    init(_ terms: TLSTerms? = nil, of listener: String = "") {
        self.terms = terms
        self.listener = listener
    }
}

extension Connections {
    /// For how long handshakes may go on in one turn before the others have theirs; the step that is under way then is
    /// finished, which takes 0.3 ms. As short as can be: a request waits for two turns or three. Under a flood of
    /// handshakes the p99 of others was 1.8, 3.0, 5.3 and 9.9 ms with 0.5, 1, 2 and 4 ms, where it was 0.4 ms without the
    /// flood, and there were 3,800 handshakes a second with each of them: a turn costs next to nothing. Beside others that
    /// want all that there is, 2,000 handshakes a second are left with 0.5 ms.
    private static var handshakesTime: Instant.Span { Instant.Span(nanoseconds: 500_000) }

    // MARK: Terms

    /// Takes over new terms. Connections keep those that they began with.
    public mutating func adopt(_ provision: TLSProvision) {
        keyring.adopt(provision.ticketKeys)
        adopt(upstreams: provision.upstreams)
        for (name, place) in sitePlaces where provision.terms[name] !== sites[place].terms { retire(name, place) }
        for (name, terms) in provision.terms where sitePlaces[name] == nil {
            sitePlaces[name] = sites.insert(TLSSite(terms, of: name))?.index
            for i in 0..<sites.slotCount where sites.isUsed(i) && !sites[i].isCurrent && sites[i].listener == name {
                if sites[i].terms?.asksTheSame(as: terms) != true { sites[i].isUpToDate = false }
            }
        }
    }

    private mutating func retire(_ name: String, _ place: Int32) {
        sitePlaces[name] = nil
        sites[place].isCurrent = false
        if sites[place].connections == 0 { sites.remove(place) }
    }

    /// The slot of the present terms of a listener; nil where it has none.
    func site(of listener: String) -> Int32? { sitePlaces[listener] }

    /// Whether the host that a request at hand is for lets its connection's client in. After an answer under rules that
    /// are not in force any more the connection ends, so that the client comes back under the present ones.
    mutating func isCovered(_ c: Int32) -> Bool {
        let site = clients[c].site
        guard site >= 0, let terms = sites[site].terms else { return false }
        if terms.isUniform { return true }
        let rule = clients[c].input.withReadable { bytes in
            terms.rule(forHost: bytes.extracting(requestHead.authority.host.range))
        }
        return rule >= 0 && rule == clients[c].secure.rule
    }

    /// Whether the rules under which a client was let in are in force still.
    @inline(__always)
    func isUpToDate(_ c: Int32) -> Bool {
        let site = clients[c].site
        return site < 0 || sites[site].isUpToDate
    }

    // MARK: Beginning and end

    /// A client of a listener that speaks TLS has just connected. Before its first word nothing is made for it: who only
    /// connects should cost no more than without TLS.
    mutating func beginTLS(_ c: Int32, _ site: Int32) {
        clients[c].phase = .handshake
        clients[c].waiting = .handshake
        guard sites.isUsed(site) else { return closeClient(c) }
        clients[c].site = site
        sites[site].connections &+= 1
        clientTimers.arm(c, at: now + times.handshake)
    }

    /// Makes what the handshake needs. Whether there is memory for it.
    private mutating func makeSecure(_ c: Int32) -> Bool {
        guard let terms = sites[clients[c].site].terms else { return false }
        clients[c].secure = SecureSocket(server: terms, descriptor: clients[c].socket.number, keyring: keyring)
        if clients[c].secure.isNone { return false }
        if clients[c].isEnding { clients[c].secure.mayRead(isEnding: true) }
        secureClients &+= 1
        handshakingClients &+= 1
        return true
    }

    /// A client of a listener that speaks TLS is about to be closed: it is told, unless an answer was cut.
    mutating func leaveTLS(_ c: Int32) {
        if clients[c].phase != .exchange { _ = clients[c].secure.sayEnd() }
        let site = clients[c].site
        clients[c].site = -1
        sites[site].connections &-= 1
        if !clients[c].secure.isNone {
            secureClients &-= 1
            if clients[c].phase == .handshake { handshakingClients &-= 1 }
        }
        if sites[site].connections == 0, !sites[site].isCurrent { sites.remove(site) }
    }

    /// Tells a client that nothing more comes: in TLS's words first, where the socket takes them; else when it does.
    @inline(__always)
    mutating func endSending(_ c: Int32) {
        if !clients[c].secure.isNone, !clients[c].secure.sayEnd() { return }
        clients[c].socket.shutdownSending()
    }

    /// The poller saw something of a client that speaks TLS: reading may have waited for room, and sending for bytes.
    mutating func secureReady(_ c: Int32, _ readiness: Readiness) {
        if readiness.isReadable || readiness.isBroken {
            clients[c].secure.mayRead(isEnding: readiness.isEnding || readiness.isBroken)
        }
        if readiness.isWritable, clients[c].secure.readsWhenWritable { clients[c].isReadable = true }
        if readiness.isReadable, clients[c].secure.writesWhenReadable { clients[c].isWritable = true }
        if readiness.isWritable, clients[c].secure.owesEnd { endSending(c) }
    }

    // MARK: The handshake

    /// Lets a handshake go on behind all that this turn has to do for those who are served already.
    mutating func handshake(_ c: Int32) {
        if clients[c].isPending || (clients[c].secure.isNone && !clients[c].isReadable) { return }
        clients[c].isPending = true
        handshakes.append(clients.id(c))
    }

    /// Goes on with handshakes, in their order, as far as there is time.
    mutating func serveHandshakes() {
        let count = handshakes.count
        var served = 0
        while served < count {
            if handshakeSteps > 0, Clock.now() - handshakesBegan >= Self.handshakesTime { break }
            let id = handshakes[served]
            served += 1
            guard clients.contains(id), clients[id.index].phase == .handshake else { continue }
            clients[id.index].isPending = false
            stepHandshake(id.index)
        }
        handshakes.removeFirst(served)
    }

    private mutating func stepHandshake(_ c: Int32) {
        if handshakeSteps == 0 { handshakesBegan = Clock.now() }
        handshakeSteps &+= 1
        if clients[c].secure.isNone, !makeSecure(c) { return closeClient(c) }
        switch clients[c].secure.handshake() {
        case .waits: break
        case .failed(let outcome):
            totals.handshakeEnded(outcome, clients[c].secure.facts.version)
            // The alert that says why must not be overtaken by a reset.
            leaveIdle(c)
            clients[c].phase = .lingering
            handshakingClients &-= 1
            closeGently(c)
        case .done:
            let facts = clients[c].secure.facts
            totals.handshakeEnded(facts.isResumed ? .resumed : .full, facts.version)
            clients[c].phase = .idle
            clients[c].waiting = .firstByte
            handshakingClients &-= 1
            clientTimers.arm(c, at: now + times.requestHeader)
            // A request may have come with the client's last word.
            clients[c].isReadable = !clients[c].secure.isDrained || clients[c].isEnding
            clients[c].isWritable = true
            readRequest(c)
        }
    }

    /// A handshake ends before its time, and the connection with it.
    mutating func handshakeEnds(_ c: Int32, _ outcome: HandshakeOutcome) {
        totals.handshakeEnded(outcome, .none)
        closeClient(c)
    }

    // MARK: Bytes

    /// Reads from a client into the writable part of `buffer`, at most `limit` bytes.
    @inline(__always)
    func receive(_ c: Int32, into buffer: inout ByteBuffer, limit: Int = .max) -> Transfer {
        if clients[c].secure.isNone { return clients[c].socket.receive(into: &buffer, limit: limit) }
        return clients[c].secure.receive(into: &buffer, limit: limit)
    }

    /// Sends the readable part of `buffer` to a client.
    @inline(__always)
    func send(_ c: Int32, _ buffer: inout ByteBuffer) -> Transfer {
        if clients[c].secure.isNone { return clients[c].socket.send(&buffer) }
        return clients[c].secure.send(&buffer)
    }

    /// `n` bytes came where there was room for `room`. Less than that means that a socket is drained, unless its end was
    /// seen; of TLS, whose records are not as long as the room, `SecureSocket` knows.
    @inline(__always)
    func noteRead(_ c: Int32, _ n: Int, of room: Int) {
        if clients[c].isEnding { return }
        if clients[c].secure.isNone ? n < room : clients[c].secure.isDrained { clients[c].isReadable = false }
    }
}
