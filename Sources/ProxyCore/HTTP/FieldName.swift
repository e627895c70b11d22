// Which field is this? The names that a proxy acts on, recognised once while a line is parsed, so that no later step
// compares text. RFC 9110 §5.1: names are compared in any letter case.

/// A field name that means something to a proxy, or `other`.
public enum FieldName: UInt8, BitwiseCopyable, Sendable {
    case other
    // Routing and framing.
    case host, contentLength, transferEncoding
    // One hop only (RFC 9110 §7.6.1).
    case connection, keepAlive, proxyConnection, te, upgrade, http2Settings, proxyAuthenticate, proxyAuthorization
    case trailer
    // Ours to answer or to count.
    case expect, maxForwards, via
    // Who the client is: ours to say.
    case xForwardedFor, xForwardedProto, xForwardedHost, xRealIP, xRequestID
    /// One that could pass for the above and is never ours: another `X-Forwarded-…`, `Forwarded`, `Proxy`, the
    /// internals of frameworks, and look-alikes that some back end folds into one of them.
    case forged
    // Noted for the log, or not to be removed at a client's bidding.
    case userAgent, cfRay, traceparent, authorization, cookie, accept
    // Of responses.
    case date, setCookie

    /// The field that the bytes of `range` name.
    @inline(__always)
    static func recognize(_ bytes: Span<UInt8>, _ range: ByteRange) -> FieldName {
        let start = Int(range.start)
        let first = bytes[start] | 0x20
        @inline(__always) func if_(_ text: StaticString, _ name: FieldName) -> FieldName {
            Scan.equals(bytes, range, text) ? name : .other
        }
        switch (range.count, first) {
        case (2, UInt8(ascii: "t")): return if_("te", .te)
        case (3, UInt8(ascii: "v")): return if_("via", .via)
        case (4, UInt8(ascii: "h")): return if_("host", .host)
        case (4, UInt8(ascii: "d")): return if_("date", .date)
        case (5, UInt8(ascii: "p")): return if_("proxy", .forged)
        case (6, UInt8(ascii: "e")): return if_("expect", .expect)
        case (6, UInt8(ascii: "a")): return if_("accept", .accept)
        case (6, UInt8(ascii: "c")):
            return Scan.equals(bytes, range, "cookie") ? .cookie : if_("cf-ray", .cfRay)
        case (7, UInt8(ascii: "u")): return if_("upgrade", .upgrade)
        case (7, UInt8(ascii: "t")): return if_("trailer", .trailer)
        case (9, UInt8(ascii: "x")): return if_("x-real-ip", .xRealIP)
        case (9, UInt8(ascii: "f")): return if_("forwarded", .forged)
        case (10, UInt8(ascii: "c")): return if_("connection", .connection)
        case (10, UInt8(ascii: "k")): return if_("keep-alive", .keepAlive)
        case (10, UInt8(ascii: "u")): return if_("user-agent", .userAgent)
        case (10, UInt8(ascii: "s")): return if_("set-cookie", .setCookie)
        case (11, UInt8(ascii: "t")): return if_("traceparent", .traceparent)
        case (12, UInt8(ascii: "x")): return if_("x-request-id", .xRequestID)
        case (12, UInt8(ascii: "m")): return if_("max-forwards", .maxForwards)
        case (13, UInt8(ascii: "a")): return if_("authorization", .authorization)
        case (13, UInt8(ascii: "x")): return if_("x-rewrite-url", .forged)
        case (14, UInt8(ascii: "x")): return if_("x-original-url", .forged)
        case (14, UInt8(ascii: "c")): return if_("content-length", .contentLength)
        case (14, UInt8(ascii: "h")): return if_("http2-settings", .http2Settings)
        case (15, UInt8(ascii: "x")):
            return Scan.equals(bytes, range, "x-forwarded-for") ? .xForwardedFor : forwardedFamily(bytes, range)
        case (16, UInt8(ascii: "x")):
            return Scan.equals(bytes, range, "x-forwarded-host") ? .xForwardedHost : forwardedFamily(bytes, range)
        case (16, UInt8(ascii: "p")): return if_("proxy-connection", .proxyConnection)
        case (17, UInt8(ascii: "x")):
            return Scan.equals(bytes, range, "x-forwarded-proto") ? .xForwardedProto : forwardedFamily(bytes, range)
        case (17, UInt8(ascii: "t")): return if_("transfer-encoding", .transferEncoding)
        case (18, UInt8(ascii: "p")): return if_("proxy-authenticate", .proxyAuthenticate)
        case (19, UInt8(ascii: "p")): return if_("proxy-authorization", .proxyAuthorization)
        case (23, UInt8(ascii: "x")): return if_("x-middleware-subrequest", .forged)
        case (_, UInt8(ascii: "x")): return forwardedFamily(bytes, range)
        default: return .other
        }
    }

    /// Any other `X-Forwarded-…`: what we do not set ourselves, nobody else may say either.
    private static func forwardedFamily(_ bytes: Span<UInt8>, _ range: ByteRange) -> FieldName {
        let prefix = ByteRange(Int(range.start), min(Int(range.start) + 12, range.end))
        return Scan.equals(bytes, prefix, "x-forwarded-") ? .forged : .other
    }

    /// The field that a back end may take this for, if it folds `_` and `.` to `-` as CGI and its heirs do. Called
    /// only for names that hold such a byte.
    static func recognizeFolded(_ bytes: Span<UInt8>, _ range: ByteRange) -> FieldName {
        guard range.count <= 40 else {
            // Longer than any name that matters but the family, which is told by its beginning.
            return recognizeFolded(bytes, ByteRange(Int(range.start), Int(range.start) + 40)) == .forged
                ? .forged : .other
        }
        var folded = [40 of UInt8](repeating: 0)
        for i in 0..<Int(range.count) {
            let byte = bytes[Int(range.start) + i]
            folded[i] = byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") ? UInt8(ascii: "-") : byte
        }
        let name = recognize(folded.span, ByteRange(0, Int(range.count)))
        switch name {
        case .other, .userAgent, .accept, .date, .traceparent: return .other
        default: return .forged
        }
    }

    /// Whether a line of this name stays although `Connection` nominates it. Removing one of these at a client's
    /// bidding is how protections of proxies were switched off.
    var survivesNomination: Bool {
        switch self {
        case .host, .contentLength, .transferEncoding, .authorization, .cookie, .setCookie, .via, .traceparent,
            .xForwardedFor, .xForwardedProto, .xForwardedHost, .xRealIP, .xRequestID, .cfRay, .date, .maxForwards:
            true
        case .other, .connection, .keepAlive, .proxyConnection, .te, .upgrade, .http2Settings, .proxyAuthenticate,
            .proxyAuthorization, .trailer, .expect, .forged, .userAgent, .accept:
            false
        }
    }

    /// Whether a trailer field of this name is dropped: it would change framing, routing or who the client is
    /// (RFC 9110 §6.5.1).
    var isForbiddenInTrailers: Bool { self != .other && self != .userAgent && self != .accept && self != .date }
}
