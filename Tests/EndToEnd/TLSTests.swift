// TLS at a listener, as openssl, curl and a WebSocket see it.

import Foundation
import ProxyCore
import TestTools
import Testing

/// A proxy with certificates of several kinds and names, and nginx behind it.
private final class SecureStage: Sendable {
    let certificates: CertificateFolder
    let nginx: Nginx
    let proxy: ProxyProcess
    let port: UInt16
    let adminPort: UInt16

    /// `more` goes into `tls`; `top` beside it.
    init(
        more: (CertificateFolder) throws -> String = { _ in "" }, top: String = "", log: Bool = false,
        handoff: String = "", workers: Int = 1
    ) throws {
        certificates = try CertificateFolder()
        let large = Data((0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 7) })
        nginx = try Nginx(port: try freePort(), files: ["small": Data("small".utf8), "large": large])
        let port = try freePort()
        let adminPort = try freePort()
        let ec = try certificates.server("ec", for: ["n.test", "*.w.test"])
        let rsa = try certificates.server("rsa", for: ["n.test"], key: .rsa)
        let other = try certificates.server("other", for: ["other.test", "*.o.test"])
        let tls = try more(certificates)
        proxy = try ProxyProcess(
            configuration: """
                {
                  workers: \(workers),
                  listeners: [ { name: "s", address: "127.0.0.1:\(port)",
                                 tls: { certificates: [ \(ec), \(rsa), \(other) ], \(tls) } } ],
                  services: { n: { endpoints: [ "127.0.0.1:\(nginx.port)" ] } },
                  routes: [ { host: "*", service: "n" } ],
                  log: { access: \(log) },
                  admin: { address: "127.0.0.1:\(adminPort)", socket: "" },
                  handoff: { socket: "\(handoff)" },
                  \(top)
                }
                """, awaiting: [port, adminPort])
        self.port = port
        self.adminPort = adminPort
    }

    /// What curl gets from `path` of `host`, and its exit status.
    func curl(_ arguments: String..., host: String = "n.test", path: String = "/told") throws -> (Int32, String) {
        try run(
            ["curl", "-sS", "--max-time", "60", "--cacert", certificates.path("ca")]
                + ["--resolve", "\(host):\(port):127.0.0.1"] + arguments + ["https://\(host):\(port)\(path)"])
    }

    /// What `openssl s_client` says while it asks for `path`, and its exit status.
    func openssl(_ arguments: String..., name: String? = "n.test", host: String? = nil) throws -> (Int32, String) {
        let names = name.map { ["-servername", $0] } ?? ["-noservername"]
        let request = "GET /told HTTP/1.1\r\nHost: \(host ?? name ?? "n.test")\r\nConnection: close\r\n\r\n"
        return try runTool(
            ["openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", certificates.path("ca"), "-ign_eof"]
                + names + arguments, input: request, within: .seconds(20))
    }

    private func run(_ command: [String]) throws -> (Int32, String) {
        let (status, output) = try runTool(command)
        return (status, output)
    }

    /// The samples of `name`.
    func metric(_ name: String) throws -> [String] {
        let (_, text) = try runTool(["curl", "-sS", "http://127.0.0.1:\(adminPort)/metrics"])
        return text.split(separator: "\n").filter { $0.hasPrefix(name + "{") }.map(String.init)
    }
}

@Suite("TLS")
struct TLSTests {
    @Test("curl gets small and large things both ways, over either version", arguments: ["1.2", "1.3"])
    func curl(version: String) async throws {
        try await onThread {
            let stage = try SecureStage(log: true)
            let only = "--tls-max", least = "--tlsv\(version)"
            #expect(try stage.curl(only, version, least) == (0, "https n.test"))
            let file = stage.nginx.folder.appending(path: "files/large").path
            let got = stage.nginx.folder.appending(path: "got").path
            #expect(try stage.curl(only, version, least, "-o", got, path: "/large").0 == 0)
            #expect(FileManager.default.contentsEqual(atPath: file, andPath: got))
            #expect(try stage.curl(only, version, least, "-T", file, path: "/takes") == (0, "taken"))
            let chunked = ["-H", "Transfer-Encoding: chunked"]
            #expect(
                try stage.curl(only, version, least, "-T", file, chunked[0], chunked[1], path: "/takes") == (0, "taken")
            )
            // Two on one connection.
            let url = "https://n.test:\(stage.port)/small"
            #expect(
                try stage.curl(only, version, least, "-w", "%{num_connects} ", url, path: "/small").1
                    == "small1 small0 ")
            // Whoever waited for the port has connected, and closed without a word.
            let handshakes = try stage.metric("hdproxy_tls_handshakes_total").filter { !$0.contains("client_closed") }
            #expect(handshakes == ["hdproxy_tls_handshakes_total{outcome=\"full\",version=\"\(version)\"} 5"])
            #expect(stage.proxy.awaitOutput("\"tls\":\"\(version)\",\"cipher\":\""))
            #expect(stage.proxy.output.contains("\"sni\":\"n.test\""))
        }
    }

    @Test("a client gets the certificate of the name that it asks for, with the kind of key that it knows")
    func certificates() async throws {
        try await onThread {
            let stage = try SecureStage()
            func subject(_ name: String?, _ more: String...) throws -> String {
                let (_, text) = try stage.openssl("-brief", more.first ?? "-brief", more.last ?? "-brief", name: name)
                let line = text.split(separator: "\n").first { $0.hasPrefix("Peer certificate: ") }
                return String(line?.dropFirst("Peer certificate: CN = ".count) ?? "none in: \(text)")
            }
            #expect(try subject("n.test") == "ec")
            #expect(try subject("N.TEST") == "ec")
            #expect(try subject("n.test", "-sigalgs", "RSA-PSS+SHA256") == "rsa")
            #expect(try subject("n.test", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256") == "ec")
            #expect(try subject("other.test") == "other")
            #expect(try subject("a.w.test") == "ec")
            #expect(try subject("a.o.test") == "other")
            // The default: for a name that nobody has, one label too many, and no name at all.
            #expect(try subject("unknown.test") == "ec")
            #expect(try subject("a.b.o.test") == "ec")
            #expect(try subject(".o.test") == "ec")
            #expect(try subject(nil) == "ec")
            let (_, old) = try stage.openssl("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
            #expect(old.contains("subject=CN = rsa") && old.contains("https n.test"))
        }
    }

    @Test("with strictSNI an unknown name, or none, is refused in the handshake, and another name's Host with 421")
    func strict() async throws {
        try await onThread {
            let stage = try SecureStage(more: { _ in "strictSNI: true" })
            #expect(try stage.openssl().1.contains("https n.test"))
            #expect(try stage.openssl(name: "a.w.test").1.contains("https a.w.test"))
            for name in ["unknown.test", "a.b.w.test", nil] {
                let (status, text) = try stage.openssl(name: name)
                #expect(status != 0 && text.contains("unrecognized name"), "\(text)")
            }
            #expect(try stage.openssl(host: "unknown.test").1.contains("HTTP/1.1 421 "))
            #expect(try stage.metric("hdproxy_tls_handshakes_total").contains { $0.contains("unknown_name") })
        }
    }

    @Test("TLS 1.1, a protocol that we do not speak, and plain HTTP are refused; renegotiation too")
    func refused() async throws {
        try await onThread {
            let stage = try SecureStage()
            let (status, old) = try stage.openssl("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            #expect(status != 0 && old.contains("alert protocol version"), "\(old)")
            #expect(try stage.openssl("-alpn", "h2,http/1.1").1.contains("ALPN protocol: http/1.1"))
            #expect(try stage.openssl("-alpn", "h2").1.contains("no application protocol"))
            let peer = try Peer(connectedTo: stage.port)
            peer.says("GET / HTTP/1.1\r\nHost: n.test\r\n\r\n")
            while peer.socket.receive(until: .after(.seconds(5))) == .bytes {}
            #expect(peer.socket.ending != nil)
            let (_, again) = try runTool(
                ["openssl", "s_client", "-connect", "127.0.0.1:\(stage.port)", "-tls1_2", "-servername", "n.test"],
                input: "R\n", within: .seconds(20))
            #expect(again.contains("no renegotiation"), "\(again)")
            #expect(!again.contains("Compression: zlib"))
            let words = try stage.metric("hdproxy_tls_handshakes_total").joined(separator: "\n")
            #expect(words.contains("no_common") && words.contains("plain_http"), "\(words)")
        }
    }

    // MARK: Client certificates

    private static func locked(_ certificates: CertificateFolder) -> String {
        let ca = certificates.path("ca")
        return "hosts: [ { host: \"locked.w.test\", clientCA: \"\(ca)\" }, "
            + "{ host: \"asked.w.test\", clientCA: \"\(ca)\", clientAuth: \"request\" } ]"
    }

    @Test("who needs a client certificate gets in with one that leads to the authority, and not otherwise")
    func clientCertificates() async throws {
        try await onThread {
            let stage = try SecureStage(more: Self.locked, log: true)
            let good = try stage.certificates.client("good")
            let wrong = try stage.certificates.client("wrong", of: CertificateAuthority(name: "test authority"))
            for version in ["-tls1_2", "-tls1_3"] {
                #expect(try stage.openssl(version).1.contains("https n.test"))
                #expect(
                    try stage.openssl(version, "-cert", good, name: "locked.w.test").1.contains("https locked.w.test"))
                let (_, none) = try stage.openssl(version, name: "locked.w.test")
                #expect(!none.contains("https locked") && none.contains("alert"), "\(none)")
                let (_, bad) = try stage.openssl(version, "-cert", wrong, name: "locked.w.test")
                #expect(!bad.contains("https locked") && bad.contains("alert"), "\(bad)")
                // Where it is only asked for, none will do, but a wrong one will not.
                #expect(try stage.openssl(version, name: "asked.w.test").1.contains("https asked.w.test"))
                #expect(try !stage.openssl(version, "-cert", wrong, name: "asked.w.test").1.contains("https asked"))
            }
            #expect(stage.proxy.output.contains("\"client_cert\":true"))
            let words = try stage.metric("hdproxy_tls_handshakes_total").joined(separator: "\n")
            #expect(words.contains("no_certificate") && words.contains("bad_certificate"), "\(words)")
        }
    }

    @Test("a request for a host whose clients need a certificate does not pass over another host's connection")
    func misdirected() async throws {
        try await onThread {
            let stage = try SecureStage(more: Self.locked)
            #expect(try stage.openssl(host: "locked.w.test").1.contains("HTTP/1.1 421 "))
            #expect(try stage.openssl(name: nil, host: "LOCKED.w.test:443").1.contains("HTTP/1.1 421 "))
            // A final dot makes it no other host to a route, and so none to the rule.
            #expect(try stage.openssl(host: "locked.w.test.").1.contains("HTTP/1.1 421 "))
            #expect(try stage.openssl(host: "Locked.w.test.:443").1.contains("HTTP/1.1 421 "))
            #expect(try !stage.openssl(name: "locked.w.test.", host: "locked.w.test").1.contains("https locked"))
            // Under the same rule any host will do.
            #expect(try stage.openssl(host: "else.test").1.contains("https else.test"))
        }
    }

    @Test(
        "a session does not carry anybody past another client-certificate rule (CVE-2025-23419, CVE-2025-23048)",
        arguments: ["-tls1_2", "-tls1_3"])
    func resumption(version: String) async throws {
        try await onThread {
            let stage = try SecureStage(more: Self.locked)
            let kept = stage.certificates.folder.appending(path: "session").path
            let (_, first) = try stage.openssl(version, "-sess_out", kept)
            #expect(first.contains("New, TLS") && first.contains("https n.test"))
            // The same rule: the session goes on.
            #expect(try stage.openssl(version, "-sess_in", kept).1.contains("Reused, TLS"))
            if version == "-tls1_3" {
                // A ticket is good for one connection, so that brings another (RFC 8446 §C.4).
                let next = stage.certificates.folder.appending(path: "next").path
                #expect(try stage.openssl(version, "-sess_in", kept, "-sess_out", next).1.contains("Reused, TLS"))
                #expect(try stage.openssl(version, "-sess_in", next).1.contains("Reused, TLS"))
            }
            // Another one: it does not, and the certificate is asked for.
            let (_, locked) = try stage.openssl(version, "-sess_in", kept, name: "locked.w.test")
            #expect(!locked.contains("Reused, TLS") && !locked.contains("https locked"), "\(locked)")
            #expect(!(try stage.openssl(version, "-sess_in", kept, name: "asked.w.test").1.contains("Reused, TLS")))
            // Nor does one that was verified go on where it was not.
            let good = try stage.certificates.client("good")
            let (_, verified) = try stage.openssl(version, "-cert", good, "-sess_out", kept, name: "locked.w.test")
            #expect(verified.contains("https locked.w.test"))
            #expect(try stage.openssl(version, "-sess_in", kept, name: "locked.w.test").1.contains("Reused, TLS"))
            #expect(!(try stage.openssl(version, "-sess_in", kept, name: "n.test").1.contains("Reused, TLS")))
        }
    }

    @Test("a ticket of one worker is good at each of the others", arguments: ["-tls1_2", "-tls1_3"])
    func tickets(version: String) async throws {
        try await onThread {
            let stage = try SecureStage(workers: 3)
            let kept = stage.certificates.folder.appending(path: "session").path
            #expect(try stage.openssl(version, "-sess_out", kept).1.contains("New, TLS"))
            // The kernel deals connections out; some come to another worker than the first.
            for _ in 0..<12 { #expect(try stage.openssl(version, "-sess_in", kept).1.contains("Reused, TLS")) }
        }
    }

    @Test("nothing is taken before the handshake is over: no 0-RTT is offered")
    func earlyData() async throws {
        try await onThread {
            let stage = try SecureStage()
            let (_, text) = try stage.openssl("-tls1_3")
            #expect(text.contains("Max Early Data: 0") && !text.contains("Max Early Data: 1"), "\(text)")
            let kept = stage.certificates.folder.appending(path: "session").path
            let data = stage.certificates.folder.appending(path: "early").path
            try Data("GET /early HTTP/1.1\r\nHost: n.test\r\n\r\n".utf8).write(to: URL(fileURLWithPath: data))
            _ = try stage.openssl("-tls1_3", "-sess_out", kept)
            let (_, early) = try stage.openssl("-tls1_3", "-sess_in", kept, "-early_data", data)
            #expect(!early.contains("Early data was accepted"), "\(early)")
        }
    }

    @Test("TLS 1.2 is refused where the least version is 1.3")
    func leastVersion() async throws {
        try await onThread {
            let stage = try SecureStage(more: { _ in "minimumVersion: \"1.3\"" })
            #expect(try stage.openssl("-tls1_3").1.contains("https n.test"))
            let (status, old) = try stage.openssl("-tls1_2")
            #expect(status != 0 && old.contains("alert protocol version"), "\(old)")
        }
    }

    @Test("files that change are seen wherever they lie: authorities, which decide from then on, and a key alone")
    func authorities() async throws {
        try await onThread {
            // Each in a folder of its own, so that nobody else's change wakes the watch.
            let (certificates, keys) = (try CertificateFolder(), try CertificateFolder())
            let clientCA = try certificates.write("clients", certificates.authority.certificate)
            let chain = try CertificateFolder()
            let pair = try chain.authority.issue(.server, name: "first", dnsNames: ["key.test"])
            let certificate = try chain.write("chain", pair.certificateChain)
            let key = try keys.write("key", pair.key)
            let stage = try SecureStage(more: { _ in
                "clientCA: \"\(clientCA)\", hosts: [ { host: \"key.test\", clientAuth: \"off\", "
                    + "certificates: [ { certificate: \"\(certificate)\", key: \"\(key)\" } ] } ]"
            })
            let next = try chain.authority.issue(.server, name: "second", dnsNames: ["key.test"])
            try chain.write("chain", next.certificateChain)
            #expect(stage.proxy.awaitOutput("key values mismatch"))
            try keys.write("key", next.key)
            #expect(stage.proxy.awaitOutput("\"event\":\"certificates\",\"outcome\":\"applied\",\"listeners\":\"s\""))
            #expect(try stage.openssl("-brief", name: "key.test").1.contains("Peer certificate: CN = second"))
            let old = try certificates.client("old")
            let newAuthority = try CertificateAuthority(name: "new authority")
            let new = try certificates.client("new", of: newAuthority)
            #expect(try stage.curl("--cert", old) == (0, "https n.test"))
            #expect(try stage.curl("--cert", new).0 != 0)
            try certificates.write("clients", newAuthority.certificate)
            let deadline = Deadline.after(.seconds(10))
            // The same line stands in the log already.
            while try stage.curl("--cert", new).0 != 0, deadline > .now { usleep(10_000) }
            #expect(try stage.curl("--cert", new) == (0, "https n.test"))
            #expect(try stage.curl("--cert", old).0 != 0)
        }
    }

    // MARK: Beginnings and ends

    @Test("a handshake that is begun and left ends in time, whatever it has sent, and others do not wait for it")
    func abandoned() async throws {
        try await onThread {
            let stage = try SecureStage(top: "timeouts: { tlsHandshake: \"500ms\" },")
            let hello: [UInt8] = [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]
            let peers = try (0..<40).map { number in
                let peer = try Peer(connectedTo: stage.port)
                peer.socket.send(Array(hello.prefix(number % (hello.count + 1))))
                return peer
            }
            #expect(try stage.curl() == (0, "https n.test"))
            for peer in peers { #expect(peer.hearsEnd(within: .seconds(5))) }
            let words = try stage.metric("hdproxy_tls_handshakes_total").joined(separator: "\n")
            #expect(words.contains("outcome=\"timeout\",version=\"none\"} 40"), "\(words)")
        }
    }

    @Test("TLS ends with TLS's own end: after a last answer, and when a silent connection is closed")
    func closeNotify() async throws {
        try await onThread {
            let stage = try SecureStage(top: "timeouts: { keepAlive: \"300ms\" },")
            let last = try SecurePeer(stage.port, trusting: stage.certificates.authority)
            try last.says("GET /small HTTP/1.1\r\nHost: n.test\r\nConnection: close\r\n\r\n")
            _ = try last.hears("small")
            #expect(last.hearsEnd() == .end)
            let silent = try SecurePeer(stage.port, trusting: stage.certificates.authority)
            try silent.says("GET /small HTTP/1.1\r\nHost: n.test\r\n\r\n")
            _ = try silent.hears("small")
            #expect(silent.hearsEnd() == .end)
        }
    }

    @Test("many requests sent at once are all answered, in order")
    func pipelined() async throws {
        try await onThread {
            let stage = try SecureStage()
            let peer = try SecurePeer(stage.port, trusting: stage.certificates.authority)
            let requests = (0..<200).map { "GET /told HTTP/1.1\r\nHost: h\($0).test\r\n\r\n" }.joined()
            try peer.says(requests + "GET /small HTTP/1.1\r\nHost: n.test\r\nConnection: close\r\n\r\n")
            let heard = try peer.hears("\r\n\r\nsmall")
            var rest = heard[...]
            for i in 0..<200 {
                guard let found = rest.range(of: "https h\(i).test") else {
                    Issue.record("no answer \(i)")
                    return
                }
                rest = rest[found.upperBound...]
            }
        }
    }

    @Test("a WebSocket over TLS carries bytes both ways, and either side's end")
    func webSocket() async throws {
        try await onThread {
            let certificates = try CertificateFolder()
            let upstream = try LoopbackListener()
            let port = try freePort()
            let identity = try certificates.server("ws", for: ["n.test"])
            let proxy = try ProxyProcess(
                configuration: """
                    { workers: 1,
                      listeners: [ { address: "127.0.0.1:\(port)", tls: { certificates: [ \(identity) ] } } ],
                      services: { w: { \(endpoint(upstream)) } }, routes: [ { host: "*", service: "w" } ],
                      log: { access: false }, admin: { address: "", socket: "" }, handoff: { socket: "" } }
                    """, awaiting: [port])
            let client = try SecurePeer(port, trusting: certificates.authority)
            try client.says(
                "GET /ws HTTP/1.1\r\nHost: n.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            let server = try upstream.accepts()
            #expect(try server.hearsRequest().head.values("X-Forwarded-Proto") == ["https"])
            server.says(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
            _ = try client.hears("101 Switching")
            // Frames of 60,000 bytes: more than one record.
            let long = String(repeating: "frame ", count: 10_000)
            let frame = "\u{2}~\u{0}\u{10}"
            try client.says(frame + long)
            #expect(server.hears(frame.utf8.count + 60_000).count == frame.utf8.count + 60_000)
            server.says("answer \(long)end")
            #expect(try client.hears("end").hasSuffix("frame end"))
            client.finishes()
            #expect(server.hearsEnd())
            server.socket.close()
            #expect(client.hearsEnd() == .end)
            withExtendedLifetime(proxy) {}
        }
    }

    // MARK: Changes

    @Test("certificates that change on disk are shown from then on; a pair that does not fit changes nothing")
    func renewal() async throws {
        try await onThread {
            let stage = try SecureStage()
            let certificates = stage.certificates
            let old = try SecurePeer(stage.port, trusting: certificates.authority)
            func subject() throws -> String {
                let (_, text) = try stage.openssl("-brief", name: "other.test")
                return text.split(separator: "\n").first { $0.hasPrefix("Peer certificate: ") }.map(String.init) ?? text
            }
            #expect(try subject() == "Peer certificate: CN = other")
            // The certificate alone: its key is not there yet.
            let next = try certificates.authority.issue(.server, name: "next", dnsNames: ["other.test"])
            try certificates.write("other", next.certificateChain)
            #expect(stage.proxy.awaitOutput("\"event\":\"certificates\",\"outcome\":\"refused\""))
            #expect(stage.proxy.output.contains("key values mismatch"))
            #expect(try subject() == "Peer certificate: CN = other")
            try certificates.write("other-key", next.key)
            #expect(stage.proxy.awaitOutput("\"event\":\"certificates\",\"outcome\":\"applied\",\"listeners\":\"s\""))
            #expect(try subject() == "Peer certificate: CN = next")
            // Who was connected stays.
            try old.says("GET /told HTTP/1.1\r\nHost: n.test\r\n\r\n")
            _ = try old.hears("https n.test")
            #expect(try stage.metric("hdproxy_tls_reloads_total").map { $0.suffix(1) } == ["1", "1"])
            let ends = try stage.metric("hdproxy_tls_certificate_expiry_timestamp_seconds")
            #expect(ends.contains { $0.contains(certificates.path("other")) } && ends.count == 3, "\(ends)")
        }
    }

    @Test("where a reload asks for certificates, connections from before get one more answer and come back under it")
    func stricterRule() async throws {
        try await onThread {
            let stage = try SecureStage()
            let certificates = stage.certificates
            let old = try SecurePeer(stage.port, trusting: certificates.authority)
            let file = stage.proxy.configurationFile
            let text = try String(contentsOf: file, encoding: .utf8)
            let stricter = text.replacingOccurrences(
                of: "tls: { ", with: "tls: { clientCA: \"\(certificates.path("ca"))\", ")
            #expect(stricter != text)
            try Data(stricter.utf8).write(to: file, options: .atomic)
            #expect(stage.proxy.awaitOutput("\"event\":\"reload\",\"outcome\":\"applied\""))
            try old.says("GET /told HTTP/1.1\r\nHost: n.test\r\n\r\n")
            #expect(try old.hears("https n.test").contains("Connection: close"))
            #expect(old.hearsEnd() == .end)
            #expect(try stage.curl().0 != 0)
            let client = try certificates.client("good")
            #expect(try stage.curl("--cert", client) == (0, "https n.test"))
        }
    }

    @Test("a drain ends TLS connections with TLS's own end, after the answers that are under way")
    func drain() async throws {
        try await onThread {
            let stage = try SecureStage(top: "drain: { timeout: \"1s\" },")
            let silent = try SecurePeer(stage.port, trusting: stage.certificates.authority)
            let busy = try SecurePeer(stage.port, trusting: stage.certificates.authority)
            // Begun, and gone on with after the signal.
            try busy.says("PUT /takes HTTP/1.1\r\nHost: n.test\r\nContent-Length: 10\r\n\r\n12345")
            let half = try Peer(connectedTo: stage.port)
            half.socket.send([22, 3, 1])
            stage.proxy.signal(SIGTERM)
            #expect(stage.proxy.awaitOutput("\"event\":\"draining\""))
            try busy.says("67890")
            #expect(try busy.hears("taken").contains("Connection: close"))
            #expect(busy.hearsEnd() == .end)
            #expect(silent.hearsEnd() == .end)
            #expect(half.hearsEnd())
            #expect(stage.proxy.awaitExit(within: .seconds(5)) == 0)
        }
    }

    @Test("a successor goes on with the sessions of the process before it", arguments: ["-tls1_2", "-tls1_3"])
    func handoff(version: String) async throws {
        try await onThread {
            let name = "@hdproxy-test/\(UUID().uuidString)"
            let stage = try SecureStage(handoff: name)
            let kept = stage.certificates.folder.appending(path: "session").path
            #expect(try stage.openssl(version, "-sess_out", kept).1.contains("New, TLS"))
            let text = try String(contentsOf: stage.proxy.configurationFile, encoding: .utf8)
            let next = try ProxyProcess(configuration: text, awaiting: [])
            #expect(next.awaitOutput("\"event\":\"taken_over\"", within: .seconds(20)))
            #expect(stage.proxy.awaitOutput("\"event\":\"handed_over\"", within: .seconds(20)))
            #expect(try stage.openssl(version, "-sess_in", kept).1.contains("Reused, TLS"))
            #expect(try stage.metric("hdproxy_tls_handshakes_total").contains { $0.contains("\"resumed\"") })
            next.stop()
        }
    }
}
