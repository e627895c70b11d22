// Who is the client, with the real program: what its log and its upstream are told, from a peer that is trusted and from
// one that is not, and whom a redirect to https sends away. curl is the peer; it chooses the address it comes from.

import Foundation
import TestTools
import Testing

@Suite("Trusted proxies, end to end")
struct TrustedProxyTests {
    private struct Scene {
        let port: UInt16
        let upstream: LoopbackListener
        let proxy: ProxyProcess

        /// Peers at 127.0.0.7 are trusted, at 127.0.0.8 they are strangers.
        init() throws {
            port = try freePort()
            upstream = try LoopbackListener()
            let routes = [
                "{ host: \"a.test\", service: \"a\" }",
                "{ host: \"secure.test\", service: \"a\", redirect: \"https\" }",
            ]
            proxy = try ProxyProcess(
                configuration: configuration(
                    listeners: [port], services: ["a": endpoint(upstream)], routes: routes,
                    more: "trustedProxies: [\"cloudflare\", \"127.0.0.7\"]"
                ).replacing("log: { access: false }", with: "log: { access: true }"), awaiting: [port])
        }

        /// Starts curl at `peer`; what it printed is a status line and fields.
        func curl(_ peer: String, _ host: String, _ fields: [String], to file: URL) throws -> pid_t {
            let lines = fields.flatMap { ["-H", $0] }
            let url = "http://127.0.0.1:\(port)/x?y"
            return try spawn(
                ["curl", "-sS", "-i", "--max-time", "20", "--interface", peer, "-H", "Host: \(host)"] + lines + [url],
                input: nil, output: file.path)
        }

        /// What the upstream hears of a request that is carried there.
        func heard(from peer: String, host: String = "a.test", _ fields: [String]) throws -> WireHead {
            try conversation(from: peer, host: host, fields).head
        }

        /// The same, with what curl is told.
        func conversation(
            from peer: String, host: String = "a.test", _ fields: [String]
        ) throws -> (head: WireHead, told: String) {
            let file = FileManager.default.temporaryDirectory.appending(path: "curl-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: file) }
            let pid = try curl(peer, host, fields, to: file)
            let server = try upstream.accepts()
            let head = try server.hearsRequest().head
            server.says(answer(fields: "Connection: close\r\n"))
            waitpid(pid, nil, 0)
            return (head, try String(contentsOf: file, encoding: .utf8))
        }

        /// What is answered to a request that is not carried on.
        func answered(to peer: String, _ fields: [String], host: String = "secure.test") throws -> String {
            let file = FileManager.default.temporaryDirectory.appending(path: "curl-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: file) }
            waitpid(try curl(peer, host, fields, to: file), nil, 0)
            return try String(contentsOf: file, encoding: .utf8)
        }
    }

    private static let forged = [
        "CF-Connecting-IP: 203.0.113.9", "CF-IPCountry: CH", "CF-Ray: abc-FRA", "X-Forwarded-For: 198.51.100.1",
        "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X_Forwarded_Proto: https",
        "True-Client-IP: 198.51.100.2",
        "X-Real-IP: 198.51.100.3", "Forwarded: for=198.51.100.4", "CF_Connecting_IP: 198.51.100.5",
        // CVE-2024-45410, CVE-2026-29054: who names our fields does not remove them.
        "Connection: x-forwarded-host, X-Forwarded-For, x-real-ip, X-Forwarded-Proto, cf-connecting-ip",
        "X-Middleware-Subrequest: middleware:middleware",
    ]

    @Test("a trusted peer is believed, a stranger is not, and both find the same names ours alone")
    func derivation() async throws {
        try await onThread {
            let scene = try Scene()
            let trusted = try scene.heard(from: "127.0.0.7", Self.forged)
            let stranger = try scene.heard(from: "127.0.0.8", Self.forged)
            for (head, client, proto) in [(trusted, "203.0.113.9", "https"), (stranger, "127.0.0.8", "http")] {
                #expect(head.values("X-Forwarded-For") == [client])
                #expect(head.values("X-Real-IP") == [client])
                #expect(head.values("X-Forwarded-Proto") == [proto])
                #expect(head.values("X-Forwarded-Host") == ["a.test"])
                for name in [
                    "True-Client-IP", "Forwarded", "X_Forwarded_Proto", "CF_Connecting_IP", "X-Middleware-Subrequest",
                ] {
                    #expect(head.values(name) == [], "\(name)")
                }
            }
            #expect(trusted.values("CF-Connecting-IP") == ["203.0.113.9"] && trusted.values("CF-IPCountry") == ["CH"])
            #expect(stranger.values("CF-Connecting-IP") == [] && stranger.values("CF-IPCountry") == [])
            let line = "\"client\":\"203.0.113.9\",\"peer\":\"127.0.0.7\""
            #expect(scene.proxy.awaitOutput(line) && scene.proxy.output.contains("\"cf_ray\":\"abc-FRA\""))
            #expect(scene.proxy.awaitOutput("\"client\":\"127.0.0.8\",\"peer\":\"127.0.0.8\""))
        }
    }

    @Test("the right-most entry of a list that is not trusted is the client")
    func list() async throws {
        try await onThread {
            let scene = try Scene()
            let head = try scene.heard(
                from: "127.0.0.7", ["X-Forwarded-For: 198.51.100.1, 203.0.113.9, 104.16.0.1, 127.0.0.7"])
            #expect(head.values("X-Forwarded-For") == ["203.0.113.9"])
        }
    }

    @Test("a redirect to https sends away what came without it, and never what came by it")
    func redirect() async throws {
        try await onThread {
            let scene = try Scene()
            for (peer, fields) in [
                ("127.0.0.7", ["X-Forwarded-Proto: http"]), ("127.0.0.7", []),
                ("127.0.0.8", ["X-Forwarded-Proto: https"]),
                ("127.0.0.7", ["X_Forwarded_Proto: https"]),
            ] {
                let said = try scene.answered(to: peer, fields)
                #expect(said.hasPrefix("HTTP/1.1 308 "), "\(peer) \(fields): \(said)")
                #expect(said.contains("\r\nLocation: https://secure.test/x?y\r\n"), "\(said)")
            }
            // Flexible: https for the visitor, http for us.
            let head = try scene.heard(from: "127.0.0.7", host: "secure.test", ["X-Forwarded-Proto: https"])
            #expect(head.values("X-Forwarded-Proto") == ["https"])
        }
    }

    // MARK: The request's id

    private static let longest = String(repeating: "y", count: 128)

    /// The request that `id` names is known by it to the upstream, to whoever asks, and in the log.
    private func expectKnown(by id: String, _ talk: (head: WireHead, told: String), _ scene: Scene) {
        #expect(talk.head.values("X-Request-Id") == [id])
        #expect(talk.told.contains("\r\nX-Request-Id: \(id)\r\n"), "\(talk.told)")
        #expect(scene.proxy.awaitOutput("\"event\":\"request\",\"id\":\"\(id)\","), "\(scene.proxy.output)")
    }

    @Test(
        "the id that a trusted peer gave a request is kept, for upstream, client and log",
        arguments: ["5f1c2c1e-0d7c-4a6f-8d4e-0a2b5b7f3c11", "z", longest])
    func requestID(id: String) async throws {
        try await onThread {
            let scene = try Scene()
            // Whoever names it in Connection does not remove it.
            let fields = ["x-request-ID: \(id)", "Connection: X-Request-Id"]
            expectKnown(by: id, try scene.conversation(from: "127.0.0.7", fields), scene)
            // In answers of our own, too, plain ones and JSON.
            let page = try scene.answered(to: "127.0.0.7", ["X-Request-Id: \(id)"], host: "nobody.test")
            #expect(page.contains("\r\nX-Request-Id: \(id)\r\n"), "\(page)")
            let json = try scene.answered(
                to: "127.0.0.7", ["X-Request-Id: \(id)", "Accept: application/json"], host: "nobody.test")
            let body = try #require(json.components(separatedBy: "\r\n\r\n").last)
            let object = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
            #expect(object?["request_id"] as? String == id, "\(json)")
            #expect(json.contains("\r\nContent-Length: \(body.utf8.count)\r\n"))
            // The next request on its own has one of ours again.
            let next = try scene.heard(from: "127.0.0.7", []).values("X-Request-Id")
            #expect(next.count == 1 && next[0].utf8.count == 32)
        }
    }

    @Test(
        "the id of a stranger is replaced, and what is no token, too long, or said twice, whoever says it",
        arguments: [
            ("127.0.0.8", ["X-Request-Id: theirs"]), ("127.0.0.7", ["X_Request_Id: theirs"]),
            ("127.0.0.7", ["X-Request-Id: theirs", "X-Request-Id: theirs2"]),
            ("127.0.0.7", ["X-Request-Id: theirs, b"]),
            ("127.0.0.7", ["X-Request-Id: \"theirs\""]), ("127.0.0.7", ["X-Request-Id: theirs\(longest)"]),
            ("127.0.0.7", ["X-Request-Id;"]),
        ])
    func ownRequestID(peer: String, fields: [String]) async throws {
        try await onThread {
            let scene = try Scene()
            let talk = try scene.conversation(from: peer, fields)
            let ids = talk.head.values("X-Request-Id")
            let isOurs = ids.count == 1 && ids[0].utf8.count == 32 && ids[0].allSatisfy(\.isHexDigit)
            #expect(isOurs, "\(ids)")
            expectKnown(by: ids.first ?? "", talk, scene)
            #expect(!talk.told.contains("theirs") && !scene.proxy.output.contains("theirs"))
        }
    }
}
