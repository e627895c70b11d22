// What does the grammar say of a head? The same rules as the parsers', written for reading and not for speed, over whole
// lines and arrays: first cut at every CR LF, then look at each line. A parser that disagrees with it is wrong, or it is.
// RFC 9112 §2 to §6, with the strictness that `Tests/Corpus/Wire` asks for.

import Glibc

/// A head that keeps the grammar.
struct SlowHead: Equatable {
    var start: [[UInt8]]
    var fields: [(name: [UInt8], value: [UInt8])]
    var byteCount: Int

    static func == (a: SlowHead, b: SlowHead) -> Bool {
        a.start == b.start && a.byteCount == b.byteCount
            && a.fields.elementsEqual(b.fields) { $0.name == $1.name && $0.value == $1.value }
    }

    static func isCRLF(_ bytes: [UInt8], _ at: Int) -> Bool {
        at + 1 < bytes.count && bytes[at] == 13 && bytes[at + 1] == 10
    }

    /// Where the line that begins at `from` ends with CR LF.
    static func lineEnd(_ bytes: [UInt8], from: Int) -> Int? { (from..<bytes.count).first { isCRLF(bytes, $0) } }

    /// The lines of the head that `bytes` begin with, or nil where no empty line ends it or a line is malformed.
    init?(_ bytes: [UInt8], emptyLines: Int, startParts: Int) {
        var at = 0
        var skipped = 0
        while Self.isCRLF(bytes, at) {
            at += 2
            skipped += 1
            if skipped > emptyLines { return nil }
        }
        var lines: [[UInt8]] = []
        while true {
            guard let end = Self.lineEnd(bytes, from: at) else { return nil }
            let line = Array(bytes[at..<end])
            at = end + 2
            if line.isEmpty { break }
            if line.contains(13) || line.contains(10) { return nil }
            lines.append(line)
        }
        guard let first = lines.first else { return nil }
        start = first.split(separator: 0x20, maxSplits: startParts - 1, omittingEmptySubsequences: false).map(
            Array.init)
        fields = []
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return nil }
            let name = Array(line[..<colon])
            let value = Array(line[(colon + 1)...])
            guard !name.isEmpty, name.allSatisfy(Self.isTokenByte), value.allSatisfy(Self.isTextByte) else {
                return nil
            }
            fields.append((name, Self.trimmed(value)))
        }
        byteCount = at
    }

    static func isTokenByte(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    static func isTextByte(_ byte: UInt8) -> Bool { byte == 9 || (byte >= 0x20 && byte != 0x7F) }

    static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes[...]
        while let first = bytes.first, first == 0x20 || first == 9 { bytes.removeFirst() }
        while let last = bytes.last, last == 0x20 || last == 9 { bytes.removeLast() }
        return Array(bytes)
    }

    static func lower(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.map { (0x41...0x5A).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
    }

    /// The values of all lines with this name.
    func values(_ name: String) -> [[UInt8]] { fields.filter { Self.lower($0.name) == name }.map(\.value) }

    /// Whether its Connection lines say no more than anybody needs.
    var hasAllowedConnection: Bool { values("connection").reduce(0) { $0 + $1.count } <= 512 }

    /// The value of all of `digits`, or nil where it is none, has other bytes, or does not fit into 63 bits.
    static func number(_ digits: [UInt8]) -> UInt64? {
        guard !digits.isEmpty, digits.count <= 64, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        let significant = digits.drop { $0 == 0x30 }
        if significant.isEmpty { return 0 }
        guard significant.count <= 19, let value = UInt64(String(decoding: significant, as: UTF8.self)) else {
            return nil
        }
        return value <= UInt64(Int64.max) ? value : nil
    }
}

/// A host with an optional port, by its text.
struct SlowAuthority: Equatable {
    var host: [UInt8]
    var port: UInt64?

    init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count <= 262 else { return nil }
        var rest: ArraySlice<UInt8>
        if bytes[0] == UInt8(ascii: "[") {
            guard let close = bytes.firstIndex(of: UInt8(ascii: "]")), Self.isIPv6(Array(bytes[1..<close])) else {
                return nil
            }
            host = Array(bytes[...close])
            rest = bytes[(close + 1)...]
        } else {
            host = Array(bytes.prefix { $0 != UInt8(ascii: ":") })
            rest = bytes[host.count...]
            let allowed = Array("-._~".utf8)
            guard !host.isEmpty, host.allSatisfy({ SlowHead.isAlphanumeric($0) || allowed.contains($0) }) else {
                return nil
            }
        }
        guard let colon = rest.popFirst() else { return }
        guard colon == UInt8(ascii: ":") else { return nil }
        if rest.isEmpty { return }
        guard rest.count <= 5, let number = SlowHead.number(Array(rest)), number <= 65535 else { return nil }
        port = number
    }

    /// Whether the C library reads it as an IPv6 address.
    static func isIPv6(_ text: [UInt8]) -> Bool {
        if text.contains(0) { return false }
        var address = in6_addr()
        // Safety: the text ends in a zero byte, and the address is a local that outlives the call.
        return unsafe inet_pton(AF_INET6, text.map { CChar(bitPattern: $0) } + [0], &address) == 1
    }

    /// Whether the C library reads it as an IPv4 address.
    static func isIPv4(_ text: [UInt8]) -> Bool {
        if text.contains(0) { return false }
        var address = in_addr()
        // Safety: as above.
        return unsafe inet_pton(AF_INET, text.map { CChar(bitPattern: $0) } + [0], &address) == 1
    }
}
