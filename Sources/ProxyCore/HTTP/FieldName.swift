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
    /// What Cloudflare says of the client. Anybody else can say it, too: it travels from a trusted proxy alone.
    case cfConnectingIP, cfConnectingIPv6, cfRay
    /// Any other `CF-…`.
    case cloudflare
    /// One that could pass for the above and is never believed: another `X-Forwarded-…`, `Forwarded`, `Proxy`,
    /// `True-Client-IP`, which the plans of Cloudflare that we know do not set, the internals of frameworks, and
    /// look-alikes that some back end folds into one of them.
    case forged
    /// One that says what a message is or who may see it: it stays although `Connection` nominates it, and has no
    /// business in trailers.
    case guarded
    // Noted for the log, or not to be removed at a client's bidding.
    case userAgent, traceparent, authorization, cookie, accept
    // Of responses.
    case date, setCookie

    /// The field that the bytes of `range` name.
    @inline(__always)
    static func recognize(_ bytes: Span<UInt8>, _ range: ByteRange) -> FieldName {
        let start = Int(range.start)
        let first = bytes[start] | 0x20
        @inline(__always) func if_(_ text: StaticString, _ name: FieldName) -> FieldName {
            Scan.equals(bytes, range, text) ? name : guardedFamily(bytes, range)
        }
        switch (range.count, first) {
        case (2, UInt8(ascii: "t")): return if_("te", .te)
        case (3, UInt8(ascii: "v")): return if_("via", .via)
        case (3, UInt8(ascii: "a")): return if_("age", .guarded)
        case (4, UInt8(ascii: "h")): return if_("host", .host)
        case (4, UInt8(ascii: "d")): return if_("date", .date)
        case (4, UInt8(ascii: "v")): return if_("vary", .guarded)
        case (5, UInt8(ascii: "p")): return if_("proxy", .forged)
        case (5, UInt8(ascii: "r")): return if_("range", .guarded)
        case (6, UInt8(ascii: "e")): return if_("expect", .expect)
        case (6, UInt8(ascii: "a")): return if_("accept", .accept)
        case (6, UInt8(ascii: "c")):
            return if_("cookie", .cookie)
        case (6, UInt8(ascii: "o")): return if_("origin", .guarded)
        case (7, UInt8(ascii: "u")): return if_("upgrade", .upgrade)
        case (7, UInt8(ascii: "t")): return if_("trailer", .trailer)
        case (7, UInt8(ascii: "e")): return if_("expires", .guarded)
        case (8, UInt8(ascii: "l")): return if_("location", .guarded)
        case (8, UInt8(ascii: "c")): return if_("cdn-loop", .guarded)
        case (9, UInt8(ascii: "f")): return if_("forwarded", .forged)
        case (10, UInt8(ascii: "c")): return if_("connection", .connection)
        case (10, UInt8(ascii: "k")): return if_("keep-alive", .keepAlive)
        case (10, UInt8(ascii: "u")): return if_("user-agent", .userAgent)
        case (10, UInt8(ascii: "s")): return if_("set-cookie", .setCookie)
        case (10, UInt8(ascii: "t")): return if_("tracestate", .guarded)
        case (10, UInt8(ascii: "e")): return if_("early-data", .guarded)
        case (11, UInt8(ascii: "t")): return if_("traceparent", .traceparent)
        case (11, UInt8(ascii: "r")): return if_("retry-after", .guarded)
        case (12, UInt8(ascii: "m")): return if_("max-forwards", .maxForwards)
        case (12, UInt8(ascii: "c")): return if_("content-type", .guarded)
        case (13, UInt8(ascii: "a")): return if_("authorization", .authorization)
        case (13, UInt8(ascii: "c")):
            return Scan.equals(bytes, range, "cache-control") ? .guarded : if_("content-range", .guarded)
        case (14, UInt8(ascii: "c")): return if_("content-length", .contentLength)
        case (14, UInt8(ascii: "h")): return if_("http2-settings", .http2Settings)
        case (14, UInt8(ascii: "t")): return if_("true-client-ip", .forged)
        case (16, UInt8(ascii: "p")): return if_("proxy-connection", .proxyConnection)
        case (16, UInt8(ascii: "c")):
            return Scan.equals(bytes, range, "content-encoding") ? .guarded : if_("content-location", .guarded)
        case (16, UInt8(ascii: "w")): return if_("www-authenticate", .guarded)
        case (17, UInt8(ascii: "t")): return if_("transfer-encoding", .transferEncoding)
        case (18, UInt8(ascii: "p")): return if_("proxy-authenticate", .proxyAuthenticate)
        case (19, UInt8(ascii: "p")): return if_("proxy-authorization", .proxyAuthorization)
        case (_, UInt8(ascii: "x")): return extensionField(bytes, range)
        default: return guardedFamily(bytes, range)
        }
    }

    /// The `X-…` fields that proxies and frameworks believe.
    private static func extensionField(_ bytes: Span<UInt8>, _ range: ByteRange) -> FieldName {
        @inline(__always) func is_(_ text: StaticString) -> Bool { Scan.equals(bytes, range, text) }
        switch range.count {
        case 9 where is_("x-real-ip"): return .xRealIP
        case 12 where is_("x-request-id"): return .xRequestID
        case 15 where is_("x-forwarded-for"): return .xForwardedFor
        case 16 where is_("x-forwarded-host"): return .xForwardedHost
        case 17 where is_("x-forwarded-proto"): return .xForwardedProto
        case 13 where is_("x-rewrite-url") || is_("x-nextjs-data"): return .forged
        case 14 where is_("x-original-url"): return .forged
        // A browser's own, which asks for less.
        case 21 where is_("x-middleware-prefetch"): return .other
        default:
            // Any other `X-Forwarded…`: what we do not set ourselves, nobody else may say either. With the others Next.js
            // talks to itself, and skipped its checks where a client did (CVE-2025-29927).
            return hasPrefix(bytes, range, "x-forwarded") || hasPrefix(bytes, range, "x-middleware-")
                ? .forged : .other
        }
    }

    /// `CF-…` and `Sec-…`, which tell of the client, and `If-…`, which decide whether anything is done.
    private static func guardedFamily(_ bytes: Span<UInt8>, _ range: ByteRange) -> FieldName {
        let start = Int(range.start)
        guard range.count > 3, bytes[start &+ 2] == UInt8(ascii: "-") || bytes[start &+ 3] == UInt8(ascii: "-") else {
            return .other
        }
        if hasPrefix(bytes, range, "cf-") { return cloudflareField(bytes, range) }
        return hasPrefix(bytes, range, "if-") || hasPrefix(bytes, range, "sec-") ? .guarded : .other
    }

    /// Which of Cloudflare's fields a name that begins with `CF-` is.
    private static func cloudflareField(_ bytes: Span<UInt8>, _ range: ByteRange) -> FieldName {
        switch range.count {
        case 6 where Scan.equals(bytes, range, "cf-ray"): .cfRay
        case 16 where Scan.equals(bytes, range, "cf-connecting-ip"): .cfConnectingIP
        case 18 where Scan.equals(bytes, range, "cf-connecting-ipv6"): .cfConnectingIPv6
        default: .cloudflare
        }
    }

    private static func hasPrefix(_ bytes: Span<UInt8>, _ range: ByteRange, _ prefix: StaticString) -> Bool {
        let end = Int(range.start) + prefix.utf8CodeUnitCount
        return end <= range.end && Scan.equals(bytes, ByteRange(Int(range.start), end), prefix)
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
        case .other, .userAgent, .accept, .date, .traceparent, .guarded: return .other
        default: return .forged
        }
    }

    /// Whether a line of this name stays although `Connection` nominates it. Removing one of these at a client's
    /// bidding is how protections of proxies were switched off.
    var survivesNomination: Bool {
        switch self {
        case .host, .contentLength, .transferEncoding, .authorization, .cookie, .setCookie, .via, .traceparent,
            .xForwardedFor, .xForwardedProto, .xForwardedHost, .xRealIP, .xRequestID, .cfConnectingIP,
            .cfConnectingIPv6,
            .cfRay, .cloudflare, .date, .maxForwards, .guarded:
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
