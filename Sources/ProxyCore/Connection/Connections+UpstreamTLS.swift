// How is an endpoint spoken to over TLS? The handshake is part of connecting, and its time part of that time; after it
// bytes come and go as over any socket. A connection belongs to the terms that it was made on: when they change, it is
// used for nothing new.

extension Connections {
    // MARK: Terms

    /// Speaks to endpoints on these terms from now on.
    mutating func adopt(upstreams terms: [String: UpstreamTerms]) {
        let changed = Set(upstreamTerms.keys).union(terms.keys).filter { upstreamTerms[$0] != terms[$0] }
        upstreamTerms = terms
        if !changed.isEmpty { outdate { changed.contains($0) } }
    }

    /// Has the connections to endpoints of some services, by name, serve nothing new.
    mutating func outdate(_ isMeant: (String) -> Bool) {
        for u in 0..<upstreams.slotCount where upstreams.isUsed(u) {
            guard isMeant(directory.services[directory.endpoints[upstreams[u].endpoint].service].name) else { continue }
            upstreams[u].mustClose = true
            guard upstreams[u].state == .idle else { continue }
            unpool(u)
            closeUpstream(u)
        }
    }

    /// Services that are to be spoken to over TLS and were not, or the other way round.
    func servicesThatTurn(_ snapshot: Snapshot) -> Set<String> {
        var former: [String: Bool] = [:]
        for s in 0..<directory.services.slotCount where directory.services.isUsed(s) && directory.services[s].isCurrent
        {
            former[directory.services[s].name] = directory.services[s].isSecure
        }
        return Set(snapshot.services.filter { former[$0.name] == !$0.isSecure }.map(\.name))
    }

    // MARK: Beginning

    /// A connection is made; TLS begins where the service wants it. Whether it does.
    @inline(__always)
    mutating func beginsTLS(_ u: Int32) -> Bool {
        let service = directory.endpoints[upstreams[u].endpoint].service
        guard directory.services[service].isSecure else { return false }
        // Never without TLS where it is configured.
        guard let terms = upstreamTerms[directory.services[service].name] else {
            connectFailedInsecurely(u)
            return true
        }
        upstreams[u].secure = SecureSocket(client: terms, descriptor: upstreams[u].socket.number)
        if upstreams[u].isEnding { upstreams[u].secure.mayRead(isEnding: true) }
        stepUpstreamHandshake(u)
        return true
    }

    /// Goes on with a handshake with an endpoint.
    mutating func stepUpstreamHandshake(_ u: Int32) {
        switch upstreams[u].secure.handshake() {
        case .waits: break
        case .failed: connectFailedInsecurely(u)
        case .done:
            upstreams[u].isReadable = !upstreams[u].secure.isDrained
            upstreams[u].isWritable = true
            connectionIsMade(u)
        }
    }

    private mutating func connectFailedInsecurely(_ u: Int32) {
        let c = upstreams[u].client
        discardUpstream(c)
        connectFailed(c, .insecure)
    }

    /// The poller saw something of an endpoint that is spoken to over TLS.
    mutating func secureUpstreamReady(_ u: Int32, _ readiness: Readiness) {
        if readiness.isReadable || readiness.isBroken {
            upstreams[u].secure.mayRead(isEnding: readiness.isEnding || readiness.isBroken)
        }
        if readiness.isWritable, upstreams[u].secure.readsWhenWritable { upstreams[u].isReadable = true }
        if readiness.isReadable, upstreams[u].secure.writesWhenReadable { upstreams[u].isWritable = true }
        if readiness.isWritable, upstreams[u].secure.owesEnd { endSendingUp(u) }
    }

    // MARK: Bytes

    /// Reads from an endpoint into the writable part of `buffer`, at most `limit` bytes.
    @inline(__always)
    func receiveUp(_ u: Int32, into buffer: inout ByteBuffer, limit: Int = .max) -> Transfer {
        if upstreams[u].secure.isNone { return upstreams[u].socket.receive(into: &buffer, limit: limit) }
        return upstreams[u].secure.receive(into: &buffer, limit: limit)
    }

    /// Sends the readable part of `buffer` to an endpoint.
    @inline(__always)
    func sendUp(_ u: Int32, _ buffer: inout ByteBuffer) -> Transfer {
        if upstreams[u].secure.isNone { return upstreams[u].socket.send(&buffer) }
        // A record that the socket does not take as a whole has begun to go out.
        upstreams[u].wasSentTo = true
        return upstreams[u].secure.send(&buffer)
    }

    /// `n` bytes came where there was room for `room`; see ``noteRead(_:_:of:)``.
    @inline(__always)
    func noteReadUp(_ u: Int32, _ n: Int, of room: Int) {
        if upstreams[u].isEnding { return }
        if upstreams[u].secure.isNone ? n < room : upstreams[u].secure.isDrained { upstreams[u].isReadable = false }
    }

    /// Whether nothing more came behind a response, as far as can be seen.
    @inline(__always)
    func isSilentUp(_ u: Int32) -> Bool {
        if !upstreams[u].isReadable { return true }
        return upstreams[u].secure.isNone && upstreams[u].socket.isSilent()
    }

    /// Tells an endpoint that nothing more comes.
    @inline(__always)
    mutating func endSendingUp(_ u: Int32) {
        if !upstreams[u].secure.isNone, !upstreams[u].secure.sayEnd() { return }
        upstreams[u].socket.shutdownSending()
    }
}
