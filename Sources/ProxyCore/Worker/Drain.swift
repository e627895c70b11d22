// How does a worker leave? It stops accepting, says `Connection: close` with every answer, finishes what is under way,
// closes silent connections last, and goes when nothing is left or the time is over.

/// A worker's departure.
struct Drain {
    /// When it stops accepting.
    let stopsAccepting: Instant
    /// From when on silent connections are closed, spread up to the deadline: whoever still sends is answered first.
    let closesIdle: Instant
    /// When everything ends.
    let deadline: Instant
    var isAccepting = true
    /// Silent connections when their closing began.
    var idleAtStart = -1

    init(_ spec: DrainSpec, now: Instant) {
        let timeout = Instant.Span(spec.timeout)
        stopsAccepting = now + Instant.Span(spec.delay)
        closesIdle = stopsAccepting + Instant.Span(nanoseconds: timeout.nanoseconds / 3 &* 2)
        deadline = stopsAccepting + timeout
    }

    /// How many silent connections may still be open at `now`.
    func idleAllowed(at now: Instant) -> Int {
        let span = max(1, (deadline - closesIdle).nanoseconds)
        let left = max(0, (deadline - now).nanoseconds)
        return Int(Double(idleAtStart) * Double(left) / Double(span))
    }
}

extension Worker {
    /// Steps on with leaving. Whether the worker is done.
    mutating func stepDrain() -> Bool {
        guard var drain else { return false }
        let now = connections.now
        if drain.isAccepting, now >= drain.stopsAccepting {
            drain.isAccepting = false
            for index in 0..<listeners.slotCount where listeners.isUsed(index) { close(index) }
            connections.closeAllIdleUpstreams()
        }
        if !drain.isAccepting, now >= drain.closesIdle {
            if drain.idleAtStart < 0 { drain.idleAtStart = connections.idleClientCount }
            let allowed = drain.idleAllowed(at: now)
            while connections.idleClientCount > allowed, connections.closeOldestIdle() {}
        }
        self.drain = drain
        if drain.isAccepting { return false }
        return connections.isEmpty || now >= drain.deadline
    }

    /// When leaving wants to be stepped on, whatever else happens.
    var drainWake: Instant {
        guard let drain else { return .never }
        if drain.isAccepting { return drain.stopsAccepting }
        let now = connections.now
        if now < drain.closesIdle { return min(drain.closesIdle, drain.deadline) }
        return min(now + .milliseconds(20), drain.deadline)
    }
}
