import Testing

@testable import ProxyCore

@Suite struct FieldNameTests {
    /// What the names of RFC 9110 and those that proxies believe mean to us.
    private static let known: [(name: String, field: FieldName)] = [
        ("Host", .host), ("Content-Length", .contentLength), ("Transfer-Encoding", .transferEncoding),
        ("Connection", .connection), ("Keep-Alive", .keepAlive), ("Proxy-Connection", .proxyConnection), ("TE", .te),
        ("Upgrade", .upgrade), ("HTTP2-Settings", .http2Settings), ("Proxy-Authenticate", .proxyAuthenticate),
        ("Proxy-Authorization", .proxyAuthorization), ("Trailer", .trailer), ("Expect", .expect),
        ("Max-Forwards", .maxForwards), ("Via", .via), ("X-Forwarded-For", .xForwardedFor),
        ("X-Forwarded-Proto", .xForwardedProto), ("X-Forwarded-Host", .xForwardedHost), ("X-Real-IP", .xRealIP),
        ("X-Request-ID", .xRequestID), ("User-Agent", .userAgent), ("CF-Ray", .cfRay),
        ("traceparent", .traceparent), ("Authorization", .authorization), ("Cookie", .cookie), ("Accept", .accept),
        ("Date", .date), ("Set-Cookie", .setCookie),
        ("Forwarded", .forged), ("Proxy", .forged), ("X-Original-URL", .forged), ("X-Rewrite-URL", .forged),
        ("X-Middleware-Subrequest", .forged), ("X-Nextjs-Data", .forged), ("X-Forwarded", .forged),
        ("X-Forwarded-Port", .forged), ("X-Forwarded-Prefix", .forged), ("X-Forwarded-Anything-Else", .forged),
        ("Age", .guarded), ("Vary", .guarded), ("Range", .guarded), ("Origin", .guarded), ("Expires", .guarded),
        ("Location", .guarded), ("CDN-Loop", .guarded), ("tracestate", .guarded), ("Early-Data", .guarded),
        ("Retry-After", .guarded), ("Content-Type", .guarded), ("Cache-Control", .guarded),
        ("Content-Range", .guarded), ("Content-Encoding", .guarded), ("Content-Location", .guarded),
        ("WWW-Authenticate", .guarded), ("If-Match", .guarded), ("If-None-Match", .guarded),
        ("If-Modified-Since", .guarded), ("If-Range", .guarded), ("If-Unmodified-Since", .guarded),
        ("Sec-Fetch-Site", .guarded), ("Sec-WebSocket-Key", .guarded), ("CF-Worker", .cloudflare),
        ("CF-Connecting-IPv6", .cfConnectingIPv6), ("CF-Connecting-IP", .cfConnectingIP), ("True-Client-IP", .forged),
        ("X-Middleware-Subrequest-Id", .forged), ("X-Middleware-Rewrite", .forged),
    ]

    /// Of the same family, but as long as another name that begins with the same letter.
    private static let overlooked: [(name: String, field: FieldName)] = [
        ("CF-IPCountry", .cloudflare), ("CF-Visitor", .cloudflare), ("CF-EW-Via", .cloudflare), ("CF-Rax", .cloudflare),
        ("Sec-CH-DPR", .guarded),
    ]

    private func recognize(_ name: String, folded: Bool = false) -> FieldName {
        let bytes = Array("..\(name)..".utf8)
        let range = ByteRange(2, bytes.count - 2)
        return folded
            ? FieldName.recognizeFolded(bytes.span, range) : FieldName.recognize(bytes.span, range)
    }

    /// The name in other letter cases, the first one its own.
    private func dressed(_ name: String) -> [String] {
        var random = RandomSource(seed: UInt64(name.utf8.count))
        let mixed = name.map { random.below(2) == 0 ? $0.uppercased() : $0.lowercased() }.joined()
        return [name, name.lowercased(), name.uppercased(), mixed]
    }

    @Test func everyNameIsRecognisedInAnyLetterCase() {
        for (name, field) in Self.known {
            for dress in dressed(name) { #expect(recognize(dress) == field, "\(dress)") }
        }
    }

    @Test func noNameOfItsFamilyIsOverlooked() {
        for (name, field) in Self.overlooked {
            // The lengths of Content-Encoding, Content-Type, Connection and Set-Cookie hide them.
            #expect(recognize(name) == field, "\(name)")
        }
    }

    @Test func aNameThatDiffersInOneByteIsAnother() {
        for (name, field) in Self.known where !["X-Forwarded", "CF-Worker"].contains(name) {
            let isFamily = ["x-forwarded", "x-middleware", "if-", "sec-", "cf-"].contains {
                name.lowercased().hasPrefix($0)
            }
            for at in name.utf8.indices {
                var bytes = Array(name.utf8)
                let i = name.utf8.distance(from: name.utf8.startIndex, to: at)
                bytes[i] = bytes[i] == UInt8(ascii: "q") ? UInt8(ascii: "z") : UInt8(ascii: "q")
                let other = String(decoding: bytes, as: UTF8.self)
                let got = recognize(other)
                if isFamily { continue }
                #expect(got == .other, "\(other) was taken for \(field)")
            }
            if !isFamily {
                #expect(recognize(name + "q") == .other && recognize("q" + name) == .other, "\(name)")
                if name.utf8.count > 2 { #expect(recognize(String(name.dropLast())) != field, "\(name)") }
            }
        }
        for name in [
            "X", "a", "-", "q", "xx-forwarded-for", "x-forwar", "x-middleware", "X-Middleware-Prefetch", "Cfx",
            "Secret", "If", "C", "S",
        ] {
            #expect(recognize(name) == .other, "\(name)")
        }
    }

    @Test func whatABackEndMayFoldIntoOneOfOursIsForged() {
        for (name, field) in Self.known where name.contains("-") {
            for separator in ["_", "."] {
                for other in dressed(name.replacing("-", with: separator)) {
                    let expected: FieldName =
                        switch field {
                        // Nobody's trust hangs on these, but for what Cloudflare says of the client.
                        case .guarded, .userAgent: .other
                        default: .forged
                        }
                    #expect(recognize(other, folded: true) == expected, "\(other)")
                }
                // One separator is enough.
                if field == .xForwardedFor {
                    #expect(recognize("X-Forwarded\(separator)For", folded: true) == .forged)
                    #expect(recognize("X\(separator)Forwarded-For", folded: true) == .forged)
                }
            }
        }
        let long = String(repeating: "a", count: 60)
        #expect(recognize("X_Forwarded_\(long)", folded: true) == .forged)
        #expect(recognize("X_Forwarded_" + String(long.prefix(28)), folded: true) == .forged, "of 40 bytes")
        #expect(recognize("a_\(long)", folded: true) == .other)
        #expect(recognize("Content_Length\(long)", folded: true) == .other)
    }

    @Test func whatTravelsIsTheSameForAllOfOneKind() {
        for field in (0...255).compactMap(FieldName.init(rawValue:)) {
            let isHop: Bool =
                switch field {
                case .connection, .keepAlive, .proxyConnection, .te, .upgrade, .http2Settings, .proxyAuthenticate,
                    .proxyAuthorization, .transferEncoding, .contentLength:
                    true
                default: false
                }
            let isOurs: Bool =
                switch field {
                case .xForwardedFor, .xForwardedProto, .xForwardedHost, .xRealIP, .xRequestID, .forged, .expect: true
                default: false
                }
            let isCloudflares =
                switch field {
                case .cfConnectingIP, .cfConnectingIPv6, .cfRay, .cloudflare: true
                default: false
                }
            #expect(field.travelsUpstream(isTrusted: true) == (!isHop && !isOurs), "\(field)")
            #expect(field.travelsUpstream(isTrusted: false) == (!isHop && !isOurs && !isCloudflares), "\(field)")
            #expect(field.travelsDownstream == (!isHop && field != .xRequestID), "\(field)")
        }
    }
}
