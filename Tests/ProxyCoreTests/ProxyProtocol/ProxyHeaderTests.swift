import Testing

@testable import ProxyCore

/// The PROXY header, by HAProxy's specification: §2.1 for the line, §2.2 for the binary form.
@Suite struct ProxyHeaderTests {
    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    private func read(_ bytes: [UInt8]) -> ProxyHeader.Reading { ProxyHeader.read(bytes.span) }

    private func source(_ text: String) -> ProxyHeader.Source? {
        switch text {
        case "itself": .peer
        case "somebody": .unknown
        default: NetworkAddress(text).map { .client($0) }
        }
    }

    /// A header of version 2.
    private static func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = length ?? rest.count
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 255)] + rest
    }

    private static let v4: [UInt8] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80]
    private static let v6: [UInt8] =
        [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [9] + [UInt8](repeating: 0, count: 15) + [1]
        + [0x12, 0x67, 1, 0xBB]

    /// Whole headers, and for whom they speak.
    private static let whole: [(bytes: [UInt8], source: String)] = [
        (Array("PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n".utf8), "203.0.113.9:4711"),
        (Array("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".utf8), "255.255.255.255:65535"),
        (Array("PROXY TCP4 203.0.113.9 10.0.0.1 0 0\r\n".utf8), "203.0.113.9:0"),
        (Array("PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n".utf8), "[2001:db8::9]:4711"),
        (Array("PROXY TCP6 ::ffff:203.0.113.9 ::1 4711 443\r\n".utf8), "203.0.113.9:4711"),
        (
            Array(
                ("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                    + "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n").utf8),
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
        ),
        (Array("PROXY UNKNOWN\r\n".utf8), "somebody"),
        (
            Array(
                ("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                    + "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n").utf8),
            "somebody"
        ),
        (binary(0x21, 0x11, v4), "203.0.113.9:4711"),
        (binary(0x21, 0x21, v6), "[2001:db8::9]:4711"),
        // What more is said of the client's connection is passed over.
        (binary(0x21, 0x11, v4 + [0x04, 0, 1, 0]), "203.0.113.9:4711"),
        (binary(0x21, 0x11, v4 + [UInt8](repeating: 7, count: 4096 - 16 - 12)), "203.0.113.9:4711"),
        (binary(0x20, 0x00, []), "itself"), (binary(0x20, 0x11, v4), "itself"),
        (binary(0x20, 0x55, [1, 2, 3]), "itself"), (binary(0x21, 0x00, []), "somebody"),
        (binary(0x21, 0x31, [UInt8](repeating: 0, count: 216)), "somebody"),
    ]

    @Test func aHeaderIsReadHoweverItComes() throws {
        for (bytes, source) in Self.whole {
            let complete = ProxyHeader.Reading.complete(bytes: bytes.count, source: try #require(self.source(source)))
            #expect(read(bytes) == complete, "\(bytes.prefix(60))")
            for n in 0..<bytes.count {
                #expect(read(Array(bytes[..<n])) == .needMore, "byte \(n) of \(bytes.prefix(60))")
            }
            for tail in ["GET / HTTP/1.1\r\n", "\0", "PROXY ", "\r\n"] {
                #expect(read(bytes + Array(tail.utf8)) == complete, "what follows is not looked at")
            }
        }
    }

    @Test func whatIsNoHeaderIsRefusedAndStaysSo() {
        let lines = [
            "GET / HTTP/1.1\r\n", "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY TCP4 1.2.3.4\r\n",
            "PROXY TCP4\r\n", "PROXY \r\n", "PROXY\r\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 x 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2x\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r",
            "PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", "PROXY UNKNOWNX\r\n",
            "PROXY unknown\r\n", "PROXY UNKNOW\r\n",
            "PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r\n", "PROXY UNKNOWN \u{80}\r\n", "\r\n\r\n\r\n",
        ]
        let binaries = [
            Self.binary(0x11, 0x11, Self.v4), Self.binary(0x22, 0x11, Self.v4), Self.binary(0x01, 0x11, Self.v4),
            Self.binary(0x21, 0x12, Self.v4), Self.binary(0x21, 0x22, Self.v6), Self.binary(0x21, 0x41, Self.v4),
            Self.binary(0x21, 0x11, Array(Self.v4.dropLast())), Self.binary(0x21, 0x21, Self.v4),
            Self.binary(0x21, 0x11, Self.v4, length: 4081), Self.binary(0x20, 0x00, [], length: 65_535),
            Array(Self.signature.dropLast()) + [0, 0x21, 0x11, 0, 12] + Self.v4,
        ]
        for bytes in lines.map({ Array($0.utf8) }) + binaries {
            #expect(read(bytes) == .malformed, "\(String(decoding: bytes, as: UTF8.self))")
            #expect(read(bytes + Array("\r\n".utf8)) == .malformed)
            var isRefused = false
            for n in 0..<bytes.count {
                let reading = read(Array(bytes[..<n]))
                #expect(
                    reading == (isRefused ? .malformed : reading) && (reading == .needMore || reading == .malformed))
                isRefused = isRefused || reading == .malformed
            }
        }
    }

    @Test func aHeaderThatNeverEndsIsRefusedWithinItsBound() {
        let line = Array("PROXY UNKNOWN ".utf8) + [UInt8](repeating: UInt8(ascii: "x"), count: 200)
        let bound = (0...line.count).first { read(Array(line[..<$0])) == .malformed }
        #expect(bound == 106)
    }

    @Test func noBytesTrap() {
        var random = RandomSource(seed: 3)
        for round in 0..<4000 {
            var bytes = Self.whole[round % Self.whole.count].bytes
            for _ in 0...random.below(3) { bytes[random.below(min(bytes.count, 64))] = UInt8(random.below(256)) }
            switch read(bytes) {
            case .needMore, .malformed: break
            case .complete(let count, _): #expect(count <= bytes.count && count <= ProxyHeader.bytesMax)
            }
        }
    }
}
