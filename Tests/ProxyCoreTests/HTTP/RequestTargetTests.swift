import Testing

@testable import ProxyCore

@Suite struct RequestTargetTests {
    private func authority(_ text: String) -> (host: String, port: UInt16?)? {
        let bytes = Array("//\(text)/".utf8)
        guard let authority = Authority.parse(bytes.span, ByteRange(2, bytes.count - 1)) else { return nil }
        return (String(decoding: bytes[authority.host.range], as: UTF8.self), authority.port)
    }

    @Test func anAuthorityIsAHostWithOrWithoutAPort() {
        let cases: [(text: String, host: String?, port: UInt16?)] = [
            ("a", "a", nil), ("a:1", "a", 1), ("a:", "a", nil), ("a:00001", "a", 1), ("a:65535", "a", 65535),
            ("a:65536", nil, nil), ("a:000001", nil, nil), ("a:1a", nil, nil), ("a: 1", nil, nil), ("a:b", nil, nil),
            ("", nil, nil), (":", nil, nil), (":1", nil, nil), ("a::1", nil, nil), ("A-b_c.d~", "A-b_c.d~", nil),
            ("[::1]", "[::1]", nil), ("[::1]:8", "[::1]", 8), ("[::1]8", nil, nil), ("[::1", nil, nil),
            ("[]", nil, nil), ("[1.2.3.4]", nil, nil), ("[::1%25a]", nil, nil),
            ("[::FFFF:1.2.3.4]", "[::FFFF:1.2.3.4]", nil),
            ("1.2.3.4:5", "1.2.3.4", 5), ("a@b", nil, nil), ("a%41", nil, nil), ("a/b", nil, nil),
        ]
        for (text, host, port) in cases {
            let got = authority(text)
            #expect(got?.host == host && got?.port == port, "\(text)")
        }
        // Only these bytes stand in a name, whatever a back end may make of the others.
        let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8)
        for byte in UInt8.min...UInt8.max where byte != UInt8(ascii: ":") {
            let bytes: [UInt8] = [UInt8(ascii: "a"), byte, UInt8(ascii: "b")]
            #expect((Authority.parse(bytes.span, ByteRange(0, 3)) != nil) == allowed.contains(byte), "\(byte)")
        }
    }

    @Test func anAuthorityHasABound() {
        let name = String(repeating: "a", count: Authority.bytesMax - 6)
        #expect(authority(name + ":65535") != nil && authority(name + "a:65535") == nil)
    }

    @Test func twoAuthoritiesAreTheSameWithTheDefaultPortAndWithoutCase() {
        let cases: [(a: String, b: String, defaultPort: UInt16, isEqual: Bool)] = [
            ("a", "A", 80, true), ("a:80", "a", 80, true), ("a:", "a:80", 80, true), ("a:443", "a", 80, false),
            ("a:443", "a", 443, true), ("a:81", "a:82", 80, false), ("a", "b", 80, false), ("a", "a.", 80, false),
            ("[::1]", "[::1]:80", 80, true), ("[::1]", "[::2]", 80, false), ("[::A]", "[::a]", 80, true),
        ]
        for (a, b, defaultPort, isEqual) in cases {
            let bytes = Array((a + " " + b).utf8)
            let first = Authority.parse(bytes.span, ByteRange(0, a.utf8.count))
            let second = Authority.parse(bytes.span, ByteRange(a.utf8.count + 1, bytes.count))
            #expect(first?.equals(second!, bytes.span, defaultPort: defaultPort) == isEqual, "\(a), \(b)")
        }
    }

    @Test func aTargetIsTakenApart() throws {
        let cases: [(method: Method, text: String, form: TargetForm?, path: String, authority: String)] = [
            (.get, "/", .origin, "/", ""), (.get, "/a/b?c?d", .origin, "/a/b", ""), (.get, "//a", .origin, "//a", ""),
            (.get, "/?", .origin, "/", ""), (.options, "*", .asterisk, "", ""), (.get, "*", nil, "", ""),
            (.options, "**", nil, "", ""), (.get, "http://a/b?c", .absolute, "/b", "a"),
            (.get, "https://a:1?c", .absolute, "", "a:1"), (.get, "HTTP://A", .absolute, "", "A"),
            (.get, "http://a@b/", .absolute, "/", "a@b"), (.get, "http:/", nil, "", ""),
            (.get, "http://", .absolute, "", ""),
            (.get, "ftp://a/", nil, "", ""), (.get, "a", nil, "", ""), (.connect, "a:443", .authority, "", ""),
            (.connect, "/", .authority, "", ""), (.get, "", nil, "", ""), (.get, "?", nil, "", ""),
            (.get, "h", nil, "", ""),
        ]
        for (method, text, form, path, authority) in cases {
            let bytes = Array("\(text) HTTP/1.1".utf8)
            let target = try? RequestTarget.parse(bytes.span, ByteRange(0, text.utf8.count), method)
            #expect(target?.form == form, "\(text)")
            guard let target else { continue }
            func part(_ range: ByteRange) -> String { String(decoding: bytes[range.range], as: UTF8.self) }
            #expect(part(target.path) == path && part(target.authority) == authority, "\(text)")
            #expect(part(target.whole) == text && target.isHTTPS == text.hasPrefix("https"), "\(text)")
        }
    }
}
