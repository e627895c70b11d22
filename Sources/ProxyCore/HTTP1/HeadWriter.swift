// How is a head written? What travels is copied, in as few pieces as the lines allow; framing is never copied but
// written from what was understood, so that no two readers can disagree behind us. RFC 9112 §3, §4, §6.

/// Writes request and response heads.
package enum HeadWriter {
    /// Bytes that a rewritten request head may have more than the one it was made from, apart from its host and its
    /// upgrade, which may stand in it twice.
    static let requestGrowthMax = 512
    /// Bytes that a rewritten response head may have more than the one it was made from.
    static let responseGrowthMax = 512 + RequestID.textBytesMax

    /// Appends the request head to send upstream. The buffer has room for `head.byteCount` and
    /// ``requestGrowthMax`` more, and for the host and the upgrade once more.
    @inline(__always)
    package static func write(
        _ head: borrowing RequestHead, _ bytes: Span<UInt8>, forwarding: Forwarding, into out: inout ByteBuffer
    ) {
        out.append(bytes, head.methodBytes)
        out.append(ASCII.space)
        // An absolute target may lack the path, which then is the root (RFC 9112 §3.2.1, §3.2.4).
        if head.target.path.isEmpty {
            out.append(head.method == .options && head.target.pathAndQuery.isEmpty ? UInt8(ascii: "*") : ASCII.slash)
        }
        out.append(bytes, head.target.pathAndQuery)
        out.append(" HTTP/1.1\r\n")

        let host = ByteRange(Int(head.authority.host.start), hostEnd(head, bytes))
        var hasHost = false
        var run = LineRun()
        var i = 0
        while i < head.fields.lines.count {
            let line = head.fields.lines[i]
            i &+= 1
            guard line.known.travelsUpstream(isTrusted: forwarding.isFromTrustedProxy),
                !head.connection.nominatesFields || !head.fields.nominates(line, bytes),
                line.known != .trailer || head.framing == .chunked,
                line.known != .maxForwards || head.method != .options
            else { continue }
            if line.known == .host { hasHost = true }
            run.add(line, bytes, &out)
        }
        run.end(bytes, &out)

        if !hasHost {
            // HTTP/1.0 need not name a host, but HTTP/1.1 must.
            out.append("Host: ")
            if host.isEmpty { out.append("localhost") } else { out.append(bytes, host) }
            out.append("\r\n")
        }
        forwarding.append(to: &out, bytes, host: host)
        out.append(head.isHTTP10 ? "Via: 1.0 hdproxy\r\n" : "Via: 1.1 hdproxy\r\n")
        if head.method == .options, let hops = head.maxForwards {
            out.append("Max-Forwards: ")
            out.append(decimal: UInt64(hops &- 1))
            out.append("\r\n")
        }
        switch head.framing {
        case .length(let count): appendContentLength(count, &out)
        case .chunked: out.append("Transfer-Encoding: chunked\r\n")
        case .none, .untilClose:
            if head.method.anticipatesBody || head.saysLength { out.append("Content-Length: 0\r\n") }
        }
        if !head.upgrade.isEmpty {
            out.append("Connection: Upgrade\r\nUpgrade: ")
            out.append(bytes, head.upgrade)
            out.append("\r\n")
        }
        out.append("\r\n")
    }

    /// The end of host and port, as the client spelled them.
    @inline(__always)
    private static func hostEnd(_ head: borrowing RequestHead, _ bytes: Span<UInt8>) -> Int {
        var end = head.authority.host.end
        guard head.authority.port != nil else { return end }
        end &+= 1
        while end < bytes.count, ASCII.digit(bytes[end]) != nil { end &+= 1 }
        return end
    }

    /// What a response is told to say beyond what the upstream said.
    package struct ResponseTerms {
        /// How the body will be framed for the client.
        var framing: BodyFraming
        /// The request's id; nil for interim responses.
        var id: RequestID?
        /// Whether the client's connection ends with this response.
        var closes: Bool
        /// Whether the client speaks HTTP/1.0, which knows no chunks.
        var isHTTP10 = false

        /// These terms.
        package init(framing: BodyFraming, id: RequestID?, closes: Bool, isHTTP10: Bool = false) {
            self.isHTTP10 = isHTTP10
            self.framing = framing
            self.id = id
            self.closes = closes
        }
    }

    /// Appends the response head to send to the client. The buffer has room for `head.byteCount` and
    /// ``responseGrowthMax`` more.
    @inline(__always)
    package static func write(
        _ head: borrowing ResponseHead, _ bytes: Span<UInt8>, terms: ResponseTerms, date: borrowing HTTPDate,
        into out: inout ByteBuffer
    ) {
        out.append("HTTP/1.1 ")
        out.append(decimal: UInt64(head.status))
        out.append(ASCII.space)
        out.append(bytes, head.reason)
        out.append("\r\n")

        var run = LineRun()
        var i = 0
        while i < head.fields.lines.count {
            let line = head.fields.lines[i]
            i &+= 1
            guard line.known.travelsDownstream,
                !head.connection.nominatesFields || !head.fields.nominates(line, bytes),
                line.known != .trailer || terms.framing == .chunked
            else { continue }
            run.add(line, bytes, &out)
        }
        run.end(bytes, &out)

        appendFraming(head, terms, &out)
        if let id = terms.id {
            out.append("X-Request-Id: ")
            id.append(to: &out)
            out.append("\r\n")
            if !head.hasDate { appendDate(date, &out) }
        }
        let announcesUpgrade = head.status == 101 || head.status == 426
        if announcesUpgrade, !head.upgrade.isEmpty {
            out.append("Upgrade: ")
            out.append(bytes, head.upgrade)
            out.append(terms.closes ? "\r\nConnection: Upgrade, close\r\n" : "\r\nConnection: Upgrade\r\n")
        } else if terms.closes {
            out.append("Connection: close\r\n")
        }
        out.append("\r\n")
    }

    @inline(__always)
    private static func appendFraming(
        _ head: borrowing ResponseHead, _ terms: ResponseTerms, _ out: inout ByteBuffer
    ) {
        switch terms.framing {
        case .length(let count): appendContentLength(count, &out)
        case .chunked: out.append("Transfer-Encoding: chunked\r\n")
        case .untilClose: break
        case .none:
            // Neither may stand in 1xx and 204 (RFC 9110 §8.6, RFC 9112 §6.1); HEAD and 304 say what GET would.
            if head.status < 200 || head.status == 204 { break }
            if let count = head.contentLength {
                appendContentLength(count, &out)
            } else if head.isChunked, head.status != 304, !terms.isHTTP10 {
                out.append("Transfer-Encoding: chunked\r\n")
            }
        }
    }

    @inline(__always)
    static func appendContentLength(_ count: UInt64, _ out: inout ByteBuffer) {
        out.append("Content-Length: ")
        out.append(decimal: count)
        out.append("\r\n")
    }

    @inline(__always)
    static func appendDate(_ date: borrowing HTTPDate, _ out: inout ByteBuffer) {
        out.append("Date: ")
        out.append(date.text.span)
        out.append("\r\n")
    }

    /// Appends the last chunk with those trailer lines that may travel (RFC 9110 §6.5.1).
    static func writeLastChunk(
        _ trailers: borrowing FieldSection, _ bytes: Span<UInt8>, without nominated: NominatedNames,
        into out: inout ByteBuffer
    ) {
        out.append("0\r\n")
        var run = LineRun()
        for i in 0..<trailers.lines.count where !trailers.lines[i].known.isForbiddenInTrailers {
            if !nominated.isEmpty, nominated.contains(trailers.lines[i], bytes) { continue }
            run.add(trailers.lines[i], bytes, &out)
        }
        run.end(bytes, &out)
        out.append("\r\n")
    }
}

/// Neighbouring lines that travel as they are, copied in one piece.
private struct LineRun {
    private var start = 0
    private var end = 0

    @inline(__always)
    mutating func add(_ line: FieldLine, _ bytes: Span<UInt8>, _ out: inout ByteBuffer) {
        let lineStart = Int(line.name.start)
        if line.isCanonical {
            if lineStart != end {
                self.end(bytes, &out)
                start = lineStart
            }
            end = line.value.end &+ 2
            return
        }
        self.end(bytes, &out)
        out.append(bytes, line.name)
        out.append(": ")
        out.append(bytes, line.value)
        out.append("\r\n")
    }

    @inline(__always)
    mutating func end(_ bytes: Span<UInt8>, _ out: inout ByteBuffer) {
        if end > start { out.append(bytes, from: start, count: end &- start) }
        start = 0
        end = 0
    }
}
