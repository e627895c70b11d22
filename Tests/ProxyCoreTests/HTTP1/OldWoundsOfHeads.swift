// Famous holes of other proxies in heads: see Tests/CVE.md.

import Testing

@testable import ProxyCore

@Suite struct OldWoundsOfHeads {
    @Test(
        "CVE-2026-55203 (HAProxy): a length beyond 16 bits is not cut to 16",
        arguments: [65_535, 65_536, 65_541, 131_077])
    func lengthsBeyondSixteenBits(_ count: Int) throws {
        let value = [UInt8](repeating: UInt8(ascii: "a"), count: count)
        let behind = "\r\nContent-Length: 65541\r\n\r\n"
        let bytes = Array("POST /x HTTP/1.1\r\nHost: a\r\nX-Long: ".utf8) + value + Array(behind.utf8)
        var head = RequestHead(lines: 8)
        let limits = HeadLimits(headerBytes: 1 << 20, requestTargetBytes: 64)
        let step = try RequestParser.parse(bytes.span, into: &head, limits: limits)
        #expect(step == .complete)
        let (lines, long, framing) = (head.fields.lines.count, head.fields.lines[1].value.count, head.framing)
        #expect(lines == 3)
        #expect(Int(long) == count)
        #expect(framing == .length(65_541))

        let name = Array("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length".utf8) + value + Array(":\r\n\r\n".utf8)
        let named = try RequestParser.parse(name.span, into: &head, limits: limits)
        let isUnframed = head.framing == .none && !head.saysLength
        #expect(named == .complete && isUnframed, "a name of \(count + 14) bytes is a Content-Length")
    }
}
