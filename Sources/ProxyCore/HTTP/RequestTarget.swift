// What is asked of whom? The target's four forms (RFC 9112 §3.2) and the host they or `Host` name.

/// The forms of a request target.
public enum TargetForm: UInt8, Sendable {
    /// `/path?query`
    case origin
    /// `http://host/path?query`
    case absolute
    /// `host:port`, with CONNECT alone
    case authority
    /// `*`, with OPTIONS alone
    case asterisk
}

/// A request's target, taken apart. Ranges lie in the buffer that holds the request.
public struct RequestTarget: Sendable {
    /// Which form it came in.
    public var form = TargetForm.origin
    /// The whole target.
    public var whole = ByteRange()
    /// Path and query as they came. An absolute target may lack both, or the path alone, which then means `/`.
    public var pathAndQuery = ByteRange()
    /// The path alone, up to the `?`.
    public var path = ByteRange()
    /// The authority of an absolute target.
    public var authority = ByteRange()
    /// Whether the absolute target says https, whose default port is 443.
    public var isHTTPS = false

    /// An empty target.
    public init() {}

    /// Takes apart the target in `range`, whose bytes are known to be visible ASCII without `#`.
    static func parse(_ bytes: Span<UInt8>, _ range: ByteRange, _ method: Method) throws(Rejection) -> RequestTarget {
        var target = RequestTarget()
        target.whole = range
        let start = Int(range.start)
        let end = range.end
        guard start < end else { throw .badTarget }
        if method == .connect {
            target.form = .authority
            return target
        }
        if bytes[start] == ASCII.slash {
            target.setPath(bytes, from: start)
            return target
        }
        if range.count == 1, bytes[start] == UInt8(ascii: "*"), method == .options {
            target.form = .asterisk
            return target
        }
        // absolute-form must be accepted (RFC 9112 §3.2.2).
        let isHTTPS = Scan.equals(bytes, ByteRange(start, min(start + 8, end)), "https://")
        guard isHTTPS || Scan.equals(bytes, ByteRange(start, min(start + 7, end)), "http://") else { throw .badTarget }
        target.form = .absolute
        target.isHTTPS = isHTTPS
        let authority = start + (isHTTPS ? 8 : 7)
        var at = authority
        while at < end, bytes[at] != ASCII.slash, bytes[at] != UInt8(ascii: "?") { at &+= 1 }
        target.authority = ByteRange(authority, at)
        target.setPath(bytes, from: at)
        return target
    }

    private mutating func setPath(_ bytes: Span<UInt8>, from start: Int) {
        let end = whole.end
        var query = start
        while query < end, bytes[query] != UInt8(ascii: "?") { query &+= 1 }
        pathAndQuery = ByteRange(start, end)
        path = ByteRange(start, query)
    }
}

/// A `uri-host [ ":" port ]` (RFC 9110 §7.2), taken apart.
public struct Authority: Equatable, Sendable {
    /// The host without brackets' port; an IPv6 literal keeps its brackets.
    public var host = ByteRange()
    /// The port; nil where none was given.
    public var port: UInt16?

    /// Bytes that an authority has at most: a name of 255 (RFC 1035 §2.3.4), a colon and a port.
    static let bytesMax = 262

    /// An empty authority.
    public init() {}

    /// Takes apart the bytes of `range`; nil where they are no host with an optional port. Stricter than the RFC
    /// where readers differ: no userinfo, no percent-encoding, no empty host, brackets only around an IPv6 address.
    static func parse(_ bytes: Span<UInt8>, _ range: ByteRange) -> Authority? {
        var authority = Authority()
        let start = Int(range.start)
        let end = range.end
        guard start < end, end - start <= bytesMax else { return nil }
        var at = start
        if bytes[start] == UInt8(ascii: "[") {
            while at < end, bytes[at] != UInt8(ascii: "]") { at &+= 1 }
            guard at < end, let ip = IPAddress.parse(bytes.extracting(start + 1..<at)), isV6Text(bytes, start + 1, at)
            else { return nil }
            _ = ip
            at &+= 1
        } else {
            while at < end, bytes[at] != ASCII.colon {
                guard isHostByte(bytes[at]) else { return nil }
                at &+= 1
            }
            guard at > start else { return nil }
        }
        authority.host = ByteRange(start, at)
        guard at < end else { return authority }
        guard bytes[at] == ASCII.colon else { return nil }
        at &+= 1
        // "host:" with an empty port is grammatical and means the default one (RFC 3986 §3.2.3).
        guard at < end else { return authority }
        guard end - at <= 5 else { return nil }
        var port: UInt32 = 0
        while at < end {
            guard let digit = ASCII.digit(bytes[at]) else { return nil }
            port = port * 10 + UInt32(digit)
            at &+= 1
        }
        guard port <= 65535 else { return nil }
        authority.port = UInt16(truncatingIfNeeded: port)
        return authority
    }

    private static func isV6Text(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        for i in start..<end where bytes[i] == ASCII.colon { return true }
        return false
    }

    /// Letters, digits, `-`, `.`, `_` and `~`: what stands in names. The sub-delims that RFC 3986 would also allow
    /// mean something else to one back end or another.
    @inline(__always) private static func isHostByte(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10 || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "~")
    }

    /// Whether both name the same host and port, `defaultPort` standing for none.
    func equals(_ other: Authority, _ bytes: Span<UInt8>, defaultPort: UInt16) -> Bool {
        Scan.equalsIgnoringCase(bytes, host, other.host) && (port ?? defaultPort) == (other.port ?? defaultPort)
    }
}
