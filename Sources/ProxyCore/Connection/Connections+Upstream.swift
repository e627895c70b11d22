// Who answers this request? An endpoint is chosen, a connection taken from its pool or made, and given back or closed
// when the exchange no longer needs it.

extension Connections {
    /// Finds a connection for the exchange's next attempt.
    mutating func connect(_ c: Int32) {
        let service = clients[c].service
        // Whoever waits already goes first.
        if directory.services[service].waitingCount > 0 { return awaitRoom(c) }
        guard let endpoint = directory.take(service: service, tried: clients[c].tried, now: now, random: &random) else {
            return awaitRoom(c)
        }
        attempt(c, at: endpoint)
    }

    /// Asks an endpoint, at which the request counts already.
    mutating func attempt(_ c: Int32, at endpoint: Int32) {
        clients[c].endpoint = directory.endpoints.id(endpoint)
        clients[c].endpointAddress = directory.endpoints[endpoint].address
        clients[c].tried.insert(clients[c].endpoint)
        clients[c].endpointTotals = directory.endpoints[endpoint].totals
        clients[c].exchange.attemptBegan()
        if !clients[c].avoidsPool {
            let u = takePooled(endpoint, mustBeAlive: !clients[c].method.isIdempotent)
            if u >= 0 { return attach(u, c) }
        }
        startConnecting(c, endpoint)
    }

    /// Joins a connected upstream and a client, and sends the request.
    private mutating func attach(_ u: Int32, _ c: Int32) {
        if upstreams[u].state == .connecting { directory.endpoints[upstreams[u].endpoint].connecting &-= 1 }
        upstreams[u].client = c
        upstreams[u].state = .active
        clients[c].upstream = u
        perform(clients[c].exchange.connected(), c)
    }

    private mutating func startConnecting(_ c: Int32, _ endpoint: Int32) {
        for isLastTry in [false, true] {
            switch Socket.connecting(to: directory.endpoints[endpoint].address) {
            case .started(let socket): return awaitConnection(c, endpoint, socket)
            case .failed(let failure):
                directory.giveBack(endpoint)
                return connectFailed(c, failure)
            case .outOfPorts:
                // Towards this endpoint alone; an idle connection gives one back, a client's does not. It is not the
                // endpoint's fault.
                if isLastTry || !closeSomeIdleUpstream() {
                    directory.giveBack(endpoint)
                    return connectFailed(c, .unreachable, isOurs: true)
                }
            case .exhausted:
                counters.exhaustions &+= 1
                // What is only kept for later gives way to what is wanted now.
                if isLastTry || !makeRoom() {
                    directory.giveBack(endpoint)
                    return perform(clients[c].exchange.failed(.overloaded), c)
                }
            }
        }
    }

    private mutating func awaitConnection(_ c: Int32, _ endpoint: Int32, _ socket: consuming Socket) {
        guard let id = upstreams.insert(UpstreamConnection(socket: socket, endpoint: endpoint)) else {
            directory.giveBack(endpoint)
            return perform(clients[c].exchange.failed(.overloaded), c)
        }
        let u = id.index
        upstreamTimers.reserve(Int(upstreams.slotCount))
        directory.endpoints[endpoint].connections &+= 1
        directory.endpoints[endpoint].connecting &+= 1
        upstreams[u].client = c
        clients[c].upstream = u
        guard poller.add(upstreams[u].socket, Token(.upstream, id)) else {
            discardUpstream(c)
            return perform(clients[c].exchange.failed(.overloaded), c)
        }
        upstreamTimers.arm(u, at: now + directory.services[clients[c].service].connectTimeout)
        rest(c)
    }

    /// The poller saw something of a connection that is being made.
    mutating func connectingReady(_ u: Int32, _ readiness: Readiness) {
        if !upstreams[u].secure.isNone { return stepUpstreamHandshake(u) }
        let c = upstreams[u].client
        if readiness.isBroken {
            let failure = upstreams[u].socket.connectFailure() ?? .refused
            discardUpstream(c)
            return connectFailed(c, failure)
        }
        guard readiness.isWritable, !beginsTLS(u) else { return }
        connectionIsMade(u)
    }

    /// A connection can be used.
    mutating func connectionIsMade(_ u: Int32) {
        let c = upstreams[u].client
        upstreamTimers.disarm(u)
        countConnected(c)
        attach(u, c)
    }

    mutating func connectFailed(_ c: Int32, _ failure: ConnectFailure, isOurs: Bool = false) {
        let endpoint = clients[c].endpoint
        if !isOurs, directory.endpoints.contains(endpoint) { noteFailure(endpoint.index, Outcome.Kind(failure)) }
        let (terms, _) = nextTry(c)
        let action = clients[c].exchange.connectFailed(failure, canTryAnother: terms.hasEndpoint)
        if action == .connect { noteRetried(c, Outcome.Kind(failure)) }
        countConnectFailure(c, failure)
        perform(action, c)
    }

    /// A connection was not made, or was idle, for too long.
    mutating func upstreamIsDue(_ u: Int32) {
        switch upstreams[u].state {
        case .connecting:
            let c = upstreams[u].client
            discardUpstream(c)
            connectFailed(c, .timeout)
        case .idle: retire(u)
        case .observed: endObserved(u, wasClosed: false)
        case .active: break
        }
    }

    /// The exchange is done with its upstream connection, whose response was read to the end.
    @inline(__always)
    mutating func releaseUpstream(_ c: Int32) {
        let u = clients[c].upstream
        if u < 0 { return }
        let endpoint = upstreams[u].endpoint
        let isReusable =
            !upstreams[u].mustClose && upstreams[u].idleSeconds != 1 && !upstreams[u].isEnding
            && !upstreams[u].refusesBytes
            && clients[c].exchange.request == .complete && clients[c].requestOut.isEmpty
            && upstreams[u].input.isEmpty && directory.endpoints[endpoint].isCurrent
            && directory.endpoints[endpoint].idleCount < Self.idlePerEndpointMax
        guard isReusable, isSilentUp(u) else { return discardUpstream(c) }
        upstreams[u].isReadable = false
        clients[c].upstream = -1
        buffers.reclaim(&upstreams[u].input)
        directory.giveBack(endpoint)
        pool(u)
    }

    /// Closes the exchange's upstream connection, if it has one.
    mutating func discardUpstream(_ c: Int32) {
        let u = clients[c].upstream
        if u < 0 { return }
        clients[c].upstream = -1
        directory.giveBack(upstreams[u].endpoint)
        closeUpstream(u)
    }

    /// Closes an upstream connection that is in no list.
    mutating func closeUpstream(_ u: Int32) {
        let endpoint = upstreams[u].endpoint
        if upstreams[u].state == .connecting { directory.endpoints[endpoint].connecting &-= 1 }
        upstreamTimers.disarm(u)
        buffers.reclaim(&upstreams[u].input)
        if !upstreams[u].secure.isNone { _ = upstreams[u].secure.sayEnd() }
        upstreams.remove(u)
        directory.endpoints[endpoint].connections &-= 1
        directory.releaseEndpointIfUnused(endpoint)
    }
}
