// An IP address as a value, read and written by the grammar alone: no resolver, no C library, no scope names.
// RFC 4291 §2.2 and RFC 5952 for IPv6, dotted quads without leading zeros for IPv4.

/// An IPv4 or IPv6 address. IPv4 is held in its mapped form (`::ffff:a.b.c.d`), so that an address which reaches us
/// through a dual-stack listener compares equal to the same one through an IPv4 listener.
public struct IPAddress: Hashable, Sendable {
    /// The first eight bytes, in network order.
    public var high: UInt64
    /// The last eight bytes, in network order.
    public var low: UInt64

    /// The address with these two halves.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The IPv4 address whose four bytes are `v4`, the first one in the highest bits.
    public init(v4: UInt32) {
        self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(v4))
    }

    /// Whether this is an IPv4 address (or its IPv4-mapped IPv6 form, which is the same value).
    public var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }

    /// The four bytes of an IPv4 address; meaningless for IPv6.
    public var v4: UInt32 { UInt32(truncatingIfNeeded: low) }

    /// `::` or `0.0.0.0`.
    public var isUnspecified: Bool { high == 0 && (low == 0 || low == 0x0000_FFFF_0000_0000) }

    /// `127.0.0.0/8` or `::1`.
    public var isLoopback: Bool { isIPv4 ? v4 >> 24 == 127 : (high == 0 && low == 1) }

    /// Reads an address: `"10.0.0.1"` or `"2001:db8::1"`, without brackets, zone or port. Nil for anything else.
    public init?(_ text: String) {
        guard let address = Self.parse(text.utf8.span) else { return nil }
        self = address
    }

    /// Reads an address from ASCII bytes. Nil where they are not exactly one address.
    public static func parse(_ bytes: Span<UInt8>) -> IPAddress? {
        var isV6 = false
        for i in bytes.indices where bytes[i] == UInt8(ascii: ":") {
            isV6 = true
            break
        }
        if isV6 { return parseV6(bytes) }
        return parseV4(bytes, from: 0).map { IPAddress(v4: $0) }
    }

    private static func parseV4(_ bytes: Span<UInt8>, from start: Int) -> UInt32? {
        var value: UInt32 = 0
        var at = start
        for part in 0..<4 {
            if part > 0 {
                guard at < bytes.count, bytes[at] == UInt8(ascii: ".") else { return nil }
                at += 1
            }
            let first = at
            var octet: UInt32 = 0
            while at < bytes.count, at - first < 3, let digit = ASCII.digit(bytes[at]) {
                octet = octet * 10 + UInt32(digit)
                at += 1
            }
            let length = at - first
            // "010" is eight to some readers and ten to others.
            guard length > 0, octet < 256, length == 1 || bytes[first] != UInt8(ascii: "0") else { return nil }
            value = value << 8 | octet
        }
        return at == bytes.count ? value : nil
    }

    private static func parseV6(_ bytes: Span<UInt8>) -> IPAddress? {
        var groups = [8 of UInt16](repeating: 0)
        var count = 0
        var gap = -1
        var at = 0
        if bytes.count >= 2, bytes[0] == UInt8(ascii: ":") {
            guard bytes[1] == UInt8(ascii: ":") else { return nil }
            gap = 0
            at = 2
        }
        while at < bytes.count {
            guard count < 8 else { return nil }
            let first = at
            var value: UInt16 = 0
            while at < bytes.count, at - first < 4, let digit = ASCII.hexDigit(bytes[at]) {
                value = value << 4 | UInt16(digit)
                at += 1
            }
            if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
                guard count <= 6, let v4 = parseV4(bytes, from: first) else { return nil }
                groups[count] = UInt16(truncatingIfNeeded: v4 >> 16)
                groups[count + 1] = UInt16(truncatingIfNeeded: v4)
                count += 2
                at = bytes.count
                break
            }
            guard at > first else { return nil }
            groups[count] = value
            count += 1
            if at == bytes.count { break }
            guard bytes[at] == UInt8(ascii: ":") else { return nil }
            at += 1
            guard at < bytes.count else { return nil }
            if bytes[at] == UInt8(ascii: ":") {
                guard gap < 0 else { return nil }
                gap = count
                at += 1
            }
        }
        if gap >= 0 {
            guard count < 8 else { return nil }
            let moved = count - gap
            for i in 0..<moved {
                groups[7 - i] = groups[count - 1 - i]
                if 7 - i != count - 1 - i { groups[count - 1 - i] = 0 }
            }
        } else if count != 8 {
            return nil
        }
        var halves = (UInt64(0), UInt64(0))
        for i in 0..<4 { halves.0 = halves.0 << 16 | UInt64(groups[i]) }
        for i in 4..<8 { halves.1 = halves.1 << 16 | UInt64(groups[i]) }
        return IPAddress(high: halves.0, low: halves.1)
    }
}

extension IPAddress: CustomStringConvertible {
    /// Bytes that the longest text needs.
    static let textBytesMax = 39

    /// The canonical text of RFC 5952, without brackets.
    public var description: String {
        var text = ByteBuffer(capacity: Self.textBytesMax)
        append(to: &text)
        return text.text()
    }

    /// Appends the canonical text of RFC 5952, without brackets.
    func append(to text: inout ByteBuffer) {
        if isIPv4 {
            for part in 0..<4 {
                if part > 0 { text.append(UInt8(ascii: ".")) }
                text.append(decimal: UInt64(v4 >> (24 - 8 * UInt32(part)) & 255))
            }
            return
        }
        // The longest run of two or more zero groups, the first of equals, becomes "::".
        var run = (start: 8, count: 1)
        var i = 0
        while i < 8 {
            var end = i
            while end < 8, group(end) == 0 { end += 1 }
            if end - i > run.count { run = (i, end - i) }
            i = max(end, i + 1)
        }
        var at = 0
        while at < 8 {
            if at == run.start {
                text.append("::")
                at += run.count
                continue
            }
            if at > 0, at != run.start + run.count { text.append(UInt8(ascii: ":")) }
            text.append(hex: UInt64(group(at)))
            at += 1
        }
    }

    private func group(_ index: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> (48 - 16 * UInt64(index & 3)))
    }
}

/// An IP address and a TCP port.
public struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address.
    public var ip: IPAddress
    /// The port; 0 asks the system to choose one where it is listened on.
    public var port: UInt16

    /// The address `ip` with `port`.
    public init(ip: IPAddress, port: UInt16) {
        self.ip = ip
        self.port = port
    }

    /// Reads `"10.0.0.1:80"` or `"[2001:db8::1]:80"`. Nil for anything else, names included.
    public init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let portText = text.utf8[text.utf8.index(after: colon)...]
        guard !portText.isEmpty, portText.count <= 5, portText.allSatisfy({ ASCII.digit($0) != nil }),
            let port = UInt16(String(text[text.utf8.index(after: colon)...]))
        else { return nil }
        var host = String(text[..<colon])
        let bracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if bracketed { host = String(host.dropFirst().dropLast()) }
        guard let ip = IPAddress(host), bracketed == host.utf8.contains(UInt8(ascii: ":")) else { return nil }
        self.init(ip: ip, port: port)
    }

    /// As the configuration writes it: an IPv6 address in brackets.
    public var description: String { ip.isIPv4 ? "\(ip):\(port)" : "[\(ip)]:\(port)" }
}
