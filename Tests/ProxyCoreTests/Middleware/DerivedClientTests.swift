import Testing

@testable import ProxyCore

/// Who the client is, from what stands in a head and whose it is.
@Suite struct DerivedClientTests {
    private static let trusted = ["173.245.48.0/20", "2400:cb00::/32", "10.42.0.0/16", "2001:db8:1::/48"]

    private func derive(_ lines: String, from peer: String, isTLS: Bool = false) throws -> DerivedClient {
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n".utf8)
        var head = RequestHead(lines: 64)
        let step = try RequestParser.parse(
            request.span, into: &head, limits: HeadLimits(headerBytes: 65_536, requestTargetBytes: 1024))
        try #require(step == .complete, "\(lines)")
        let set = AddressSet(try Self.trusted.map { try AddressRange($0) })
        return DerivedClient.derive(
            head, request.span, peer: try #require(IPAddress(peer)), isTLS: isTLS, trusted: set)
    }

    /// What a trusted peer says, and who the client then is; nil: the peer itself.
    private static let said: [(lines: String, client: String?)] = [
        ("", nil),
        ("CF-Connecting-IP: 203.0.113.9\r\n", "203.0.113.9"),
        ("cf-connecting-ip:203.0.113.9 \r\n", "203.0.113.9"),
        ("CF-Connecting-IP: 2001:db8::9\r\n", "2001:db8::9"),
        ("CF-Connecting-IP: ::ffff:203.0.113.9\r\n", "203.0.113.9"),
        // A Worker's, though it is of a trusted range itself.
        ("CF-Connecting-IP: 2400:cb00::103\r\n", "2400:cb00::103"),
        // Pseudo IPv4 that overwrites: the address of class E is nobody's.
        (
            "CF-Connecting-IP: 240.1.2.3\r\nCF-Connecting-IPv6: 2001:db8::9\r\nX-Forwarded-For: 240.1.2.3\r\n",
            "2001:db8::9"
        ),
        ("CF-Connecting-IPv6: 2001:db8::9\r\nCF-Connecting-IP: 240.1.2.3\r\n", "2001:db8::9"),
        // Pseudo IPv4 that adds a field.
        ("CF-Connecting-IP: 2001:db8::9\r\nCF-Pseudo-IPv4: 240.1.2.3\r\n", "2001:db8::9"),
        ("CF-Connecting-IPv6: 203.0.113.1\r\nCF-Connecting-IP: 203.0.113.9\r\n", "203.0.113.9"),
        ("CF-Connecting-IPv6: x\r\nCF-Connecting-IP: 203.0.113.9\r\n", "203.0.113.9"),
        ("CF-Connecting-IPv6: 2001:db8::9\r\n", "2001:db8::9"),
        // Cloudflare's word goes before the list.
        ("X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\nCF-Connecting-IP: 203.0.113.9\r\n", "203.0.113.9"),
        // What is not one address does not count.
        ("CF-Connecting-IP: 203.0.113.9, 203.0.113.10\r\n", nil),
        ("CF-Connecting-IP: 203.0.113.9:80\r\n", nil),
        ("CF-Connecting-IP: 203.0.113.09\r\n", nil),
        ("CF-Connecting-IP: \r\n", nil),
        ("CF-Connecting-IP: 0.0.0.0\r\n", nil),
        ("CF-Connecting-IP: ::\r\n", nil),
        ("CF-Connecting-IP: 203.0.113.9\r\nCF-Connecting-IP: 203.0.113.9\r\n", nil),
        ("CF-Connecting-IP: \r\nCF-Connecting-IP: 203.0.113.9\r\n", nil),
        ("CF-Connecting-IP: no\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        // The list: the right-most one that is not trusted.
        ("X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 198.51.100.1,203.0.113.9,10.42.1.1, 173.245.48.3\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 203.0.113.9, 2001:db8:1::7\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\nX: y\r\nX-Forwarded-For: 10.42.0.1\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: \r\nx-forwarded-for: , ,\r\n", "203.0.113.9"),
        ("X-Forwarded-For: ,\t203.0.113.9\t,,\r\n", "203.0.113.9"),
        // All are trusted: the one that is furthest away.
        ("X-Forwarded-For: 10.42.9.9, 10.42.1.1\r\n", "10.42.9.9"),
        // Ports, brackets, mapped addresses.
        ("X-Forwarded-For: 203.0.113.9:4711\r\n", "203.0.113.9"),
        ("X-Forwarded-For: [2001:db8::9]:4711\r\n", "2001:db8::9"),
        ("X-Forwarded-For: [2001:db8::9]\r\n", "2001:db8::9"),
        ("X-Forwarded-For: 203.0.113.9, ::ffff:10.42.1.1\r\n", "203.0.113.9"),
        // What is no address ends the search: of what stands left of it nobody trusted tells.
        ("X-Forwarded-For: 203.0.113.9, unknown, 10.42.1.1\r\n", "10.42.1.1"),
        ("X-Forwarded-For: 203.0.113.9, unknown\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, 0.0.0.0\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, _hidden\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, [2001:db8::9\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, [2001:db8::9]x\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, [2001:db8::9]:\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, 203.0.113.10:\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, 203.0.113.10:8x\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, 203.0.113.10:123456\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, [203.0.113.10\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, []\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, [\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, :\r\n", nil),
        ("X-Forwarded-For: 203.0.113.9, \"203.0.113.10\"\r\n", nil),
        ("X-Forwarded-For:\r\n", nil),
        // Look-alikes and the other families are never read.
        ("CF_Connecting_IP: 203.0.113.9\r\n", nil),
        ("CF.Connecting.IP: 203.0.113.9\r\n", nil),
        ("X_Forwarded_For: 203.0.113.9\r\n", nil),
        ("X-Real-IP: 203.0.113.9\r\n", nil),
        ("True-Client-IP: 203.0.113.9\r\n", nil),
        ("Forwarded: for=203.0.113.9\r\n", nil),
    ]

    @Test func aTrustedPeerIsBelievedAndNobodyElse() throws {
        for (lines, client) in Self.said {
            for peer in ["173.245.48.1", "::ffff:173.245.63.255", "10.42.7.7", "2400:cb00::1"] {
                let derived = try derive(lines, from: peer)
                #expect(derived.address == IPAddress(client ?? peer), "\(lines) from \(peer): \(derived.address)")
                #expect(derived.isFromTrustedProxy)
            }
            for peer in ["173.245.64.0", "192.0.2.1", "::1", "2400:cb01::1", "127.0.0.1"] {
                let derived = try derive(lines + "X-Forwarded-Proto: https\r\n", from: peer)
                #expect(derived == DerivedClient(peer: IPAddress(peer)!, isTLS: false), "\(lines) from \(peer)")
            }
        }
    }

    @Test func theSchemeIsWhatATrustedPeerSaysOfIt() throws {
        // What is said, and whether the client then spoke https; nil: as it came to us.
        let said: [(lines: String, isHTTPS: Bool?)] = [
            ("", nil), ("X-Forwarded-Proto: https\r\n", true), ("X-Forwarded-Proto: HTTPS\r\n", true),
            ("X-Forwarded-Proto: http\r\n", false), ("x-forwarded-proto:http\r\n", false),
            ("X-Forwarded-Proto: \r\n", nil), ("X-Forwarded-Proto: https, http\r\n", nil),
            ("X-Forwarded-Proto: ftp\r\n", nil), ("X-Forwarded-Proto: httpsx\r\n", nil),
            ("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n", nil),
            ("X_Forwarded_Proto: https\r\n", nil), ("X.Forwarded.Proto: https\r\n", nil),
            ("X-Forwarded-Ssl: on\r\n", nil), ("Forwarded: proto=https\r\n", nil),
        ]
        for (lines, isHTTPS) in said {
            for isTLS in [false, true] {
                #expect(try derive(lines, from: "10.42.0.1", isTLS: isTLS).isHTTPS == isHTTPS ?? isTLS, "\(lines)")
                #expect(try derive(lines, from: "192.0.2.1", isTLS: isTLS).isHTTPS == isTLS, "\(lines)")
            }
        }
    }

    @Test func noBytesTrap() throws {
        var random = RandomSource(seed: 11)
        let pieces = ["[", "]", ":", ",", " ", "\t", ".", "1", "255", "10.42.0.1", "2001:db8:1::1", "x", "::", "%"]
        for _ in 0..<2000 {
            let text = (0..<random.below(12)).map { _ in pieces[random.below(pieces.count)] }.joined()
            _ = try derive("X-Forwarded-For: \(text)\r\nX-Forwarded-For: \(text)10.42.0.1\r\n", from: "10.42.0.1")
        }
    }
}
