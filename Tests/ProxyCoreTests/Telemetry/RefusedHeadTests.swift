import Testing

@testable import ProxyCore

@Suite struct RefusedHeadTests {
    private func redact(_ text: String) -> [String] { RefusedHead.redact(Array(text.utf8).span) }

    @Test func targetsKeepTheirShapeAndLoseTheirSecrets() {
        let cases = [
            ("GET / HTTP/1.1", "GET / HTTP/1.1"), ("GET /a/b%20c HTTP/1.1", "GET /a/b%20c HTTP/1.1"),
            ("GET /x?token=abc&b=c&d HTTP/1.1", "GET /x?token=*&b=*&* HTTP/1.1"),
            ("GET /x? HTTP/1.1", "GET /x? HTTP/1.1"), ("GET /x?abc HTTP/1.1", "GET /x?* HTTP/1.1"),
            ("GET /x?a=b=c?d=e HTTP/1.1", "GET /x?a=* HTTP/1.1"),
            ("GET /x#access_token=abc HTTP/1.1", "GET /x#* HTTP/1.1"),
            ("GET /x?a=b#c HTTP/1.1", "GET /x?a=*#* HTTP/1.1"),
            ("GET /x;jsessionid=abc/y HTTP/1.1", "GET /x;*/y HTTP/1.1"),
            ("GET http://user:secret@a.b/x?y=z HTTP/1.1", "GET http://*@a.b/x?y=* HTTP/1.1"),
            ("GET http://a.b HTTP/1.1", "GET http://a.b HTTP/1.1"),
            ("CONNECT user:secret@a.b:443 HTTP/1.1", "CONNECT *@a.b:443 HTTP/1.1"),
            ("CONNECT user:secret@a.b://x HTTP/1.1", "CONNECT *@a.b://x HTTP/1.1"),
            // What stands where nothing should may be a line of its own to others.
            ("GET / HTTP/1.1\rCookie: secret", "GET /<24 bytes>"), ("GET /\rCookie: secret", "GET /<15 bytes>"),
            ("GET /x HTTP/1.1 secret", "GET /x<16 bytes>"), ("GET /x HTTP/1.1?a=secret", "GET /x<18 bytes>"),
            // What is wrong with it shows.
            ("GET /x?a=b c HTTP/1.1", "GET /x?a=*<2 bytes> HTTP/1.1"), ("GET  / HTTP/1.1", "GET  / HTTP/1.1"),
            ("GET /x HTTP/2.0", "GET /x HTTP/2.0"), ("GET /x", "GET /x"), ("GET /\0x HTTP/1.1", "GET /\\x00x HTTP/1.1"),
            ("GET /x HTTP/1.1 ", "GET /x HTTP/1.1 "),
            ("\u{16}\u{3}\u{1}secret", "<9 bytes, no request line>"),
            ("GET\t/secret HTTP/1.1", "<20 bytes, no request line>"),
        ]
        for (line, shown) in cases {
            #expect(redact(line + "\r\nHost: a\r\n\r\nbody") == [shown, "Host: a"], "\(line)")
        }
    }

    @Test func ofFieldsOnlyHarmlessValuesShow() {
        let lines = [
            ("Host: a b", "Host: a b"), ("hOST:a", "hOST:a"), ("User-Agent: x/1", "User-Agent: x/1"),
            ("Content-Length: +5", "Content-Length: +5"),
            ("Transfer-Encoding: \u{B}chunked", "Transfer-Encoding: \\x0bchunked"),
            ("Authorization: Basic abc", "Authorization: <10 bytes>"), ("Cookie: a=b", "Cookie: <4 bytes>"),
            ("X-Api-Key: abc", "X-Api-Key: <4 bytes>"), ("Referer: http://a/?t=u", "Referer: <14 bytes>"),
            ("X-Request-Id: abc", "X-Request-Id: <4 bytes>"),
            ("Sec-WebSocket-Key: abc", "Sec-WebSocket-Key: <4 bytes>"),
            // A value that was folded, a name before which or behind which something stands.
            (" secret", "<7 bytes, no field line>"), ("\tsecret", "<7 bytes, no field line>"),
            ("Authorization : abc", "<19 bytes, no field line>"), ("secret", "<6 bytes, no field line>"),
            ("Host\0: secret", "<13 bytes, no field line>"), (": secret", "<8 bytes, no field line>"),
        ]
        for (line, shown) in lines {
            #expect(redact("GET / HTTP/1.1\r\n\(line)\r\n\r\n") == ["GET / HTTP/1.1", shown], "\(line)")
        }
    }

    @Test func aHeadEndsWhereItEndsAndIsCut() {
        #expect(redact("") == [])
        #expect(redact("\r\n\r\nGET / HTTP/1.1\r\n\r\nsecret") == ["GET / HTTP/1.1"])
        #expect(redact("GET / HTTP/1.1\nHost: a\n\nsecret") == ["GET / HTTP/1.1", "Host: a"])
        #expect(redact("GET / HTTP/1.1\r\nHost: a\r\r\n") == ["GET / HTTP/1.1", "Host: a\\x0d"])
        #expect(redact("GET / HTTP/1.1\r\nHos") == ["GET / HTTP/1.1", "<3 bytes, no field line>"])
        let long = String(repeating: "x", count: 10_000)
        let lines = redact("GET /\(long) HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(lines.count == 1 && lines[0].utf8.count < 600)
        let many = redact("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 500))
        #expect(many.count == RefusedHead.linesMax)
    }

    @Test func whatStandsBehindABareReturnIsNotShown() {
        let lines = redact("GET / HTTP/1.1\r\nHost: a\rCookie: secret\r\nAccept: */*\r\n\r\n")
        #expect(!lines.joined().contains("secret") && lines.contains("Accept: */*"))
    }

    @Test func noBytesTrap() {
        var random = RandomSource(seed: 9)
        let pieces = ["GET ", "/", "?", "=", "&", "#", ";", "@", "://", " HTTP/1.1", "\r", "\n", ":", "\0", "a", " "]
        for _ in 0..<4000 {
            _ = redact((0..<random.below(20)).map { _ in pieces[random.below(pieces.count)] }.joined())
        }
    }

    @Test func theLastOnesAreKept() {
        var heads = RefusedHeads()
        for i in 0..<100 {
            heads.add(RefusedHead(wallMicroseconds: Int64(i), reason: "x", peer: IPAddress(v4: 1), lines: []))
        }
        #expect(heads.all.map(\.wallMicroseconds) == Array(68..<100))
        var one = WorkerTelemetry()
        var other = WorkerTelemetry()
        one.refusedHeads = heads.all
        other.refusedHeads = heads.all.map { head in
            var head = head
            head.wallMicroseconds += 10
            return head
        }
        let merged = WorkerTelemetry.merged([one, other]).refusedHeads.map(\.wallMicroseconds)
        #expect(merged.count == 32 && merged == merged.sorted() && merged.last == 109)
    }

    @Test("of a flood few are written down, and of those that come one by one each")
    func flood() {
        var heads = RefusedHeads()
        let start = Instant(nanoseconds: 1_000_000_000)
        let flood = (0..<10_000).filter { heads.wants(start + Instant.Span(nanoseconds: Int64($0) * 10_000)) }
        #expect(flood == Array(0..<32) + flood.dropFirst(32) && flood.count == 32 + 9)
        let single = (1...50).filter { heads.wants(start + .milliseconds(Int64($0) * 100)) }
        #expect(single.count == 50)
    }
}
