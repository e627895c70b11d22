import Synchronization
import Testing

@testable import ProxyCore

@Suite struct TelemetryTests {
    /// One GET to an endpoint that answers; its client and its connection stay open.
    private func exchange(_ rig: inout Rig, _ client: Peer, _ server: PeerServer) throws -> Peer {
        client.write(getRequest)
        rig.turn()
        rig.turn()
        let peer = try #require(server.accept())
        #expect(peer.read()?.hasPrefix("GET / ") == true)
        rig.now = rig.now + .milliseconds(3)
        peer.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true)
        return peer
    }

    @Test func aRequestIsCountedByRuleServiceMethodAndStatus() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        let peer = try exchange(&rig, client, a)
        client.write("BREW / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnow")
        rig.turn()
        #expect(peer.read()?.hasPrefix("BREW / ") == true)
        peer.write("HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n")
        rig.turn()
        let told = rig.connections.telemetry()
        let route = try #require(told.routes.first { $0.route == "*" })
        #expect(route.service == "s" && route.requestBytes == 3 && route.responseBytes > 100)
        #expect(
            Set(route.requests) == [
                RequestCount(method: .get, code: 200, count: 1), RequestCount(method: .other, code: 418, count: 1),
            ])
        #expect(route.duration.count == 2 && route.duration.counts[2] == 1 && route.duration.counts[0] == 1)
        let service = try #require(told.services.first)
        #expect(service.upstreamDuration.count == 2 && service.upstreamDuration.sumNanoseconds == 3_000_000)
        #expect(service.connected == 1 && service.idleConnections == 1 && service.activeConnections == 0)
        #expect(told.attempts.map(\.address) == [a.address] && told.attempts[0].outcomes[.ok] == 2)
        let endpoint = try #require(told.endpoints.first)
        #expect(endpoint.id.description == "a" && endpoint.idleConnections == 1 && endpoint.isCurrent)
        // The second answer took no time, but came too soon after the first one to count for much.
        #expect(endpoint.latencyNanoseconds.map { abs($0 - 3_000_000) <= 10_000 } == true)
        #expect(told.turn == rig.now && told.refusals.isEmpty)
    }

    @Test func whatIsUnderWayIsTold() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        var service = try #require(rig.connections.telemetry().services.first)
        #expect(service.inFlight == 1 && service.connectingConnections == 1 && service.activeConnections == 0)
        rig.turn()
        service = try #require(rig.connections.telemetry().services.first)
        #expect(service.inFlight == 1 && service.connectingConnections == 0 && service.activeConnections == 1)
        #expect(rig.connections.telemetry().endpoints.first?.inFlight == 1)
        #expect(rig.connections.telemetry().endpoints.first?.latencyNanoseconds == nil)
    }

    @Test func refusalsAreCountedByTheirWords() throws {
        var rig = try Rig(
            Snapshot(
                services: [Service(name: "empty", endpoints: [])],
                routes: [Route(host: .exact("empty"), action: .forward([WeightedService(service: 0)]))]))
        for text in ["GET / HTTP/1.1\r\nHost: no\r\n\r\n", "GET / HTTP/1.1\r\nHost: empty\r\n\r\n", "GET\r\n\r\n"] {
            let client = try rig.client()
            client.write(text)
            rig.turn()
            #expect(client.read()?.hasPrefix("HTTP/1.1 ") == true)
        }
        let silent = try rig.client()
        silent.write("GET ")
        rig.turn()
        rig.now = rig.now + .milliseconds(20_000)
        rig.turn()
        let told = rig.connections.telemetry()
        #expect(
            Dictionary(uniqueKeysWithValues: told.refusals.map { ($0.reason.description, $0.count) }) == [
                "no_route": 1, "no_endpoint": 1, "bad_request_line": 1, "header_timeout": 1,
            ])
        #expect(told.routes.first { $0.route == "empty" }?.requests.first?.code == 503)
        #expect(told.routes.first { $0.route.isEmpty }?.requests.map(\.code).sorted() == [400, 404, 408])
        #expect(told.attempts.isEmpty)
    }

    @Test func attemptsThatFailedAreCountedWhereTheyFailed() throws {
        let a = try PeerServer()
        let dead = try PeerServer().endpoint("dead")
        var rig = try Rig(Rig.snapshot([dead]))
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        // Another one is there before the failure shows.
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [dead, a.endpoint("a")])])
        rig.turn()
        rig.turn()
        let peer = try #require(a.accept())
        #expect(peer.read()?.hasPrefix("GET / ") == true)
        peer.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasSuffix("ok") == true)
        let told = rig.connections.telemetry()
        let outcomes = Dictionary(uniqueKeysWithValues: told.attempts.map { ($0.address, $0.outcomes) })
        #expect(outcomes[dead.address]?[.connectRefused] == 1 && outcomes[dead.address]?[.ok] == 0)
        #expect(outcomes[a.address]?[.ok] == 1 && outcomes[a.address]?[.connectRefused] == 0)
        let service = try #require(told.services.first)
        #expect(service.connectRefused == 1 && service.connected == 1)
        #expect(service.retriesAnswered == 1 && service.retriesFailed == 0)
    }

    @Test func aPooledConnectionThatTheUpstreamClosedIsAnAttemptToo() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("a")]))
        let client = try rig.client()
        do {
            let peer = try exchange(&rig, client, a)
            client.write(getRequest)
            rig.turn()
            #expect(peer.read()?.hasPrefix("GET / ") == true)
        }
        // The peer is gone with the request.
        rig.turn()
        rig.turn()
        let again = try #require(a.accept())
        #expect(again.read()?.hasPrefix("GET / ") == true)
        again.write(okResponse)
        rig.turn()
        let told = rig.connections.telemetry()
        #expect(told.attempts[0].outcomes[.ok] == 2 && told.attempts[0].outcomes[.upstreamReset] == 1)
        #expect(told.services[0].retriesAnswered == 1 && told.services[0].retriesFailed == 0)
    }

    @Test func countsOutliveAReloadAndForAWhileWhatTheyAreOf() throws {
        let a = try PeerServer()
        let snapshot = Rig.snapshot([a.endpoint("a")])
        var rig = try Rig(snapshot)
        let client = try rig.client()
        _ = try exchange(&rig, client, a)
        rig.connections.adopt(Snapshot(generation: 2))
        func count(_ told: WorkerTelemetry) -> [UInt64?] {
            [
                told.routes.first { $0.route == "*" }?.requests.first?.count, told.services.first?.connected,
                told.attempts.first?.outcomes[.ok],
            ]
        }
        #expect(count(rig.connections.telemetry()) == [1, 1, 1], "it can still be read")
        rig.now = rig.now + .milliseconds(599_000)
        rig.turn()
        rig.connections.adopt(snapshot)
        _ = try exchange(&rig, try rig.client(), a)
        #expect(count(rig.connections.telemetry()) == [2, 2, 2], "they go on under the same names")
        rig.connections.adopt(Snapshot(generation: 4))
        rig.now = rig.now + .milliseconds(600_000)
        rig.turn()
        #expect(count(rig.connections.telemetry()) == [nil, nil, nil])
    }

    @Test func aSeriesGoesOnWhenAnotherPodHasTheAddressButItsLatencyDoesNot() throws {
        let a = try PeerServer()
        var rig = try Rig(Rig.snapshot([a.endpoint("old")]))
        let client = try rig.client()
        _ = try exchange(&rig, client, a)
        rig.connections.adopt([EndpointsChange(service: "s", endpoints: [a.endpoint("new")])])
        let told = rig.connections.telemetry()
        #expect(told.attempts.count == 1 && told.attempts[0].outcomes[.ok] == 1)
        #expect(told.endpoints.map(\.id.description) == ["new"] && told.endpoints[0].latencyNanoseconds == nil)
    }

    @Test func clientsOfAListenerAreCounted() throws {
        var rig = try Rig(Snapshot())
        let listener = rig.connections.useListener("http")
        for _ in 0..<3 {
            _ = try connected(to: rig.front.address)
            guard case .connection(let socket, let address) = rig.front.socket.accept() else { continue }
            rig.connections.accepted(socket, from: address, listener: listener)
        }
        #expect(rig.connections.telemetry().listeners.first?.open == 3)
        rig.turn()
        let told = rig.connections.telemetry().listeners
        #expect(told.map(\.listener) == ["http"] && told[0].open == 0 && told[0].accepted == 3)
    }

    @Test func theSumOfTwoWorkersIsByName() {
        func worker(_ count: UInt64, latency: Int64?) -> WorkerTelemetry {
            var one = WorkerTelemetry()
            one.turn = Instant(nanoseconds: Int64(count))
            one.routes = [
                WorkerTelemetry.Route(
                    route: "r", service: "s", requests: [RequestCount(method: .get, code: 200, count: count)])
            ]
            one.services = [WorkerTelemetry.Service(service: "s", inFlight: Int(count), connected: count)]
            one.endpoints = [
                WorkerTelemetry.Endpoint(
                    service: "s", id: EndpointID("a"), address: loopback, isCurrent: true, inFlight: Int(count),
                    idleConnections: 1, latencyNanoseconds: latency)
            ]
            one.listeners = [WorkerTelemetry.ListenerClients(listener: "http", open: count, accepted: count)]
            one.refusals = [("no_route", count)]
            one.droppedLogLines = count
            return one
        }
        let sum = WorkerTelemetry.merged([worker(1, latency: 100), worker(2, latency: nil), worker(4, latency: 300)])
        #expect(sum.routes.count == 1 && sum.routes[0].requests == [RequestCount(method: .get, code: 200, count: 7)])
        #expect(sum.services.count == 1 && sum.services[0].inFlight == 7 && sum.services[0].connected == 7)
        #expect(sum.endpoints.count == 1 && sum.endpoints[0].inFlight == 7 && sum.endpoints[0].idleConnections == 3)
        #expect(sum.endpoints[0].latencyNanoseconds == 200, "the mean of those that know one")
        #expect(sum.listeners[0].open == 7 && sum.refusals[0].count == 7 && sum.droppedLogLines == 7)
        #expect(sum.turn == Instant(nanoseconds: 1))
    }

    @Test func everyKindOfOutcomeAndRejectionHasAPlace() {
        var totals = Totals()
        for rejection in Rejection.allCases { totals.refused(.rejected(rejection)) }
        let rejected = totals.refusals(.rejected)
        #expect(rejected == UInt64(Rejection.allCases.count))
        var counts = OutcomeCounts()
        for kind in Outcome.Kind.allCases { counts[kind] += 1 }
        #expect(Outcome.Kind.allCases.allSatisfy { counts[$0] == 1 })
    }
}

@Suite struct TelemetryReplyTests {
    @Test func theLastWorkerCompletesTheAnswer() throws {
        let told = Mutex<[Int]>([])
        let reply = TelemetryReply(2) { values in told.withLock { $0.append(values.count) } }
        reply.answer(WorkerTelemetry(), from: 0)
        #expect(told.withLock { $0 } == [] && reply.arrived.count == 1 && !reply.isComplete)
        reply.answer(WorkerTelemetry(), from: 1)
        #expect(told.withLock { $0 } == [2] && reply.arrived.count == 2 && reply.isComplete)
        reply.finish()
        #expect(told.withLock { $0 } == [2], "once")
    }

    @Test func aWorkerThatIsAnsweredForAtItsEndCountsOnce() {
        let reply = TelemetryReply(2)
        var early = WorkerTelemetry()
        early.droppedLogLines = 1
        reply.answer(early, from: 1)
        reply.answer(WorkerTelemetry(), from: 1)
        #expect(!reply.isComplete && reply.arrived[1]?.droppedLogLines == 1 && reply.arrived[0] == nil)
    }

    @Test func whoHasWaitedLongEnoughTakesWhatIsThere() {
        let told = Mutex<[Int]>([])
        let reply = TelemetryReply(2) { values in told.withLock { $0.append(values.count) } }
        reply.answer(WorkerTelemetry(), from: 0)
        reply.finish()
        reply.answer(WorkerTelemetry(), from: 1)
        #expect(told.withLock { $0 } == [1] && reply.arrived.count == 2)
    }

    @Test func aWorkerAnswersAtTheTopOfItsTurnAndSaysThatItTurns() throws {
        let mailbox = try Mailbox()
        var worker = try Worker(
            Snapshot(), sockets: [], mailbox: mailbox, cap: ConnectionCap(), log: AccessLog { _ in true })
        let reply = TelemetryReply(1)
        let before = Clock.now()
        let heartbeat = Heartbeat(Instant(nanoseconds: 0))
        mailbox.send(.report(reply, from: 0))
        mailbox.send(.ping(heartbeat))
        _ = worker.turn()
        #expect(reply.isComplete && (reply.arrived[0]?.turn ?? .never) >= before && heartbeat.lastTurn >= before)
    }

    @Test func aWorkerThatIsStuckFindsTheLatestQuestionsAfterEverythingElse() throws {
        let mailbox = try Mailbox()
        let replies = (0..<20).map { _ in TelemetryReply(1) }
        for reply in replies {
            mailbox.send(.report(reply, from: 0))
            mailbox.send(.ping(Heartbeat(Instant(nanoseconds: 0))))
        }
        mailbox.send(.drain(DrainSpec()))
        let mail = mailbox.take()
        #expect(mail.count == 10)
        guard case .drain = mail[0], case .report(let last, _) = mail[8], case .ping = mail[9] else {
            Issue.record("\(mail)")
            return
        }
        #expect(last === replies[19] && mailbox.take().isEmpty)
    }
}
