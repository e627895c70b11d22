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

        init(drain: String = "{ timeout: \"3s\" }") throws {
            port = try freePort()
            upstream = try LoopbackListener()
            let text = configuration(
                listeners: [port], services: ["a": endpoint(upstream)],
                more: "drain: \(drain), timeouts: { keepAlive: \"60s\" }")
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
}
