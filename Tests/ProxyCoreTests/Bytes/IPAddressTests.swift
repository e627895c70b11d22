import Testing

@testable import ProxyCore

@Suite struct IPAddressTests {
    @Test func addressesAreReadByTheGrammarAndWrittenCanonically() {
        let cases: [(text: String, canonical: String)] = [
            ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8::00a1", "2001:db8::a1"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
            ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("::ffff:10.0.0.1", "10.0.0.1"), ("::ffff:a00:1", "10.0.0.1"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ]
        for (text, canonical) in cases { #expect(IPAddress(text)?.description == canonical, "\(text)") }
    }

    @Test func whateverIsNotExactlyOneAddressIsRefused() {
        let cases = [
            "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.", ".1.2.3", "1..2.3",
            "1.2.3.4 ",
            " 1.2.3.4", "0x1.2.3.4", "+1.2.3.4", "1.2.3.4:80", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
            "1::2::3", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::", "::1%eth0", "[::1]", "1:",
            ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "::1.2.3.4:5", "localhost",
        ]
        for text in cases { #expect(IPAddress(text) == nil, "\(text)") }
    }

    @Test func anAddressWithAPortIsReadWithAndWithoutBrackets() {
        let cases: [(text: String, canonical: String?)] = [
            ("127.0.0.1:80", "127.0.0.1:80"), ("[::]:443", "[::]:443"), ("[::1]:0", "[::1]:0"),
            ("1.2.3.4:65535", "1.2.3.4:65535"), ("1.2.3.4:65536", nil), ("1.2.3.4:", nil), ("1.2.3.4", nil),
            ("1.2.3.4:+80", nil), ("1.2.3.4:-1", nil), ("::1:80", nil), ("[1.2.3.4]:80", nil), ("[::1]", nil),
            ("[::1:80", nil), ("host:80", nil), (":80", nil), ("1.2.3.4:000080", nil), ("1.2.3.4: 80", nil),
        ]
        for (text, canonical) in cases { #expect(NetworkAddress(text)?.description == canonical, "\(text)") }
    }

    @Test func kindsOfAddressesAreRecognised() {
        #expect(IPAddress("::ffff:127.0.0.1")!.isIPv4)
        #expect(IPAddress("::ffff:127.0.0.1") == IPAddress("127.0.0.1"))
        #expect(IPAddress("127.8.9.10")!.isLoopback && IPAddress("::1")!.isLoopback && !IPAddress("::2")!.isLoopback)
        #expect(IPAddress("::")!.isUnspecified && IPAddress("0.0.0.0")!.isUnspecified)
        #expect(!IPAddress("::1")!.isUnspecified && !IPAddress("::")!.isIPv4)
    }
}
