// What if an endpoint goes? In the same turn nothing of ours leads to its address any more, because somebody else may
// live there already: pooled connections close, and requests of which it has seen nothing go elsewhere. What it is
// answering it may finish. And if one stays, but says nothing any more, what waits there need not wait for its time to be
// over.

extension Connections {
    /// Takes over the present endpoints of some services.
    public mutating func adopt(_ changes: [EndpointsChange]) {
        var gone: [Int32] = []
        for change in changes { directory.adopt(change, now: now) { gone.append($0) } }
        endpointsJoined()
        endpointsLeft(gone)
        if changes.contains(where: { $0.endpoints.contains(where: \.traits.isSilent) }) { leaveTheSilent() }
    }

    /// Asks elsewhere what waits for the answer of an endpoint from which probes get none, where that does no harm and is
    /// affordable. What must not be asked twice waits on: the endpoint may only have slept.
    private mutating func leaveTheSilent() {
        var waiting: [SlotID] = []
        for u in 0..<upstreams.slotCount where upstreams.isUsed(u) && upstreams[u].state == .active {
            if directory.endpoints[upstreams[u].endpoint].traits.isSilent {
                waiting.append(clients.id(upstreams[u].client))
            }
        }
        for id in waiting where clients.contains(id) { giveUpTry(id.index) }
    }

    /// Lets go of endpoints that the directory has just lost.
    mutating func endpointsLeft(_ gone: [Int32]) {
        var isAwaited = false
        for endpoint in gone {
            totals.release(endpoint: directory.endpoints[endpoint].totals, at: now)
            // Held while its pool is drained, so that its last connection does not free it in the middle.
            directory.endpoints[endpoint].inFlight += 1
            drainPool(of: endpoint)
            directory.endpoints[endpoint].inFlight -= 1
            if directory.endpoints[endpoint].standing == .gone, directory.endpoints[endpoint].connections > 0 {
                isAwaited = true
            }
            directory.releaseEndpointIfUnused(endpoint)
        }
        if gone.isEmpty { return }
        if !observed.isEmpty { closeStrayObserved() }
        totals.forget(at: now)
        if isAwaited { moveUnsent() }
        if isAwaited { doubtTunnels() }
    }

    /// A tunnel to an endpoint that left lives as long as the pod lets it. Some pods go without a word, and with them
    /// the one who would tell the tunnel's end: so the peer is asked whether it is still there.
    private mutating func doubtTunnels() {
        for u in 0..<upstreams.slotCount where upstreams.isUsed(u) && upstreams[u].client >= 0 {
            guard clients[upstreams[u].client].isTunnel,
                directory.endpoints[upstreams[u].endpoint].standing == .gone
            else { continue }
            upstreams[u].socket.noticeDeadPeer(
                idleSeconds: Self.doubtSeconds, intervalSeconds: Self.doubtSeconds, probes: 3)
        }
    }

    /// How often, in seconds, such a peer is asked; the third question without an answer is the end.
    private static var doubtSeconds: Int32 { 10 }

    /// Moves each request that waits for an endpoint that is gone, and of which that has seen no byte. One look at all
    /// connections for all endpoints that went in a turn.
    private mutating func moveUnsent() {
        var waiting: [SlotID] = []
        for u in 0..<upstreams.slotCount where upstreams.isUsed(u) && !upstreams[u].wasSentTo {
            guard directory.endpoints[upstreams[u].endpoint].standing == .gone else { continue }
            switch upstreams[u].state {
            case .connecting, .active: waiting.append(clients.id(upstreams[u].client))
            case .idle, .observed: break
            }
        }
        for id in waiting where clients.contains(id) && clients[id.index].exchange.isUnanswered {
            // Nothing was tried there, so no attempt is counted.
            let slot = clients[id.index].endpointTotals
            if totals.endpoints.contains(slot) { totals.endpoints[slot.index].moved &+= 1 }
            clients[id.index].endpointTotals = .none
            discardUpstream(id.index)
            perform(clients[id.index].exchange.endpointLeft(), id.index)
        }
    }
}
