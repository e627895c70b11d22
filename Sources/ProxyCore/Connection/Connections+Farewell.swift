// How do those leave who are still connected when we go? Silent clients are closed so that what crosses our close on the
// way is no reset; tunnels are shut down, a WebSocket after a Close between two frames; and what was under way when the
// time was over is cut, and counted.

extension Connections {
    /// For how long a tunnel may take to end after it was told to.
    static var farewellTime: Instant.Span { .milliseconds(300) }

    /// Every answer from now on ends its connection. `inHurry`: there is a deadline, and connections whose last answer
    /// is out are no reason to stay.
    mutating func beginDraining(inHurry: Bool) {
        isDraining = true
        guard inHurry, !isInHurry else { return }
        isInHurry = true
        for c in 0..<clients.slotCount where clients.isUsed(c) && clients[c].phase == .lingering {
            clientTimers.arm(c, at: min(clientTimers.deadline(c), now + lingering))
        }
    }

    /// For how long a client may still send after its last answer.
    var lingering: Instant.Span { isInHurry ? Self.lingerTimeDraining : Self.lingerTime }

    /// Whether no client is connected.
    var isEmpty: Bool { clients.count == 0 }

    // MARK: Tunnels

    /// Tunnels that were not told to end.
    var tunnels: [SlotID] {
        (0..<clients.slotCount)
            .filter { clients.isUsed($0) && clients[$0].isTunnel && !clients[$0].isDismissed }
            .map { clients.id($0) }
    }

    /// Tells a tunnel to end, if it is still there.
    mutating func dismissTunnel(_ id: SlotID) {
        guard clients.contains(id), clients[id.index].isTunnel, !clients[id.index].isDismissed else { return }
        let c = id.index
        clients[c].isDismissed = true
        cut.tunnels += 1
        clientTimers.arm(c, at: now + Self.farewellTime)
        let w = clients[c].webSocket
        if w >= 0 {
            webSockets[w].up.makeDue()
            webSockets[w].down.makeDue()
        } else {
            // Nothing more is read; what was read still goes out, and then the end.
            clients[c].hasEnded = true
            upstreams[clients[c].upstream].hasEnded = true
            if clients[c].requestOut.isEmpty { endSendingUp(clients[c].upstream) }
            if clients[c].responseOut.isEmpty { endSending(c) }
        }
        pumpTunnel(c)
    }

    /// The last `n` bytes of what goes to the upstream have just come.
    @inline(__always)
    mutating func followUp(_ c: Int32, _ n: Int) {
        let w = clients[c].webSocket
        if w < 0 { return }
        let from = clients[c].requestOut.count &- n
        if !clients[c].isDismissed {
            return clients[c].requestOut.withReadable { webSockets[w].up.follow($0, from: from) }
        }
        let end = clients[c].requestOut.withReadable { webSockets[w].up.followToTheLast($0, from: from) }
        clients[c].requestOut.truncate(to: end)
        sayCloseUp(c)
    }

    /// The last `n` bytes of what goes to the client have just come.
    @inline(__always)
    mutating func followDown(_ c: Int32, _ n: Int) {
        let w = clients[c].webSocket
        if w < 0 { return }
        let from = clients[c].responseOut.count &- n
        if !clients[c].isDismissed {
            return clients[c].responseOut.withReadable { webSockets[w].down.follow($0, from: from) }
        }
        let end = clients[c].responseOut.withReadable { webSockets[w].down.followToTheLast($0, from: from) }
        clients[c].responseOut.truncate(to: end)
        sayCloseDown(c)
    }

    /// Says the last word to the upstream, if it is due.
    mutating func sayCloseUp(_ c: Int32) {
        let w = clients[c].webSocket
        guard w >= 0, webSockets[w].up.lastWord == .due else { return }
        if !clients[c].requestOut.hasMemory { buffers.supply(&clients[c].requestOut, .head) }
        if clients[c].requestOut.isEmpty { clients[c].requestOut.clear() }
        webSockets[w].up.sayClose(into: &clients[c].requestOut, mask: UInt32(truncatingIfNeeded: random.next()))
    }

    /// Says the last word to the client, if it is due.
    mutating func sayCloseDown(_ c: Int32) {
        let w = clients[c].webSocket
        guard w >= 0, webSockets[w].down.lastWord == .due else { return }
        if !clients[c].responseOut.hasMemory { buffers.supply(&clients[c].responseOut, .head) }
        if clients[c].responseOut.isEmpty { clients[c].responseOut.clear() }
        webSockets[w].down.sayClose(into: &clients[c].responseOut)
    }

    /// Whether both sides of a tunnel have said all they will.
    func isTunnelOver(_ c: Int32, _ u: Int32) -> Bool {
        guard clients[c].requestOut.isEmpty, clients[c].responseOut.isEmpty else { return false }
        let w = clients[c].webSocket
        guard clients[c].isDismissed, w >= 0 else { return clients[c].hasEnded && upstreams[u].hasEnded }
        return (clients[c].hasEnded || webSockets[w].up.isOver)
            && (upstreams[u].hasEnded || webSockets[w].down.isOver)
    }

    // MARK: The end

    /// The time is over: cuts what is under way, but for tunnels, which were told, and for connections that only wait
    /// for their client to notice the last answer.
    mutating func cutRequests() {
        for c in 0..<clients.slotCount where clients.isUsed(c) {
            switch clients[c].phase {
            case .idle:
                if !clients[c].input.isEmpty || clients[c].socket.hasUnreadBytes() { cut.exchanges += 1 }
                closeClient(c)
            case .handshake: closeClient(c)
            case .head:
                cut.exchanges += 1
                closeClient(c)
            case .exchange where !clients[c].isTunnel: cutExchange(c)
            case .exchange, .lingering: break
            }
        }
    }

    private mutating func cutExchange(_ c: Int32) {
        cut.exchanges += 1
        clients[c].outcome = .drained
        discardUpstream(c)
        if clients[c].exchange.response == .relaying { cutClient(c) } else { closeClient(c) }
    }

    /// Ends everything at once, and tells what was cut.
    mutating func endAll() -> WorkerReport {
        cutRequests()
        for c in 0..<clients.slotCount where clients.isUsed(c) {
            if clients[c].isTunnel {
                if !clients[c].isDismissed { cut.tunnels += 1 }
                clients[c].outcome = .drained
                discardUpstream(c)
            }
            closeClient(c)
        }
        closeAllIdleUpstreams()
        var report = WorkerReport()
        report.counters = counters
        report.cutExchanges = cut.exchanges
        report.cutTunnels = cut.tunnels
        return report
    }
}
