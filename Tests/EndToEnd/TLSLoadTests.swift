// Many handshakes, and many connections that keep still: what the load generator says of them, and what the proxy makes of
// them.

import Foundation
import ProxyCore
import TestTools
import Testing

/// A proxy that speaks TLS, with nginx behind it.
private final class LoadStage: Sendable {
    let certificates: CertificateFolder
    let nginx: Nginx
    let proxy: ProxyProcess
    let port: UInt16

    init(top: String = "") throws {
        certificates = try CertificateFolder()
        nginx = try Nginx(port: try freePort(), files: ["small": Data("small".utf8)])
        port = try freePort()
        let identity = try certificates.server("ec", for: ["localhost"])
        proxy = try ProxyProcess(
            configuration: """
                { workers: 1,
                  listeners: [ { address: "127.0.0.1:\(port)", tls: { certificates: [ \(identity) ] } } ],
                  services: { n: { endpoints: [ "127.0.0.1:\(nginx.port)" ] } }, routes: [ { host: "*", service: "n" } ],
                  log: { access: false }, admin: { address: "", socket: "" }, handoff: { socket: "" }, \(top) }
                """, awaiting: [port])
    }

    /// A client that has shaken hands.
    func peer() throws -> SecurePeer { try SecurePeer(port, trusting: certificates.authority, name: "localhost") }
}

@Suite("TLS under load")
struct TLSLoadTests {
    private struct Report: Decodable {
        var requests: Int
        var fullHandshakes: Int
        var resumedHandshakes: Int
        var errors: [String: Int]
    }

    /// Runs the load generator over four connections.
    private func load(_ stage: LoadStage, ca: String = "ca", _ words: String...) throws -> (Int32, Report) {
        let harness = URL(fileURLWithPath: try ProxyProcess.program()).deletingLastPathComponent()
            .appending(path: "hdproxy-bench").path
        let (status, output) = try runTool(
            [harness, "load", "--connections", "4", "--ca", stage.certificates.path(ca), "--json", "-"] + words
                + ["https://localhost:\(stage.port)/small"])
        guard let start = output.firstIndex(of: "{") else { throw StageError(output) }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return (status, try decoder.decode(Report.self, from: Data(output[start...].utf8)))
    }

    @Test("each new connection of the load is a full handshake, or a resumed one, as was asked for")
    func handshakes() async throws {
        try await onThread {
            let stage = try LoadStage()
            let (status, full) = try load(stage, "--requests", "40", "--new-connections", "--expect-bytes", "5")
            #expect(status == 0 && full.requests == 40 && full.errors.isEmpty)
            #expect(full.fullHandshakes == 40 && full.resumedHandshakes == 0)
            let (_, resumed) = try load(stage, "--requests", "40", "--new-connections", "--resume")
            #expect(resumed.requests == 40 && resumed.errors.isEmpty)
            #expect(resumed.fullHandshakes == 4 && resumed.resumedHandshakes == 36)
            let (_, kept) = try load(stage, "--requests", "40")
            #expect(kept.requests == 40 && kept.fullHandshakes == 4 && kept.resumedHandshakes == 0)
        }
    }

    @Test("the load believes nobody whose certificate is another one")
    func stranger() async throws {
        try await onThread {
            let stage = try LoadStage()
            try stage.certificates.write("stranger", CertificateAuthority(name: "stranger").certificate)
            let (status, report) = try load(stage, ca: "stranger", "--requests", "4", "--new-connections")
            #expect(status == 1 && report.requests == 0 && report.errors["TLS handshake failed"] == 4, "\(report)")
        }
    }

    @Test("a client that asks for nothing gets its ticket all the same, if a little later")
    func lateTicket() async throws {
        try await onThread {
            let stage = try LoadStage()
            let peer = try stage.peer()
            var event = pollfd(fd: peer.socket.fd, events: Int16(POLLIN), revents: 0)
            // Safety: one entry, which poll fills.
            let found = unsafe poll(&event, 1, 5000)
            #expect(found == 1 && Int32(event.revents) == POLLIN)
            try peer.says("GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try peer.hears("\r\n\r\nsmall").hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test("a thousand clients that keep their connections fit into 64MiB, and each is served")
    func idleConnections() async throws {
        try await onThread {
            let stage = try LoadStage(top: "memory: \"64MiB\",")
            let peers = try (0..<1000).map { _ in
                let peer = try stage.peer()
                try peer.says("GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
                _ = try peer.hears("\r\n\r\nsmall")
                return peer
            }
            for peer in peers {
                try peer.says("GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
                _ = try peer.hears("\r\n\r\nsmall")
            }
        }
    }
}
