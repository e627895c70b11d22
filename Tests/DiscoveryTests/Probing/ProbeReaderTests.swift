import ProxyCore
import Testing

@testable import Discovery

@Suite struct ProbeReaderTests {
    private static let identity = IdentitySpec(header: "X-Service", value: "honeydue-api")

    /// What the bytes come to, whole and byte by byte, which must agree.
    private static func read(_ text: String, identity: IdentitySpec? = nil) -> ProbeFinding? {
        var whole = ProbeReader(.success, identity)
        var all = ByteBuffer(capacity: 64 * 1024)
        all.append(utf8: text)
        let finding = whole.read(&all)

        var slow = ProbeReader(.success, identity)
        var some = ByteBuffer(capacity: 64 * 1024)
        var piecemeal: ProbeFinding?
        for byte in text.utf8 where piecemeal == nil {
            some.append(byte)
            piecemeal = slow.read(&some)
        }
        #expect(piecemeal == finding, "byte by byte it is the same")
        return finding
    }

    @Test(
        "an answer's head is a finding",
        arguments: [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", .passed(status: 200)),
            ("HTTP/1.0 204 No Content\r\n\r\n", .passed(status: 204)),
            ("HTTP/1.1 200\r\n\r\n", .passed(status: 200)),
            ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", .failed(.status(503))),
            ("HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", .failed(.status(301))),
            // Interim answers are none (RFC 9110 §15.2).
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", .passed(status: 200)),
            (
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 500 E\r\n\r\n",
                .failed(.status(500))
            ),
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", .failed(.status(101))),
            // No answer yet.
            ("", nil), ("HTTP/1.1 200 OK\r\n", nil), ("HTTP/1.1 100 Continue\r\n\r\n", nil),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n", nil),
            // No answer at all, seen at the first byte that cannot be of one.
            ("SSH-2.0-OpenSSH_9.2", .failed(.malformed(.badStatusLine))),
            ("GET / HTTP/1.1\r\n", .failed(.malformed(.badStatusLine))),
            ("\u{16}\u{3}\u{1}", .failed(.malformed(.badStatusLine))),
            ("HTTP/2 200\r\n\r\n", .failed(.malformed(.badStatusLine))),
            ("HTTP/1.1 200 OK\n", .failed(.malformed(.bareLineEnd))),
            ("HTTP/1.1 200 OK\r\nBad Field: x\r\n", .failed(.malformed(.badFieldLine))),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                .failed(.malformed(.badContentLength))
            ),
        ] as [(String, ProbeFinding?)])
    func heads(_ text: String, _ finding: ProbeFinding?) { #expect(Self.read(text) == finding) }

    @Test("interim answers without end, and heads without end, are failures")
    func endless() {
        let interim = "HTTP/1.1 102 Processing\r\n\r\n"
        #expect(Self.read(String(repeating: interim, count: 16) + "HTTP/1.1 200 OK\r\n\r\n") == .passed(status: 200))
        #expect(Self.read(String(repeating: interim, count: 17)) == .failed(.tooManyInterim))
        let lines = "HTTP/1.1 200 OK\r\n" + String(repeating: "A: b\r\n", count: 201)
        #expect(Self.read(lines) == .failed(.malformed(.tooManyHeaders)))
        let long = "HTTP/1.1 200 OK\r\nA: " + String(repeating: "b", count: 15_000)
        #expect(Self.read(long) == .failed(.malformed(.headerTooLarge)))
        #expect(
            Self.read("HTTP/1.1 200 " + String(repeating: "b", count: 2000)) == .failed(.malformed(.headerTooLarge)))
    }

    @Test("a head that never ends is refused before the buffer is full")
    func bounded() {
        for head in ["HTTP/1.1 200 " + String(repeating: "r", count: 1000) + "\r\nA: ", "HTTP/1.1 200\r\nA: "] {
            let text = head + String(repeating: "b", count: ProbeReader.headBytesMax)
            var reader = ProbeReader(.success, nil)
            var buffer = ByteBuffer(capacity: ProbeReader.headBytesMax)
            buffer.append(utf8: text)
            #expect(reader.read(&buffer) == .failed(.malformed(.headerTooLarge)))
        }
    }

    @Test(
        "with an identity, an answer without it is a ghost's, however healthy it looks",
        arguments: [
            ("HTTP/1.1 200 OK\r\nX-Service: honeydue-api\r\n\r\n", .passed(status: 200)),
            ("HTTP/1.1 200 OK\r\nx-sERVICE:honeydue-api  \r\n\r\n", .passed(status: 200)),
            ("HTTP/1.1 200 OK\r\nX-Service: other\r\nX-Service: honeydue-api\r\n\r\n", .passed(status: 200)),
            ("HTTP/1.1 500 E\r\nX-Service: honeydue-api\r\n\r\n", .failed(.status(500))),
            ("HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nX-Service: honeydue-api\r\n\r\n", .passed(status: 200)),
            ("HTTP/1.1 200 OK\r\n\r\n", .failed(.ghost("status 200, no X-Service"))),
            ("HTTP/1.1 404 N\r\nServer: nginx\r\n\r\n", .failed(.ghost("status 404, no X-Service, Server: nginx"))),
            ("HTTP/1.1 200 OK\r\nX-Service: dozzle\r\n\r\n", .failed(.ghost("status 200, X-Service: dozzle"))),
            (
                "HTTP/1.1 200 OK\r\nX-Service: Honeydue-API\r\n\r\n",
                .failed(.ghost("status 200, X-Service: Honeydue-API"))
            ),
            (
                "HTTP/1.1 200 OK\r\nX-Service: honeydue-api2\r\n\r\n",
                .failed(.ghost("status 200, X-Service: honeydue-api2"))
            ),
            ("HTTP/1.1 200 OK\r\nX-Service2: honeydue-api\r\n\r\n", .failed(.ghost("status 200, no X-Service"))),
            (
                "HTTP/1.1 103 E\r\nX-Service: honeydue-api\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                .failed(.ghost("status 200, no X-Service"))
            ),
            ("HTTP/1.1 200 OK\r\nX-Service: é\t\r\n\r\n", .failed(.ghost("status 200, X-Service: ??"))),
        ] as [(String, ProbeFinding?)])
    func identities(_ text: String, _ finding: ProbeFinding?) {
        #expect(Self.read(text, identity: Self.identity) == finding)
    }

    @Test("of a stranger's long value its beginning is told")
    func longValue() {
        let value = String(repeating: "v", count: 500)
        let finding = Self.read("HTTP/1.1 200 OK\r\nX-Service: \(value)\r\n\r\n", identity: Self.identity)
        #expect(finding == .failed(.ghost("status 200, X-Service: \(value.prefix(80))…")))
    }
}
