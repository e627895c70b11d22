// When does the other side close what is idle? Closes are noticed here, and one connection of a service is kept beyond
// what is safe, unused, to see its end.

extension Connections {
    /// A pooled connection has been idle for as long as is safe.
    mutating func retire(_ u: Int32) {
        unpool(u)
        let service = directory.endpoints[upstreams[u].endpoint].service
        let end = upstreams[u].idleSince + IdleLimit.most
        guard !isDraining, now < end,
            directory.services[service].idleLimit.wantsToSee(said: upstreams[u].idleSeconds)
        else { return closeUpstream(u) }
        directory.services[service].idleLimit.isObserving = true
        upstreams[u].state = .observed
        observed.removeAll { !upstreams.contains($0) }
        observed.append(upstreams.id(u))
        upstreamTimers.arm(u, at: end)
    }

    /// A connection that is kept to see its end was closed by the other side, or has lived for as long as one may.
    mutating func endObserved(_ u: Int32, wasClosed: Bool) {
        let endpoint = upstreams[u].endpoint
        if directory.endpoints[endpoint].isCurrent {
            directory.services[directory.endpoints[endpoint].service].idleLimit.observed(
                now - upstreams[u].idleSince, wasClosed: wasClosed)
        }
        closeUpstream(u)
    }

    /// The other side closed a connection that is idle, or was until it was taken.
    mutating func sawIdleClose(_ u: Int32) {
        let endpoint = upstreams[u].endpoint
        guard directory.endpoints[endpoint].isCurrent else { return }
        directory.services[directory.endpoints[endpoint].service].idleLimit.sawClose(
            after: now - upstreams[u].idleSince)
    }

    /// Closes what is observed at endpoints that are gone; another one is observed then.
    mutating func closeStrayObserved() {
        for id in observed where upstreams.contains(id) {
            let endpoint = upstreams[id.index].endpoint
            if directory.endpoints[endpoint].isCurrent { continue }
            if directory.endpoints[endpoint].standing == .gone {
                directory.services[directory.endpoints[endpoint].service].idleLimit.isObserving = false
            }
            closeUpstream(id.index)
        }
        observed.removeAll { !upstreams.contains($0) }
    }

    /// Closes a connection that is observed, to make room. Whether there was one.
    mutating func closeSomeObserved() -> Bool {
        while let id = observed.popLast() {
            guard upstreams.contains(id) else { continue }
            let endpoint = upstreams[id.index].endpoint
            if directory.endpoints[endpoint].isCurrent {
                directory.services[directory.endpoints[endpoint].service].idleLimit.isObserving = false
            }
            closeUpstream(id.index)
            return true
        }
        return false
    }
}
