import Testing

@testable import ProxyCore

@Suite struct HopByHopTests {
    /// The names of the lines that `Connection` nominates.
    private func nominated(_ text: String) throws -> [String] {
        let bytes = Array((text + "\r\n").utf8)
        var section = FieldSection(lines: 32)
        var at = 0
        while case .line(let line) = try FieldLineParser.next(bytes.span, at: &at) {
            let fits = section.append(line)
            try #require(fits)
        }
        var names: [String] = []
        for i in 0..<section.lines.count where section.nominates(section.lines[i], bytes.span) {
            names.append(String(decoding: bytes[section.lines[i].name.range], as: UTF8.self))
        }
        return names
    }

    @Test func aNominatedLineStaysBehindUnlessItFramesRoutesOrVouches() throws {
        let cases: [(lines: String, nominated: [String])] = [
            ("Connection: x\r\nX: 1\r\n", ["X"]), ("X: 1\r\nCONNECTION: X\r\nx: 2\r\n", ["X", "x"]),
            ("Connection: x-y\r\nX: 1\r\nX-Y-Z: 2\r\n", []),
            ("Connection: a\r\nConnection: b\r\nA: 1\r\nB: 2\r\n", ["A", "B"]),
            ("Connection: ,a ,, b,\r\nA: 1\r\nB: 2\r\nC: 3\r\n", ["A", "B"]), ("Connection:\r\nA: 1\r\n", []),
            ("Connection: \"a\", a;b\r\nA: 1\r\n", []), ("Connection: close\r\nClose: 1\r\n", ["Close"]),
            ("X-Connection: a\r\nA: 1\r\n", []), ("Connection: connection\r\n", ["Connection"]),
            ("Connection: accept, user-agent\r\nAccept: 1\r\nUser-Agent: 2\r\n", ["Accept", "User-Agent"]),
            (
                "Connection: host, content-length, transfer-encoding, via, cookie, authorization, date\r\nHost: a\r\n"
                    + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\nVia: x\r\nCookie: y\r\nAuthorization: z\r\nDate: d\r\n",
                []
            ),
            (
                "Connection: x-forwarded-for, x-real-ip, x-request-id, cf-ray, traceparent, set-cookie, max-forwards\r\n"
                    + "X-Forwarded-For: a\r\nX-Real-IP: b\r\nX-Request-Id: c\r\nCF-Ray: d\r\ntraceparent: e\r\n"
                    + "Set-Cookie: f\r\nMax-Forwards: 1\r\n", []
            ),
        ]
        for (lines, names) in cases { #expect(try nominated(lines) == names, "\(lines)") }
    }
}
