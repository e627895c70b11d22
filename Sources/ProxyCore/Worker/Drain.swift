// How does a worker leave? Every answer says `Connection: close` from the first moment on, and then, by the clock:
//
//     told ─ delay ─> accepts no more ─ 2/3 ─> silent connections close ─ …9/10 ─> tunnels close ─> deadline
//
// both of these spread over what is left, so that those who come back do not come at once. What is under way is finished;
// at the deadline it is cut. It goes as soon as nothing is left.

/// A worker's departure.
struct Drain {
    /// For how long past the deadline a tunnel that was told last may take to say good-bye.
    static var graceTime: Instant.Span { Connections.farewellTime }
    /// Over how much time tunnels are told to end at most.
    private static var tunnelsTimeMax: Instant.Span { .milliseconds(10_000) }

    /// When it stops accepting.
    let stopsAccepting: Instant
    /// From when on silent connections are closed: whoever still sends is answered first.
    let closesIdle: Instant
    /// When none of them is left, but for those that have just sent something.
    let idleEnd: Instant
    /// From when on tunnels are told to end.
    let closesTunnels: Instant
    /// When everything ends.
    let deadline: Instant
    var isAccepting: Bool
    /// Silent connections when their closing began.
    var idleAtStart = -1
    /// Tunnels that are told to end, in their order, once that has begun.
    var tunnels: [SlotID]?
    /// How many of them were told.
    var toldCount = 0

    /// A departure by `spec`. One that is under way already (`former`) can only be shortened: where it has stopped
    /// accepting the new timeout counts from now.
    init(_ spec: DrainSpec, now: Instant, after former: Drain? = nil) {
        let timeout = Instant.Span(spec.timeout)
        isAccepting = former?.isAccepting ?? true
        let begin = isAccepting ? min(former?.stopsAccepting ?? .never, now + Instant.Span(spec.delay)) : now
        let deadline = min(former?.deadline ?? .never, begin + timeout)
        stopsAccepting = begin
        self.deadline = deadline
        if deadline == .never {
            (closesIdle, idleEnd, closesTunnels) = (.never, .never, .never)
            return
        }
        let time = max(0, (deadline - begin).nanoseconds)
        func before(_ nanoseconds: Int64) -> Instant { begin + Instant.Span(nanoseconds: time - nanoseconds) }
        // What has begun does not pause.
        closesIdle = min(former?.closesIdle ?? .never, before(time / 3))
        // Whoever is closed last still has a moment in which what it was sending is read, see `Connections.linger`.
        idleEnd = before(min(time / 12, Connections.lingerTimeDraining.nanoseconds))
        closesTunnels = min(
            former?.closesTunnels ?? .never, before(min(time / 10, Self.tunnelsTimeMax.nanoseconds)))
    }

    /// When the last tunnel is gone, whatever it says.
    var end: Instant { deadline + Self.graceTime }

    /// How many silent connections may still be open at `now`.
    func idleAllowed(at now: Instant) -> Int {
        let left = Self.share(from: closesIdle, to: idleEnd, at: now)
        return Int((Double(idleAtStart) * (1 - left)).rounded(.up))
    }

    /// How many of `count` tunnels are to be told to end by `now`.
    func tunnelsDue(_ count: Int, at now: Instant) -> Int {
        Int(Double(count) * Self.share(from: closesTunnels, to: deadline, at: now))
    }

    /// How much of the time from `begin` to `end` is over, from 0 to 1.
    private static func share(from begin: Instant, to end: Instant, at now: Instant) -> Double {
        if now >= end { return 1 }
        return max(0, Double((now - begin).nanoseconds) / Double((end - begin).nanoseconds))
    }
}

extension Worker {
    /// How often it is looked at what is to be closed next.
    private static var step: Instant.Span { .milliseconds(20) }

    /// Steps on with leaving. Whether the worker is done.
    mutating func stepDrain() -> Bool {
        guard var drain else { return false }
        let now = connections.now
        if drain.isAccepting, now >= drain.stopsAccepting {
            drain.isAccepting = false
            for index in 0..<listeners.slotCount where listeners.isUsed(index) { close(index) }
        }
        if !drain.isAccepting, now >= drain.closesIdle { closeIdle(&drain, at: now) }
        if !drain.isAccepting, now >= drain.closesTunnels { closeTunnels(&drain, at: now) }
        if now >= drain.deadline { connections.cutRequests() }
        self.drain = drain
        if drain.isAccepting { return false }
        return connections.isEmpty || now >= drain.end
    }

    private mutating func closeIdle(_ drain: inout Drain, at now: Instant) {
        if drain.idleAtStart < 0 { drain.idleAtStart = connections.idleClientCount }
        let allowed = drain.idleAllowed(at: now)
        while connections.idleClientCount > allowed, connections.dismissOldestIdle() {}
    }

    private mutating func closeTunnels(_ drain: inout Drain, at now: Instant) {
        let tunnels = drain.tunnels ?? connections.tunnels
        drain.tunnels = tunnels
        let due = drain.tunnelsDue(tunnels.count, at: now)
        while drain.toldCount < due {
            connections.dismissTunnel(tunnels[drain.toldCount])
            drain.toldCount += 1
        }
        // Those that came meanwhile.
        if now >= drain.deadline { for id in connections.tunnels { connections.dismissTunnel(id) } }
    }

    /// When leaving wants to be stepped on, whatever else happens.
    var drainWake: Instant {
        guard let drain else { return .never }
        if drain.isAccepting { return drain.stopsAccepting }
        let now = connections.now
        if now >= drain.deadline { return drain.end }
        let isClosing = now >= min(drain.closesIdle, drain.closesTunnels)
        return min(isClosing ? now + Self.step : min(drain.closesIdle, drain.closesTunnels), drain.deadline)
    }
}
