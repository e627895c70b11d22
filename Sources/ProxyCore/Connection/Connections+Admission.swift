// Who is let in? Peers are looked at before a byte of them is read; where a listener asks for a PROXY header, the one that
// the peer speaks for is looked at once that has come.

extension Connections {
    /// Whether a connection from `peer` may speak, to a listener that asks for a PROXY header where `needsProxyHeader`. One
    /// that may not is counted.
    mutating func admits(_ peer: NetworkAddress, needsProxyHeader: Bool) -> Bool {
        guard let refusal = refusal(of: peer.ip, needsProxyHeader: needsProxyHeader) else { return true }
        totals.refused(refusal)
        return false
    }

    private func refusal(of peer: IPAddress, needsProxyHeader: Bool) -> ConnectionRefusal? {
        if needsProxyHeader { return trustedProxies.contains(peer) ? nil : .proxyUntrusted }
        return isLockedDown && !admitted.contains(peer) ? .originLockdown : nil
    }

    /// Counts a connection of its client; proxies that are trusted have as many as they like. Whether there may be one more.
    mutating func enterCount(_ c: Int32) -> Bool {
        let most = limits.connectionsPerClient
        let peer = clients[c].peer.ip
        if most == 0 || isTrusted(c) { return true }
        clients[c].isCounted = counts.enter(peer, most: most)
        if !clients[c].isCounted { totals.refused(.clientConnections) }
        return clients[c].isCounted
    }

    /// Whether what the peer of a connection says of its client is believed.
    @inline(__always)
    func isTrusted(_ c: Int32) -> Bool { !clients[c].isStranger && trustedProxies.contains(clients[c].peer.ip) }

    /// Reads for whom a peer speaks. Whether the connection goes on, to what follows the header.
    ///
    /// The header is looked at in the socket's own buffer until it is whole: one that trickles in costs no memory, and not a
    /// byte of what follows it, which may be TLS's, is taken.
    mutating func readProxyHeader(_ c: Int32) -> Bool {
        guard clients[c].isReadable else { return false }
        headScratch.clear()
        switch clients[c].socket.peek(into: &headScratch, limit: ProxyHeader.bytesMax) {
        case .bytes: break
        case .wouldBlock:
            clients[c].isReadable = false
            return false
        case .end, .broken:
            closeClient(c)
            return false
        }
        switch headScratch.withReadable({ ProxyHeader.read($0) }) {
        case .needMore:
            // More will be told of when it comes; behind its end nothing does.
            clients[c].isReadable = false
            if clients[c].isEnding { turnAway(c, .proxyMalformed) }
            return false
        case .malformed:
            turnAway(c, .proxyMalformed)
            return false
        case .complete(let count, let source):
            headScratch.clear()
            guard case .bytes(count) = clients[c].socket.receive(into: &headScratch, limit: count) else {
                closeClient(c)
                return false
            }
            return welcome(c, source)
        }
    }

    /// A PROXY header has come. Whether the one that its peer speaks for may go on.
    private mutating func welcome(_ c: Int32, _ source: ProxyHeader.Source) -> Bool {
        clients[c].awaitsProxyHeader = false
        switch source {
        case .peer: break
        case .unknown:
            // Some client of the peer's, whose address it does not know, and whose word is not the peer's.
            clients[c].isStranger = true
            if isLockedDown {
                turnAway(c, .originLockdown)
                return false
            }
        case .client(let address):
            clients[c].peer = address
            if let refusal = refusal(of: address.ip, needsProxyHeader: false) {
                turnAway(c, refusal)
                return false
            }
        }
        guard enterCount(c) else {
            clients[c].socket.resetOnClose()
            closeClient(c)
            return false
        }
        let site = clients[c].site
        if site >= 0 {
            // Until now it was only held.
            clients[c].site = -1
            sites[site].connections &-= 1
            beginTLS(c, site)
            // The client's first word may have come with the header.
            if clients[c].phase == .handshake { handshake(c) }
            return false
        }
        clientTimers.arm(c, at: now + times.requestHeader)
        return true
    }

    /// A client whose peer has yet to say for whom it speaks has just connected. The terms of TLS that follow, if `site`
    /// names some, are held for it.
    mutating func awaitProxyHeader(_ c: Int32, _ site: Int32) {
        clients[c].awaitsProxyHeader = true
        clients[c].waiting = .firstByte
        clients[c].site = site
        if site >= 0 { sites[site].connections &+= 1 }
        clientTimers.arm(c, at: now + times.requestHeader)
    }

    /// Closes a connection that has said nothing yet but, perhaps, a PROXY header.
    mutating func turnAway(_ c: Int32, _ refusal: ConnectionRefusal) {
        totals.refused(refusal)
        clients[c].socket.resetOnClose()
        closeClient(c)
    }
}
