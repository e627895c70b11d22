import Glibc
import Testing

@testable import ProxyCore

@Suite struct DepartureTests {
    @Test func aRequestThatWaitsForAConnectionGoesToAnotherEndpoint() throws {
        let a = try PeerServer(), b = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        rig.turn()
        #expect(rig.connections.upstreams.count == 1, "it is being connected")
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [b.endpoint("b")])])
        let atA = try #require(a.accept())
        #expect(atA.read() == nil, "no byte of it came here")
        rig.turn()
        let atB = try #require(b.accept())
        #expect(atB.read()?.hasSuffix("\r\n\r\nhi") == true)
        atB.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true)
        #expect(rig.connections.counters.connectFailures == 0, "nobody failed")
        #expect(rig.logged().contains("\"attempts\":1,\"outcome\":\"ok\""))
        #expect(rig.connections.directory.endpoints.count == 1)
    }

    @Test func aRequestOfWhichNothingWasSentOnAPooledConnectionGoesToAnotherEndpoint() throws {
        let a = try PeerServer(), b = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        rig.turn()
        let atA = try #require(a.accept())
        #expect(atA.read()?.hasPrefix("GET / ") == true)
        atA.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true && rig.connections.idleUpstreamCount == 1)
        // The socket takes nothing just now, so that the next request waits for it.
        rig.connections.upstreams[0].isWritable = false
        client.write(getRequest)
        rig.turn()
        #expect(rig.connections.upstreams[0].state == .active && !rig.connections.upstreams[0].wasSentTo)
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [b.endpoint("b")])])
        #expect(atA.read() == nil, "the connection is closed, and nothing came")
        rig.turn()
        let atB = try #require(b.accept())
        #expect(atB.read()?.hasPrefix("GET / ") == true)
    }

    @Test func withNobodyElseItIsAnsweredAtOnce() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [])])
        #expect(client.read()?.hasPrefix("HTTP/1.1 503 ") == true)
        #expect(rig.connections.upstreams.count == 0 && rig.connections.directory.endpoints.count == 0)
    }

    @Test func pooledConnectionsCloseInTheSameTurnAlsoWhereTheAddressStaysUnderAnotherIdentity() throws {
        for stays in [false, true] {
            let a = try PeerServer()
            var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
            let client = try rig.client()
            client.write(getRequest)
            rig.turn()
            rig.turn()
            let atA = try #require(a.accept())
            #expect(atA.read()?.hasPrefix("GET / ") == true)
            atA.write(okResponse)
            rig.turn()
            #expect(rig.connections.idleUpstreamCount == 1)
            let present = stays ? [a.endpoint("another")] : []
            rig.connections.adopt([EndpointsChange(service: "s", endpoints: present)])
            #expect(rig.connections.idleUpstreamCount == 0 && atA.read() == nil)
            #expect(rig.connections.directory.endpoints.count == present.count)
        }
    }

    @Test func aRequestUnderWayFinishesAndItsConnectionIsNotUsedAgain() throws {
        let a = try PeerServer(), b = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        rig.turn()
        let atA = try #require(a.accept())
        #expect(atA.read()?.hasPrefix("GET / ") == true)
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [b.endpoint("b")])])
        rig.turn()
        atA.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true)
        #expect(atA.read() == nil && rig.connections.idleUpstreamCount == 0)
        #expect(rig.connections.directory.endpoints.count == 1, "the ledger went with its last connection")
        #expect(b.accept() == nil)
    }

    @Test func aRequestWhoseServiceIsGoneGoesWhereItWasGoing() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        rig.connections.adopt(Snapshot(generation: 2))
        rig.turn()
        let atA = try #require(a.accept())
        #expect(atA.read()?.hasPrefix("GET / ") == true)
        atA.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true)
        #expect(rig.connections.directory.endpoints.count == 0 && rig.connections.directory.services.count == 0)
    }

    @Test func aSnapshotLetsGoAsAChangeDoes() throws {
        let a = try PeerServer(), b = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        rig.connections.adopt(Rig.snapshot([b.endpoint("b")]))
        rig.turn()
        let atA = try #require(a.accept())
        #expect(atA.read() == nil)
        let atB = try #require(b.accept())
        #expect(atB.read()?.hasPrefix("GET / ") == true)
    }

    @Test func whoWasTriedDoesNotStandForWhoHasItsSlotNow() throws {
        let a = try PeerServer()
        // Nobody listens there any more.
        let dead = try PeerServer().endpoint("dead")
        var rig = try Rig(Rig.snapshot([dead]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        let slot = rig.connections.directory.services[0].members[0]
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [a.endpoint("a")])])
        #expect(rig.connections.directory.services[0].members[0] != slot, "it was still connecting")
        // The slot of the dead one is free now, and the next newcomer has it.
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [a.endpoint("a2")])])
        #expect(rig.connections.directory.services[0].members[0] == slot)
        rig.turn()
        _ = a.accept()
        rig.turn()
        let atA = try #require(a.accept())
        #expect(atA.read()?.hasPrefix("GET / ") == true)
        _ = client.read()
    }

    /// A socket's TCP keep-alive: seconds until the first question, or nil where it is off.
    private func keepAlive(_ number: Int32) -> Int32? {
        var (isOn, idle): (Int32, Int32) = (0, 0)
        var length = socklen_t(MemoryLayout<Int32>.size)
        // Safety: both options are ints.
        unsafe getsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &isOn, &length)
        unsafe getsockopt(number, Int32(IPPROTO_TCP), TCP_KEEPIDLE, &idle, &length)
        return isOn == 1 ? idle : nil
    }

    @Test func aTunnelLivesOnAndItsPeerIsAskedWhetherItIsStillThere() throws {
        let a = try PeerServer(), b = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        rig.turn()
        rig.turn()
        let atA = try #require(a.accept())
        #expect(atA.read()?.contains("websocket") == true)
        atA.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        rig.turn()
        #expect(client.read()?.hasPrefix("HTTP/1.1 101 ") == true)
        #expect(keepAlive(rig.connections.upstreams[0].socket.number) == nil)
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [b.endpoint("b")])])
        #expect(keepAlive(rig.connections.upstreams[0].socket.number) == 10)
        for word in ["one", "two"] {
            client.write(word)
            rig.turn()
            #expect(atA.read() == word)
            atA.write(word)
            rig.turn()
            #expect(client.read() == word)
        }
        #expect(rig.connections.webSockets.count == 1)
    }
}
