// How is a request head spelled? RFC 9112 §2, §3, §5: bytes become a `RequestHead`, or "need more", or a `Rejection`.

/// Reads request heads. Stateless: an incomplete head is read again from its beginning when more has come.
public enum RequestParser {
    /// Methods longer than this are nobody's.
    static let methodBytesMax = 32
    /// Bytes of an `Upgrade` value that is passed on.
    static let upgradeBytesMax = 256

    /// Reads a head from the beginning of `bytes` into `head`, whose ranges then count from there.
    ///
    /// - Throws: as soon as the bytes at hand break a rule or a limit, also before the head is complete.
    public static func parse(
        _ bytes: Span<UInt8>, into head: inout RequestHead, limits: HeadLimits
    ) throws(Rejection) -> ParseStep {
        var at = 0
        // What a broken head has told before it broke is all that an answer may rely on.
        head.method = .other
        guard try skipEmptyLines(bytes, &at, limits) else { return .needMore }
        guard try parseRequestLine(bytes, &at, &head, limits) == .complete else { return .needMore }

        head.fields.removeAll()
        head.connection = ConnectionOptions()
        head.noted = RequestHead.NotedLines()
        head.expectsContinue = false
        head.acceptsTrailers = false
        head.maxForwards = nil
        head.ownHops = 0
        head.upgrade = ByteRange()

        var framing = FramingFields()
        var hosts = 0
        var host = ByteRange()
        var upgrades = 0
        var hasUnknownExpectation = false
        let section = at
        fields: while true {
            switch try FieldLineParser.next(bytes, at: &at) {
            case .needMore:
                // What may still come is the empty line.
                guard bytes.count &- section <= limits.headerBytes &+ 2 else { throw .headerTooLarge }
                return .needMore
            case .end: break fields
            case .line(let line):
                guard at &- section <= limits.headerBytes else { throw .headerTooLarge }
                guard head.fields.append(line) else { throw .tooManyHeaders }
                switch line.known {
                case .other: break
                case .host:
                    hosts &+= 1
                    host = line.value
                case .contentLength: framing.addContentLength(bytes, line.value)
                case .transferEncoding: framing.addTransferEncoding(bytes, line.value)
                case .connection:
                    head.connection.add(bytes, line.value)
                    if head.connection.isTooLong { throw .tooManyOptions }
                case .upgrade:
                    upgrades &+= 1
                    head.upgrade = line.value
                case .expect:
                    if Scan.equals(bytes, line.value, "100-continue") {
                        head.expectsContinue = true
                    } else {
                        hasUnknownExpectation = true
                    }
                case .te:
                    _ = Scan.forEachMember(bytes, line.value) { member in
                        if Scan.equals(bytes, member, "trailers") { head.acceptsTrailers = true }
                        return true
                    }
                case .via: head.ownHops &+= ownHops(bytes, line.value)
                case .maxForwards: head.maxForwards = number(bytes, line.value)
                case .accept: head.noted.accept = line.value
                case .userAgent: head.noted.userAgent = line.value
                case .cfRay: head.noted.cfRay = line.value
                case .traceparent: head.noted.traceparent = line.value
                case .cfConnectingIP: head.noted.cfConnectingIP.note(line.value)
                case .cfConnectingIPv6: head.noted.cfConnectingIPv6.note(line.value)
                case .xForwardedProto: head.noted.xForwardedProto.note(line.value)
                case .xRequestID: head.noted.xRequestID.note(line.value)
                case .xForwardedFor: head.noted.hasForwardedFor = true
                default: break
                }
            }
        }
        head.byteCount = at
        head.framing = try framing.requestFraming(isHTTP10: head.isHTTP10)
        head.saysLength = framing.hasContentLength
        try checkHost(bytes, &head, hosts, host)

        if head.isHTTP10 {
            // HTTP/1.0 knows neither (RFC 9110 §10.1.1, §7.8).
            head.expectsContinue = false
            head.upgrade = ByteRange()
        } else if hasUnknownExpectation {
            throw .unknownExpectation
        }
        if head.framing == .none { head.expectsContinue = false }
        if upgrades != 1 || !head.connection.upgrade || head.method != .get || head.framing != .none
            || !isForeignProtocol(bytes, head.upgrade)
        {
            head.upgrade = ByteRange()
        }
        return .complete
    }

    @inline(__always)
    private static func skipEmptyLines(
        _ bytes: Span<UInt8>, _ at: inout Int, _ limits: HeadLimits
    ) throws(Rejection) -> Bool {
        while at < bytes.count, bytes[at] == ASCII.cr {
            guard at &+ 1 < bytes.count else { return false }
            guard bytes[at &+ 1] == ASCII.lf else { throw .bareLineEnd }
            at &+= 2
            guard at <= 2 &* limits.emptyLines else { throw .badRequestLine }
        }
        return at < bytes.count
    }

    @inline(__always)
    private static func parseRequestLine(
        _ bytes: Span<UInt8>, _ at: inout Int, _ head: inout RequestHead, _ limits: HeadLimits
    ) throws(Rejection) -> ParseStep {
        let count = bytes.count
        let start = at
        while at < count, ASCII.isToken(bytes[at]) { at &+= 1 }
        guard at &- start <= methodBytesMax else { throw .methodTooLong }
        guard at < count else { return .needMore }
        guard bytes[at] == ASCII.space, at > start else {
            throw bytes[at] == ASCII.lf ? .bareLineEnd : .badRequestLine
        }
        head.methodBytes = ByteRange(start, at)
        head.method = Method.recognize(bytes, head.methodBytes)
        at &+= 1

        let targetStart = at
        at = Scan.endOfTarget(bytes, from: at)
        guard at &- targetStart <= limits.requestTargetBytes else { throw .targetTooLong }
        guard at < count else { return .needMore }
        guard bytes[at] == ASCII.space else {
            // A line that ends here is HTTP/0.9.
            throw bytes[at] == ASCII.cr || bytes[at] == ASCII.lf ? .badRequestLine : .badTarget
        }
        head.target = try RequestTarget.parse(bytes, ByteRange(targetStart, at), head.method)
        at &+= 1

        // `HTTP/` DIGIT `.` DIGIT CRLF, refused at its first wrong byte.
        let version = at
        let available = min(count &- version, 10)
        for i in 0..<available {
            let byte = bytes[version &+ i]
            let fits =
                switch i {
                case 0: byte == UInt8(ascii: "H")
                case 1, 2: byte == UInt8(ascii: "T")
                case 3: byte == UInt8(ascii: "P")
                case 4: byte == ASCII.slash
                case 6: byte == UInt8(ascii: ".")
                case 8: byte == ASCII.cr
                case 9: byte == ASCII.lf
                default: ASCII.digit(byte) != nil
                }
            guard fits else { throw i == 8 && byte == ASCII.lf ? .bareLineEnd : .badRequestLine }
        }
        guard available == 10 else { return .needMore }
        let minor = bytes[version &+ 7]
        guard bytes[version &+ 5] == UInt8(ascii: "1"), minor == UInt8(ascii: "1") || minor == UInt8(ascii: "0") else {
            throw .unsupportedVersion
        }
        head.isHTTP10 = minor == UInt8(ascii: "0")
        at = version &+ 10
        return .complete
    }

    @inline(__always)
    private static func checkHost(
        _ bytes: Span<UInt8>, _ head: inout RequestHead, _ hosts: Int, _ host: ByteRange
    ) throws(Rejection) {
        head.authority = Authority()
        guard hosts <= 1, hosts == 1 || head.isHTTP10 else { throw .badHost }
        if hosts == 1 {
            guard let authority = Authority.parse(bytes, host) else { throw .badHost }
            head.authority = authority
        }
        guard head.target.form == .absolute else { return }
        guard let authority = Authority.parse(bytes, head.target.authority) else { throw .badTarget }
        let defaultPort: UInt16 = head.target.isHTTPS ? 443 : 80
        // The target's authority would replace Host (RFC 9112 §3.2.2); where they differ somebody is being misled.
        guard hosts == 0 || authority.equals(head.authority, bytes, defaultPort: defaultPort) else { throw .badHost }
        head.authority = authority
    }

    private static func number(_ bytes: Span<UInt8>, _ value: ByteRange) -> UInt32? {
        guard !value.isEmpty, value.count <= 9 else { return nil }
        var number: UInt32 = 0
        for at in value.range {
            guard let digit = ASCII.digit(bytes[at]) else { return nil }
            number = number &* 10 &+ UInt32(digit)
        }
        return number
    }

    /// How many members of a `Via` value name us: `1.1 hdproxy` (RFC 9110 §7.6.3).
    private static func ownHops(_ bytes: Span<UInt8>, _ value: ByteRange) -> Int {
        var hops = 0
        _ = Scan.forEachMember(bytes, value) { member in
            if Scan.equals(bytes, member, "1.1 hdproxy") || Scan.equals(bytes, member, "1.0 hdproxy") { hops &+= 1 }
            return true
        }
        return hops
    }

    /// Whether the one protocol that a 101 names (`offer`, in `answer`) is among those that the head in `request`
    /// asked for.
    static func upgradeIsOffered(_ request: Span<UInt8>, _ answer: Span<UInt8>, _ offer: ByteRange) -> Bool {
        var at = 0
        // Our own request line, then lines that we wrote.
        while at < request.count, request[at] != ASCII.lf { at &+= 1 }
        at &+= 1
        while let step = try? FieldLineParser.next(request, at: &at), case .line(let line) = step {
            guard line.known == .upgrade else { continue }
            return !Scan.forEachMember(request, line.value) { member in
                guard member.count == offer.count else { return true }
                for i in 0..<Int(member.count)
                where ASCII.lowercased(request[Int(member.start) &+ i])
                    != ASCII.lowercased(answer[Int(offer.start) &+ i])
                {
                    return true
                }
                return false
            }
        }
        return false
    }

    /// Whether an `Upgrade` value names a protocol that may be tunnelled: not HTTP itself, whose cleartext upgrade
    /// would carry requests past every rule, nor TLS.
    private static func isForeignProtocol(_ bytes: Span<UInt8>, _ value: ByteRange) -> Bool {
        guard !value.isEmpty, value.count <= upgradeBytesMax else { return false }
        var isNamed = false
        let isForeign = Scan.forEachMember(bytes, value) { member in
            // protocol-name ["/" protocol-version], both tokens (RFC 9110 §7.8).
            var end = Int(member.start)
            while end < member.end, ASCII.isToken(bytes[end]) { end &+= 1 }
            var at = end
            if at < member.end, bytes[at] == ASCII.slash { at &+= 1 }
            while at < member.end, ASCII.isToken(bytes[at]) { at &+= 1 }
            let name = ByteRange(Int(member.start), end)
            isNamed = true
            return at == member.end && !name.isEmpty && !Scan.equals(bytes, name, "h2c")
                && !Scan.equals(bytes, name, "h2") && !Scan.equals(bytes, name, "tls")
                && !Scan.equals(bytes, name, "http")
        }
        return isNamed && isForeign
    }
}

/// What a head may measure.
public struct HeadLimits: Sendable {
    /// The field section, in bytes.
    public var headerBytes: Int
    /// The request target, in bytes.
    public var requestTargetBytes: Int
    /// Empty lines that may stand before the request line (RFC 9112 §2.2).
    public var emptyLines = 2

    /// Limits of these sizes.
    public init(headerBytes: Int, requestTargetBytes: Int) {
        self.headerBytes = headerBytes
        self.requestTargetBytes = requestTargetBytes
    }
}
