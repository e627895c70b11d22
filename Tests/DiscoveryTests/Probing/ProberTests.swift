import Glibc
import ProxyCore
import Testing

@testable import Discovery

// One after the other, because they measure time on the one control thread.
@Suite(.serialized, .timeLimit(.minutes(1))) struct ProberTests {
    init() { ControlThread.start() }

    private static let ok = "HTTP/1.1 200 OK\r\nX-Service: api\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    private static let sick = "HTTP/1.1 503 Sick\r\nX-Service: api\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    private static let identity = IdentitySpec(header: "X-Service", value: "api")

    private static func spec(
        path: String? = "/health", host: String? = nil, interval: Duration = .milliseconds(20),
        timeout: Duration = .seconds(5), healthyAfter: Int = 2, unhealthyAfter: Int = 3
    ) -> HealthSpec {
        HealthSpec(
            path: path, host: host, interval: interval, timeout: timeout, healthyAfter: healthyAfter,
            unhealthyAfter: unhealthyAfter)
    }

    private static func target(
        _ id: String, _ address: NetworkAddress, _ spec: HealthSpec = spec(), identity: IdentitySpec? = nil
    ) -> ProbeTarget {
        ProbeTarget(service: "api", id: EndpointID(id), address: address, health: spec, identity: identity)
    }

    /// The first thing that is told of an endpoint at `address`.
    @ControlThread
    private static func firstChange(
        _ address: NetworkAddress, _ spec: HealthSpec = spec(), identity: IdentitySpec? = nil
    ) async -> HealthChange? {
        let watch = Watch()
        watch.prober.update([target("1", address, spec, identity: identity)])
        await watch.heard.until { !watch.heard.changes.isEmpty }
        await watch.end()
        return watch.heard.changes.first
    }

    @Test("a probe is a GET with Host, User-Agent and Connection: close, and nothing more") @ControlThread
    func request() async throws {
        let requests = Requests()
        let peer = try Peer { visit in
            let text = await visit.request()
            // One that was called off may have connected already.
            if !text.isEmpty { requests.texts.append(text) }
            await visit.send(Self.ok)
        }
        #expect(await Self.firstChange(peer.address)?.health == .up)
        #expect(await Self.firstChange(peer.address, Self.spec(path: "/h?x=1", host: "api.example"))?.health == .up)
        let expected = [
            "GET /health HTTP/1.1\r\nHost: \(peer.address)\r\n", "GET /h?x=1 HTTP/1.1\r\nHost: api.example\r\n",
        ].map { $0 + "User-Agent: hdproxy-probe/1\r\nAccept: */*\r\nConnection: close\r\n\r\n" }
        #expect(Set(requests.texts) == Set(expected))
        peer.close()
    }

    @ControlThread private final class Requests {
        var texts: [String] = []
    }

    /// What a peer does, and what is found.
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var timeout: Duration = .seconds(5)
        let health: EndpointHealth
        let reason: String
        let behaviour: @ControlThread (Visit) async -> Void
    }

    static let cases: [Case] = [
        Case(testDescription: "answers 200", health: .up, reason: "status 200") { visit in
            _ = await visit.request()
            await visit.send(ok)
        },
        Case(testDescription: "answers 200 before it was asked", health: .up, reason: "status 200") { visit in
            await visit.send(ok)
            await visit.untilLeft()
        },
        Case(testDescription: "answers 200 and does not close", health: .up, reason: "status 200") { visit in
            _ = await visit.request()
            await visit.send(ok)
            await visit.untilLeft()
        },
        Case(testDescription: "answers 200 with a body that never ends", health: .up, reason: "status 200") { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK\r\n\r\n")
            while await visit.send(String(repeating: "x", count: 65_536)) {}
        },
        Case(testDescription: "answers 103, then 200", health: .up, reason: "status 200") { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            _ = await ControlThread.sleep(for: .milliseconds(10))
            await visit.send(ok)
        },
        Case(testDescription: "answers line by line", health: .up, reason: "status 200") { visit in
            _ = await visit.request()
            for line in ok.split(separator: "\r\n", omittingEmptySubsequences: false) {
                await visit.send(line + "\r\n")
                _ = await ControlThread.sleep(for: .milliseconds(1))
            }
        },
        Case(testDescription: "answers 503", health: .down, reason: "status 503") { visit in
            _ = await visit.request()
            await visit.send(sick)
        },
        Case(
            testDescription: "speaks another protocol", health: .down, reason: "malformed answer: bad_status_line"
        ) { visit in await visit.send("SSH-2.0-OpenSSH_9.2p1\r\n") },
        Case(
            testDescription: "closes without an answer", health: .down, reason: "connection closed without an answer"
        ) { visit in _ = await visit.request() },
        Case(
            testDescription: "closes within the head", health: .down,
            reason: "connection closed within the answer's head (after 15 bytes)"
        ) { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK")
        },
        Case(
            testDescription: "resets", health: .down, reason: "connection reset before an answer"
        ) { visit in
            _ = await visit.request()
            visit.reset()
        },
        Case(
            testDescription: "never answers", timeout: .milliseconds(250), health: .down,
            reason: "connected, no answer in time"
        ) { visit in await visit.untilLeft() },
        Case(
            testDescription: "stops within the head", timeout: .milliseconds(250), health: .down,
            reason: "connected, no whole answer in time (17 bytes of a head)"
        ) { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK\r\n")
            await visit.untilLeft()
        },
        Case(
            testDescription: "sends interim answers without end", health: .down, reason: "too many interim answers"
        ) { visit in
            _ = await visit.request()
            while await visit.send("HTTP/1.1 102 Processing\r\n\r\n") {}
        },
        Case(
            testDescription: "sends a head of megabytes", health: .down, reason: "malformed answer: header_too_large"
        ) { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK\r\nA: ")
            while await visit.send(String(repeating: "a", count: 65_536)) {}
        },
        Case(
            testDescription: "sends a long head byte by byte", health: .down,
            reason: "an answer in too many small pieces"
        ) { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK\r\nA: ")
            while await visit.send("a") { await visit.nextTurn() }
        },
    ]

    @Test("what an endpoint does to a probe becomes health and reason", arguments: cases) @ControlThread
    func findings(_ item: Case) async throws {
        let peer = try Peer(item.behaviour)
        let change = await Self.firstChange(peer.address, Self.spec(timeout: item.timeout))
        #expect(change?.health == item.health)
        #expect(change?.reason == item.reason)
        #expect(change?.service == "api" && change?.id == EndpointID("1") && change?.address == peer.address)
        peer.close()
    }

    @Test("a byte now and then does not move the deadline") @ControlThread
    func trickle() async throws {
        let peer = try Peer { visit in
            _ = await visit.request()
            for byte in Self.ok.prefix(40) {
                guard await visit.send(String(byte)) else { return }
                _ = await ControlThread.sleep(for: .milliseconds(20))
            }
            await visit.untilLeft()
        }
        let begin = Clock.now()
        let change = await Self.firstChange(peer.address, Self.spec(timeout: .milliseconds(250)))
        #expect(change?.health == .down)
        #expect(change?.reason.hasPrefix("connected, no whole answer in time") == true)
        #expect(Clock.now() - begin < .milliseconds(2000))
        peer.close()
    }

    @Test("where the thread comes much too late to read, nothing is said of the endpoint") @ControlThread
    func ownFault() async throws {
        let peer = try Peer { visit in
            _ = await visit.request()
            // Safety: a struct that lives for the call.
            var pause = timespec(tv_sec: 0, tv_nsec: 250_000_000)
            unsafe nanosleep(&pause, nil)
            await visit.untilLeft()
        }
        let watch = Watch()
        watch.prober.update([Self.target("1", peer.address, Self.spec(timeout: .milliseconds(50)))])
        while watch.prober.view("api", EndpointID("1"))?.lastReason == nil {
            _ = await ControlThread.sleep(for: .milliseconds(1))
        }
        let view = watch.prober.view("api", EndpointID("1"))
        #expect(view?.lastReason == "not probed: the control thread was busy" && view?.health == .unknown)
        #expect(watch.heard.changes.isEmpty && watch.prober.unknownCount == 1)
        await watch.end()
        peer.close()
    }

    @Test("a connect that fails for a reason of our own says nothing of the endpoint") @ControlThread
    func localCauses() {
        let exchange = ProbeExchange(Self.target("1", NetworkAddress(ip: IPAddress(v4: 1), port: 1)), now: Clock.now())
        #expect(exchange.open(.outOfPorts) == .inconclusive("no local port is left"))
        #expect(exchange.open(.exhausted(EMFILE)) == .inconclusive("Too many open files"))
        #expect(exchange.open(.failed(.refused)) == .failed(.refused))
        #expect(exchange.open(.failed(.timeout)) == .failed(.connectTimeout))
        #expect(exchange.open(.failed(.unreachable)) == .failed(.unreachable))
    }

    @Test("where nobody listens, or nobody accepts, an endpoint is down") @ControlThread
    func noConnection() async throws {
        let loopback = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0)
        let bound = try Socket.bound(to: loopback)
        let local = bound.localAddress()
        let address = try #require(local)
        for path in ["/", nil] {
            let change = await Self.firstChange(address, Self.spec(path: path))
            #expect(change?.health == .down && change?.reason == "connection refused")
        }
        // With a full queue the kernel lets connects wait.
        #expect(listen(bound.number, 0) == 0)
        let waiting = Waiting()
        for _ in 0..<4 { waiting.connect(to: address) }
        let change = await Self.firstChange(address, Self.spec(path: nil, timeout: .milliseconds(60)))
        #expect(change?.health == .down && change?.reason == "no connection in time")
    }

    @ControlThread private final class Waiting {
        private var first = Socket.none()
        private var rest: Waiting?
        func connect(to address: NetworkAddress) {
            if first.isOpen {
                let next = rest ?? Waiting()
                rest = next
                return next.connect(to: address)
            }
            if case .started(let socket) = Socket.connecting(to: address) { first = socket }
        }
    }

    @Test("without a path a connection is enough, and it is taken back by a reset") @ControlThread
    func tcp() async throws {
        let seen = Seen()
        let peer = try Peer { visit in seen.resets.append(await visit.wasReset()) }
        let change = await Self.firstChange(peer.address, Self.spec(path: nil), identity: Self.identity)
        #expect(change?.health == .up && change?.reason == "connected")
        // Whoever was reset before he was accepted is not even seen.
        #expect(seen.resets.allSatisfy { $0 })
        peer.close()
    }

    @ControlThread private final class Seen {
        var resets: [Bool] = []
    }

    @Test("after an answer the server closes first, and sees an end and no reset") @ControlThread
    func politeEnd() async throws {
        let seen = Seen()
        let peer = try Peer { visit in
            _ = await visit.request()
            await visit.send(Self.ok + String(repeating: "x", count: 20_000))
            seen.resets.append(await visit.wasReset())
        }
        #expect(await Self.firstChange(peer.address)?.health == .up)
        while seen.resets.isEmpty { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        #expect(seen.resets == [false])
        peer.close()
    }

    @Test("an endpoint goes down and comes back, each told once, with reason and latency") @ControlThread
    func thereAndBack() async throws {
        let peer = try Peer(answering: Self.ok)
        let watch = Watch()
        let heard = watch.heard
        watch.prober.update([Self.target("1", peer.address)])
        await heard.until { heard.changes.count == 1 }
        let visits = peer.visitCount
        peer.behaviour = { visit in
            _ = await visit.request()
            await visit.send(Self.sick)
        }
        await heard.until { heard.changes.count == 2 }
        #expect(peer.visitCount >= visits + 3)
        let down = watch.prober.view("api", EndpointID("1"))
        #expect(down?.health == .down && down?.lastReason == "status 503" && down?.isGhost == false)
        #expect(down.map { abs(Clock.wallMicroseconds() - $0.sinceMicroseconds) < 5_000_000 } == true)
        peer.behaviour = { visit in
            _ = await visit.request()
            await visit.send(Self.ok)
        }
        await heard.until { heard.changes.count == 3 }
        #expect(heard.changes.map(\.health) == [.up, .down, .up])
        #expect(heard.changes.map(\.reason) == ["status 200", "status 503", "status 200"])
        #expect(heard.changes.allSatisfy { ($0.latency ?? .zero) > .zero && ($0.latency ?? .zero) < .seconds(5) })
        #expect(watch.prober.view("api", EndpointID("2")) == nil)
        #expect(watch.prober.health("api", EndpointID("2")) == (.unknown, false))
        await watch.end()
        peer.close()
    }

    @Test("a stranger at the address is a ghost at once, told apart, and told anew when he looks different")
    @ControlThread
    func ghosts() async throws {
        let peer = try Peer(answering: Self.ok)
        let watch = Watch()
        let heard = watch.heard
        watch.prober.update([Self.target("1", peer.address, identity: Self.identity)])
        await heard.until { heard.changes.count == 1 }
        peer.behaviour = { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: close\r\n\r\n")
        }
        await heard.until { heard.ghosts.count >= 3 }
        #expect(heard.changes.map(\.health) == [.up, .down])
        #expect(heard.changes.last?.isGhost == true)
        #expect(heard.changes.last?.reason == "not this service: status 200, no X-Service, Server: nginx")
        #expect(heard.ghosts.map(\.isNew).prefix(3) == [true, false, false])
        #expect(heard.ghosts.first?.seen == "status 200, no X-Service, Server: nginx")
        #expect(heard.ghosts.first?.address == peer.address)
        peer.behaviour = { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK\r\nX-Service: dozzle\r\nConnection: close\r\n\r\n")
        }
        await heard.until { heard.ghosts.contains { $0.isNew && $0.seen == "status 200, X-Service: dozzle" } }
        #expect(watch.prober.health("api", EndpointID("1")) == (.down, true))
        peer.behaviour = { visit in
            _ = await visit.request()
            await visit.send(Self.ok)
        }
        await heard.until { heard.changes.last?.health == .up }
        #expect(watch.prober.health("api", EndpointID("1")) == (.up, false))
        await watch.end()
        peer.close()
    }

    @Test("who stays keeps what is known, who goes loses it in the same turn, and his address begins anew")
    @ControlThread
    func identities() async throws {
        let peer = try Peer(answering: Self.sick)
        let watch = Watch()
        let (heard, prober) = (watch.heard, watch.prober)
        let first = Self.target("uid-1", peer.address)
        prober.update([first])
        await heard.until { heard.changes.count == 1 }
        #expect(prober.health("api", first.id).health == .down)
        // The same once more, asked in another way: still down, nothing told.
        prober.update([Self.target("uid-1", peer.address, Self.spec(path: "/other"))])
        #expect(prober.health("api", first.id).health == .down)
        // Another pod at the same address.
        let second = Self.target("uid-2", peer.address)
        prober.update([second])
        #expect(prober.health("api", first.id).health == .unknown && prober.view("api", first.id) == nil)
        #expect(prober.view("api", second.id)?.health == .unknown && prober.unknownCount == 1)
        await heard.until { heard.changes.count == 2 }
        #expect(heard.changes.map(\.id) == [first.id, second.id])
        // The former pod again is a new one, too, and two services know nothing of each other.
        prober.update([first])
        #expect(prober.view("api", first.id)?.lastReason == nil)
        var elsewhere = first
        elsewhere.service = "web"
        prober.update("web", [elsewhere])
        await heard.until { heard.changes.count == 4 }
        #expect(Set(heard.changes.suffix(2).map(\.service)) == ["api", "web"])
        prober.update("web", [])
        #expect(prober.view("web", first.id) == nil && prober.view("api", first.id)?.health == .down)
        prober.update([])
        #expect(prober.view("api", first.id) == nil && prober.unknownCount == 0)
        await watch.end()
        peer.close()
    }

    @Test("a probe that is under way when its endpoint goes ends at once, and nobody hears of it") @ControlThread
    func goneInFlight() async throws {
        let answers = Gate()
        let peer = try Peer { visit in
            _ = await visit.request()
            await answers.passed()
            await visit.send(Self.ok)
        }
        let watch = Watch()
        watch.prober.update([Self.target("uid-1", peer.address)])
        while peer.openCount < 1 { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        watch.prober.update([Self.target("uid-2", peer.address, Self.spec(interval: .seconds(60)))])
        while peer.visitCount < 2 { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        #expect(watch.prober.underWay == 1)
        answers.open()
        await watch.heard.until { !watch.heard.changes.isEmpty }
        #expect(watch.heard.changes.map(\.id) == [EndpointID("uid-2")])
        await watch.end()
        peer.close()
    }

    @Test("a prober that ends leaves no probe behind, and goes on from there when it is run again") @ControlThread
    func ending() async throws {
        let peer = try Peer { visit in await visit.untilLeft() }
        let heard = Heard()
        let prober = Prober(version: "1", changed: { heard.hear($0) }, ghost: { heard.hear($0) })
        prober.update((0..<20).map { Self.target("\($0)", peer.address) })
        let first = ControlThread.spawn { await prober.run() }
        while peer.openCount < 20 { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        first.cancel()
        await first.value
        #expect(prober.underWay == 0)
        while peer.openCount > 0 { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        #expect(heard.changes.isEmpty, "a probe that was cut short says nothing")
        peer.behaviour = { visit in
            _ = await visit.request()
            await visit.send(Self.ok)
        }
        let second = ControlThread.spawn { await prober.run() }
        await heard.until { heard.changes.count == 20 }
        second.cancel()
        await second.value
        peer.close()
    }

    @Test("a thousand endpoints are probed with few sockets, and hanging ones do not delay the others")
    @ControlThread
    func crowd() async throws {
        // All of 127.0.0.0/8 is this machine: one listener is thousands of addresses.
        let well = try Peer(on: "0.0.0.0:0") { visit in
            _ = await visit.request()
            await visit.send(Self.ok)
        }
        let hung = try Peer(on: "0.0.0.0:0") { visit in await visit.untilLeft() }
        let watch = Watch(atOnceMax: 64)
        let (heard, prober) = (watch.heard, watch.prober)
        func target(
            _ kind: String, _ number: Int, _ peer: Peer, _ interval: Duration, _ timeout: Duration
        ) -> ProbeTarget {
            let address = NetworkAddress(ip: IPAddress(v4: 0x7F01_0000 + UInt32(number)), port: peer.address.port)
            return ProbeTarget(
                service: "\(kind)-\(number / 10)", id: EndpointID("\(kind)/\(address)"), address: address,
                health: Self.spec(interval: interval, timeout: timeout))
        }
        // First those that hang, until they are known.
        let hanging = (0..<200).map { target("hung", $0, hung, .milliseconds(500), .milliseconds(400)) }
        prober.update(hanging)
        await heard.until { Set(heard.changes.map(\.id)).count == 200 }
        #expect(heard.changes.allSatisfy { $0.health == .down })
        heard.forget()
        // Then a thousand that answer: were they to wait for places that others keep for 400 ms, it would take long. They
        // are asked no more often than a machine that does much else can.
        let answering = (0..<1000).map { target("well", $0, well, .seconds(4), .seconds(20)) }
        prober.update(hanging + answering)
        await heard.until { Set(heard.changes.lazy.filter { $0.health == .up }.map(\.id)).count == 1000 }
        #expect(heard.changes.allSatisfy { $0.health == .up })
        #expect(prober.unknownCount == 0)
        #expect(well.openMax <= 64 && hung.openMax <= 64 && prober.underWay <= 64)
        // All go: nothing is left.
        prober.update([])
        while prober.underWay > 0 || well.openCount > 0 || hung.openCount > 0 {
            _ = await ControlThread.sleep(for: .milliseconds(1))
        }
        await watch.end()
        well.close()
        hung.close()
    }

    @Test("what is told may change at once whom to probe") @ControlThread
    func reentrant() async throws {
        let peer = try Peer(answering: Self.ok)
        let heard = Heard()
        let holder = Holder()
        let prober = Prober(
            version: "1",
            changed: { changes in
                heard.hear(changes)
                holder.prober?.update(
                    changes.count < 5 && heard.changes.count < 5
                        ? [Self.target("\(heard.changes.count)", peer.address)] : [])
            }, ghost: { _ in })
        holder.prober = prober
        prober.update([Self.target("0", peer.address)])
        let task = ControlThread.spawn { await prober.run() }
        await heard.until { heard.changes.count == 5 }
        #expect(heard.changes.map(\.id.description) == ["0", "1", "2", "3", "4"])
        task.cancel()
        await task.value
        holder.prober = nil
        peer.close()
    }

    @ControlThread private final class Holder {
        var prober: Prober?
    }
}
