// What did the client ask? Reads the head of a request (RFC 9112 §2 to §6) strictly enough that no two readers could
// disagree on where a message ends, and the body piece by piece. It shares no rule with the proxy's own parsers: two
// programs that agree because they are one would prove nothing.

import ProxyCore

/// The bytes that came in and were not yet used.
struct DemoInput {
    private let socket: DemoSocket
    private var buffer = [UInt8](repeating: 0, count: pieceBytesMax)
    private var start = 0
    private var end = 0

    /// Bytes of a piece of a body or of a WebSocket message.
    static let pieceBytesMax = 16 * 1024

    init(_ socket: DemoSocket) { self.socket = socket }

    /// Waits for a byte. False when the client has nothing more to say.
    mutating func hasMore() -> Bool { start < end || receive() }

    /// At least one byte and at most `count`.
    mutating func some(atMost count: Int) throws(DemoEnd) -> ArraySlice<UInt8> {
        guard hasMore() else { throw .closed }
        return take(min(count, end - start))
    }

    /// Exactly `count` bytes, which are no more than ``pieceBytesMax``.
    mutating func exactly(_ count: Int) throws(DemoEnd) -> ArraySlice<UInt8> {
        while end - start < count { guard receive() else { throw .closed } }
        return take(count)
    }

    /// A line without its CRLF. Its bytes are taken from `budget`; a longer one is refused with 431.
    mutating func line(_ budget: inout Int) throws(DemoEnd) -> ArraySlice<UInt8> {
        var length = 0
        while true {
            while start + length < end {
                if buffer[start + length] == Self.lf {
                    guard length > 0, buffer[start + length - 1] == Self.cr else {
                        throw .refused(status: 400, why: "a line must end in CRLF")
                    }
                    budget -= length + 1
                    return take(length + 1).dropLast(2)
                }
                length += 1
                guard length < budget else { throw .refused(status: 431, why: "a line or the whole head is too long") }
            }
            guard receive() else { throw .closed }
        }
    }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        let taken = buffer[start..<start + count]
        start += count
        return taken
    }

    /// Makes room, then waits for bytes. The buffer grows only for a long line, whose budget is its limit.
    private mutating func receive() -> Bool {
        if start == end {
            start = 0
            end = 0
        } else if end == buffer.count {
            if start > 0 {
                buffer.removeSubrange(..<start)
                buffer.append(contentsOf: repeatElement(0, count: start))
                end -= start
                start = 0
            } else {
                buffer.append(contentsOf: repeatElement(0, count: buffer.count))
            }
        }
        let count = socket.receive(into: &buffer, from: end)
        end += count
        return count > 0
    }

    private static let cr: UInt8 = 13
    private static let lf: UInt8 = 10
}

/// The head of a request.
struct DemoRequest {
    /// One field line.
    struct Field {
        /// The name as it came.
        let name: String
        /// The value without the white space around it; any byte but control bytes.
        let value: [UInt8]
    }

    /// The method as it came.
    let method: String
    /// The target as it came.
    let target: String
    /// The minor version: HTTP/1.0 or HTTP/1.1.
    let minorVersion: Int
    /// The field lines, in order.
    let fields: [Field]
    /// Where the body ends.
    let framing: DemoFraming

    /// The path of the target, cut at the slashes, the query left out: `/stream/5?x` is `["stream", "5"]`.
    var path: [Substring] {
        var rest = target[...]
        // The absolute form is accepted by every server (RFC 9112 §3.2.2).
        if rest.hasPrefix("http://") { rest = rest.dropFirst(7).drop { $0 != "/" } }
        return rest.prefix { $0 != "?" }.split(separator: "/")
    }

    /// Whether another request may follow on this connection (RFC 9112 §9.3).
    var keepsAlive: Bool { minorVersion == 1 && !has("close", in: "connection") }

    /// The values of all fields called `name`, which is in lower case.
    func values(_ name: String) -> [String] {
        fields.filter { Self.isEqual($0.name, name) }.map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// Whether the list of a field holds this token; both in lower case.
    func has(_ token: String, in name: String) -> Bool {
        values(name).contains { value in
            value.split(separator: ",").contains { Self.isEqual(Self.trimmed($0), token) }
        }
    }

    /// Whether the client would rather read JSON than plain text: the one with the greater weight, or the one that is
    /// named first (RFC 9110 §12.5.1).
    var prefersJSON: Bool {
        var best = (weight: 0, isJSON: false)
        for value in values("accept") {
            for entry in value.split(separator: ",") {
                let parts = entry.split(separator: ";").map { Self.trimmed($0) }
                guard let range = parts.first, Self.textRanges.contains(range) || range == "application/json" else {
                    continue
                }
                let weight = parts.dropFirst().first { $0.hasPrefix("q=") }.map { Self.thousandths($0.dropFirst(2)) }
                if weight ?? 1000 > best.weight { best = (weight ?? 1000, range == "application/json") }
            }
        }
        return best.isJSON
    }

    private static let textRanges: Set<Substring> = ["text/plain", "text/*", "*/*"]

    /// `0.8` as 800; anything odd as 0.
    private static func thousandths(_ text: Substring) -> Int {
        let digits = text.utf8.filter { $0 != UInt8(ascii: ".") }.prefix(4).map { ASCII.digit($0) }
        guard let whole = digits.first, whole != nil else { return 0 }
        var value = 0
        for digit in digits { value = value * 10 + Int(digit ?? 0) }
        for _ in digits.count..<4 { value *= 10 }
        return min(value, 1000)
    }

    private static func isEqual(_ text: some StringProtocol, _ lowercase: String) -> Bool {
        text.utf8.count == lowercase.utf8.count
            && zip(text.utf8, lowercase.utf8).allSatisfy { ASCII.lowercased($0) == $1 }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let front = text.drop { $0 == " " || $0 == "\t" }
        guard let last = front.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return front[...last]
    }
}

/// How the end of a request's body is found (RFC 9112 §6.3).
enum DemoFraming: Equatable {
    /// So many bytes; 0 when the request has no body.
    case length(UInt64)
    /// Chunks up to one of size zero.
    case chunked
}

extension DemoRequest {
    /// Reads a head; nil when the client left between two requests.
    init?(from input: inout DemoInput) throws(DemoEnd) {
        guard input.hasMore() else { return nil }
        var budget = Self.headBytesMax
        var line = try input.line(&budget)
        // One empty line before a request is forgiven (RFC 9112 §2.2).
        if line.isEmpty { line = try input.line(&budget) }
        (method, target, minorVersion) = try Self.requestLine(line)
        var fields: [Field] = []
        while true {
            line = try input.line(&budget)
            if line.isEmpty { break }
            guard fields.count < Self.fieldsMax else { throw .refused(status: 431, why: "too many field lines") }
            fields.append(try Self.field(line))
        }
        self.fields = fields
        framing = try Self.framing(fields, minorVersion)
        // RFC 9112 §3.2: exactly one Host in HTTP/1.1.
        let hosts = fields.count { Self.isEqual($0.name, "host") }
        guard hosts == 1 || minorVersion == 0 && hosts == 0 else {
            throw .refused(status: 400, why: "a request has exactly one Host")
        }
    }

    /// RFC 9112 §3: three words with single spaces between them.
    private static func requestLine(_ line: ArraySlice<UInt8>) throws(DemoEnd) -> (String, String, Int) {
        let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(ASCII.isToken), !words[1].isEmpty,
            words[1].allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw .refused(status: 400, why: "this is not a request line") }
        let version = String(decoding: words[2], as: UTF8.self)
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else {
            throw .refused(status: 505, why: "only HTTP/1.1 and HTTP/1.0 are spoken here")
        }
        let texts = words.map { String(decoding: $0, as: UTF8.self) }
        return (texts[0], texts[1], version == "HTTP/1.1" ? 1 : 0)
    }

    /// RFC 9112 §5: a token, a colon at once, a value without control bytes. A folded line begins with a space, which no
    /// name does.
    private static func field(_ line: ArraySlice<UInt8>) throws(DemoEnd) -> Field {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
            line[..<colon].allSatisfy(ASCII.isToken),
            line[colon...].allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 9 })
        else { throw .refused(status: 400, why: "this is not a field line") }
        let rest = line[(colon + 1)...].drop(while: ASCII.isOWS)
        let last = rest.lastIndex { !ASCII.isOWS($0) }
        return Field(
            name: String(decoding: line[..<colon], as: UTF8.self), value: last.map { Array(rest[...$0]) } ?? [])
    }

    /// RFC 9112 §6.3, with no second way to read it.
    private static func framing(_ fields: [Field], _ minorVersion: Int) throws(DemoEnd) -> DemoFraming {
        let codings = fields.filter { isEqual($0.name, "transfer-encoding") }
        let lengths = fields.filter { isEqual($0.name, "content-length") }
        if let coding = codings.first {
            guard codings.count == 1, lengths.isEmpty, minorVersion == 1 else {
                throw .refused(status: 400, why: "Transfer-Encoding once, alone, and in HTTP/1.1 only")
            }
            guard isEqual(String(decoding: coding.value, as: UTF8.self), "chunked") else {
                throw .refused(status: 501, why: "the only known transfer coding is chunked")
            }
            return .chunked
        }
        guard let length = lengths.first else { return .length(0) }
        guard lengths.count == 1, let count = decimal(length.value) else {
            throw .refused(status: 400, why: "Content-Length is one number")
        }
        return .length(count)
    }

    /// A number of one to eighteen digits and nothing else.
    static func decimal(_ text: some Collection<UInt8>) -> UInt64? {
        guard !text.isEmpty, text.count <= 18 else { return nil }
        var value: UInt64 = 0
        for byte in text {
            guard let digit = ASCII.digit(byte) else { return nil }
            value = value * 10 + UInt64(digit)
        }
        return value
    }

    /// More than the proxy lets through, for it adds fields of its own.
    private static let headBytesMax = 256 * 1024
    private static let fieldsMax = 1000
}

/// The body of a request, read piece by piece.
struct DemoBody {
    private enum State {
        /// Nothing is left.
        case ended
        /// So many bytes are left of a body of known length.
        case sized(UInt64)
        /// A line with the size of a chunk comes next.
        case chunkSize
        /// So many bytes are left of a chunk.
        case chunk(UInt64)
        /// The CRLF behind a chunk comes next.
        case chunkEnd
    }

    private var state: State

    /// The body that `framing` describes.
    init(_ framing: DemoFraming) {
        switch framing {
        case .length(let count): state = .sized(count)
        case .chunked: state = .chunkSize
        }
    }

    /// The next bytes; nil at the body's end, trailers read and forgotten.
    mutating func next(from input: inout DemoInput) throws(DemoEnd) -> ArraySlice<UInt8>? {
        while true {
            switch state {
            case .ended, .sized(0):
                state = .ended
                return nil
            case .sized(let left):
                let piece = try input.some(atMost: Int(clamping: left))
                state = .sized(left - UInt64(piece.count))
                return piece
            case .chunkSize:
                let size = try Self.chunkSize(&input)
                state = size == 0 ? .ended : .chunk(size)
                if size == 0 { try Self.skipTrailers(&input) }
            case .chunk(let left):
                let piece = try input.some(atMost: Int(clamping: left))
                let rest = left - UInt64(piece.count)
                state = rest == 0 ? .chunkEnd : .chunk(rest)
                return piece
            case .chunkEnd:
                guard try input.exactly(2).elementsEqual([13, 10]) else {
                    throw .refused(status: 400, why: "a chunk must end in CRLF")
                }
                state = .chunkSize
            }
        }
    }

    /// RFC 9112 §7.1: hexadecimal digits, then perhaps extensions, which mean nothing to us.
    private static func chunkSize(_ input: inout DemoInput) throws(DemoEnd) -> UInt64 {
        var budget = 4096
        let line = try input.line(&budget)
        let digits = line.prefix { ASCII.hexDigit($0) != nil }
        let next = line[digits.endIndex...].first
        guard !digits.isEmpty, digits.count <= 15, next == nil || next == UInt8(ascii: ";"),
            line.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 9 })
        else { throw .refused(status: 400, why: "this is not the size of a chunk") }
        return digits.reduce(0) { $0 << 4 | UInt64(ASCII.hexDigit($1) ?? 0) }
    }

    private static func skipTrailers(_ input: inout DemoInput) throws(DemoEnd) {
        var budget = 64 * 1024
        while true {
            let line = try input.line(&budget)
            if line.isEmpty { return }
        }
    }
}
