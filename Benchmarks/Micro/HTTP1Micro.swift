// The room HTTP1.

import ProxyCore

func http1Benchmarks() -> [MicroBenchmark] {
    let short = opaque(Array("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n".utf8))
    let long = opaque(Array(browserRequest.utf8))
    return [parse("short", short), parse("browser", long)]
}

/// Reads one head over and over into the same `RequestHead`, as a connection does.
private func parse(_ name: String, _ bytes: [UInt8]) -> MicroBenchmark {
    MicroBenchmark(name: "RequestParser.parse/\(name)", inputBytes: bytes.count) { count in
        let limits = HeadLimits(headerBytes: 65536, requestTargetBytes: 32768)
        var head = RequestHead(lines: 200)
        for _ in 0..<count {
            let step = try? RequestParser.parse(bytes.span, into: &head, limits: limits)
            precondition(step == .complete, "the head is right and whole")
        }
    }
}

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
