// What does a client read when the answer is ours? The only author of status lines that no upstream wrote.

/// An answer of the proxy's own: status, fields and a short body, without version and internals.
struct Answer {
    /// Why it is ours to make.
    var outcome: Outcome
    /// The status; that of the outcome, or of a redirect.
    var status: Int
    /// The request's id.
    var id: RequestID
    /// Whether the request was HEAD, whose answer has no body.
    var isHead: Bool
    /// Whether the client reads JSON rather than plain text.
    var prefersJSON: Bool
    /// Whether the connection ends with this answer.
    var closes: Bool

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

    private var explanation: StaticString {
        switch outcome {
        case .noRoute: "no route for this host and path"
        case .noEndpoint: "no endpoint is available"
        case .overloaded: "too many connections"
        case .redirected: "this is elsewhere"
        case .connectFailed, .upstreamClosed, .upstreamMalformed: "the upstream did not answer properly"
        case .responseTimeout, .upstreamStalled: "the upstream did not answer in time"
        case .headTimeout, .bodyTimeout: "the request did not arrive in time"
        case .rejected(let rejection): rejection.reason
        case .ok, .answeredLocally, .tunnelClosed, .clientClosed, .clientStalled, .drained: "done"
        }
    }

    private var bodyBytes: Int {
        let phrase = Self.phrase(status).utf8CodeUnitCount
        let text = explanation.utf8CodeUnitCount
        if prefersJSON {
            // {"status":404,"error":"…","request_id":"…"}
            return 23 + text + 16 + RequestID.textBytes + 2 + 1
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

    private static func phrase(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Response"
        }
    }
}
