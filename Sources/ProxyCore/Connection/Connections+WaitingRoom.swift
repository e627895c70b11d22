// What if thousands trickle? Each of their bytes would wake the worker, and each of their batches stand before those who
// want something. So clients that keep us waiting are watched by a poller of their own, which is looked at now and then,
// for a few at a time: they wait for the others, not the others for them.

extension Connections {
    /// How often it is looked at whether one of them has said something.
    private static var waitingRoomTime: Instant.Span { .milliseconds(10) }
    /// The same after a look that found somebody: what many say between two looks is not left to become one long piece of
    /// work, which would keep waiting whoever shares the core with us.
    private static var waitingRoomTimeWhenBusy: Instant.Span { .milliseconds(1) }
    /// How many of them are served in one turn. Others wait for these, so it is a small part of what a request takes.
    private static var waitingRoomShare: Int { 2 }

    /// Serves some of those in the waiting room, if it is time.
    mutating func serveWaitingRoom() {
        guard parkedCount > 0, now >= waitingRoomDue else { return }
        let count = waitingRoom.wait(milliseconds: 0, most: Self.waitingRoomShare)
        for i in 0..<count {
            let (token, readiness) = waitingRoom.event(i)
            serveClient(token.slot, readiness)
            // Whoever goes on as others do is one of the others again.
            if clients.contains(token.slot), !isTrickling(token.slot.index) { unpark(token.slot.index) }
        }
        waitingRoomDue =
            switch count {
            case 0: now + Self.waitingRoomTime
            case Self.waitingRoomShare: now
            default: now + Self.waitingRoomTimeWhenBusy
            }
    }

    /// Sends a client to the waiting room, if it has kept us waiting for long and it is its bytes that we wait for.
    mutating func parkIfTrickling(_ c: Int32) {
        guard !clients[c].isParked, isTrickling(c) else { return }
        // Whoever cannot be watched there stays where it is.
        guard waitingRoom.add(clients[c].socket, Token(.client, clients.id(c))) else { return }
        poller.remove(clients[c].socket.number)
        clients[c].isParked = true
        if parkedCount == 0 { waitingRoomDue = now + Self.waitingRoomTime }
        parkedCount &+= 1
    }

    /// Lets a client out of the waiting room. What came meanwhile is told by the poller at once.
    private mutating func unpark(_ c: Int32) {
        guard clients[c].isParked, poller.add(clients[c].socket, Token(.client, clients.id(c))) else { return }
        waitingRoom.remove(clients[c].socket.number)
        clients[c].isParked = false
        parkedCount &-= 1
    }

    private func isTrickling(_ c: Int32) -> Bool {
        switch clients[c].waiting {
        case .head: clients[c].phase == .head && keepsWaiting(c)
        case .requestBody: clients[c].phase == .exchange && keepsWaiting(c)
        case .handshake: clients[c].phase == .handshake && keepsWaiting(c)
        case .firstByte, .nextRequest, .upstreamReads, .responseHead, .responseBody, .clientReads, .tunnel, .end,
            .upstream, .room:
            false
        }
    }
}
