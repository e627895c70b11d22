// How the program leaves: after a signal what is in flight is finished, and nothing is lost on the way.

import Glibc
import Testing

@Suite("Drain")
struct DrainTests {
    /// A proxy before one upstream, with little time to leave.
    private struct Scene {
        let port: UInt16
        let upstream: LoopbackListener
        let proxy: ProxyProcess

        init(drain: String = "{ timeout: \"3s\" }", more: String = "") throws {
            port = try freePort()
            upstream = try LoopbackListener()
            let text = configuration(
                listeners: [port], services: ["a": endpoint(upstream)],
                more: "\(more) drain: \(drain), timeouts: { keepAlive: \"60s\" }")
            proxy = try ProxyProcess(configuration: text, awaiting: [port])
        }

        /// A client with one exchange behind it.
        func acquaintance() throws -> Peer {
            let client = try Peer(connectedTo: port)
            client.says(request())
            let server = try upstream.accepts()
            _ = try server.hearsRequest()
            // The upstream's connection ends here, so that each acquaintance has one of its own.
            server.says(answer(fields: "Connection: close\r\n"))
            #expect(try client.hearsAnswer().head.status == 200)
            return client
        }

        /// A tunnel of `protocol`, from its client's end to its upstream's.
        func tunnel(_ name: String = "websocket") throws -> (client: Peer, server: Peer) {
            let client = try Peer(connectedTo: port)
            let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            client.says(request(fields: "Connection: Upgrade\r\nUpgrade: \(name)\r\n" + key))
            let server = try upstream.accepts()
            _ = try server.hearsRequest()
            server.says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: \(name)\r\n\r\n")
            guard try client.hearsAnswer().head.status == 101 else { throw StageError("no tunnel") }
            return (client, server)
        }

        /// Returns once new connections are refused.
        func awaitRefusal() -> Bool {
            let deadline = Deadline.after(.seconds(3))
            while deadline > .now {
                guard let peer = try? Peer(connectedTo: port) else { return true }
                peer.socket.reset()
                usleep(2_000)  // Nothing tells that a port is no longer listened on.
            }
            return false
        }
    }

    @Test("what is in flight is answered with Connection: close, new connections are refused, the exit status is 0")
    func inFlight() async throws {
        try await onThread {
            let scene = try Scene()
            let client = try Peer(connectedTo: scene.port)
            client.says(request("/slow"))
            let server = try scene.upstream.accepts()
            _ = try server.hearsRequest()
            scene.proxy.signal(SIGTERM)
            #expect(scene.awaitRefusal())
            server.says(answer("late"))
            let message = try client.hearsAnswer()
            #expect(message.body == Array("late".utf8) && message.isComplete)
            #expect(message.head.members("Connection").contains("close"))
            #expect(client.hearsEnd())
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0)
        }
    }

    @Test("an upload in flight arrives whole")
    func upload() async throws {
        try await onThread {
            let scene = try Scene()
            let client = try Peer(connectedTo: scene.port)
            client.says(request(method: "POST", fields: "Content-Length: 10\r\n") + "hello")
            let server = try scene.upstream.accepts()
            _ = server.reader.head(answering: nil, until: .after(.seconds(5)))
            scene.proxy.signal(SIGTERM)
            #expect(scene.awaitRefusal())
            client.says("world")
            #expect(server.reader.rest(until: .after(.seconds(5))).bytes == Array("helloworld".utf8))
            server.says(answer())
            #expect(try client.hearsAnswer(to: "POST").head.status == 200)
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0)
        }
    }

    @Test("a request that still comes on an open connection is answered, and then that connection ends")
    func lateRequest() async throws {
        try await onThread {
            let scene = try Scene()
            let client = try scene.acquaintance()
            scene.proxy.signal(SIGINT)
            #expect(scene.awaitRefusal())
            client.says(request("/2"))
            let server = try scene.upstream.accepts()
            let message = try server.hearsRequest()
            #expect(message.head.startLine == "GET /2 HTTP/1.1")
            server.says(answer("two"))
            let heard = try client.hearsAnswer()
            #expect(heard.body == Array("two".utf8))
            #expect(heard.head.members("Connection").contains("close"))
            #expect(client.hearsEnd())
            #expect(scene.proxy.awaitExit(within: .seconds(4)) == 0)
        }
    }

    @Test("silent connections are closed without a word before the time is over")
    func silent() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ timeout: \"1s\" }")
            let acquaintances = try (0..<5).map { _ in try scene.acquaintance() }
            scene.proxy.signal(SIGTERM)
            for client in acquaintances { #expect(client.hearsEnd(within: .seconds(3))) }
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0)
        }
    }

    @Test("with nothing to finish it leaves at once")
    func nothing() async throws {
        try await onThread {
            let scene = try Scene()
            let begin = ContinuousClock.now
            scene.proxy.signal(SIGTERM)
            #expect(scene.proxy.awaitExit(within: .seconds(3)) == 0)
            #expect(ContinuousClock.now - begin < .seconds(2))
        }
    }

    @Test("a request that does not end is cut when the time is over, and the exit status says so")
    func endless() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ timeout: \"500ms\" }")
            let client = try Peer(connectedTo: scene.port)
            client.says(request())
            let server = try scene.upstream.accepts()
            _ = try server.hearsRequest()
            scene.proxy.signal(SIGTERM)
            #expect(scene.proxy.awaitExit(within: .seconds(3)) == 1)
        }
    }

    @Test("a tunnel lives until the time is over and costs no exit status")
    func tunnel() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ timeout: \"1s\" }")
            let client = try Peer(connectedTo: scene.port)
            let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            client.says(request(fields: "Connection: Upgrade\r\nUpgrade: websocket\r\n" + key))
            let server = try scene.upstream.accepts()
            _ = try server.hearsRequest()
            server.says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            #expect(try client.hearsAnswer().head.status == 101)
            scene.proxy.signal(SIGTERM)
            #expect(scene.awaitRefusal())
            client.says("ping")
            #expect(server.socket.receive(until: .after(.seconds(2))) == .bytes)
            #expect(scene.proxy.awaitExit(within: .seconds(4)) == 0)
        }
    }

    @Test("told by the admin listener, it takes the SIGTERM that follows for the first one, and finishes what there is")
    func toldBeforeTheSignal() async throws {
        try await onThread {
            let adminPort = try freePort()
            let scene = try Scene(more: "admin: { address: \"127.0.0.1:\(adminPort)\", socket: \"\" },")
            let client = try Peer(connectedTo: scene.port)
            client.says(request("/slow"))
            let server = try scene.upstream.accepts()
            _ = try server.hearsRequest()
            // As a preStop hook does before the kubelet sends its signal.
            let hook = try Peer(connectedTo: adminPort)
            hook.says("POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            #expect(try hook.hearsAnswer(to: "POST").head.status == 202)
            #expect(scene.awaitRefusal())
            scene.proxy.signal(SIGTERM)
            server.says(answer("late"))
            #expect(try client.hearsAnswer().body == Array("late".utf8))
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0)
        }
    }

    @Test("a second signal ends it at once")
    func second() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ timeout: \"60s\" }")
            let client = try Peer(connectedTo: scene.port)
            client.says(request())
            _ = try scene.upstream.accepts().hearsRequest()
            scene.proxy.signal(SIGTERM)
            #expect(scene.awaitRefusal())
            scene.proxy.signal(SIGTERM)
            #expect(scene.proxy.awaitExit(within: .seconds(2)) != nil)
        }
    }

    // MARK: Rules of the clock

    /// Milliseconds from `begin` until each of the peers hears something, its end or a word.
    private func whenHeard(_ peers: [Peer], since begin: Deadline, within patience: Duration = .seconds(6)) -> [Double]
    {
        var waiting = peers.map(\.socket)
        var times: [Double] = []
        let deadline = Deadline.after(patience)
        while !waiting.isEmpty, let index = firstReadable(waiting, or: nil, until: deadline) {
            times.append(begin.duration(to: .now) / .milliseconds(1))
            waiting.remove(at: index)
        }
        return times
    }

    @Test("during the delay it goes on accepting, and every answer already says Connection: close")
    func delay() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ delay: \"1s\", timeout: \"3s\" }")
            let begin = Deadline.now
            scene.proxy.signal(SIGTERM)
            #expect(scene.proxy.awaitOutput("draining"))
            let client = try Peer(connectedTo: scene.port)
            client.says(request())
            let server = try scene.upstream.accepts()
            _ = try server.hearsRequest()
            server.says(answer())
            #expect(try client.hearsAnswer().head.members("Connection").contains("close"))
            let another = try Peer(connectedTo: scene.port)
            another.says(request(host: "nobody.test"))
            let own = try another.hearsAnswer().head
            #expect(own.status == 404 && own.members("Connection").contains("close"))
            #expect(scene.awaitRefusal())
            #expect(begin.duration(to: .now) >= .milliseconds(900))
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0, "nothing is left")
        }
    }

    @Test("silent connections are closed last, one after another over the final third")
    func silentSpread() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ timeout: \"3s\" }")
            // Half of them have never said a word.
            var clients = try (0..<10).map { _ in try scene.acquaintance() }
            for _ in 0..<10 { clients.append(try Peer(connectedTo: scene.port)) }
            let begin = Deadline.now
            scene.proxy.signal(SIGTERM)
            let times = whenHeard(clients, since: begin)
            #expect(times.count == 20)
            #expect(times.first ?? 0 >= 1950 && times.last ?? 9999 <= 3000, "\(times)")
            let closed = zip(times, times.dropFirst()).map { $1 - $0 }
            #expect(closed.max() ?? 999 < 300, "not all at once: \(times)")
            #expect((times.last ?? 0) - (times.first ?? 0) > 500, "\(times)")
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0)
        }
    }

    @Test(
        "a WebSocket lives to the deadline and ends with Close 1001 both ways; the tunnels are counted, the status is 0"
    )
    func webSocketClose() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ timeout: \"2s\" }")
            let (client, server) = try scene.tunnel()
            let begin = Deadline.now
            scene.proxy.signal(SIGTERM)
            #expect(scene.awaitRefusal())
            client.socket.send([0x81, 0x82, 1, 2, 3, 4, 0x69, 0x6B])
            #expect(server.hears(8, within: .seconds(2)).count == 8)
            // A frame that is only half there when the time comes is finished first, and nothing that follows it passes.
            server.socket.send([0x82, 0x04, 0xAA, 0xBB])
            #expect(client.hears(4, within: .seconds(2)) == [0x82, 0x04, 0xAA, 0xBB])
            let close = server.hears(8, within: .seconds(4))
            #expect(begin.duration(to: .now) >= .milliseconds(1750))
            try #require(close.count == 8 && close[0] == 0x88 && close[1] == 0x82)
            #expect([close[6] ^ close[2], close[7] ^ close[3]] == [0x03, 0xE9])
            server.socket.send([0xCC, 0xDD, 0x81, 0x01, 0x41])
            let last = client.hears(6, within: .seconds(2))
            #expect(last == [0xCC, 0xDD, 0x88, 0x02, 0x03, 0xE9])
            server.socket.send([0x88, 0x02, 0x03, 0xE9])
            client.socket.send([0x88, 0x82, 1, 2, 3, 4, 0x02, 0xEB])
            #expect(client.hearsEnd(within: .seconds(1)))
            client.socket.close()
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0)
            #expect(scene.proxy.output.contains("\"cut_requests\":0,\"cut_tunnels\":1"))
            #expect(begin.duration(to: .now) <= .milliseconds(4000))
        }
    }

    @Test("tunnels end spread out, those of other protocols with what they had still to say")
    func tunnelSpread() async throws {
        try await onThread {
            let scene = try Scene(drain: "{ timeout: \"3s\" }")
            let tunnels = try (0..<20).map { try scene.tunnel($0 % 2 == 0 ? "websocket" : "smoke-signals") }
            let begin = Deadline.now
            scene.proxy.signal(SIGTERM)
            let times = whenHeard(tunnels.map(\.client), since: begin)
            #expect(times.count == 20 && times.first ?? 0 >= 2650 && times.last ?? 9999 <= 3150, "\(times)")
            #expect((times.last ?? 0) - (times.first ?? 0) > 150, "\(times)")
            // None of them answers.
            #expect(scene.proxy.awaitExit(within: .seconds(2)) == 0)
            #expect(begin.duration(to: .now) <= .milliseconds(5000))
            #expect(scene.proxy.output.contains("\"cut_tunnels\":20"))
        }
    }

    @Test(
        "whatever still hangs on it, it is gone half a second after its time, and says what it cut",
        arguments: ["a request", "half a head"])
    func inTime(_ what: String) async throws {
        try await onThread {
            let scene = try Scene(drain: "{ delay: \"200ms\", timeout: \"800ms\" }")
            let client = try Peer(connectedTo: scene.port)
            let tunnel = try scene.tunnel()
            var kept: Peer?
            if what == "a request" {
                client.says(request())
                kept = try scene.upstream.accepts()
                _ = try kept?.hearsRequest()
            } else {
                client.says("GET / HTTP/1.1\r\nHo")
            }
            let begin = Deadline.now
            scene.proxy.signal(SIGTERM)
            #expect(scene.proxy.awaitExit(within: .seconds(3)) == 1)
            // A machine that is busy wakes nobody in time; without the rule it would not end at all.
            #expect(begin.duration(to: .now) <= .milliseconds(2900))
            #expect(scene.proxy.output.contains("\"cut_requests\":1,\"cut_tunnels\":1"), "\(scene.proxy.output)")
            for peer in [tunnel.client, tunnel.server, kept] { peer?.socket.close() }
        }
    }
}
