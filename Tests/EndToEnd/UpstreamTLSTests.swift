// TLS towards endpoints, as nginx sees it, and as somebody sees it who is not whom we expect.

import Foundation
import ProxyCore
import TestTools
import Testing

@Suite("TLS to upstreams")
struct UpstreamTLSTests {
    private static func curl(_ port: UInt16, _ path: String, _ more: String...) throws -> String {
        try runTool(
            ["curl", "-sS", "--max-time", "30", "-H", "Host: n.test"] + more + ["http://127.0.0.1:\(port)\(path)"]
        ).output
    }

    private static func ask(_ admin: UInt16, _ path: String) throws -> String {
        try runTool(["curl", "-sS", "http://127.0.0.1:\(admin)\(path)"]).output
    }

    @Test("requests go on over TLS, on connections that are kept, whole both ways, and so do probes")
    func forwards() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let proxy = try upstream.proxy(
                "\(upstream.ca), serverName: \"back.test\"", port: port, admin: admin,
                more: "health: { path: \"/health\", interval: \"100ms\" }")
            let first = try Self.curl(port, "/told").split(separator: " ", omittingEmptySubsequences: false)
            #expect(first.prefix(2) == ["back.test", "n.test"])
            let second = try Self.curl(port, "/told").split(separator: " ", omittingEmptySubsequences: false)
            #expect(first[2] == second[2])
            let file = upstream.nginx.folder.appending(path: "files/large").path
            let got = upstream.nginx.folder.appending(path: "got").path
            _ = try Self.curl(port, "/large", "-o", got)
            #expect(FileManager.default.contentsEqual(atPath: file, andPath: got))
            #expect(try Self.curl(port, "/takes", "-T", file) == "taken")
            #expect(try Self.curl(port, "/takes", "-T", file, "-H", "Transfer-Encoding: chunked") == "taken")
            let status = try Self.ask(admin, "/api/v1/status")
            #expect(status.contains("\"health\":\"up\""), "\(status)")
            withExtendedLifetime(proxy) {}
        }
    }

    @Test("who is not whom we expect gets no request", arguments: ["other.test", "back.test"])
    func stranger(name: String) async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            // Another name, or the right one by an authority that is not trusted.
            let other = try CertificateFolder()
            let ca = name == "back.test" ? "ca: \"\(other.path("ca"))\"" : upstream.ca
            let proxy = try upstream.proxy("\(ca), serverName: \"\(name)\"", port: port, admin: admin)
            #expect(try Self.curl(port, "/told", "-o", "/dev/null", "-w", "%{http_code}") == "502")
            let metrics = try Self.ask(admin, "/metrics")
            #expect(metrics.contains("hdproxy_upstream_connect_total{service=\"n\",outcome=\"insecure\"} 1"))
            withExtendedLifetime(proxy) {}
        }
    }

    @Test("nothing is said in the clear to an endpoint that does not speak TLS")
    func plain() async throws {
        try await onThread {
            let listener = try LoopbackListener()
            let (port, certificates) = (try freePort(), try CertificateFolder())
            let proxy = try ProxyProcess(
                configuration: configuration(
                    listeners: [port],
                    services: [
                        "n": """
                        \(endpoint(listener)), scheme: "https", retry: { attempts: 0 },
                        tls: { ca: "\(certificates.path("ca"))", serverName: "back.test" }
                        """
                    ]), awaiting: [port])
            let client = try Peer(connectedTo: port)
            client.says("GET /secret HTTP/1.1\r\nHost: n.test\r\n\r\n")
            let peer = try listener.accepts()
            let hello = peer.hears(200)
            #expect(hello.first == 22 && !String(decoding: hello, as: UTF8.self).contains("secret"))
            peer.says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            #expect(try client.hearsAnswer().head.startLine.contains(" 502 "))
            withExtendedLifetime(proxy) {}
        }
    }

    @Test("a connection that was made as somebody is not used by somebody else after a reload")
    func identities() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let proxy = try upstream.proxy(try upstream.identity("anna"), port: port, admin: admin)
            #expect(try Self.curl(port, "/told").contains(" CN=anna "))
            let next = upstream.text(try upstream.identity("berta"), port: port, admin: admin)
            try Data(next.utf8).write(to: proxy.configurationFile, options: .atomic)
            #expect(proxy.awaitOutput("\"event\":\"reload\",\"outcome\":\"applied\""))
            #expect(try Self.curl(port, "/told").contains(" CN=berta "))
            // A new certificate in the same file is another identity, too.
            let renewed = try upstream.certificates.authority.issue(.client, name: "berta-renewed")
            try upstream.certificates.write("berta", renewed.certificateChain)
            try upstream.certificates.write("berta-key", renewed.key)
            #expect(proxy.awaitOutput("\"event\":\"certificates\",\"outcome\":\"applied\""))
            #expect(try Self.curl(port, "/told").contains(" CN=berta-renewed "))
        }
    }

    @Test("a probe that meets nobody whom we expect says so")
    func probes() async throws {
        try await onThread {
            let upstream = try SecureUpstream()
            let (port, admin) = (try freePort(), try freePort())
            let proxy = try upstream.proxy(
                "\(upstream.ca), serverName: \"other.test\"", port: port, admin: admin,
                more: "health: { interval: \"50ms\", unhealthyAfter: 1 }")
            #expect(proxy.awaitOutput("no TLS: "))
            #expect(proxy.output.contains("hostname mismatch") || proxy.output.contains("Hostname mismatch"))
        }
    }
}
