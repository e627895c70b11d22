// The PROXY protocol: whole as in pieces, as a slow reading of its specification says, and never beyond its end.

@testable import ProxyCore

enum ProxyHeaderTarget {
    static func check(_ bytes: [UInt8]) throws {
        let whole = try inProportion(to: bytes.count, "a PROXY header") { ProxyHeader.read(bytes.span) }
        var hasFailed = false
        var end = bytes.count
        if case .complete(let count, _) = whole {
            try expect(count <= min(end, ProxyHeader.bytesMax), "a header of \(count) bytes out of \(end)")
            end = count
        }
        for cut in cuts(end) {
            switch ProxyHeader.read(bytes.span.extracting(0..<cut)) {
            case .complete: throw Finding("complete with \(cut) bytes, the whole is \(whole)")
            case .needMore: try expect(!hasFailed, "malformed with fewer bytes, but more are needed at \(cut)")
            case .malformed:
                hasFailed = true
                try expect(whole == .malformed, "malformed with \(cut) bytes, but the whole is \(whole)")
            }
        }
        if case .complete = whole {
            for tail in tails {
                let longer = Array(bytes[..<end]) + tail
                try expect(ProxyHeader.read(longer.span) == whole, "followed by \(tail.escaped) it is another")
            }
        }
        let slow = bytes.first == UInt8(ascii: "P") ? slowLine(bytes) : slowBinary(bytes)
        switch whole {
        case .complete(let count, let source):
            guard let slow else { throw Finding("taken, but the specification says no: \(bytes.escaped)") }
            try expect(slow.count == count, "\(count) bytes, slowly \(slow.count)")
            try expect(slow.source == source, "\(source), slowly \(slow.source)")
        case .needMore, .malformed:
            try expect(slow == nil, "\(whole), but the specification says yes: \(bytes.escaped)")
        }
    }

    /// Version 1 (§2.1): at most 107 bytes of text, words with one space between them.
    private static func slowLine(_ bytes: [UInt8]) -> (count: Int, source: ProxyHeader.Source)? {
        guard let end = SlowHead.lineEnd(bytes, from: 0), end + 2 <= 107,
            bytes[..<end].allSatisfy({ (0x20..<0x7F).contains($0) })
        else { return nil }
        let words = String(decoding: bytes[..<end], as: UTF8.self)
            .split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard words.first == "PROXY", words.count >= 2 else { return nil }
        if words[1] == "UNKNOWN" { return (end + 2, .unknown) }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6" else { return nil }
        let isIPv4 = words[1] == "TCP4"
        let reads = isIPv4 ? SlowAuthority.isIPv4 : SlowAuthority.isIPv6
        func port(_ text: String) -> UInt16? { UInt16(text).flatMap { String($0) == text ? $0 : nil } }
        guard reads(Array(words[2].utf8)), reads(Array(words[3].utf8)), let ip = IPAddress(words[2]),
            let source = port(words[4]), port(words[5]) != nil
        else { return nil }
        return (end + 2, .client(NetworkAddress(ip: ip, port: source)))
    }

    /// Version 2 (§2.2): sixteen bytes, then as many as they say.
    private static func slowBinary(_ bytes: [UInt8]) -> (count: Int, source: ProxyHeader.Source)? {
        let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10] + Array("QUIT\n".utf8)
        guard bytes.starts(with: signature), bytes.count >= 16 else { return nil }
        let length = Int(bytes[14]) * 256 + Int(bytes[15])
        guard 16 + length <= ProxyHeader.bytesMax, bytes.count >= 16 + length else { return nil }
        let rest = Array(bytes[16..<(16 + length)])
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch (bytes[12], bytes[13]) {
        case (0x20, _): return (16 + length, .peer)
        case (0x21, 0x00), (0x21, 0x31): return (16 + length, .unknown)
        case (0x21, 0x11) where length >= 12:
            let ip = IPAddress(v4: UInt32(number(rest[..<4])))
            return (16 + length, .client(NetworkAddress(ip: ip, port: UInt16(number(rest[8..<10])))))
        case (0x21, 0x21) where length >= 36:
            let ip = IPAddress(high: number(rest[..<8]), low: number(rest[8..<16]))
            return (16 + length, .client(NetworkAddress(ip: ip, port: UInt16(number(rest[32..<34])))))
        default: return nil
        }
    }
}
