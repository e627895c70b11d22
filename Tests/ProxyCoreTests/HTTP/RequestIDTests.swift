import Testing

@testable import ProxyCore

/// The id that a trusted proxy gave a request, and ours.
@Suite struct RequestIDTests {
    private func given(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        guard let id = GivenID(bytes.span, ByteRange(0, bytes.count)) else { return nil }
        let ids = Slab<GivenID>(capacity: 1) { GivenID() }
        defer { ids.destroy() }
        guard let slot = ids.insert(id) else { return "no slot" }
        var out = ByteBuffer(capacity: 256)
        let whole = RequestID.given(ids, slot.index)
        whole.append(to: &out)
        let count = out.count
        #expect(whole.textBytes == count)
        return out.withReadable { span in String(decoding: span.indices.map { span[$0] }, as: UTF8.self) }
    }

    @Test func aTokenOfAtMost128BytesIsAnID() {
        for text in [
            "a", "5f1c2c1e-0d7c-4a6f-8d4e-0a2b5b7f3c11", "!#$%&'*+-.^_`|~09azAZ",
            String(repeating: "x", count: 128),
        ] {
            #expect(given(text) == text)
        }
    }

    @Test(arguments: [
        "", String(repeating: "x", count: 129), "a b", "a,b", "a\"b", "a\\b", "a;b", "a=b", "a/b", "a:b", "<a>", "a\tb",
        "é", "a\u{7F}", "(a)", "a@b", "{a}",
    ])
    func anythingElseIsNone(text: String) { #expect(given(text) == nil) }

    @Test func oursHas32HexadecimalDigits() {
        var out = ByteBuffer(capacity: 64)
        let id = RequestID(high: 0x0123_4567_89AB_CDEF, low: 1)
        id.append(to: &out)
        let text = out.withReadable { span in String(decoding: span.indices.map { span[$0] }, as: UTF8.self) }
        #expect(text == "0123456789abcdef0000000000000001" && id.textBytes == 32)
    }
}
