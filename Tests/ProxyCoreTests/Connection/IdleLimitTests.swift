import Testing

@testable import ProxyCore

@Suite struct IdleLimitTests {
    private func seconds(_ count: Double) -> Instant.Span { Instant.Span(nanoseconds: Int64(count * 1e9)) }

    @Test func asLongAsNothingIsKnownItIsCautious() {
        let limit = IdleLimit()
        #expect(limit.retiresAfter(said: 0) == seconds(4))
        #expect(limit.retiresAfter(said: 5) == seconds(4))
        #expect(limit.retiresAfter(said: 72) == seconds(60))
        #expect(limit.retiresAfter(said: 30) == seconds(29))
        #expect(limit.retiresAfter(said: .max) == seconds(60))
    }

    @Test func whatIsSeenIsBelieved() {
        var limit = IdleLimit()
        #expect(limit.wantsToSee(said: 0) && !limit.wantsToSee(said: 5))
        limit.isObserving = true
        #expect(!limit.wantsToSee(said: 0), "one at a time")
        limit.observed(seconds(10), wasClosed: true)
        #expect(limit.retiresAfter(said: 0) == seconds(8) && limit.wantsToSee(said: 0))
        limit.sawClose(after: seconds(5))
        #expect(limit.retiresAfter(said: 0) == seconds(4))
        #expect(limit.retiresAfter(said: 30) == seconds(4), "it does not do what it says")
        limit.sawClose(after: seconds(0.5))
        #expect(limit.retiresAfter(said: 0) == seconds(4), "whoever is replaced closes all that it has")
        limit.observed(seconds(60), wasClosed: false)
        #expect(limit.retiresAfter(said: 0) == seconds(60) && !limit.wantsToSee(said: 0))
        #expect(limit.retiresAfter(said: 30) == seconds(29))
    }

    @Test func aPodThatGoesTeachesNothingForEver() {
        var limit = IdleLimit()
        // It closed what had been idle for little more than a second, though its kind keeps connections for five.
        limit.sawClose(after: seconds(1.25))
        #expect(limit.retiresAfter(said: 5) == seconds(1))
        #expect(limit.wantsToSee(said: 5), "one of the next is watched")
        limit.observed(seconds(5), wasClosed: true)
        #expect(limit.retiresAfter(said: 5) == seconds(4))
    }

    /// One request, so that its connection is idle afterwards; the endpoint's end of it.
    private func serve(_ rig: inout Rig, _ server: PeerServer) throws -> Peer {
        let exchange = try rig.exchange(with: server)
        rig.answer(exchange)
        #expect(rig.connections.idleUpstreamCount == 1)
        return exchange.upstream
    }

    @Test func oneConnectionIsKeptToSeeItsEnd() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        do {
            let peer = try serve(&rig, server)
            rig.pass(4_010)
            #expect(rig.connections.idleUpstreamCount == 0, "it is too old to be used")
            #expect(rig.connections.upstreams.count == 1 && peer.read() == "", "and still there")
            let told = rig.connections.telemetry().services[0]
            #expect(told.activeConnections == 0 && told.idleConnections == 1, "nobody uses it")
            rig.pass(16_000)
        }
        // The server has closed it now, after some 20 s.
        rig.turn()
        #expect(rig.connections.upstreams.count == 0)
        let next = try serve(&rig, server)
        rig.pass(15_000)
        #expect(rig.connections.idleUpstreamCount == 1, "it is known to be good for that long")
        rig.pass(2_000)
        #expect(rig.connections.idleUpstreamCount == 0 && next.read() == "")
        // Its endpoint goes, and it with it.
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [])])
        #expect(rig.connections.upstreams.count == 0 && rig.connections.directory.endpoints.count == 0)
    }

    @Test func whatTheServerClosesIsNoticedAndRemembered() throws {
        let server = try PeerServer()
        var rig = try Rig(Rig.snapshot([server.endpoint("a")]))
        do {
            let peer = try serve(&rig, server)
            rig.pass(2_000)
            #expect(rig.connections.idleUpstreamCount == 1 && peer.read() == "")
        }
        rig.turn()
        #expect(rig.connections.upstreams.count == 0)
        let peer = try serve(&rig, server)
        rig.pass(1_590)
        #expect(rig.connections.idleUpstreamCount == 1)
        rig.pass(20)
        #expect(rig.connections.idleUpstreamCount == 0 && peer.read() == "")
    }
}
