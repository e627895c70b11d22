// Who may connect, with the real program and real peers: HAProxy, which speaks for its clients in both versions of the
// PROXY protocol, and curl, which chooses the address it comes from.

import Foundation
import TestTools
import Testing

@Suite("Admission, end to end")
struct AdmissionTests {
    /// HAProxy before `target`, with a port for each way to say whom it speaks for.
    private final class HAProxy: Sendable {
        let folder: URL
        private let pid: pid_t

        init(target: UInt16, ways: [(port: UInt16, way: String)]) throws {
            folder = FileManager.default.temporaryDirectory.appending(path: "haproxy-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let parts = ways.map { port, way in
                "listen l\(port)\n  bind 127.0.0.1:\(port)\n  server s 127.0.0.1:\(target) source 127.0.0.7 \(way)\n"
            }
            let text = """
                defaults
                  mode tcp
                  timeout connect 5s
                  timeout client 20s
                  timeout server 20s

                """
            try (text + parts.joined()).write(to: folder.appending(path: "c"), atomically: false, encoding: .utf8)
            pid = try spawn(
                ["haproxy", "-db", "-f", folder.appending(path: "c").path], input: nil,
                output: folder.appending(path: "output.log").path)
            let deadline = Deadline.after(.seconds(10))
            for (port, _) in ways {
                while (try? Peer(connectedTo: port)) == nil {
                    guard deadline > .now else { throw StageError("haproxy does not listen on \(port)") }
                    usleep(5_000)  // Nothing tells that a port has begun to listen.
                }
            }
        }

        deinit {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            try? FileManager.default.removeItem(at: folder)
        }
    }

    private func curl(_ peer: String, _ port: UInt16) throws -> (status: Int32, output: String) {
        try runTool([
            "curl", "-sS", "--max-time", "20", "--interface", peer, "-H", "Host: a.test", "http://127.0.0.1:\(port)/x",
        ])
    }

    @Test("HAProxy's client is ours, whichever version of the PROXY protocol it speaks")
    func haproxy() async throws {
        try await onThread {
            let ports = try (0..<4).map { _ in try freePort() }
            let upstream = try LoopbackListener()
            let proxy = try ProxyProcess(
                configuration: configuration(
                    listeners: [ports[0]], services: ["a": endpoint(upstream)],
                    more:
                        "trustedProxies: [\"127.0.0.7\"], admin: { address: \"127.0.0.1:\(ports[3])\", socket: \"\" },"
                ).replacing(
                    "address: \"127.0.0.1:\(ports[0])\"",
                    with: "address: \"127.0.0.1:\(ports[0])\", proxyProtocol: \"required\""), awaiting: [ports[0]])
            let balancer = try HAProxy(
                target: ports[0], ways: [(ports[1], "send-proxy"), (ports[2], "send-proxy-v2")])
            for port in ports[1...2] {
                let file = FileManager.default.temporaryDirectory.appending(path: "curl-\(UUID().uuidString)")
                defer { try? FileManager.default.removeItem(at: file) }
                let client = try spawn(
                    [
                        "curl", "-sS", "--max-time", "20", "--interface", "127.0.0.9", "-H", "Host: a.test",
                        "http://127.0.0.1:\(port)/x",
                    ], input: nil, output: file.path)
                let server = try upstream.accepts()
                let head = try server.hearsRequest().head
                #expect(head.values("X-Forwarded-For") == ["127.0.0.9"])
                server.says(answer("hello", fields: "Connection: close\r\n"))
                waitpid(client, nil, 0)
                #expect(try String(contentsOf: file, encoding: .utf8) == "hello")
            }
            // Whoever is not trusted to speak for others is not heard at all, with a header or without.
            let stranger = try Peer(connectedTo: ports[0])
            stranger.says("PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n" + request())
            #expect(stranger.hearsEnd())
            let metrics = try runTool(["curl", "-sS", "http://127.0.0.1:\(ports[3])/metrics"]).output
            #expect(metrics.contains("hdproxy_rejected_total{reason=\"proxy_untrusted\"}"))
            #expect(proxy.exitStatus() == nil)
            withExtendedLifetime(balancer) {}
        }
    }

    @Test(
        "of a client that its balancer has no address for nothing is believed",
        arguments: ["PROXY UNKNOWN\r\n", "v2"])
    func unknown(_ header: String) async throws {
        try await onThread {
            let port = try freePort()
            let upstream = try LoopbackListener()
            let text = configuration(
                listeners: [port], services: ["a": endpoint(upstream)], more: "trustedProxies: [\"127.0.0.1\"],")
            let address = "address: \"127.0.0.1:\(port)\""
            let proxy = try ProxyProcess(
                configuration: text.replacing(address, with: "\(address), proxyProtocol: \"required\""),
                awaiting: [port])
            let client = try Peer(connectedTo: port)
            let binary: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x21, 0, 0, 0]
            client.socket.send(header == "v2" ? binary : Array(header.utf8))
            client.says(
                request(
                    fields: "CF-Connecting-IP: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.9\r\n"
                        + "X-Forwarded-Proto: https\r\n"))
            let head = try upstream.accepts().hearsRequest().head
            #expect(head.values("X-Forwarded-For") == ["127.0.0.1"])
            #expect(head.values("X-Forwarded-Proto") == ["http"] && head.values("CF-Connecting-IP") == [])
            #expect(proxy.exitStatus() == nil)
        }
    }

    @Test("with lockdown a stranger is closed before a byte, counted and not logged; others are served")
    func lockdown() async throws {
        try await onThread {
            let ports = try (0..<2).map { _ in try freePort() }
            let upstream = try LoopbackListener()
            let more = """
                trustedProxies: ["127.0.0.7"], originLockdown: { allow: ["127.0.0.9"] },
                admin: { address: "127.0.0.1:\(ports[1])", socket: "" },
                """
            let text = configuration(
                listeners: [ports[0]], services: ["a": endpoint(upstream)],
                routes: ["{ host: \"a.test\", redirect: { to: \"https://b.test\" } }"], more: more
            ).replacing("access: false", with: "access: true")
            let proxy = try ProxyProcess(configuration: text, awaiting: [ports[1], ports[0]])
            for peer in ["127.0.0.7", "127.0.0.9"] { #expect(try curl(peer, ports[0]).status == 0, "\(peer)") }
            for _ in 0..<3 { #expect(try curl("127.0.0.8", ports[0]).status != 0) }
            let silent = try Peer(connectedTo: ports[0])
            #expect(silent.hearsEnd(), "who says nothing is closed, too")
            let metrics = try runTool(["curl", "-sS", "http://127.0.0.1:\(ports[1])/metrics"]).output
            #expect(metrics.contains("hdproxy_rejected_total{reason=\"origin_lockdown\"} 5\n"), "\(metrics)")
            #expect(proxy.awaitOutput("\"client\":\"127.0.0.9\""))
            #expect(!proxy.output.contains("127.0.0.8"))
        }
    }
}
