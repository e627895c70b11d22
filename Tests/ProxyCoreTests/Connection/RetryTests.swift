import Testing

@testable import ProxyCore

/// Two endpoints of one service, and what the proxy does with a request that one of them fails.
private struct Pair: ~Copyable {
    let servers: [PeerServer]
    var rig: Rig

    init(_ change: (inout Service) -> Void = { _ in }) throws {
        let servers = [try PeerServer(), try PeerServer()]
        var snapshot = Rig.snapshot([servers[0].endpoint("a"), servers[1].endpoint("b")])
        change(&snapshot.services[0])
        let rig = try Rig(snapshot)
        self.servers = servers
        self.rig = rig
    }

    /// Turns until somebody was asked something; which server, and its end of the connection.
    mutating func asked(but other: Int? = nil) throws -> (server: Int, peer: Peer, request: String) {
        for _ in 0..<4 {
            rig.turn()
            for (index, server) in servers.enumerated() where index != other {
                guard let peer = server.accept() else { continue }
                rig.turn()
                return (index, peer, peer.read() ?? "")
            }
        }
        throw Missing()
    }

    struct Missing: Error {}
}

private let postRequest = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"

@Suite struct RetryTests {
    /// How an endpoint fails a request that it has seen, and the word for it.
    private static let failures: [(word: String, fail: @Sendable (Peer) -> Void)] = [
        ("upstream_reset", { _ in }),
        ("upstream_malformed", { $0.write("SSH-2.0-OpenSSH\r\n") }),
        ("upstream_reset", { $0.write("HTTP/1.1 200 O") }),
        ("upstream_reset", { $0.write("HTTP/1.1 103 Early Hints\r\n\r\n") }),
    ]

    @Test func whatDoesNoHarmGoesToTheOtherEndpoint() throws {
        for (word, fail) in Self.failures {
            var pair = try Pair()
            let client = try pair.rig.client()
            client.write(getRequest)
            let first: Int
            do {
                let (server, peer, request) = try pair.asked()
                #expect(request.hasPrefix("GET / "))
                fail(peer)
                first = server
            }
            let (second, peer, request) = try pair.asked(but: first)
            #expect(second != first && request.hasPrefix("GET / "))
            peer.write(okResponse)
            pair.rig.turn()
            #expect(client.read()?.hasSuffix("ok") == true)
            let line = pair.rig.logged()
            #expect(line.contains("\"attempts\":2,\"retried\":[\"\(word)\"],\"outcome\":\"ok\""), "\(line)")
        }
    }

    @Test func whatMayHaveBeenCarriedOutIsNotSentAgain() throws {
        for (word, fail) in Self.failures {
            var pair = try Pair()
            let client = try pair.rig.client()
            client.write(postRequest)
            do {
                let (_, peer, request) = try pair.asked()
                #expect(request.hasSuffix("hi"))
                fail(peer)
            }
            for _ in 0..<3 { pair.rig.turn() }
            #expect(pair.servers.allSatisfy { $0.accept() == nil })
            let text = client.read() ?? ""
            #expect(text.contains("HTTP/1.1 502 "), "\(word): \(text)")
        }
    }

    @Test func aTryThatTakesTooLongIsGivenUpWhereAnotherOneIsPossible() throws {
        var pair = try Pair { $0.tryTimeout = .seconds(2) }
        let client = try pair.rig.client()
        client.write(getRequest)
        let (first, hung, _) = try pair.asked()
        pair.rig.pass(1_990)
        #expect(pair.servers[1 - first].accept() == nil && hung.read() == "")
        pair.rig.pass(20)
        let (_, second, _) = try pair.asked(but: first)
        second.write(okResponse)
        pair.rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true)
        let line = pair.rig.logged()
        #expect(line.contains("\"retried\":[\"timeout\"]"))
    }

    @Test func allTriesTogetherTakeNoLongerThanTheResponseMay() throws {
        var pair = try Pair {
            $0.tryTimeout = .seconds(2)
            $0.responseTimeout = .seconds(3)
        }
        let client = try pair.rig.client()
        client.write(getRequest)
        let (first, hung, _) = try pair.asked()
        pair.rig.pass(1_990)
        #expect(hung.read() == "")
        pair.rig.pass(20)
        let (_, second, _) = try pair.asked(but: first)
        pair.rig.pass(980)
        #expect(client.read() == "" && second.read() == "")
        pair.rig.pass(20)
        #expect(client.read()?.hasPrefix("HTTP/1.1 504 ") == true)
    }

    @Test func withNobodyElseATryTakesTheTimeThatThereIs() throws {
        let only = try PeerServer()
        var snapshot = Rig.snapshot([only.endpoint("a")])
        snapshot.services[0].tryTimeout = .seconds(2)
        snapshot.services[0].responseTimeout = .seconds(3)
        var rig = try Rig(snapshot)
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        let peer = try #require(only.accept())
        rig.turn()
        rig.pass(2_500)
        #expect(client.read() == "" && peer.read()?.isEmpty == false)
        peer.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true)
    }

    @Test func repetitionsAreAShareOfWhatComesIn() throws {
        var budget = RetryBudget()
        let start = Instant(nanoseconds: 5_000_000_000)
        var few = 0
        while budget.affords(20, now: start) {
            budget.withdraw()
            few += 1
        }
        #expect(few == 10, "a few are always possible")
        // A thousand requests a second for a long time: what the last seconds paid in is there, and no more.
        var now = start
        for _ in 0..<60 {
            now = now + .milliseconds(1000)
            for _ in 0..<1000 { budget.deposit(percent: 20, now: now) }
        }
        var many = 0
        while budget.affords(20, now: now) {
            budget.withdraw()
            many += 1
        }
        #expect(many > 1_500 && many <= 2_200, "\(many)")
        // Every request fails: a fifth of them is sent again.
        var sent = 0
        for _ in 0..<1000 {
            budget.deposit(percent: 20, now: now)
            if budget.affords(20, now: now) {
                budget.withdraw()
                sent += 1
            }
        }
        #expect(sent == 200)
        let isAffordable = budget.affords(0, now: now + .milliseconds(60_000))
        #expect(!isAffordable, "no share is none")
    }

    // MARK: Identity

    private static let identity = IdentitySpec(header: "X-Service", value: "api")
    private static let genuine = "HTTP/1.1 200 OK\r\nx-service: api\r\nContent-Length: 2\r\n\r\nok"

    @Test func aStrangersAnswerIsNotDelivered() throws {
        let strangers: [(answer: String, seen: String)] = [
            (okResponse, "nothing"),
            ("HTTP/1.1 200 OK\r\nX-Service: logs\r\nContent-Length: 2\r\n\r\nno", "\"logs\""),
            ("HTTP/1.1 404 Not Found\r\nX-Service: API\r\nContent-Length: 0\r\n\r\n", "\"API\""),
            ("HTTP/1.1 200 OK\r\nX-Servic: api\r\nContent-Length: 0\r\n\r\n", "nothing"),
            ("HTTP/1.1 103 Early Hints\r\n\r\n" + okResponse, "nothing"),
        ]
        for (answer, seen) in strangers {
            var pair = try Pair { $0.identity = Self.identity }
            let client = try pair.rig.client()
            client.write(getRequest)
            let (first, stranger, _) = try pair.asked()
            stranger.write(answer)
            let (_, second, _) = try pair.asked(but: first)
            second.write(Self.genuine)
            pair.rig.turn()
            let text = client.read() ?? ""
            #expect(text.hasSuffix("ok") && text.lowercased().contains("x-service: api"), "\(text)")
            #expect(text.hasPrefix("HTTP/1.1 200 "), "nothing of it, not what it said beforehand either: \(text)")
            let sightings = pair.rig.told()
            #expect(sightings.map(\.kind) == [.ghost(seen: seen)])
            #expect(sightings.first?.address == pair.servers[first].address && sightings.first?.service == "s")
            let told = pair.rig.connections.telemetry().attempts
            #expect(told.map(\.ghosts).reduce(0, +) == 1)
            let line = pair.rig.logged()
            #expect(line.contains("\"retried\":[\"ghost\"]"))
        }
    }

    @Test func aPostThatAStrangerAnsweredIsNotSentAgain() throws {
        var pair = try Pair { $0.identity = Self.identity }
        let client = try pair.rig.client()
        client.write(postRequest)
        let (_, stranger, _) = try pair.asked()
        stranger.write(okResponse)
        for _ in 0..<3 { pair.rig.turn() }
        #expect(pair.servers.allSatisfy { $0.accept() == nil })
        #expect(client.read()?.hasPrefix("HTTP/1.1 502 ") == true)
        let line = pair.rig.logged()
        #expect(line.contains("\"outcome\":\"ghost\""))
    }

    @Test func whoIsGenuineIsNotSuspected() throws {
        var pair = try Pair { $0.identity = Self.identity }
        let client = try pair.rig.client()
        client.write(getRequest)
        let (_, peer, _) = try pair.asked()
        peer.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        peer.write("HTTP/1.1 103 Early Hints\r\nX-Service: api\r\nLink: </b>\r\n\r\n" + Self.genuine)
        pair.rig.turn()
        let sightings = pair.rig.told()
        let text = client.read() ?? ""
        #expect(text.hasSuffix("ok") && sightings.isEmpty)
        #expect(text.hasPrefix("HTTP/1.1 103 ") && text.contains("</b>"), "it says who it is")
        #expect(!text.contains("</a>"), "that may have been anybody")
    }

    // MARK: Connections that were idle

    @Test("who only closed what was idle is asked again when all others are worse")
    func readmitted() throws {
        var seen = 0
        // Which one is asked first is chance.
        for _ in 0..<24 {
            let server = try PeerServer()
            let nobody = Endpoint(id: EndpointID("b"), address: NetworkAddress("127.0.0.1:1")!)
            var rig = try Rig(Rig.snapshot([server.endpoint("a"), nobody]))
            let client = try rig.client()
            func answered(_ rig: inout Rig, _ upstream: Peer) {
                _ = upstream.read()
                upstream.write(okResponse)
                rig.turn()
                #expect(client.read()?.hasPrefix("HTTP/1.1 200 ") == true)
            }
            client.write(getRequest)
            for _ in 0..<3 { rig.turn() }
            do {
                let first = try #require(server.accept())
                rig.turn()
                answered(&rig, first)
                _ = rig.logged()
                client.write(getRequest)
                rig.turn()
                // Here it leaves, with the request unanswered.
                #expect(first.read()?.hasPrefix("GET / ") == true)
            }
            for _ in 0..<5 { rig.turn() }
            let second = try #require(server.accept())
            rig.turn()
            answered(&rig, second)
            if rig.logged().contains("\"retried\":[\"upstream_reset\",\"connect_refused\"]") { seen += 1 }
        }
        #expect(seen > 0)
    }

    // MARK: Failures

    @Test func failuresInARowAreTold() throws {
        let only = try PeerServer()
        var snapshot = Rig.snapshot([only.endpoint("a")])
        snapshot.services[0].outlier.consecutiveFailures = 2
        snapshot.services[0].retry.attempts = 0
        var rig = try Rig(snapshot)
        let answers = [
            "", "HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "",
            "HTTP/1.1 503 Oh\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        ]
        for (index, answer) in answers.enumerated() {
            let client = try rig.client()
            client.write(getRequest)
            rig.turn()
            do {
                let peer = try #require(only.accept())
                rig.turn()
                _ = peer.read()
                if !answer.isEmpty { peer.write(answer) }
            }
            rig.turn()
            #expect(client.read()?.hasPrefix("HTTP/1.1 50") == true)
            let sightings = rig.told()
            #expect(sightings.isEmpty == (index < 3), "a 500 is an answer of the application")
        }
    }
}
