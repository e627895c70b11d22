import Testing

@testable import ProxyCore

/// Who is let in: lockdown, PROXY headers, connections of one client.
@Suite struct AdmissionTests {
    private func snapshot(
        _ server: PeerServer, trusted: [String] = [], lockdown: [String]? = nil, perClient: Int = 0
    ) throws -> Snapshot {
        var snapshot = Rig.snapshot([server.endpoint("a")])
        snapshot.trustedProxies = try trusted.map { try AddressRange($0) }
        snapshot.lockdown = try lockdown?.map { try AddressRange($0) }
        snapshot.limits.connectionsPerClient = perClient
        return snapshot
    }

    private func expectCount(
        _ reason: String, _ count: UInt64, _ rig: inout Rig, at location: SourceLocation = #_sourceLocation
    ) {
        let counted = rig.connections.telemetry().refusals.first { "\($0.reason)" == reason }?.count ?? 0
        #expect(counted == count, "\(reason)", sourceLocation: location)
    }

    private func expectEmpty(_ rig: inout Rig, at location: SourceLocation = #_sourceLocation) {
        let isEmpty = rig.connections.isEmpty
        #expect(isEmpty, sourceLocation: location)
    }

    @Test func whoMayConnectFollowsTheSnapshot() throws {
        let server = try PeerServer()
        let peers = ["127.0.0.1", "10.42.0.9", "192.0.2.1", "2001:db8::1"].map {
            NetworkAddress(ip: IPAddress($0)!, port: 4711)
        }
        let cases: [(trusted: [String], lockdown: [String]?, needsHeader: Bool, admitted: [Bool])] = [
            (["10.42.0.0/16"], nil, false, [true, true, true, true]),
            (["10.42.0.0/16"], [], false, [false, true, false, false]),
            (["10.42.0.0/16"], ["127.0.0.0/8", "2001:db8::/32"], false, [true, true, false, true]),
            // A header is believed of those who are trusted, not of those who may connect, too.
            (["10.42.0.0/16"], ["127.0.0.0/8"], true, [false, true, false, false]),
            (["10.42.0.0/16"], nil, true, [false, true, false, false]),
        ]
        for (trusted, lockdown, needsHeader, admitted) in cases {
            var rig = try Rig(try snapshot(server, trusted: trusted, lockdown: lockdown))
            for (peer, isAdmitted) in zip(peers, admitted) {
                let admits = rig.connections.admits(peer, needsProxyHeader: needsHeader)
                #expect(admits == isAdmitted, "\(peer), \(trusted), \(String(describing: lockdown))")
            }
            let refused = UInt64(admitted.count { !$0 })
            expectCount(needsHeader ? "proxy_untrusted" : "origin_lockdown", refused, &rig)
        }
    }

    @Test func aClientHasNoMoreConnectionsThanItMay() throws {
        let server = try PeerServer()
        var rig = try Rig(try snapshot(server, perClient: 2))
        let first = try rig.client()
        let second = try rig.client()
        let third = try rig.client()
        #expect(third.read() == nil, "the third one is closed at once")
        #expect(first.read() == "" && second.read() == "")
        expectCount("client_connections", 1, &rig)
        // One goes, and another one may come.
        second.end()
        rig.turn()
        let fourth = try rig.client()
        #expect(fourth.read() == "")
        let clients = rig.connections.counts.clientCount
        #expect(clients == 1)
        first.end()
        fourth.end()
        rig.turn()
        let left = rig.connections.counts.clientCount
        #expect(left == 0, "nothing is remembered of those who are gone")
    }

    @Test func aTrustedProxyHasAsManyAsItLikes() throws {
        let server = try PeerServer()
        var rig = try Rig(try snapshot(server, trusted: ["127.0.0.1"], perClient: 1))
        let peers = try (0..<5).map { _ in try rig.client() }
        for peer in peers { #expect(peer.read() == "") }
    }

    @Test func anIPv6NetworkCountsAsOneClient() {
        let counts = ClientCounts()
        func enter(_ text: String) -> Bool { counts.enter(IPAddress(text)!, most: 2) }
        #expect(enter("2001:db8::1") && enter("2001:db8::2") && !enter("2001:db8::3"))
        #expect(enter("2001:db8:0:1::1"))
        #expect(enter("192.0.2.1") && enter("192.0.2.2") && enter("192.0.2.1") && !enter("192.0.2.1"))
        counts.leave(IPAddress("2001:db8::ffff")!)
        #expect(enter("2001:db8::4"))
        counts.leave(IPAddress("198.51.100.1")!)
        #expect(counts.clientCount == 4)
    }

    // MARK: PROXY headers

    private static let line = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n"

    @Test func aRequestBehindAHeaderIsItsClients() throws {
        let server = try PeerServer()
        // Not byte by byte: of what nobody takes the kernel acknowledges only so many pieces at once.
        for size in [1000, 40, 3] {
            var rig = try Rig(try snapshot(server, trusted: ["127.0.0.1"]))
            let peer = try rig.client(needsProxyHeader: true)
            var rest = Substring(Self.line + getRequest)
            while !rest.isEmpty {
                let piece = String(rest.prefix(size))
                rest = rest.dropFirst(size)
                peer.write(piece)
                rig.turn()
            }
            let conversation = try rig.heard(from: peer, by: server)
            let heard = conversation.request
            #expect(heard.contains("\r\nX-Forwarded-For: 203.0.113.9\r\n"), "\(heard)")
            rig.answer(conversation)
            let logged = rig.logged()
            #expect(logged.contains("\"client\":\"203.0.113.9\",\"peer\":\"203.0.113.9\""))
        }
    }

    @Test func whoSpeaksForItselfStaysThePeer() throws {
        let server = try PeerServer()
        var rig = try Rig(try snapshot(server, trusted: ["127.0.0.1"]))
        let peer = try rig.client(needsProxyHeader: true)
        peer.write("PROXY UNKNOWN\r\n" + getRequest)
        let heard = try rig.heard(from: peer, by: server).request
        #expect(heard.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"), "\(heard)")
    }

    @Test func whatIsNoHeaderEndsTheConnectionUnheard() throws {
        let server = try PeerServer()
        let cases = [
            (getRequest, "proxy_malformed"), ("PROXY TCP4 1.2.3.4\r\n", "proxy_malformed"),
            ("\u{16}\u{3}\u{1}", "proxy_malformed"),
        ]
        for (text, reason) in cases {
            var rig = try Rig(try snapshot(server, trusted: ["127.0.0.1"]))
            let peer = try rig.client(needsProxyHeader: true)
            peer.write(text)
            rig.turn()
            #expect(peer.read() == nil)
            expectCount(reason, 1, &rig)
            expectEmpty(&rig)
        }
    }

    @Test func aHeaderHasItsTimeAndItsEnd() throws {
        let server = try PeerServer()
        var rig = try Rig(try snapshot(server, trusted: ["127.0.0.1"]))
        let slow = try rig.client(needsProxyHeader: true)
        slow.write("PROXY TCP4 ")
        rig.turn()
        rig.pass(9_900)
        #expect(slow.read() == "")
        // What comes does not begin its time anew.
        slow.write("203.0.113.9 ")
        rig.turn()
        rig.pass(200)
        #expect(slow.read() == nil)
        expectCount("proxy_timeout", 1, &rig)

        let half = try rig.client(needsProxyHeader: true)
        half.write("PROXY ")
        half.end()
        rig.turn()
        rig.turn()
        expectEmpty(&rig)
        expectCount("proxy_malformed", 1, &rig)
    }

    @Test func lockdownAndCountAreOfTheOneThatThePeerSpeaksFor() throws {
        let server = try PeerServer()
        var locked = try Rig(try snapshot(server, trusted: ["127.0.0.1"], lockdown: ["198.51.100.0/24"]))
        for (client, isLetIn) in [("203.0.113.9", false), ("198.51.100.7", true)] {
            let peer = try locked.client(needsProxyHeader: true)
            peer.write("PROXY TCP4 \(client) 127.0.0.1 4711 80\r\n")
            locked.turn()
            #expect((peer.read() == "") == isLetIn, "\(client)")
        }
        expectCount("origin_lockdown", 1, &locked)

        var counted = try Rig(try snapshot(server, trusted: ["127.0.0.1"], perClient: 1))
        var peers: [Peer] = []
        for (client, isLetIn) in [("203.0.113.9", true), ("203.0.113.9", false), ("203.0.113.10", true)] {
            let peer = try counted.client(needsProxyHeader: true)
            peers.append(peer)
            peer.write("PROXY TCP4 \(client) 127.0.0.1 4711 80\r\n")
            counted.turn()
            #expect((peer.read() == "") == isLetIn, "\(client)")
        }
        expectCount("client_connections", 1, &counted)
    }

    @Test func whatKeepsAGivenIDIsGivenBackHoweverTheExchangeEnds() throws {
        let server = try PeerServer()
        var rig = try Rig(try snapshot(server, trusted: ["127.0.0.1"]))
        func kept(_ rig: inout Rig) -> Int { rig.connections.givenIDs.count }
        let asked = "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc\r\n\r\n"
        // Answered by the upstream; answered by us.
        let conversation = try rig.exchange(with: server, asking: asked)
        let client = conversation.client
        let during = kept(&rig)
        #expect(during == 1 && conversation.request.contains("X-Request-Id: abc\r\n"))
        conversation.upstream.write(okResponse)
        rig.turn()
        let after = kept(&rig)
        #expect(after == 0 && client.read()?.contains("X-Request-Id: abc\r\n") == true)
        client.write(asked.replacing("GET", with: "TRACE"))
        rig.turn()
        let refused = kept(&rig)
        #expect(refused == 0 && client.read()?.contains("X-Request-Id: abc\r\n") == true)
        // The upstream leaves in the middle of its answer.
        let cut = try rig.client()
        cut.write(asked)
        rig.turn()
        rig.turn()
        let waiting = kept(&rig)
        conversation.upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        rig.turn()
        conversation.upstream.end()
        rig.turn()
        rig.turn()
        let left = kept(&rig)
        #expect(waiting == 1 && left == 0)
    }
}
