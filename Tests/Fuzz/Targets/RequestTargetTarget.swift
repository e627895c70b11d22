// What hosts, ports and addresses are spelled by: request targets, `Host`, address literals, against the C library and
// plain text.

import Glibc

@testable import ProxyCore

enum RequestTargetTarget {
    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let method = input.choice([Method.get, .options, .connect, .post])
        let bytes = input.remainder()
        try expectAddresses(bytes)
        try expectAuthority(bytes)
        // The parser hands over nothing else.
        let visible = bytes.filter { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }
        try expectTarget(visible, method)
    }

    private static func expectAddresses(_ bytes: [UInt8]) throws {
        let address = IPAddress.parse(bytes.span)
        let isV4 = SlowAuthority.isIPv4(bytes)
        let isV6 = SlowAuthority.isIPv6(bytes)
        try expect(
            (address != nil) == (isV4 || isV6), "an address to us: \(address != nil), to the C library: \(isV4 || isV6)"
        )
        guard let address else { return }
        let text = address.description
        try expect(IPAddress(text) == address, "\(text) is read as another address than it was written from")
        var theirs = in6_addr()
        // Safety: the texts end in a zero byte, and the address is a local that outlives the call.
        if isV6 {
            let isRead = unsafe inet_pton(AF_INET6, bytes.map { CChar(bitPattern: $0) } + [0], &theirs)
            try expect(isRead == 1, "not read twice")
            let raw = unsafe withUnsafeBytes(of: theirs) { unsafe Array($0) }
            let high = raw[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let low = raw[8...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            try expect(address == IPAddress(high: high, low: low), "\(text) is another address to the C library")
        }
    }

    private static func expectAuthority(_ bytes: [UInt8]) throws {
        let authority = Authority.parse(bytes.span, ByteRange(0, bytes.count))
        let slow = SlowAuthority(bytes)
        try expect(
            (authority == nil) == (slow == nil), "a host to us: \(authority != nil), to the grammar: \(slow != nil)")
        guard let authority, let slow else { return }
        try expect(Array(bytes[authority.host.range]) == slow.host, "another host than the grammar's")
        try expect(authority.port.map(UInt64.init) == slow.port, "another port than the grammar's")
        // The same in the middle of other bytes.
        let around = [UInt8(ascii: "9")] + bytes + [UInt8(ascii: "9")]
        let inside = Authority.parse(around.span, ByteRange(1, 1 + bytes.count))
        try expect(
            inside?.host.start == 1 && inside?.host.count == authority.host.count, "it depends on its neighbours")
        try expect(inside?.port == authority.port, "its port depends on its neighbours")
    }

    private static func expectTarget(_ bytes: [UInt8], _ method: Method) throws {
        let target: RequestTarget
        do throws(Rejection) {
            target = try RequestTarget.parse(bytes.span, ByteRange(0, bytes.count), method)
        } catch {
            let isOrigin = bytes.first == UInt8(ascii: "/")
            try expect(!isOrigin, "a path is refused (\(error))")
            return
        }
        try expect(target.whole.count == bytes.count, "the whole is not whole")
        switch target.form {
        case .authority: try expect(method == .connect, "authority-form with \(method)")
        case .asterisk: try expect(bytes == [UInt8(ascii: "*")] && method == .options, "asterisk-form otherwise")
        case .origin:
            try expect(Array(bytes[target.pathAndQuery.range]) == bytes, "a path lost bytes")
            try expectPath(bytes, target)
        case .absolute:
            let pieces = bytes.count - Int(target.authority.count) - Int(target.pathAndQuery.count)
            try expect(pieces == (target.isHTTPS ? 8 : 7), "an absolute target lost bytes")
            try expectPath(bytes, target)
        }
    }

    private static func expectPath(_ bytes: [UInt8], _ target: RequestTarget) throws {
        let all = Array(bytes[target.pathAndQuery.range])
        let path = Array(bytes[target.path.range])
        try expect(path == Array(all.prefix { $0 != UInt8(ascii: "?") }), "the path does not end at its query")
        let ambiguity = PathAmbiguity.first(in: path.span)
        let slow = slowAmbiguities(path)
        try expect(
            (ambiguity == nil) == slow.isEmpty, "\(path.escaped): \(String(describing: ambiguity)), slowly \(slow)")
        if let ambiguity { try expect(slow.contains(ambiguity), "\(path.escaped): \(ambiguity), slowly \(slow)") }
    }

    /// All that can be read in two ways, by looking at each element on its own.
    static func slowAmbiguities(_ path: [UInt8]) -> [PathAmbiguity] {
        var found: [PathAmbiguity] = []
        let body = path.first == UInt8(ascii: "/") ? Array(path.dropFirst()) : path
        let elements = body.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(Array.init)
        for (index, element) in elements.enumerated() {
            var decoded: [UInt8] = []
            var at = 0
            while at < element.count {
                guard element[at] == UInt8(ascii: "%") else {
                    decoded.append(element[at])
                    at += 1
                    continue
                }
                let digits = element[(at + 1)...].prefix(2)
                if digits.count == 2, digits.allSatisfy({ ASCII.hexDigit($0) != nil }),
                    let byte = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
                {
                    decoded.append(byte)
                    at += 3
                } else {
                    found.append(.invalidEscape)
                    decoded.append(element[at])
                    at += 1
                }
            }
            if decoded.contains(UInt8(ascii: "/")) { found.append(.encodedSlash) }
            if decoded.contains(UInt8(ascii: "\\")) { found.append(.backslash) }
            if decoded.contains(0) { found.append(.nul) }
            let name = Array(decoded.prefix { $0 != UInt8(ascii: ";") })
            if name == Array(".".utf8) || name == Array("..".utf8) { found.append(.dotSegment) }
            let isJustASlash = index == elements.count - 1 && decoded.isEmpty
            if name.isEmpty && !isJustASlash { found.append(.emptyElement) }
        }
        return found
    }
}
