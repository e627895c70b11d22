import Testing

@testable import ProxyCore

/// Clients that trickle: they are served behind the others, a few at a time, and like the others once they go on.
@Suite struct WaitingRoomTests {
    private static let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"

    /// Clients that have kept us waiting for three seconds in the middle of a head.
    private func tricklers(_ count: Int, _ rig: inout Rig) throws -> [Peer] {
        let clients = try (0..<count).map { _ in try rig.client() }
        for client in clients { client.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ") }
        rig.turn()
        for _ in 0..<3 {
            for client in clients { client.write("x") }
            rig.pass(1000)
            while rig.hasMore { rig.pass(1) }
        }
        return clients
    }

    @Test func whoTricklesIsWatchedApartUntilItGoesOn() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        let client = try #require(try tricklers(1, &rig).first)
        #expect(rig.connections.parkedCount == 1)
        client.write("y\r\n\r\n")
        rig.pass(10)
        #expect(rig.connections.parkedCount == 0)
        let conversation = try rig.heard(from: client, by: server)
        #expect(conversation.request.contains("X-Slow: xxxy\r\n"))
        rig.answer(conversation)
        // The next request waits for no look into the room.
        client.write(getRequest)
        rig.turn()
        #expect(conversation.upstream.read()?.hasPrefix("GET / ") == true)
    }

    @Test func aBodyThatTricklesReachesTheUpstreamAllTheSame() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        let upload = try rig.exchange(with: server, asking: Self.post)
        for second in 1...5 {
            upload.client.write("\(second)")
            rig.pass(1000)
            rig.pass(10)
            #expect(upload.upstream.read() == "\(second)")
        }
        #expect(rig.connections.parkedCount == 1)
        upload.client.write(String(repeating: "z", count: 995))
        rig.pass(10)
        #expect(upload.upstream.read()?.count == 995)
        #expect(rig.connections.parkedCount == 0)
        rig.answer(upload)
    }

    @Test func aTurnServesAFewOfThemAndAllTheOthers() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        let crowd = try tricklers(20, &rig)
        #expect(rig.connections.parkedCount == 20)
        let other = try rig.client()
        rig.turn()
        for client in crowd { client.write("\r\n\r\n") }
        other.write(getRequest)
        let before = rig.connections.counters.requests
        rig.pass(10)
        let inOneTurn = rig.connections.counters.requests - before
        #expect((2...4).contains(inOneTurn), "\(inOneTurn)")
        #expect(rig.connections.nextTimer <= rig.now, "the rest is served at once")
        for _ in 0..<20 where rig.hasMore { rig.turn() }
        let requests = rig.connections.counters.requests - before
        #expect(requests == 21)
        #expect(rig.connections.parkedCount == 0)
    }

    @Test func theRoomIsLookedAtSoonAgainWhereSomebodySpoke() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        let client = try #require(try tricklers(1, &rig).first)
        rig.pass(10)
        let whenSilent = rig.connections.waitingRoomDue - rig.now
        client.write("x")
        rig.pass(10)
        let whenBusy = rig.connections.waitingRoomDue - rig.now
        #expect(whenSilent == .milliseconds(10) && whenBusy == .milliseconds(1))
    }

    @Test func whoeverGoesLeavesTheRoom() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        var crowd = try tricklers(4, &rig)
        #expect(rig.connections.parkedCount == 4)
        crowd.removeLast()
        rig.pass(10)
        #expect(rig.connections.parkedCount == 3, "one has gone")
        rig.pass(10_000)
        // They are told, and have a moment in which they may go themselves.
        for client in crowd { #expect(client.read()?.hasPrefix("HTTP/1.1 408 ") == true) }
        rig.pass(5000)
        #expect(rig.connections.parkedCount == 0)
        #expect(rig.connections.clients.count == 0)
    }

    @Test func aCrowdWhoseTimeIsOverAtOnceHoldsNobodyUp() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        let crowd = try (0..<50).map { _ in try rig.client() }
        rig.turn()
        rig.pass(10_100)
        let left = rig.connections.clients.count
        #expect(left == crowd.count - Connections.expirationsPerTurn)
        #expect(rig.connections.nextTimer <= rig.now, "the rest follows at once")
        rig.turn()
        #expect(rig.connections.clients.count == 0)
    }
}
