// A strict reader of HTTP/1.1 messages, written apart from the proxy's own so that the two cannot share a mistake.
// It reads what the proxy says to a client or to an upstream, and notes everything that RFC 9112 does not allow.

/// A message's head as it was on the wire. Text is Latin-1: one character a byte.
struct WireHead: Sendable {
    var startLine: String
    var fields: [(name: String, value: String)]

    /// The values of all lines called `name`, in order.
    func values(_ name: String) -> [String] {
        let wanted = name.lowercased()
        return fields.filter { $0.name.lowercased() == wanted }.map(\.value)
    }

    /// The comma-separated members of all lines called `name`, lower case.
    func members(_ name: String) -> [String] {
        values(name).joined(separator: ",").split(separator: ",").map { $0.trimmed.lowercased() }
    }

    /// The parts of the start line.
    var parts: [String] {
        startLine.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
    }

    /// A response's status; 0 where there is none.
    var status: Int { parts.count > 1 ? Int(parts[1]) ?? 0 : 0 }
}

/// Where a body ends (RFC 9112 §6.3).
enum WireFraming: Equatable, CustomStringConvertible {
    case none
    case length(UInt64)
    case chunked
    case close

    var description: String {
        switch self {
        case .none: "none"
        case .length(let count): "length \(count)"
        case .chunked: "chunked"
        case .close: "close"
        }
    }
}

/// A message read to its end.
struct WireMessage {
    var head: WireHead
    var framing: WireFraming
    var body: [UInt8]
    var trailers: [(name: String, value: String)]
    /// False when the connection ended before the body did.
    var isComplete: Bool
}

/// Reads one message after another from a socket.
final class MessageReader {
    let socket: LoopbackSocket
    /// What the messages read so far did wrong, as sentences.
    private(set) var faults: [String] = []
    private(set) var framing = WireFraming.none
    private(set) var trailers: [(name: String, value: String)] = []
    /// Whether the body of the current message has been read to its end.
    private(set) var isAtEnd = true
    /// Bytes left of the body, or of the current chunk.
    private var left: UInt64 = 0
    private var isBetweenChunks = true

    init(_ socket: LoopbackSocket) { self.socket = socket }

    /// The next head, or how the connection ended instead.
    ///
    /// - Parameter requestMethod: for a response, the method that it answers; nil when a request is read.
    func head(answering requestMethod: String?, until deadline: Deadline) -> Result<WireHead, HeadFailure> {
        let end: [UInt8] = [13, 10, 13, 10]
        var searched = 0
        var ending: Int?
        while true {
            ending = socket.unread.firstIndex(of: end, from: max(0, searched - 3))
            if ending != nil { break }
            searched = socket.unread.count
            switch socket.receive(until: deadline) {
            case .bytes: continue
            case .end: return .failure(.ended(.end, after: socket.unread.latin1))
            case .reset: return .failure(.ended(.reset, after: socket.unread.latin1))
            case .nothingInTime: return .failure(.ended(.nothingInTime, after: socket.unread.latin1))
            }
        }
        let text = Array(socket.unread[..<ending!])
        socket.unread.removeFirst(text.count + 4)
        var lines = text.lines()
        let head = WireHead(startLine: lines.removeFirst().latin1, fields: lines.map(field))
        noteFaults(of: head, isResponse: requestMethod != nil)
        frame(head, answering: requestMethod)
        return .success(head)
    }

    /// Why no head came.
    enum HeadFailure: Error, CustomStringConvertible {
        case ended(Arrival, after: String)

        var description: String {
            guard case .ended(let arrival, let text) = self else { return "" }
            let what =
                switch arrival {
                case .end: "the connection was closed"
                case .reset: "the connection was reset"
                case .nothingInTime, .bytes: "nothing more came in time"
                }
            return text.isEmpty ? what : "\(what) after \(text.escaped)"
        }
    }

    /// Reads body bytes until at least `count` have come, its end, or the connection's.
    func body(atLeast count: Int, until deadline: Deadline) -> (bytes: [UInt8], isComplete: Bool) {
        var bytes: [UInt8] = []
        while !isAtEnd && bytes.count < count {
            guard let piece = piece(until: deadline) else { return (bytes, false) }
            bytes += piece
        }
        return (bytes, true)
    }

    /// Reads the rest of the body.
    func rest(until deadline: Deadline) -> (bytes: [UInt8], isComplete: Bool) { body(atLeast: .max, until: deadline) }

    /// A whole message.
    func message(answering method: String?, until deadline: Deadline) -> Result<WireMessage, HeadFailure> {
        head(answering: method, until: deadline).map { head in
            let body = rest(until: deadline)
            return WireMessage(
                head: head, framing: framing, body: body.bytes, trailers: trailers, isComplete: body.isComplete)
        }
    }

    /// The next bytes of the body, which may be none; nil when the connection ended too early.
    private func piece(until deadline: Deadline) -> [UInt8]? {
        switch framing {
        case .none:
            isAtEnd = true
            return []
        case .close:
            if socket.unread.isEmpty {
                switch socket.receive(until: deadline) {
                case .bytes: break
                case .end:
                    isAtEnd = true
                    return []
                case .reset, .nothingInTime: return nil
                }
            }
            return takeUnread(.max)
        case .length:
            guard let bytes = takeCounted(until: deadline) else { return nil }
            if left == 0 { isAtEnd = true }
            return bytes
        case .chunked:
            if isBetweenChunks { return startChunk(until: deadline) ? [] : nil }
            guard let bytes = takeCounted(until: deadline) else { return nil }
            if left == 0 {
                guard let line = line(until: deadline) else { return nil }
                if !line.isEmpty { return fail("chunk data is followed by \(line.latin1.escaped), not by CRLF") }
                isBetweenChunks = true
            }
            return bytes
        }
    }

    /// Reads a chunk-size line, and the trailer section behind the last one.
    private func startChunk(until deadline: Deadline) -> Bool {
        guard let size = line(until: deadline) else { return false }
        guard !size.isEmpty, size.count <= 16, let count = UInt64(size.latin1, radix: 16), size.allSatisfy(\.isHex)
        else {
            return fail("chunk size \(size.latin1.escaped)") != nil
        }
        if count > 0 {
            left = count
            isBetweenChunks = false
            return true
        }
        while let trailer = line(until: deadline) {
            if trailer.isEmpty {
                isAtEnd = true
                return true
            }
            trailers.append(field(trailer))
        }
        return false
    }

    private func fail(_ fault: String) -> [UInt8]? {
        faults.append(fault)
        return nil
    }

    private func takeUnread(_ limit: UInt64) -> [UInt8] {
        let count = Int(min(UInt64(socket.unread.count), limit))
        let bytes = Array(socket.unread.prefix(count))
        socket.unread.removeFirst(count)
        return bytes
    }

    private func takeCounted(until deadline: Deadline) -> [UInt8]? {
        if left > 0 && socket.unread.isEmpty {
            guard socket.receive(until: deadline) == .bytes else { return nil }
        }
        let bytes = takeUnread(left)
        left -= UInt64(bytes.count)
        return bytes
    }

    /// A line without its CRLF.
    private func line(until deadline: Deadline) -> [UInt8]? {
        while true {
            if let end = socket.unread.firstIndex(of: [13, 10], from: 0) {
                let line = Array(socket.unread[..<end])
                socket.unread.removeFirst(end + 2)
                return line
            }
            guard socket.receive(until: deadline) == .bytes else { return nil }
        }
    }

    /// RFC 9112 §5: a token, a colon at once, a value without control bytes.
    private func field(_ line: [UInt8]) -> (name: String, value: String) {
        guard let colon = line.firstIndex(of: 0x3A) else {
            faults.append("a field line without a colon: \(line.latin1.escaped)")
            return (line.latin1, "")
        }
        let name = line[..<colon]
        if name.isEmpty || !name.allSatisfy(\.isTokenCharacter) {
            faults.append("a field name that is no token: \(line.latin1.escaped)")
        }
        let value = Array(line[(colon + 1)...]).latin1.trimmed
        if value.utf8.contains(where: { $0 < 0x20 && $0 != 9 || $0 == 0x7F }) {
            faults.append("a control byte in a field: \(line.latin1.escaped)")
        }
        return (Array(name).latin1, value)
    }

    private func noteFaults(of head: WireHead, isResponse: Bool) {
        let parts = head.parts
        if isResponse {
            let isValid =
                parts.count >= 2 && parts[0] == "HTTP/1.1" && parts[1].count == 3 && parts[1].allSatisfy(\.isNumber)
            if !isValid { faults.append("status line \(head.startLine.escaped)") }
        } else if parts.count != 3 || parts[2] != "HTTP/1.1" || parts[1].isEmpty {
            faults.append("request line \(head.startLine.escaped)")
        }
        let lengths = head.values("Content-Length")
        let codings = head.values("Transfer-Encoding")
        if lengths.count > 1 { faults.append("more than one Content-Length") }
        if codings.count > 1 { faults.append("more than one Transfer-Encoding") }
        if !lengths.isEmpty && !codings.isEmpty { faults.append("Content-Length and Transfer-Encoding together") }
        if let length = lengths.first, length.isEmpty || !length.allSatisfy({ $0.isASCII && $0.isNumber }) {
            faults.append("Content-Length \(length.escaped)")
        }
        if let coding = codings.first, coding != "chunked" { faults.append("Transfer-Encoding \(coding.escaped)") }
    }

    private func frame(_ head: WireHead, answering method: String?) {
        let length = head.values("Content-Length").first.flatMap { UInt64($0) }
        let isChunked = !head.values("Transfer-Encoding").isEmpty
        trailers = []
        isBetweenChunks = true
        left = 0
        if let method {
            let status = head.status
            if method == "HEAD" || status / 100 == 1 || status == 204 || status == 304 {
                framing = .none
            } else if isChunked {
                framing = .chunked
            } else {
                framing = length.map { .length($0) } ?? .close
            }
        } else {
            framing = isChunked ? .chunked : length.map { .length($0) } ?? .none
        }
        if case .length(let count) = framing { left = count }
        isAtEnd = framing == .none || framing == .length(0)
    }
}

extension [UInt8] {
    /// One character a byte.
    var latin1: String { String(String.UnicodeScalarView(map { Unicode.Scalar($0) })) }

    /// Where `pattern` begins, looking from `start` on.
    func firstIndex(of pattern: [UInt8], from start: Int) -> Int? {
        guard count >= pattern.count, start <= count - pattern.count else { return nil }
        return (start...(count - pattern.count)).first { position in
            self[position] == pattern[0] && self[position..<(position + pattern.count)].elementsEqual(pattern)
        }
    }

    /// The lines between CRLFs.
    fileprivate func lines() -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var start = 0
        while let end = firstIndex(of: [13, 10], from: start) {
            lines.append(Array(self[start..<end]))
            start = end + 2
        }
        return lines + [Array(self[start...])]
    }
}

extension UInt8 {
    fileprivate var isHex: Bool {
        (0x30...0x39).contains(self) || (0x41...0x46).contains(self) || (0x61...0x66).contains(self)
    }

    /// tchar of RFC 9110 §5.6.2.
    fileprivate var isTokenCharacter: Bool {
        switch self {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self)
        }
    }
}

extension StringProtocol {
    /// The text without spaces and tabs at its ends, and of nothing else.
    var trimmed: String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        return String(drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }

    /// The text as a play would spell it: escapes for what is not printable, shortened where it is long.
    var escaped: String {
        var text = ""
        for scalar in unicodeScalars.prefix(900) {
            switch scalar {
            case "\r": text += "\\r"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            case "\\": text += "\\\\"
            case " "..."~": text.unicodeScalars.append(scalar)
            default: text += "\\x" + String(scalar.value + 0x100, radix: 16).suffix(2)
            }
        }
        return unicodeScalars.count > 900 ? text + "… (\(unicodeScalars.count) bytes)" : text
    }
}
