import Testing

@testable import Discovery

@Suite struct DomainNameTests {
    @Test("a name is read without regard to case, and a dot at its end changes nothing")
    func reading() throws {
        let name = try #require(DomainName("Api.Example.COM."))
        #expect(name == DomainName("api.example.com"))
        #expect(name.description == "api.example.com")
        #expect(name.wire == [3] + Array("api".utf8) + [7] + Array("example".utf8) + [3] + Array("com".utf8) + [0])
        #expect(DomainName("_http._tcp.api") != nil)
    }

    @Test(
        "what is no name of a host is refused",
        arguments: [
            "", ".", "..", ".a", "a..b", "a.b..", "a b", "a\nb", "ä.example", "a/b", "a\u{0}b", "1.2.3.4", "010.0.0.1",
            "1.2.3", "127.1.", "*.example", String(repeating: "a", count: 64),
            Array(repeating: "abcdefg", count: 32).joined(separator: "."), "[::1]", "::1", "a\\046b",
        ])
    func refusing(text: String) { #expect(DomainName(text) == nil) }

    @Test("the longest names have 255 bytes on the wire")
    func longest() {
        let label = String(repeating: "a", count: 63)
        let three = [label, label, label].joined(separator: ".")
        #expect(DomainName("\(three).\(String(repeating: "b", count: 61))")?.wire.count == 255)
        #expect(DomainName("\(three).\(String(repeating: "b", count: 62))") == nil)
        let name = DomainName(three)!
        #expect(name.completed(by: DomainName(String(repeating: "b", count: 61))!)?.wire.count == 255)
        #expect(name.completed(by: DomainName(String(repeating: "b", count: 62))!) == nil)
        #expect(name.completed(by: .root) == name)
    }

    @Test("a name is within its ancestors, label by label")
    func ancestors() {
        let name = DomainName("a.b.example")!
        for ancestor in ["a.b.example", "b.example", "example"] { #expect(name.isWithin(DomainName(ancestor)!)) }
        #expect(name.isWithin(.root))
        for stranger in ["x.a.b.example", "c.example", "ample", "b", "e"] {
            #expect(!name.isWithin(DomainName(stranger)!))
        }
    }

    @Test("bytes of a peer are escaped where they are written out")
    func escaping() {
        let name = DomainName(lowercasedWire: [5, 0x61, 0x0D, 0x0A, 0x2E, 0xFF, 1, 0x5C, 0])
        #expect(name.description == "a\\013\\010\\046\\255.\\092")
        #expect(DomainName.root.description == ".")
    }
}
