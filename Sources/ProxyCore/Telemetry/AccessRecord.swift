// What is remembered of a request? One JSON object on a line. What only the request's head can tell is written while
// it is at hand; the rest when the exchange is over.

/// Writes lines of the access log. A line under construction lies in a head buffer: `,"client":…` and what follows.
enum AccessRecord {
    /// What stays free for the end of a line.
    private static let endBytesMax = 900
    /// Bytes of a target that a line shows.
    private static let targetBytesMax = 1024

    /// Begins the line of a request whose head could not be understood.
    static func begin(_ line: inout ByteBuffer, client: IPAddress, peer: IPAddress) {
        line.clear()
        line.append(",\"client\":\"")
        client.append(to: &line)
        line.append("\",\"peer\":\"")
        peer.append(to: &line)
        line.append("\"")
    }

    /// Begins the line of a request from `client`, whom `peer` speaks for.
    static func begin(
        _ line: inout ByteBuffer, _ head: borrowing RequestHead, _ bytes: Span<UInt8>, client: DerivedClient,
        peer: IPAddress
    ) {
        begin(&line, client: client.address, peer: peer)
        line.append(",\"method\":\"")
        append(bytes, head.methodBytes, max: 32, to: &line)
        line.append("\",\"host\":\"")
        append(bytes, head.authority.host, max: 255, to: &line)
        line.append("\",\"target\":\"")
        append(bytes, head.target.whole, max: targetBytesMax, to: &line)
        line.append(head.isHTTP10 ? "\",\"proto\":\"HTTP/1.0\"" : "\",\"proto\":\"HTTP/1.1\"")
        if client.isFromTrustedProxy, !head.noted.cfRay.isEmpty {
            line.append(",\"cf_ray\":\"")
            append(bytes, head.noted.cfRay, max: 64, to: &line)
            line.append("\"")
        }
        // 00-<trace id>-<parent id>-<flags> (W3C Trace Context §3.2)
        if head.noted.traceparent.count >= 55 {
            line.append(",\"trace_id\":\"")
            let start = Int(head.noted.traceparent.start) &+ 3
            append(bytes, ByteRange(start, start &+ 32), max: 32, to: &line)
            line.append("\"")
        }
        if !head.noted.userAgent.isEmpty {
            line.append(",\"user_agent\":\"")
            append(bytes, head.noted.userAgent, max: 256, to: &line)
            line.append("\"")
        }
    }

    /// Appends the name of the rule that was met.
    static func append(route: String, to line: inout ByteBuffer) { append("route", route, to: &line) }
    /// Appends the name of the service that was chosen.
    static func append(service: String, to line: inout ByteBuffer) { append("service", service, to: &line) }

    private static func append(_ name: StaticString, _ text: String, to line: inout ByteBuffer) {
        line.append(",\"")
        line.append(name)
        line.append("\":\"")
        for byte in text.utf8 where line.writableCount > endBytesMax - 200 { append(byte, to: &line) }
        line.append("\"")
    }

    /// What is known when an exchange is over.
    struct End {
        var status: Int
        var bytesIn: UInt64
        var bytesOut: UInt64
        var duration: Instant.Span
        var upstream: Instant.Span?
        var attempts: Int
        var retried = RetryReasons()
        var outcome: Outcome
        var endpoint: NetworkAddress?
    }

    /// Appends what is left to say; ``prefix(_:to:)`` is what goes before the line.
    static func end(_ line: inout ByteBuffer, _ end: End) {
        line.append(",\"status\":")
        line.append(decimal: UInt64(end.status))
        line.append(",\"bytes_in\":")
        line.append(decimal: end.bytesIn)
        line.append(",\"bytes_out\":")
        line.append(decimal: end.bytesOut)
        line.append(",\"duration_ms\":")
        append(end.duration, to: &line)
        if let upstream = end.upstream {
            line.append(",\"upstream_ms\":")
            append(upstream, to: &line)
        }
        if let endpoint = end.endpoint {
            line.append(",\"endpoint\":\"")
            if !endpoint.ip.isIPv4 { line.append("[") }
            endpoint.ip.append(to: &line)
            line.append(endpoint.ip.isIPv4 ? ":" : "]:")
            line.append(decimal: UInt64(endpoint.port))
            line.append("\"")
        }
        line.append(",\"attempts\":")
        line.append(decimal: UInt64(end.attempts))
        end.retried.append(to: &line)
        line.append(",\"outcome\":\"")
        line.append(end.outcome.word)
        if let rejection = end.outcome.rejection {
            line.append(":")
            line.append(rejection.reason)
        }
        line.append("\"}\n")
    }

    /// Bytes of ``prefix(_:_:to:)``.
    static let prefixBytesMax = 96 + RequestID.textBytesMax

    /// Appends what stands before a line: time, level, event and id.
    static func prefix(_ wallMicroseconds: Int64, _ id: RequestID, to out: inout ByteBuffer) {
        out.append("{\"time\":\"")
        CivilTime.append(timestamp: wallMicroseconds, to: &out)
        out.append("\",\"level\":\"info\",\"event\":\"request\",\"id\":\"")
        id.append(to: &out)
        out.append("\"")
    }

    /// Milliseconds with three decimals.
    private static func append(_ span: Instant.Span, to out: inout ByteBuffer) {
        let microseconds = UInt64(max(0, span.nanoseconds / 1000))
        out.append(decimal: microseconds / 1000)
        out.append(".")
        let rest = Int(microseconds % 1000)
        out.append(UInt8(truncatingIfNeeded: rest / 100) + 48)
        out.append(UInt8(truncatingIfNeeded: rest / 10 % 10) + 48)
        out.append(UInt8(truncatingIfNeeded: rest % 10) + 48)
    }

    private static func append(_ bytes: Span<UInt8>, _ range: ByteRange, max: Int, to out: inout ByteBuffer) {
        let end = min(range.end, Int(range.start) + max)
        var at = Int(range.start)
        while at < end, out.writableCount > endBytesMax {
            append(bytes[at], to: &out)
            at &+= 1
        }
    }

    /// One byte of a JSON string. What is not ASCII need not be UTF-8, so it is escaped as Latin-1.
    @inline(__always)
    private static func append(_ byte: UInt8, to out: inout ByteBuffer) {
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
            out.append(UInt8(ascii: "\\"))
            out.append(byte)
        } else if byte < 0x20 || byte >= 0x7F {
            out.append("\\u00")
            out.append(hex: UInt64(byte), width: 2)
        } else {
            out.append(byte)
        }
    }
}
