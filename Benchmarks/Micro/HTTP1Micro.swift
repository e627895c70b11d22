// The room HTTP1.

import ProxyCore

func http1Benchmarks() -> [MicroBenchmark] {
    let short = opaque(Array("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n".utf8))
    let long = opaque(Array(browserRequest.utf8))
    let upload = opaque(Array((browserRequest.dropLast(2) + "Content-Length: 1048576\r\n\r\n").utf8))
    return [
        parse("short", short), parse("browser", long), parse("upload with a length", upload), parseResponse(),
        writeRequest(long), writeResponse(), decodeChunks(), recodeChunks(),
    ]
}

private let limits = HeadLimits(headerBytes: 65536, requestTargetBytes: 32768)

/// Reads one head over and over into the same `RequestHead`, as a connection does.
private func parse(_ name: String, _ bytes: [UInt8]) -> MicroBenchmark {
    MicroBenchmark(name: "RequestParser.parse/\(name)", inputBytes: bytes.count) { count in
        var head = RequestHead(lines: 200)
        for _ in 0..<count {
            let step = try? RequestParser.parse(bytes.span, into: &head, limits: limits)
            precondition(step == .complete, "the head is right and whole")
        }
    }
}

private func parseResponse() -> MicroBenchmark {
    let bytes = opaque(Array(apiResponse.utf8))
    return MicroBenchmark(name: "ResponseParser.parse/api", inputBytes: bytes.count) { count in
        var head = ResponseHead(lines: 200)
        for _ in 0..<count {
            let step = try? ResponseParser.parse(bytes.span, into: &head, answering: .get, limits: limits)
            precondition(step == .complete, "the head is right and whole")
        }
    }
}

/// Writes the head for the upstream, forwarding fields included.
private func writeRequest(_ bytes: [UInt8]) -> MicroBenchmark {
    MicroBenchmark(name: "HeadWriter.write/request", inputBytes: bytes.count) { count in
        var head = RequestHead(lines: 200)
        _ = try? RequestParser.parse(bytes.span, into: &head, limits: limits)
        let forwarding = Forwarding(client: IPAddress(v4: 0xCB00_71C3), id: RequestID(high: 1, low: 2))
        var out = ByteBuffer(capacity: 8192)
        for _ in 0..<count {
            out.clear()
            HeadWriter.write(head, bytes.span, forwarding: forwarding, into: &out)
        }
        blackHole(out.count)
    }
}

private func writeResponse() -> MicroBenchmark {
    let bytes = opaque(Array(apiResponse.utf8))
    return MicroBenchmark(name: "HeadWriter.write/response", inputBytes: bytes.count) { count in
        var head = ResponseHead(lines: 200)
        _ = try? ResponseParser.parse(bytes.span, into: &head, answering: .get, limits: limits)
        let terms = HeadWriter.ResponseTerms(
            framing: .length(1024), id: RequestID(high: 1, low: 2), closes: false)
        let date = HTTPDate(unixSeconds: 1_795_000_000)
        var out = ByteBuffer(capacity: 8192)
        for _ in 0..<count {
            out.clear()
            HeadWriter.write(head, bytes.span, terms: terms, date: date, into: &out)
        }
        blackHole(out.count)
    }
}

/// A body of 16 KiB in chunks of 1 KiB.
private func chunkedBody() -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<16 { bytes += Array("400\r\n".utf8) + [UInt8](repeating: 120, count: 1024) + Array("\r\n".utf8) }
    return bytes + Array("0\r\n\r\n".utf8)
}

private func decodeChunks() -> MicroBenchmark {
    let bytes = opaque(chunkedBody())
    return MicroBenchmark(name: "ChunkedDecoder.next/16 KiB in 16 chunks", inputBytes: bytes.count) { count in
        var trailers = FieldSection(lines: 16)
        for _ in 0..<count {
            var decoder = ChunkedDecoder()
            var at = 0
            while let step = try? decoder.next(bytes.span, at: &at, trailers: &trailers, limits: limits), step != .end {
            }
            precondition(decoder.isComplete, "the body is right and whole")
        }
    }
}

/// Decodes and writes chunks again, as a relayed body is.
private func recodeChunks() -> MicroBenchmark {
    let bytes = opaque(chunkedBody())
    return MicroBenchmark(name: "BodyCoder.recode/16 KiB in 16 chunks", inputBytes: bytes.count) { count in
        var trailers = FieldSection(lines: 16)
        var input = ByteBuffer(capacity: 32 * 1024)
        var output = ByteBuffer(capacity: 32 * 1024)
        for _ in 0..<count {
            input.clear()
            input.append(bytes.span)
            output.clear()
            var body = BodyProgress(.chunked, emitsChunks: true)
            blackHole(
                BodyCoder.recode(&body, from: &input, to: &output, trailers: &trailers, limits: limits))
        }
    }
}

/// What an API answers.
private let apiResponse = """
    HTTP/1.1 200 OK\r
    Content-Type: application/json; charset=utf-8\r
    Vary: Accept, Origin\r
    X-Content-Type-Options: nosniff\r
    Referrer-Policy: same-origin\r
    Date: Tue, 24 Nov 2026 09:14:27 GMT\r
    Content-Length: 1024\r
    \r

    """

/// What a browser sends through a content delivery network: 15 lines, some 900 bytes.
private let browserRequest = """
    GET /api/residences/?page=2&order=name HTTP/1.1\r
    Host: api.example.com\r
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r
    Accept-Language: en-US,en;q=0.5\r
    Accept-Encoding: gzip, br\r
    Cookie: session=7b1f4c0e9a2d4f68b3c5d7e9f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4; theme=dark\r
    Referer: https://www.example.com/residences/\r
    CF-Ray: 8f2c1d3e4a5b6c7d-FRA\r
    CF-Connecting-IP: 203.0.113.195\r
    CF-IPCountry: DE\r
    CF-Visitor: {"scheme":"https"}\r
    X-Forwarded-For: 203.0.113.195\r
    X-Forwarded-Proto: https\r
    Connection: Keep-Alive\r
    \r

    """
