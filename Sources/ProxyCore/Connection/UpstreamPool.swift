// Is there a connection to that endpoint already? Idle ones, by endpoint identity, the one used last first: it is the
// likeliest to be alive, and the others may grow old and go.

extension Connections {
    /// Idle connections that one endpoint keeps at most, in one worker.
    static var idlePerEndpointMax: Int32 { 256 }
    /// Takes an idle connection to `endpoint`; -1 where there is none. `mustBeAlive` looks again before it is given
    /// to a request that could not be sent twice.
    @inline(__always)
    mutating func takePooled(_ endpoint: Int32, mustBeAlive: Bool) -> Int32 {
        while true {
            let u = directory.endpoints[endpoint].firstIdle
            if u < 0 { return -1 }
            unpool(u)
            if upstreams[u].isEnding || (mustBeAlive && !upstreams[u].socket.isSilent()) {
                closeUpstream(u)
                continue
            }
            upstreamTimers.disarm(u)
            upstreams[u].state = .active
            upstreams[u].wasReused = true
            upstreams[u].hasSpoken = false
            upstreams[u].wasSentTo = false
            return u
        }
    }

    /// Takes a connection out of its endpoint's list.
    @inline(__always)
    mutating func unpool(_ u: Int32) {
        let endpoint = upstreams[u].endpoint
        let previous = upstreams[u].previousIdle
        let next = upstreams[u].nextIdle
        if previous >= 0 {
            upstreams[previous].nextIdle = next
        } else {
            directory.endpoints[endpoint].firstIdle = next
        }
        if next >= 0 { upstreams[next].previousIdle = previous }
        upstreams[u].previousIdle = -1
        upstreams[u].nextIdle = -1
        directory.endpoints[endpoint].idleCount &-= 1
        idleUpstreamCount &-= 1
    }

    /// Puts a connection whose exchange is over into the pool.
    @inline(__always)
    mutating func pool(_ u: Int32) {
        let endpoint = upstreams[u].endpoint
        let first = directory.endpoints[endpoint].firstIdle
        upstreams[u].state = .idle
        upstreams[u].client = -1
        upstreams[u].previousIdle = -1
        upstreams[u].nextIdle = first
        if first >= 0 { upstreams[first].previousIdle = u }
        directory.endpoints[endpoint].firstIdle = u
        directory.endpoints[endpoint].idleCount &+= 1
        idleUpstreamCount &+= 1
        upstreams[u].idleSince = now
        let service = directory.endpoints[endpoint].service
        let idle = directory.services[service].idleLimit.retiresAfter(said: upstreams[u].idleSeconds)
        upstreamTimers.arm(u, at: now + idle)
    }

    /// Closes all idle connections of an endpoint that is gone.
    mutating func drainPool(of endpoint: Int32) {
        while directory.endpoints[endpoint].firstIdle >= 0 {
            let u = directory.endpoints[endpoint].firstIdle
            unpool(u)
            closeUpstream(u)
        }
    }

    /// Closes some idle upstream connection, to make room. Whether there was one.
    mutating func closeSomeIdleUpstream() -> Bool {
        if closeSomeObserved() { return true }
        guard idleUpstreamCount > 0 else { return false }
        for u in 0..<upstreams.slotCount where upstreams.isUsed(u) && upstreams[u].state == .idle {
            unpool(u)
            closeUpstream(u)
            return true
        }
        return false
    }
}
