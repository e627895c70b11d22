// How is an answer of our own spelled? RFC 9112 §4, with `Proxy-Status` (RFC 9209), the request's id, and a short body.

extension Answer {
    /// Bytes that an answer needs at most, apart from a redirect's location.
    static let bytesMax = 1024

    /// Appends the answer. `location` is where a redirect points; `isEmpty` for all others.
    func write(into out: inout ByteBuffer, date: borrowing HTTPDate, location: borrowing ByteBuffer) {
        out.append("HTTP/1.1 ")
        out.append(decimal: UInt64(status))
        out.append(ASCII.space)
        out.append(Self.phrase(status))
        out.append("\r\n")
        HeadWriter.appendDate(date, &out)
        if !location.isEmpty {
            out.append("Location: ")
            _ = out.append(from: location)
            out.append("\r\n")
        }
        switch status {
        case 405: out.append("Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n")
        case 503: out.append("Retry-After: 1\r\n")
        default: break
        }
        out.append("Proxy-Status: hdproxy; error=")
        out.append(outcome.proxyStatus)
        out.append("\r\nX-Request-Id: ")
        id.append(to: &out)
        out.append("\r\n")
        if closes { out.append("Connection: close\r\n") }
        if outcome == .answeredLocally {
            out.append("Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\nContent-Length: 0\r\n\r\n")
            return
        }
        out.append(prefersJSON ? "Content-Type: application/json\r\n" : "Content-Type: text/plain; charset=utf-8\r\n")
        // A status alone tells Cloudflare and browsers whether to keep it; a failure must not be kept.
        if status >= 400 { out.append("Cache-Control: no-store\r\n") }
        HeadWriter.appendContentLength(UInt64(bodyBytes), &out)
        out.append("\r\n")
        if !isHead { writeBody(into: &out) }
    }

    private var bodyBytes: Int {
        let phrase = Self.phrase(status).utf8CodeUnitCount
        let text = explanation.utf8CodeUnitCount
        if prefersJSON {
            // {"status":404,"error":"…","request_id":"…"}
            return 23 + text + 16 + id.textBytes + 2 + 1
        }
        return 4 + phrase + 2 + text + 1
    }

    private func writeBody(into out: inout ByteBuffer) {
        if prefersJSON {
            out.append("{\"status\":")
            out.append(decimal: UInt64(status))
            out.append(",\"error\":\"")
            out.append(explanation)
            out.append("\",\"request_id\":\"")
            id.append(to: &out)
            out.append("\"}\n")
        } else {
            out.append(decimal: UInt64(status))
            out.append(ASCII.space)
            out.append(Self.phrase(status))
            out.append(": ")
            out.append(explanation)
            out.append("\n")
        }
    }
}
