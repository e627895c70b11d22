// What does the proxy mean to send, for bytes that a client sends on one connection? The proxy's own parsers and writer,
// without its connections: each whole request as its upstream should understand it, up to the first one that is refused.

@testable import ProxyCore

/// Requests that are meant to reach the upstream, in their order.
struct MeantRequests {
    /// Those that are whole.
    var whole: [SeenRequest] = []
    /// Another one that begins behind them, with as much of its body as there is, but no end: who reads it may say that
    /// it is refused.
    var begun: SeenRequest?
}

/// What is meant by `bytes`.
func meantRequests(_ bytes: [UInt8], limits: HeadLimits, lines: Int) -> MeantRequests {
    var meant = MeantRequests()
    var at = 0
    var head = RequestHead(lines: lines)
    while at < bytes.count {
        let rest = Array(bytes[at...])
        guard let step = try? RequestParser.parse(rest.span, into: &head, limits: limits), step == .complete else {
            return meant
        }
        let (body, end) = body(rest, head, limits: limits, lines: lines)
        guard let end else {
            meant.begun = request(head, rest, body)
            return meant
        }
        at += end
        if let request = request(head, rest, body) { meant.whole.append(request) }
        if head.connection.close || head.isHTTP10 { return meant }
    }
    return meant
}

/// The body behind `head` as far as it is there, and where it ends; nil where it does not.
private func body(
    _ bytes: [UInt8], _ head: borrowing RequestHead, limits: HeadLimits, lines: Int
) -> (body: [UInt8], end: Int?) {
    switch head.framing {
    case .none, .untilClose: return ([], head.byteCount)
    case .length(let count):
        guard count <= UInt64(bytes.count - head.byteCount) else { return (Array(bytes[head.byteCount...]), nil) }
        let end = head.byteCount + Int(count)
        return (Array(bytes[head.byteCount..<end]), end)
    case .chunked:
        var decoder = ChunkedDecoder()
        var trailers = FieldSection(lines: lines)
        var at = head.byteCount
        var data: [UInt8] = []
        while true {
            let next = try? decoder.next(bytes.span, at: &at, trailers: &trailers, limits: limits)
            guard let step = next else { return (data, nil) }
            switch step {
            case .data(let range): data += bytes[range.range]
            case .end: return (data, at)
            case .needMore: return (data, nil)
            }
        }
    }
}

/// The request as it is written for the upstream; nil where it is answered without one.
private func request(_ head: borrowing RequestHead, _ bytes: [UInt8], _ body: [UInt8]) -> SeenRequest? {
    switch head.method {
    case .connect, .trace: return nil
    case .options where head.target.form == .asterisk || head.maxForwards == 0: return nil
    default: break
    }
    func text(_ range: ByteRange) -> String { String(decoding: bytes[range.range], as: UTF8.self) }
    var target = text(head.target.pathAndQuery)
    if head.target.path.isEmpty {
        target = (head.method == .options && target.isEmpty ? "*" : "/") + target
    }
    let hosts = (0..<head.fields.lines.count).map { head.fields.lines[$0] }.filter { $0.known == .host }
    let authority = text(head.authority.host) + (head.authority.port.map { ":\($0)" } ?? "")
    let host = hosts.first.map { text($0.value) } ?? (authority.isEmpty ? "localhost" : authority)
    return SeenRequest(method: text(head.methodBytes), target: target, host: host, body: body)
}
