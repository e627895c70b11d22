// TLS towards endpoints while things change: tunnels, drains, handoffs, reloads, long bodies, ends that are none.

import Foundation
import ProxyCore
import TestTools
import Testing

@Suite("TLS to upstreams, while things change")
struct UpstreamTLSLifeTests {
    private static let upgrade = request(
        "/app/ws", host: "n.test",
        fields: "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n")
    private static let switching =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

    /// A WebSocket from its client through proxy and nginx to the application.
    private static func webSocket(_ port: UInt16, _ upstream: SecureUpstream) throws -> (client: Peer, app: Peer) {
        let client = try Peer(connectedTo: port)
        client.says(upgrade)
        let app = try upstream.app.accepts()
        _ = try app.hearsRequest()
        app.says(switching)
        guard try client.hearsAnswer().head.status == 101 else { throw StageError("no tunnel") }
        return (client, app)
    }

    @Test("a WebSocket carries long frames both ways, and either side's end")
    func tunnel() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let proxy = try upstream.proxy("\(upstream.ca), serverName: \"back.test\"", port: port, admin: admin)
            for isClientFirst in [true, false] {
                let (client, app) = try Self.webSocket(port, upstream)
                // A frame of binary data that is longer than many records, and goes beyond every buffer on the way.
                let frame: [UInt8] = [0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 0]
                let long = frame + (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 7) }
                client.saysMeanwhile(long)
                #expect(app.hears(long.count, within: .seconds(20)) == long)
                app.saysMeanwhile(long)
                #expect(client.hears(long.count, within: .seconds(20)) == long)
                let (first, second) = isClientFirst ? (client, app) : (app, client)
                first.socket.close()
                #expect(second.hearsEnd())
            }
            #expect(proxy.exitStatus() == nil)
        }
    }

    @Test("a drain lets an exchange end and tells a WebSocket's both sides with Close 1001")
    func drain() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let text = upstream.text("\(upstream.ca), serverName: \"back.test\"", port: port, admin: admin)
                .replacing("handoff:", with: "drain: { timeout: \"5s\" }, handoff:")
            let proxy = try ProxyProcess(configuration: text, awaiting: [port])
            let (client, app) = try Self.webSocket(port, upstream)
            let busy = try Peer(connectedTo: port)
            busy.says(request("/app/slow", host: "n.test"))
            let slow = try upstream.app.accepts()
            _ = try slow.hearsRequest()
            proxy.signal(SIGTERM)
            #expect(proxy.awaitOutput("\"event\":\"draining\""))
            slow.says(answer("late", fields: "Connection: close\r\n"))
            let late = try busy.hearsAnswer()
            #expect(late.body == Array("late".utf8) && late.head.members("Connection").contains("close"))
            // RFC 6455 §5.5.1: to the client in the clear, to the upstream under a mask.
            #expect(client.hears(4) == [0x88, 2, 3, 0xE9])
            let toApp = app.hears(8)
            #expect(toApp.count == 8 && toApp[0] == 0x88 && toApp[1] == 0x82)
            #expect(toApp.count == 8 && toApp[6] ^ toApp[2] == 3 && toApp[7] ^ toApp[3] == 0xE9)
            #expect(proxy.awaitExit(within: .seconds(10)) == 0)
        }
    }

    @Test("a successor takes over under load, and nothing is lost: neither requests nor the tunnel that was open")
    func handoff() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let name = "@hdproxy-test/\(UUID().uuidString)"
            let text = upstream.text(try upstream.identity("anna"), port: port, admin: admin)
                .replacing("handoff: { socket: \"\" }", with: "handoff: { socket: \"\(name)\", confirm: \"1s\" }")
            let first = try ProxyProcess(configuration: text, awaiting: [port])
            let (client, app) = try Self.webSocket(port, upstream)
            let load = Load(on: port, host: "n.test")
            try load.awaitAnswers(100)
            let next = try ProxyProcess(configuration: text, awaiting: [])
            #expect(next.awaitOutput("\"event\":\"taken_over\"", within: .seconds(20)))
            #expect(first.awaitOutput("\"event\":\"handed_over\"", within: .seconds(20)))
            try load.awaitAnswers(100)
            // The old process lives on for the tunnel, which goes on as if nothing had been.
            client.socket.send([0x82, 2, 1, 2])
            #expect(app.hears(4) == [0x82, 2, 1, 2])
            app.socket.send([0x82, 1, 3])
            #expect(client.hears(3) == [0x82, 1, 3])
            client.socket.close()
            #expect(app.hearsEnd())
            #expect(first.awaitExit(within: .seconds(20)) == 0)
            try load.awaitAnswers(50)
            let report = load.stop()
            #expect(report.failures.isEmpty, "\(report.failures.prefix(3))")
            #expect(report.answers.keys.sorted() == ["CN=anna"])
            next.stop()
        }
    }

    @Test("a reload from plain to TLS and back loses no request, and sends none on the wrong kind of connection")
    func turns() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let secure = upstream.text(try upstream.identity("anna"), port: port, admin: admin)
            let plain = secure.replacing("127.0.0.1:\(upstream.port)", with: "127.0.0.1:\(upstream.nginx.port)")
                .replacing("scheme: \"https\",", with: "").replacing(/tls: \{[^}]*\}, retry/, with: "retry")
            try #require(!plain.contains("https") && !plain.contains("tls:"))
            try Data("plain".utf8).write(to: upstream.nginx.folder.appending(path: "files/index.html"))
            let proxy = try ProxyProcess(configuration: secure, awaiting: [port])
            let load = Load(on: port, host: "n.test")
            try load.awaitAnswers(50)
            for (turn, text) in [plain, secure, plain, secure].enumerated() {
                try Data(text.utf8).write(to: proxy.configurationFile, options: .atomic)
                #expect(proxy.awaitOutput("\"generation\":\(turn + 2)"))
                try load.awaitAnswers(50)
            }
            let report = load.stop()
            #expect(report.failures.isEmpty, "\(report.failures.prefix(3))")
            #expect(report.answers.keys.sorted() == ["CN=anna", "plain"], "\(report.answers)")
        }
    }

    @Test("services that share an endpoint and are somebody else to it never share a connection, reloads included")
    func pools() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let anna = try upstream.identity("anna"), berta = try upstream.identity("berta")
            func text(_ a: String, _ b: String) -> String {
                func service(_ tls: String) -> String {
                    "endpoints: [ \"127.0.0.1:\(upstream.port)\" ], scheme: \"https\", tls: { \(tls) }, timeouts: { connect: \"10s\" }"
                }
                return configuration(
                    listeners: [port], services: ["a": service(a), "b": service(b)],
                    more: "admin: { address: \"127.0.0.1:\(admin)\", socket: \"\" }, handoff: { socket: \"\" },")
            }
            let proxy = try ProxyProcess(configuration: text(anna, berta), awaiting: [port])
            let client = try Peer(connectedTo: port)
            func expect(_ service: String, _ name: String) throws {
                client.says(request(host: "\(service).test"))
                let told = try client.hearsAnswer(within: .seconds(15)).body.latin1
                #expect(told == "CN=\(name)", "to \(service)")
            }
            for round in 0..<4 {
                for _ in 0..<25 {
                    try expect("a", round % 2 == 0 ? "anna" : "berta")
                    try expect("b", round % 2 == 0 ? "berta" : "anna")
                }
                let next = round % 2 == 0 ? text(berta, anna) : text(anna, berta)
                try Data(next.utf8).write(to: proxy.configurationFile, options: .atomic)
                #expect(proxy.awaitOutput("\"generation\":\(round + 2)"))
            }
        }
    }

    @Test("a long body goes up through nginx whole, and another one down", arguments: [true, false])
    func bodies(isChunked: Bool) async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let proxy = try upstream.proxy("\(upstream.ca), serverName: \"back.test\"", port: port, admin: admin)
            let client = try Peer(connectedTo: port)
            client.saysMeanwhile(Self.message("POST /app/both HTTP/1.1\r\nHost: n.test", Self.up, isChunked))
            let app = try upstream.app.accepts(within: .seconds(30))
            let heard = try app.hearsRequest(within: .seconds(30))
            #expect(heard.isComplete && heard.body == Self.up)
            app.saysMeanwhile(Self.message("HTTP/1.1 200 OK", Self.down, isChunked))
            let told = try client.hearsAnswer(to: "POST", within: .seconds(30))
            #expect(told.isComplete && told.body == Self.down)
            #expect(proxy.exitStatus() == nil)
        }
    }

    @Test("an answer that begins before the request's body has come does not keep that from coming")
    func crossing() async throws {
        try await onThread {
            let stage = try ScriptedUpstream()
            let client = try Peer(connectedTo: stage.port)
            let asks = Self.message("POST /both HTTP/1.1\r\nHost: a.test", Self.up, false)
            client.saysMeanwhile(asks)
            let server = try stage.accepts()
            let answers = Self.message("HTTP/1.1 200 OK", Self.down, false)
            // As much as the client's and the proxy's buffers hold at least; nobody reads it yet.
            let first = 100_000
            try server.says(Array(answers.prefix(first)))
            let heard = server.hears(Self.up.count)
            #expect(heard.suffix(1000) == Self.up.suffix(1000) && heard.count > Self.up.count)
            let begun = client.hears(1000)
            #expect(begun.starts(with: Array("HTTP/1.1 200 OK\r\n".utf8)))
            client.socket.unread = begun + client.socket.unread
            // Its end is read only now, so that what is left has to wait for the client.
            let reading = Locked<[UInt8]?>(nil)
            let fd = client.socket.fd
            let unread = client.socket.unread
            Detached {
                let copy = Peer(LoopbackSocket(adopting: fcntl(fd, F_DUPFD_CLOEXEC, 0)))
                copy.socket.unread = unread
                let told = try? copy.hearsAnswer(to: "POST", within: .seconds(30))
                reading.withLock { $0 = told?.isComplete == true ? told?.body : [] }
            }.start()
            try server.says(Array(answers.suffix(answers.count - first)))
            let deadline = Deadline.after(.seconds(30))
            while reading.withLock({ $0 }) == nil, deadline > .now { usleep(1000) }  // Another thread reads.
            #expect(reading.withLock { $0 } == Self.down)
        }
    }

    private static let up = (0..<(6 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 131 >> 5) }
    private static let down = Array(up.reversed())

    /// A message that begins with `start`, with this body.
    private static func message(_ start: String, _ body: [UInt8], _ isChunked: Bool) -> [UInt8] {
        if !isChunked { return Array("\(start)\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body }
        let chunks = stride(from: 0, to: body.count, by: 50_000).flatMap { at in
            let piece = body[at..<min(at + 50_000, body.count)]
            return Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8)
        }
        return Array("\(start)\r\nTransfer-Encoding: chunked\r\n\r\n".utf8) + chunks + Array("0\r\n\r\n".utf8)
    }

    // MARK: Ends

    /// How an upstream ends an answer.
    enum Ending: String, CaseIterable, Sendable {
        case untilClose = "HTTP/1.1 200 OK\r\n\r\nthe whole"
        case length = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nthe whole"
        case chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nthe whole\r\n"
    }

    @Test(
        "an answer whose connection ends without TLS's own end is cut for the client, too", arguments: Ending.allCases)
    func truncated(_ ending: Ending) async throws {
        try await onThread {
            let stage = try ScriptedUpstream()
            for isHonest in [true, false] {
                for version in ["HTTP/1.1", "HTTP/1.0"] {
                    let client = try Peer(connectedTo: stage.port)
                    client.says("GET / \(version)\r\nHost: a.test\r\n\r\n")
                    let server = try stage.accepts()
                    _ = try server.hears("\r\n\r\n")
                    try server.says(ending.rawValue)
                    if isHonest { server.finishes() }
                    server.socket.close()
                    let told = try? client.hearsAnswer()
                    let isWhole = told?.isComplete == true && client.socket.ending != .reset
                    // Where only the end marks the end, TLS has to say it (RFC 9112 §9.8); the others tell by themselves.
                    #expect(isWhole == (isHonest && ending == .untilClose), "\(isHonest) \(version): \(told as Any)")
                    if let told, told.head.status == 200 { #expect(Array("the whole".utf8).starts(with: told.body)) }
                }
            }
        }
    }

    @Test("openssl's own server is heard to its end, and seen to be cut where it is killed before that")
    func killed() async throws {
        try await onThread {
            let certificates = try CertificateFolder()
            _ = try certificates.server("back", for: ["back.test"])
            let (back, port) = (try freePort(), try freePort())
            let whole = Data((0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 7) | 1 })
            try whole.write(to: certificates.folder.appending(path: "file"))
            let server = try spawnTool(
                [
                    "sh", "-c",
                    "cd '\(certificates.folder.path)' && exec openssl s_server -quiet -WWW "
                        + "-accept 127.0.0.1:\(back) -cert back.pem -key back-key.pem",
                ], output: certificates.folder.appending(path: "output").path)
            var isRunning = true
            defer {
                if isRunning { kill(server, SIGKILL) }
                waitpid(server, nil, 0)
            }
            let deadline = Deadline.after(.seconds(10))
            while (try? Peer(connectedTo: back)) == nil {
                guard deadline > .now else { throw StageError("openssl s_server does not listen") }
                usleep(5_000)  // Nothing tells that a port has begun to listen.
            }
            let proxy = try ProxyProcess(
                configuration: configuration(
                    listeners: [port],
                    services: [
                        "a": """
                        endpoints: [ "127.0.0.1:\(back)" ], scheme: "https",
                        tls: { ca: "\(certificates.path("ca"))", serverName: "back.test" }
                        """
                    ]), awaiting: [port])
            // It serves one after the other, and closes after each.
            let client = try Peer(connectedTo: port)
            client.says(request("/file"))
            let told = try client.hearsAnswer(within: .seconds(30))
            #expect(told.isComplete && told.body == Array(whole))
            // So little is read of the second one that most of it is still there when it dies.
            let slow = try Peer(connectedTo: port, receiveBuffer: 4096)
            slow.says(request("/file"))
            #expect(slow.hears(1000, within: .seconds(20)).count == 1000)
            kill(server, SIGKILL)
            isRunning = false
            var rest = 1000
            while slow.socket.receive(until: .after(.seconds(20))) == .bytes {
                rest += slow.socket.unread.count
                if slow.socket.unread.count > 5 { slow.socket.unread.removeFirst(slow.socket.unread.count - 5) }
            }
            #expect(rest < whole.count && slow.socket.unread.suffix(5) != Array("0\r\n\r\n".utf8)[...])
            #expect(proxy.exitStatus() == nil)
        }
    }
}

/// An upstream that speaks TLS as a test tells it to, and a proxy before it.
private final class ScriptedUpstream {
    let port: UInt16
    private let listener: LoopbackListener
    private let context: TLSContext
    private let certificates: CertificateFolder
    private let proxy: ProxyProcess

    init() throws {
        certificates = try CertificateFolder()
        context = try TLSContext(
            server: certificates.authority.issue(.server, name: "back", dnsNames: ["back.test"]))
        listener = try LoopbackListener()
        port = try freePort()
        proxy = try ProxyProcess(
            configuration: configuration(
                listeners: [port],
                services: [
                    "a": """
                    \(endpoint(listener)), scheme: "https", retry: { attempts: 0 }, outlier: { consecutiveFailures: 0 },
                    tls: { ca: "\(certificates.path("ca"))", serverName: "back.test" }
                    """
                ]), awaiting: [port])
    }

    /// The next connection, after its handshake.
    func accepts() throws -> SecurePeer {
        guard let socket = listener.accept(until: .after(.seconds(30))) else { throw StageError("nobody connected") }
        return try SecurePeer(serving: socket, context)
    }
}
