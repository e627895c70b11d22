// What is a crowd told, and what does it say first? Signals to its processes, and the bytes of each kind.

import Glibc
import Synchronization

/// What a crowd does.
enum CrowdKind: String, CaseIterable {
    case head, body, reader, handshake

    /// Descriptors that one of them takes at the proxy.
    var descriptors: Int {
        switch self {
        case .head, .handshake: 1
        // And one to the endpoint.
        case .body, .reader: 2
        }
    }

    /// What each of them says once it is connected.
    var firstWords: [UInt8] {
        switch self {
        case .head: Array("GET / HTTP/1.1\r\nHost: crowd.test\r\nX-Slow: ".utf8)
        case .body: Array("POST / HTTP/1.1\r\nHost: crowd.test\r\nContent-Length: 1000000\r\n\r\n".utf8)
        case .reader: Array("GET /bytes/1048576 HTTP/1.1\r\nHost: crowd.test\r\n\r\n".utf8)
        case .handshake: Self.clientHello
        }
    }

    /// A client's first word in TLS 1.2 (RFC 5246 §7.4.1.2), which the server answers with a certificate and a signature.
    private static let clientHello: [UInt8] = {
        let extensions: [UInt8] =
            // Groups: x25519, P-256. Formats: uncompressed. Signatures: ECDSA and RSA with SHA-256, PSS.
            [0x00, 0x0A, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1D, 0x00, 0x17]
            + [0x00, 0x0B, 0x00, 0x02, 0x01, 0x00]
            + [0x00, 0x0D, 0x00, 0x08, 0x00, 0x06, 0x04, 0x03, 0x04, 0x01, 0x08, 0x04]
        let body: [UInt8] =
            [0x03, 0x03] + (0..<32).map { UInt8($0 &* 7 &+ 1) } + [0x00]
            + [0x00, 0x04, 0xC0, 0x2B, 0xC0, 0x2F] + [0x01, 0x00]
            + [UInt8(extensions.count >> 8), UInt8(extensions.count & 255)] + extensions
        let message: [UInt8] = [0x01, 0x00, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
        return [0x16, 0x03, 0x01, UInt8(message.count >> 8), UInt8(message.count & 255)] + message
    }()
}

/// What a process of a crowd can be told.
enum CrowdOrder: Int {
    case none, come, go

    /// The signal that says so.
    var signal: Int32 { self == .come ? SIGUSR1 : SIGUSR2 }
}

private let order = Atomic<Int>(0)

/// The latest order that was not obeyed yet; it counts as obeyed from now on.
func takeCrowdOrder() -> CrowdOrder { CrowdOrder(rawValue: order.exchange(0, ordering: .relaxed)) ?? .none }

/// From now on signals are orders.
func catchCrowdSignals() {
    // The word is made here, so that the first to touch it is not a signal handler.
    _ = takeCrowdOrder()
    var action = sigaction()
    // Safety: both handlers only store to an atomic.
    unsafe action.__sigaction_handler.sa_handler = { _ in order.store(CrowdOrder.come.rawValue, ordering: .relaxed) }
    unsafe sigaction(SIGUSR1, &action, nil)
    unsafe action.__sigaction_handler.sa_handler = { _ in order.store(CrowdOrder.go.rawValue, ordering: .relaxed) }
    unsafe sigaction(SIGUSR2, &action, nil)
}
