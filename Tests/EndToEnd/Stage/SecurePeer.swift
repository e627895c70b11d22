// One end of a TLS connection, for tests that are written in Swift, and what such tests need on disk.

import Foundation
import ProxyCore

/// A client that speaks TLS with whoever listens on a port, or a server that does with whoever has connected.
final class SecurePeer {
    let socket: LoopbackSocket
    private var session: TLSSession
    private var heard = ByteBuffer(capacity: 1 << 20)

    /// Connects, and shows `identity` where it is asked for.
    init(
        _ port: UInt16, trusting authority: CertificateAuthority, name: String = "n.test", identity: TLSIdentity? = nil
    ) throws {
        socket = try LoopbackSocket.connect(to: LoopbackAddress(port: port))
        Self.bound(socket)
        let context = try TLSContext(client: .certificates(authority.certificate), identity: identity)
        session = try TLSSession(client: context, descriptor: socket.fd, verifying: .dns(name))
        let step = session.handshake()
        guard step == .done else { throw StageError("the handshake failed: \(step)") }
    }

    /// The server's end of `socket`.
    init(serving socket: LoopbackSocket, _ context: TLSContext) throws {
        self.socket = socket
        Self.bound(socket)
        session = try TLSSession(server: context, descriptor: socket.fd)
        let step = session.handshake()
        guard step == .done else { throw StageError("the handshake failed: \(step)") }
    }

    /// No read lasts for ever.
    private static func bound(_ socket: LoopbackSocket) {
        var patience = timeval(tv_sec: 20, tv_usec: 0)
        // Safety: the option is a timeval that outlives the call.
        unsafe setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Sends `text`.
    func says(_ text: String) throws { try says(Array(text.utf8)) }

    /// Sends `all`.
    func says(_ all: [UInt8]) throws {
        var bytes = ByteBuffer(capacity: max(1, all.count))
        bytes.append(all.span)
        while !bytes.isEmpty {
            let moved = session.write(&bytes)
            guard case .bytes = moved else { throw StageError("sending failed: \(moved)") }
        }
    }

    /// What has come once it ends with, or holds, `text`; throws where something else comes first.
    func hears(_ text: String) throws -> String {
        while !heard.text().contains(text) {
            let moved = session.read(into: &heard)
            guard case .bytes = moved else { throw StageError("instead of \(text): \(moved) after \(heard.text())") }
        }
        defer { heard.clear() }
        return heard.text()
    }

    /// The next `count` bytes, or more where the last of them came with others; fewer where the end comes first.
    func hears(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            bytes += heard.withReadable { span in span.indices.map { span[$0] } }
            heard.clear()
            guard bytes.count < count, case .bytes = session.read(into: &heard) else { return bytes }
        }
    }

    /// What the next read brings beside bytes.
    func hearsEnd() -> TLSTransfer {
        while true {
            let moved = session.read(into: &heard)
            guard case .bytes = moved else { return moved }
            heard.clear()
        }
    }

    /// Says that nothing more comes, and nothing below TLS.
    func finishes() { _ = session.shutdown() }
}

/// Certificates in a folder of their own.
final class CertificateFolder: Sendable {
    let authority: CertificateAuthority
    let folder: URL

    init() throws {
        authority = try CertificateAuthority(name: "test authority")
        folder = FileManager.default.temporaryDirectory.appending(path: "certificates-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try write("ca", authority.certificate)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name + ".pem").path }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)), options: .atomic)
        return path(name)
    }

    /// Writes a certificate and its key as `name` and `name-key`, and says it as the configuration does.
    func server(_ name: String, for hosts: [String], key: CertificateAuthority.KeyKind = .p256) throws -> String {
        let identity = try authority.issue(.server, name: name, key: key, dnsNames: hosts)
        try write(name, identity.certificateChain)
        try write("\(name)-key", identity.key)
        return "{ certificate: \"\(path(name))\", key: \"\(path("\(name)-key"))\" }"
    }

    /// Writes a client's certificate and key into one file.
    func client(_ name: String, of authority: CertificateAuthority? = nil) throws -> String {
        let identity = try (authority ?? self.authority).issue(.client, name: name)
        return try write(name, identity.certificateChain + identity.key)
    }
}
