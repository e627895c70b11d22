// What does a client read when the answer is ours? The only author of statuses that no upstream chose; how an answer is
// spelled on the wire is told in `HTTP1/AnswerWriter`.

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

    /// What the body says.
    var explanation: StaticString {
        switch outcome {
        case .noRoute: "no route for this host and path"
        case .noEndpoint: "no endpoint is available"
        case .queueFull, .queueTimeout: "every endpoint is busy"
        case .overloaded: "too many connections"
        case .redirected: "this is elsewhere"
        case .connectFailed, .upstreamClosed, .upstreamMalformed, .ghost: "the upstream did not answer properly"
        case .responseTimeout, .upstreamStalled: "the upstream did not answer in time"
        case .headTimeout, .bodyTimeout: "the request did not arrive in time"
        case .rejected(let rejection): rejection.reason
        case .ok, .answeredLocally, .tunnelClosed, .clientClosed, .clientStalled, .drained: "done"
        }
    }

    /// The reason phrase of a status.
    static func phrase(_ status: Int) -> StaticString {
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
        case 421: "Misdirected Request"
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
