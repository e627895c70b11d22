import Testing

@testable import ProxyCore

/// We go ourselves: what becomes of those who are connected.
@Suite struct FarewellTests {
    /// A WebSocket through a worker's connections.
    private func open(_ rig: inout Rig, _ server: PeerServer) throws -> (client: Peer, upstream: Peer) {
        let opening = try rig.exchange(
            with: server, asking: "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n")
        #expect(opening.request.contains("WebSocket"))
        opening.upstream.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        rig.turn()
        #expect(opening.client.read()?.hasPrefix("HTTP/1.1 101 ") == true)
        return (opening.client, opening.upstream)
    }

    @Test func connectionsToEndpointsAreUsedAgainWhileWeDrain() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        rig.connections.beginDraining(inHurry: true)
        let clients = [try rig.client(), try rig.client()]
        var atA: Peer?
        for client in clients {
            client.write(getRequest)
            rig.turn()
            rig.turn()
            let upstream = try #require(atA ?? a.accept())
            atA = upstream
            #expect(upstream.read()?.hasPrefix("GET / ") == true)
            upstream.write(okResponse)
            rig.turn()
            #expect(client.read()?.contains("Connection: close\r\n") == true)
            #expect(rig.connections.idleUpstreamCount == 1)
        }
    }

    @Test func aSilentClientSeesAnEndAndNoResetThoughItsRequestCrossesIt() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        rig.turn()
        let isDismissed = rig.connections.dismissOldestIdle()
        #expect(isDismissed && rig.connections.idleClientCount == 0)
        client.write(getRequest)
        rig.turn()
        #expect(client.read() == nil && rig.connections.clients.count == 1, "what it sent is read")
        rig.now = rig.now + Connections.lingerTime + .milliseconds(50)
        rig.turn()
        #expect(rig.connections.isEmpty && a.accept() == nil)
    }

    @Test func whoHasJustSentSomethingIsPassedBy() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let busy = try rig.client(), silent = try rig.client()
        busy.write(getRequest)
        let first = rig.connections.dismissOldestIdle()
        let second = rig.connections.dismissOldestIdle()
        #expect(first && !second && silent.read() == nil)
        rig.turn()
        rig.turn()
        #expect(a.accept() != nil, "it is served")
    }

    @Test func aWebSocketIsToldBetweenTwoFramesAndOnlyOnce() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let (client, upstream) = try open(&rig, a)
        #expect(rig.connections.tunnels.count == 1)
        let id = rig.connections.tunnels[0]
        upstream.write("\u{2}\u{4}ab")
        rig.turn()
        #expect(client.read() == "\u{2}\u{4}ab")
        rig.connections.dismissTunnel(id)
        rig.connections.dismissTunnel(id)
        rig.turn()
        #expect(upstream.readBytes()?.prefix(2) == [0x88, 0x82] && client.readBytes() == [], "a frame is half there")
        upstream.write("cd\u{2}\u{1}e")
        rig.turn()
        #expect(client.readBytes() == Array("cd".utf8) + [0x88, 0x02, 0x03, 0xE9])
        #expect(rig.connections.tunnels.isEmpty && rig.connections.cut.tunnels == 1)
        // Nobody answers.
        rig.now = rig.now + Connections.farewellTime + .milliseconds(50)
        rig.turn()
        #expect(rig.connections.isEmpty && rig.connections.webSockets.count == 0)
        #expect(client.readBytes() == nil && rig.logged().contains("\"outcome\":\"drained\""))
    }

    @Test func whereTheUpstreamClosesByItselfNothingIsAdded() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let (client, upstream) = try open(&rig, a)
        // A Close without a status is told from one of ours; a ping's head would be other bytes (0x08 is Close, not final).
        upstream.write("\u{8}\u{0}")
        rig.turn()
        #expect(client.readBytes() == [8, 0])
        rig.connections.dismissTunnel(rig.connections.tunnels[0])
        rig.turn()
        #expect(client.readBytes() == [] && upstream.readBytes()?.count == 8)
    }

    @Test func aRequestThatAnotherEndpointAnsweredIsRetriedAtTheFirstAndFailedNowhere() throws {
        let a = try PeerServer()
        let dead = try PeerServer().endpoint("dead")
        var rig = try Rig(Rig.snapshot([dead, a.endpoint("a")]))
        var served = 0
        for _ in 0..<20 where rig.connections.telemetry().attempts.allSatisfy({ $0.retried == 0 }) {
            let client = try rig.client()
            client.write(getRequest)
            for _ in 0..<3 { rig.turn() }
            let atA = try #require(a.accept())
            _ = atA.read()
            atA.write(okResponse.replacing("\r\n\r\n", with: "\r\nConnection: close\r\n\r\n"))
            for _ in 0..<2 { rig.turn() }
            #expect(client.read()?.hasSuffix("ok") == true)
            served += 1
        }
        let attempts = rig.connections.telemetry().attempts
        let there = try #require(attempts.first { $0.id == EndpointID("a") })
        let gone = try #require(attempts.first { $0.id == EndpointID("dead") })
        #expect(gone.retried == 1 && gone.outcomes[.connectRefused] == 1 && gone.firstRequest == nil)
        #expect(there.retried == 0 && there.firstByte.count == UInt64(served) && there.firstRequest == rig.now)
    }

    @Test func whoComesToAnAddressBeginsAnew() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        rig.turn()
        let atA = try #require(a.accept())
        _ = atA.read()
        atA.write(okResponse)
        rig.turn()
        #expect(rig.connections.telemetry().attempts[0].firstByte.count == 1)
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [a.endpoint("b")])])
        let attempts = rig.connections.telemetry().attempts
        #expect(attempts.count == 1 && attempts[0].id == EndpointID("b"))
        #expect(attempts[0].firstByte.count == 0 && attempts[0].lastRequest == nil && attempts[0].outcomes[.ok] == 1)
    }
}

extension Peer {
    /// What has come, as bytes; nil where that is the end.
    fileprivate func readBytes() -> [UInt8]? {
        var bytes = ByteBuffer(capacity: 1024)
        return read(into: &bytes) ? bytes.withReadable { span in span.indices.map { span[$0] } } : nil
    }
}
