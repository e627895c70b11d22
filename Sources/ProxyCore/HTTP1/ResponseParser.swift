// How is a response head spelled? RFC 9112 §4, §5, as strictly as a request's: an upstream that is broken or hostile
// must not be able to make one client's bytes reach another.

/// Reads response heads. Stateless, like ``RequestParser``.
public enum ResponseParser {
    /// Bytes of a reason phrase, which nobody needs.
    static let reasonBytesMax = 1024

    /// Reads a head from the beginning of `bytes` into `head`, whose ranges then count from there. `method` is that
    /// of the request, on which the framing depends.
    ///
    /// - Throws: as soon as the bytes at hand break a rule or a limit. The client then gets a 502.
    public static func parse(
        _ bytes: Span<UInt8>, into head: inout ResponseHead, answering method: Method, limits: HeadLimits
    ) throws(Rejection) -> ParseStep {
        var at = 0
        guard try parseStatusLine(bytes, &at, &head, limits) == .complete else { return .needMore }
        head.fields.removeAll()
        head.connection = ConnectionOptions()
        head.upgrade = ByteRange()
        head.hasDate = false
        head.keepAliveSeconds = nil

        var framing = FramingFields()
        let section = at
        fields: while true {
            switch try FieldLineParser.next(bytes, at: &at) {
            case .needMore:
                guard bytes.count &- section <= limits.headerBytes &+ 2 else { throw .headerTooLarge }
                return .needMore
            case .end: break fields
            case .line(let line):
                guard at &- section <= limits.headerBytes else { throw .headerTooLarge }
                guard head.fields.append(line) else { throw .tooManyHeaders }
                switch line.known {
                case .contentLength: framing.addContentLength(bytes, line.value)
                case .transferEncoding: framing.addTransferEncoding(bytes, line.value)
                case .connection:
                    head.connection.add(bytes, line.value)
                    if head.connection.isTooLong { throw .tooManyOptions }
                case .upgrade: head.upgrade = line.value
                case .date: head.hasDate = true
                case .keepAlive: head.keepAliveSeconds = idleSeconds(bytes, line.value)
                default: break
                }
            }
        }
        head.byteCount = at
        head.framing = try framing.responseFraming(status: head.status, method: method, isHTTP10: head.isHTTP10)
        head.contentLength = framing.hasContentLength ? framing.contentLength : nil
        head.isChunked = framing.hasTransferEncoding
        return .complete
    }

    @inline(__always)
    private static func parseStatusLine(
        _ bytes: Span<UInt8>, _ at: inout Int, _ head: inout ResponseHead, _ limits: HeadLimits
    ) throws(Rejection) -> ParseStep {
        let count = bytes.count
        let available = min(count, 12)
        for i in 0..<available {
            let byte = bytes[i]
            let fits =
                switch i {
                case 0: byte == UInt8(ascii: "H")
                case 1, 2: byte == UInt8(ascii: "T")
                case 3: byte == UInt8(ascii: "P")
                case 4: byte == ASCII.slash
                case 5: byte == UInt8(ascii: "1")
                case 6: byte == UInt8(ascii: ".")
                case 7: byte == UInt8(ascii: "0") || byte == UInt8(ascii: "1")
                case 8: byte == ASCII.space
                default: ASCII.digit(byte) != nil
                }
            guard fits else { throw .badStatusLine }
        }
        guard count > 12 else { return .needMore }
        head.isHTTP10 = bytes[7] == UInt8(ascii: "0")
        head.status =
            (Int(bytes[9]) &- 48) &* 100 &+ (Int(bytes[10]) &- 48) &* 10 &+ (Int(bytes[11]) &- 48)
        // Anything else is invalid (RFC 9110 §15).
        guard head.status >= 100, head.status <= 599 else { throw .badStatusLine }
        // The space is due even without a phrase, but many leave both out, and nothing hangs on it.
        guard bytes[12] == ASCII.space || bytes[12] == ASCII.cr else {
            throw bytes[12] == ASCII.lf ? .bareLineEnd : .badStatusLine
        }
        let reason = bytes[12] == ASCII.space ? 13 : 12
        let end = Scan.firstControl(bytes, from: reason)
        guard end &- reason <= min(reasonBytesMax, limits.headerBytes) else { throw .headerTooLarge }
        guard end < count else { return .needMore }
        guard bytes[end] == ASCII.cr else { throw bytes[end] == ASCII.lf ? .bareLineEnd : .badStatusLine }
        guard end &+ 1 < count else { return .needMore }
        guard bytes[end &+ 1] == ASCII.lf else { throw .bareLineEnd }
        head.reason = ByteRange(reason, end)
        at = end &+ 2
        return .complete
    }

    /// The seconds of `timeout=5` in a Keep-Alive value.
    private static func idleSeconds(_ bytes: Span<UInt8>, _ value: ByteRange) -> UInt32? {
        var seconds: UInt32?
        _ = Scan.forEachMember(bytes, value) { member in
            let name = ByteRange(Int(member.start), min(member.end, Int(member.start) + 8))
            guard Scan.equals(bytes, name, "timeout="), member.count <= 8 + 7 else { return true }
            var number: UInt32 = 0
            for at in name.end..<member.end {
                guard let digit = ASCII.digit(bytes[at]) else { return true }
                number = number &* 10 &+ UInt32(digit)
            }
            if member.count > 8 { seconds = number }
            return true
        }
        return seconds
    }
}
