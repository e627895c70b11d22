// The demo's WebSocket: handshake, echo, fragments, control frames, and what it makes of broken clients (RFC 6455).

import ProxyCore
import Testing

@testable import HDProxy

@Suite struct DemoWebSocketTests {
    private static let handshake =
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    /// A client's frame; without a mask only where a rule is to be broken.
    private static func frame(_ first: UInt8, _ payload: [UInt8], mask: [UInt8] = [1, 2, 3, 255]) -> [UInt8] {
        var bytes = [first]
        switch payload.count {
        case ..<126: bytes.append(0x80 | UInt8(payload.count))
        case ..<65536: bytes += [0xFE, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        default:
            bytes.append(0xFF)
            for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(payload.count >> shift & 0xFF)) }
        }
        return bytes + mask + payload.enumerated().map { $1 ^ mask[$0 & 3] }
    }

    /// Reads a server's frame.
    private static func readFrame(_ client: DemoClient) -> (first: UInt8, payload: [UInt8]) {
        let start = client.read(2)
        guard start.count == 2 else { return (0, []) }
        var length = Int(start[1])
        if length == 126 { length = client.read(2).reduce(0) { $0 << 8 | Int($1) } }
        return (start[0], client.read(length))
    }

    private static func open(_ backends: DemoBackends) -> DemoClient {
        let client = DemoClient(backends.apiAddresses[0])
        client.send(handshake)
        let head = client.readHead()
        #expect(head.hasPrefix("HTTP/1.1 101 "))
        // The example of RFC 6455 §1.3.
        #expect(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        return client
    }

    @Test("messages come back as they were framed, pings are answered in between, a close is returned") func echo()
        throws
    {
        try withDemoBackends { backends in
            let client = Self.open(backends)
            let conversation: [(sent: [UInt8], back: [UInt8])] = [
                (Self.frame(0x81, Array("hello".utf8)), [0x81, 5] + Array("hello".utf8)),
                (Self.frame(0x82, []), [0x82, 0]),
                // A character cut in two by fragments, a ping between them.
                (Self.frame(0x01, [0xE2, 0x82]), [0x01, 2, 0xE2, 0x82]),
                (Self.frame(0x89, [7]), [0x8A, 1, 7]),
                (Self.frame(0x80, [0xAC]), [0x80, 1, 0xAC]),
                (Self.frame(0x8A, [1, 2]) + Self.frame(0x81, [65]), [0x81, 1, 65]),
                (Self.frame(0x88, [0x03, 0xE8, 66]), [0x88, 2, 0x03, 0xE8]),
            ]
            for (sent, back) in conversation {
                client.send(sent)
                #expect(client.read(back.count) == back)
            }
            #expect(client.readToEnd().isEmpty)
        }
    }

    @Test("a long message comes back in fragments, byte for byte", arguments: [16_384, 16_385, 70_000])
    func longMessages(count: Int) throws {
        try withDemoBackends { backends in
            let client = Self.open(backends)
            let message = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            client.send(Self.frame(0x82, message))
            var back: [UInt8] = []
            var first: UInt8 = 0
            repeat {
                let frame = Self.readFrame(client)
                #expect(frame.first & 0x0F == (back.isEmpty ? 2 : 0))
                first = frame.first
                back += frame.payload
            } while first & 0x80 == 0 && !back.isEmpty
            #expect(back == message)
        }
    }

    @Test("a broken client is told why and dropped") func brokenClients() throws {
        let broken: [(rule: String, bytes: [UInt8], status: UInt16)] = [
            ("frames are masked", [0x81, 0x01, 65], 1002),
            ("no reserved bit is set", Self.frame(0xC1, [65]), 1002),
            ("no unknown opcode", Self.frame(0x83, []), 1002),
            ("no continuation of nothing", Self.frame(0x80, []), 1002),
            ("no message inside another", Self.frame(0x01, [65]) + Self.frame(0x81, [66]), 1002),
            ("no control frame in fragments", Self.frame(0x09, []), 1002),
            ("no long control frame", [0x89, 0xFE, 0, 126, 0, 0, 0, 0], 1002),
            ("no length longer than it must be", [0x82, 0xFE, 0, 5, 0, 0, 0, 0], 1002),
            ("no length beyond 63 bits", [0x82, 0xFF] + [UInt8](repeating: 0xFF, count: 8), 1002),
            ("no half status in a close", Self.frame(0x88, [3]), 1002),
            ("no reserved status in a close", Self.frame(0x88, [3, 0xED]), 1002),
            ("text is UTF-8", Self.frame(0x81, [0xC0, 0x80]), 1007),
            ("text is whole at its end", Self.frame(0x81, [0xE2, 0x82]), 1007),
            ("no surrogates", Self.frame(0x81, [0xED, 0xA0, 0x80]), 1007),
            ("a reason is UTF-8", Self.frame(0x88, [3, 0xE8, 0xFF]), 1007),
        ]
        try withDemoBackends { backends in
            for entry in broken {
                let client = Self.open(backends)
                client.send(entry.bytes)
                let told = client.readToEnd().suffix(4)
                #expect(
                    told.elementsEqual([0x88, 2, UInt8(entry.status >> 8), UInt8(entry.status & 0xFF)]), "\(entry.rule)"
                )
            }
        }
    }

    @Test("what is no handshake gets a 426 and the connection goes on") func noHandshake() throws {
        try withDemoBackends { backends in
            let client = DemoClient(backends.apiAddresses[0])
            for (line, instead) in [
                ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), ("keep-alive, Upgrade", "keep-alive"),
                ("dGhlIHNhbXBsZSBub25jZQ==", "short=="), ("GET", "POST"), ("Upgrade: WebSocket", "Upgrade: h2c"),
            ] {
                let parts = Self.handshake.split(separator: line, maxSplits: 1, omittingEmptySubsequences: false)
                client.send(parts.joined(separator: instead))
                #expect(client.readAnswer().head.hasPrefix("HTTP/1.1 426 "), "\(instead)")
            }
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(client.readAnswer().head.hasPrefix("HTTP/1.1 200 "))
        }
    }
}
