// What if there is not enough? Descriptors, memory and slots are given up in order of worth: what is only kept for
// later goes first, and what cannot be served at all is turned away at once rather than left to wait.

extension Connections {
    /// Client connections that the process may have; 0: as many as there are descriptors for.
    var connectionsMax: Int { limits.connections }

    /// Notes that descriptors or memory ran out.
    mutating func noteExhaustion() { counters.exhaustions &+= 1 }

    /// Notes that a connection was turned away.
    mutating func noteShed() {
        counters.shedConnections &+= 1
        totals.refused(.overloaded)
    }

    /// Frees a descriptor. Whether one could be freed.
    mutating func makeRoom() -> Bool {
        // Those in the pool are what the others' requests go over, so whoever keeps us waiting goes before.
        closeOldestNewcomer() || closeSlowest() || closeSomeIdleUpstream() || closeOldestIdle()
    }

    /// Frees a client's place. Whether one could be freed.
    mutating func makeRoomForClient() -> Bool { closeOldestNewcomer() || closeSlowest() || closeOldestIdle() }

    // MARK: Memory

    /// What a connection takes besides its buffers: its slot, that of its upstream connection, timers.
    private static var bytesPerClient: Int { 1536 }
    /// What OpenSSL takes for one, measured: 15 kB between two records, half of it one structure of its own.
    private static var bytesPerSecureClient: Int { 16 * 1024 }
    /// What it takes besides while a handshake goes on: buffers for records both ways, and for messages.
    private static var bytesPerHandshake: Int { 32 * 1024 }

    /// What a client that does not read keeps in the kernel: what it was not sent, which is twice the limit where a segment
    /// is long, and what its endpoint has sent meanwhile. It counts in a cgroup, too.
    private static var bytesPerReader: Int { 2 &* Socket.unsentMax &+ 96 * 1024 }

    /// Bytes of memory that connections take now.
    var memoryInUse: Int {
        buffers.bytesLent &+ clients.count &* Self.bytesPerClient &+ secureClients &* Self.bytesPerSecureClient
            &+ handshakingClients &* Self.bytesPerHandshake &+ slowReaders &* Self.bytesPerReader
    }

    /// Whether they take as much as they may.
    @inline(__always) var isShortOfMemory: Bool { memoryMax > 0 && memoryInUse >= memoryMax }

    /// Frees memory. Whether there is enough now for a request, or enough was freed for it.
    mutating func relieve() -> Bool {
        buffers.trim()
        let before = memoryInUse
        // Each of them holds a buffer or two; more than a few are not looked for in one go.
        for _ in 0..<Self.reliefMax {
            if !isShortOfMemory { return true }
            if !closeSlowest(), !closeSilentNewcomer() { break }
        }
        // What many took at once is not given back for one request; but each gives back more than it may come to take.
        return !isShortOfMemory || before &- memoryInUse > Self.bytesPerReader
    }

    private static var reliefMax: Int { 16 }

    // MARK: Those who keep us waiting

    /// For how long a client may keep us waiting, in the middle of something, before it goes first when there is not enough.
    private static var slowTime: Int64 { 1_000_000_000 }
    /// The same for one that does not take its answer: it holds a hundred times what others hold, and whoever reads at all
    /// soon has this much patience again.
    private static var slowReaderTime: Int64 { 250_000_000 }
    /// For how long a newcomer may be silent before it goes for want of memory: some round trips, over any distance.
    private static var silentTime: Int64 { 250_000_000 }
    /// Clients that are looked at to find one that has.
    private static var slowLooksMax: Int { 32 }

    /// Notes that a client keeps us waiting.
    @inline(__always)
    mutating func enterSlow(_ c: Int32) {
        if clients[c].isSlow { return }
        clients[c].slowness = clients[c].waiting == .clientReads ? .reader : .sender
        if clients[c].slowness == .reader { slowReaders &+= 1 }
        slow.append(c, clients)
    }

    /// Notes that a client does not keep us waiting any more.
    @inline(__always)
    mutating func leaveSlow(_ c: Int32) {
        guard clients[c].isSlow else { return }
        if clients[c].slowness == .reader { slowReaders &-= 1 }
        clients[c].slowness = .none
        slow.remove(c, clients)
    }

    /// Closes one of those that have kept us waiting for long, in the middle of a head, a body or their answer. Whether
    /// there was one.
    private mutating func closeSlowest() -> Bool {
        var looks = min(slow.count, Self.slowLooksMax)
        while looks > 0 {
            looks -= 1
            let c = slow.oldest
            guard keepsWaiting(c) else {
                // Whoever makes good progress is looked at again when the others were.
                slow.remove(c, clients)
                slow.append(c, clients)
                continue
            }
            totals.refused(.overloaded)
            clients[c].outcome = .overloaded
            clients[c].socket.resetOnClose()
            closeClient(c)
            return true
        }
        return false
    }

    /// Closes a newcomer that has been silent for longer than one needs that means to say something: they take little, and
    /// whoever comes into a crowd must have time to speak. Whether there was one.
    private mutating func closeSilentNewcomer() -> Bool {
        guard let c = oldestNewcomer else { return false }
        let limit = clients[c].phase == .handshake ? times.handshake : times.requestHeader
        guard hasWaited(c, limit, for: Self.silentTime) else { return false }
        closeClient(c)
        return true
    }

    /// Whether `time` nanoseconds of a client's time limit have passed, which its deadline stands for.
    private func hasWaited(_ c: Int32, _ limit: Instant.Span, for time: Int64) -> Bool {
        (clientTimers.deadline(c) - now).nanoseconds <= limit.nanoseconds &- time
    }

    /// Whether a client has kept us waiting for longer than others do.
    func keepsWaiting(_ c: Int32) -> Bool {
        switch clients[c].waiting {
        case .handshake:
            return hasWaited(c, times.handshake, for: Self.slowTime)
        case .head:
            return hasWaited(c, times.requestHeader, for: Self.slowTime)
        case .requestBody:
            return clients[c].sending.remaining(times.sending, now: now) <= times.sending.longest &- Self.slowTime
        case .clientReads:
            return clients[c].reading.remaining(times.reading, now: now) <= times.reading.longest &- Self.slowReaderTime
        case .firstByte, .nextRequest, .upstreamReads, .responseHead, .responseBody, .tunnel, .end, .upstream, .room:
            return false
        }
    }

    /// The client has had its answer, as far as we are concerned: all of it may still lie in the kernel.
    @inline(__always)
    mutating func awaitNext(_ c: Int32) {
        clients[c].responseDue = now + times.keepAlive
        clients[c].takenThen = .max
        clientTimers.arm(c, at: min(clients[c].responseDue, now + Instant.Span(nanoseconds: times.reading.longest)))
    }

    /// Whether a client that is silent may stay so: its time is not over, and it has its answer, or takes it fast enough.
    mutating func stillReads(_ c: Int32) -> Bool {
        guard now < clients[c].responseDue else { return false }
        let left = UInt64(max(0, clients[c].socket.unacknowledgedCount()))
        if left > 0, clients[c].takenThen != .max, left &+ times.leastTaken > clients[c].takenThen {
            clients[c].socket.resetOnClose()
            return false
        }
        clients[c].takenThen = left
        let look = left == 0 ? clients[c].responseDue : now + Instant.Span(nanoseconds: times.reading.longest)
        clientTimers.arm(c, at: min(clients[c].responseDue, look))
        return true
    }

    /// Whether a client whose patience is used up reads all the same: what it takes shows in the socket only when there is
    /// room for much again, so the kernel is asked how much it has not acknowledged. Then it may go on.
    mutating func reads(_ c: Int32) -> Bool {
        let unacknowledged = UInt64(max(0, clients[c].socket.unacknowledgedCount()))
        let taken = clients[c].bytesOut &- min(clients[c].bytesOut, unacknowledged)
        let before = clients[c].takenThen
        guard taken > before, taken &- before >= times.leastTaken else { return false }
        clients[c].takenThen = taken
        clients[c].reading = Patience()
        let out = clients[c].bytesOut
        clientTimers.arm(c, at: clients[c].reading.wait(times.reading, bytes: out, now: now))
        return true
    }

    /// Client connections opened less those closed, since ``takeOpenChange()`` was last called.
    var openSinceReport: Int { clients.count - reportedOpen }

    /// How the number of client connections changed since the last call.
    mutating func takeOpenChange() -> Int {
        let change = openSinceReport
        reportedOpen = clients.count
        return change
    }

    /// Closes all pooled connections: nobody will want them.
    mutating func closeAllIdleUpstreams() { while closeSomeIdleUpstream() {} }
}
