import Testing

@testable import ProxyCore

@Suite struct QueueTests {
    private func snapshot(_ endpoints: [Endpoint], limit: Int = 1, queue: Int = 10) -> Snapshot {
        var snapshot = Rig.snapshot(endpoints)
        snapshot.services[0].balance.maxConcurrent = limit
        snapshot.services[0].balance.queue = queue
        return snapshot
    }

    private func waiting(_ rig: inout Rig) -> Int { rig.connections.telemetry().services[0].waiting }

    private func request(_ name: String) -> String { "GET /\(name) HTTP/1.1\r\nHost: x\r\n\r\n" }

    /// Clients that ask for their number, one after the other; the first one's request is at the endpoint.
    private func crowd(_ rig: inout Rig, _ count: Int, _ server: PeerServer) throws -> (clients: [Peer], upstream: Peer)
    {
        var clients: [Peer] = []
        for i in 0..<count {
            clients.append(try rig.client())
            clients[i].write(request("\(i)"))
            rig.turn()
        }
        rig.turn()
        let upstream = try #require(server.accept())
        #expect(upstream.read()?.hasPrefix("GET /0 ") == true)
        return (clients, upstream)
    }

    @Test func whoComesFirstIsServedFirstAndWhoIsTooManyIsToldAtOnce() throws {
        let a = try PeerServer()
        var rig = try Rig(snapshot([a.endpoint("a")], queue: 3))
        let (clients, upstream) = try crowd(&rig, 5, a)
        #expect(waiting(&rig) == 3 && rig.connections.telemetry().services[0].inFlight == 4)
        let refused = try #require(clients[4].read())
        #expect(refused.hasPrefix("HTTP/1.1 503 ") && refused.contains("Retry-After: 1\r\n"))
        #expect(refused.contains("error=connection_limit_reached"))
        for i in 1...3 {
            #expect(upstream.read() == "", "one at a time")
            upstream.write(okResponse)
            rig.turn()
            #expect(clients[i - 1].read()?.hasSuffix("ok") == true)
            rig.turn()
            #expect(upstream.read()?.hasPrefix("GET /\(i) ") == true)
            #expect(waiting(&rig) == 3 - i)
        }
        #expect(rig.connections.waitingServices.isEmpty)
        #expect(rig.logged().contains("\"outcome\":\"queue_full\""))
        #expect(rig.connections.telemetry().refusals.map(\.0.description) == ["queue_full"])
        // The one that was refused may ask again on its connection.
        clients[4].write(request("again"))
        upstream.write(okResponse)
        rig.turn()
        rig.turn()
        #expect(upstream.read()?.hasPrefix("GET /again ") == true)
    }

    @Test func whoWaitsTooLongIsToldSo() throws {
        for (queue, response, expected) in [(2, 95, 2), (50, 3, 3)] as [(Int64, Int64, Int64)] {
            let a = try PeerServer()
            var snapshot = snapshot([a.endpoint("a")])
            snapshot.services[0].balance.queueTimeout = .seconds(queue)
            snapshot.services[0].responseTimeout = .seconds(response)
            var rig = try Rig(snapshot)
            rig.now = rig.now + .milliseconds(500)
            let first = try crowd(&rig, 1, a)
            // What it is answered takes as long as it likes.
            first.1.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            rig.turn()
            defer { withExtendedLifetime(first) {} }
            rig.now = rig.now + .milliseconds(300)
            let late = try rig.client()
            late.write(request("late"))
            rig.turn()
            rig.now = rig.now + .milliseconds(expected * 1000 - 20)
            rig.turn()
            #expect(late.read() == "" && waiting(&rig) == 1)
            rig.now = rig.now + .milliseconds(40)
            rig.turn()
            #expect(late.read()?.hasPrefix("HTTP/1.1 503 ") == true && waiting(&rig) == 0)
            #expect(rig.logged().contains("\"outcome\":\"queue_timeout\""))
        }
    }

    /// Whoever asks through another proxy is cut off by that when it has waited for so long, for whatever it was.
    @Test(arguments: ["GET", "POST"])
    func whoHasWaitedForAPlaceDoesNotWaitAsLongAgainForTheAnswer(_ method: String) throws {
        let a = try PeerServer()
        var snapshot = snapshot([a.endpoint("a")])
        snapshot.services[0].responseTimeout = .seconds(4)
        snapshot.services[0].balance.queueTimeout = .seconds(3)
        var rig = try Rig(snapshot)
        let (_, upstream) = try crowd(&rig, 1, a)
        let late = try rig.client()
        let body = method == "POST" ? "Content-Length: 2\r\n\r\nhi" : "\r\n"
        late.write("\(method) /late HTTP/1.1\r\nHost: x\r\n" + body)
        rig.turn()
        rig.pass(2_500)
        upstream.write(okResponse)
        for _ in 0..<3 { rig.turn() }
        #expect(upstream.read()?.hasPrefix("\(method) /late ") == true && late.read() == "")
        rig.pass(1_480)
        #expect(late.read() == "")
        rig.pass(40)
        #expect(late.read()?.hasPrefix("HTTP/1.1 504 ") == true)
    }

    @Test func aPlaceThatAnotherWorkerGivesBackIsFound() throws {
        let a = try PeerServer()
        let loads = SharedLoads()
        var one = try Rig(snapshot([a.endpoint("a")], queue: 1), loads: loads)
        var other = try Rig(snapshot([a.endpoint("a")], queue: 1), loads: loads)
        let (clients, upstream) = try crowd(&one, 1, a)
        let late = try other.client()
        late.write(request("late"))
        other.turn()
        #expect(waiting(&other) == 1 && a.accept() == nil)
        #expect(other.connections.nextTimer <= other.now + .milliseconds(2), "it looks again soon")
        // One may wait in the whole process.
        let another = try one.client()
        another.write(request("another"))
        one.turn()
        #expect(another.read()?.hasPrefix("HTTP/1.1 503 ") == true)
        upstream.write(okResponse)
        one.turn()
        #expect(clients[0].read()?.hasSuffix("ok") == true)
        other.turn()
        other.turn()
        #expect(waiting(&other) == 0)
        #expect(try #require(a.accept()).read()?.hasPrefix("GET /late ") == true)
    }

    @Test func whoLeavesLeavesTheQueueInOrder() throws {
        for leaving in 1...3 {
            let a = try PeerServer()
            var rig = try Rig(snapshot([a.endpoint("a")]))
            let (clients, upstream) = try crowd(&rig, 4, a)
            let c = Int32(leaving)
            rig.connections.perform(rig.connections.clients[c].exchange.clientFailed(), c)
            #expect(waiting(&rig) == 2 && clients[leaving].read() == nil)
            for i in 1...3 where i != leaving {
                upstream.write(okResponse)
                rig.turn()
                rig.turn()
                #expect(upstream.read()?.hasPrefix("GET /\(i) ") == true)
            }
            #expect(rig.connections.waitingServices.isEmpty && waiting(&rig) == 0)
        }
    }

    @Test func changesOfEndpointsAndServicesReachThoseWhoWait() throws {
        // Another endpoint comes: whoever waits goes there.
        let a = try PeerServer(), b = try PeerServer()
        var rig = try Rig(snapshot([a.endpoint("a")]))
        let (clients, upstream) = try crowd(&rig, 3, a)
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [a.endpoint("a"), b.endpoint("b")])])
        rig.turn()
        rig.turn()
        let atB = try #require(b.accept())
        #expect(atB.read()?.hasPrefix("GET /1 ") == true && waiting(&rig) == 1)
        // The limit is lifted.
        rig.connections.adopt(snapshot([a.endpoint("a"), b.endpoint("b")], limit: 0))
        rig.turn()
        #expect(waiting(&rig) == 0 && rig.connections.telemetry().services[0].inFlight == 3)
        // And set again, with three under way; the next one waits, until nobody is left to wait for.
        rig.connections.adopt(snapshot([a.endpoint("a"), b.endpoint("b")], limit: 1))
        let late = try rig.client()
        late.write(request("late"))
        rig.turn()
        #expect(waiting(&rig) == 1)
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [])])
        rig.turn()
        #expect(late.read()?.hasPrefix("HTTP/1.1 503 ") == true && waiting(&rig) == 0)
        #expect(rig.logged().contains("\"outcome\":\"no_endpoint\""))
        upstream.write(okResponse)
        rig.turn()
        #expect(clients[0].read()?.hasSuffix("ok") == true)
    }

    @Test func aServiceThatIsGoneAndAWorkerThatLeavesEndTheWait() throws {
        for isGone in [true, false] {
            let a = try PeerServer()
            var rig = try Rig(snapshot([a.endpoint("a")]))
            let (clients, upstream) = try crowd(&rig, 2, a)
            if isGone {
                rig.connections.adopt(Snapshot(generation: 2))
                rig.turn()
                #expect(clients[1].read()?.hasPrefix("HTTP/1.1 503 ") == true)
                upstream.write(okResponse)
                rig.turn()
                #expect(clients[0].read()?.hasSuffix("ok") == true)
                #expect(rig.connections.directory.services.count == 0 && rig.connections.directory.endpoints.count == 0)
            } else {
                rig.connections.beginDraining(inHurry: true)
                upstream.write(okResponse)
                rig.turn()
                #expect(clients[0].read()?.contains("Connection: close") == true)
                rig.turn()
                rig.turn()
                #expect(upstream.read()?.hasPrefix("GET /1 ") == true)
                #expect(rig.connections.endAll().cutExchanges == 1 && rig.connections.waitingServices.isEmpty)
            }
        }
    }

    @Test func aWorkerThatEndsCutsThoseWhoWait() throws {
        let a = try PeerServer()
        let loads = SharedLoads()
        do {
            var rig = try Rig(snapshot([a.endpoint("a")]), loads: loads)
            let (clients, _) = try crowd(&rig, 3, a)
            #expect(rig.connections.endAll().cutExchanges == 3 && rig.connections.waitingServices.isEmpty)
            #expect(clients[2].read() == nil)
        }
        #expect(loads.count == 0)
    }

    @Test func everyKindOfOutcomeHasItsCount() {
        var counts = OutcomeCounts()
        for kind in Outcome.Kind.allCases { counts[kind] += 1 }
        #expect(Outcome.Kind.allCases.allSatisfy { counts[$0] == 1 })
    }
}
