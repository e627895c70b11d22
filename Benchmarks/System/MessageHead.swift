// Where does a message's head end, and what follows it? Just enough of RFC 9112 for the two ends of a measurement: the
// load generator reads answers, the backend reads requests, both over a view of bytes and without an allocation.

import Glibc

/// What follows a head.
enum BodyFraming: Equatable {
    /// This many bytes; 0 for none.
    case length(Int)
    /// Chunks (RFC 9112 §7.1).
    case chunked
    /// All until the connection ends.
    case untilClose
    /// Nothing said.
    case none
}

/// A head that no measurement should meet.
struct MalformedMessage: Error {}

/// Where a head's parts are.
struct MessageHead {
    /// The head's bytes, the empty line included.
    var length = 0
    /// The first line, without its end.
    var startLine = 0..<0
    /// What follows, as far as the fields say.
    var framing = BodyFraming.none
    /// Whether `Connection: close` is there.
    var closes = false
    /// The value of Sec-WebSocket-Key or Sec-WebSocket-Accept.
    var webSocketKey: Range<Int>?

    /// Reads the head at the start of `bytes`. Nil: more bytes are needed.
    static func parse(_ bytes: Span<UInt8>) throws(MalformedMessage) -> MessageHead? {
        var head = MessageHead()
        var at = 0
        while let end = find(UInt8(ascii: "\n"), in: bytes, from: at) {
            guard end > at, bytes[end - 1] == UInt8(ascii: "\r") else { throw MalformedMessage() }
            let line = at..<end - 1
            at = end + 1
            if head.startLine.isEmpty {
                guard !line.isEmpty else { throw MalformedMessage() }
                head.startLine = line
            } else if line.isEmpty {
                head.length = at
                return head
            } else {
                try head.read(line, of: bytes)
            }
        }
        guard bytes.count < 65536 else { throw MalformedMessage() }
        return nil
    }

    private mutating func read(_ line: Range<Int>, of bytes: Span<UInt8>) throws(MalformedMessage) {
        guard let colon = find(UInt8(ascii: ":"), in: bytes, from: line.lowerBound), colon < line.upperBound else {
            throw MalformedMessage()
        }
        var value = colon + 1..<line.upperBound
        while let first = value.first, bytes[first] == 0x20 { value = first + 1..<value.upperBound }
        switch colon - line.lowerBound {
        case 10 where matches(bytes, line.lowerBound, "connection"):
            if value.count == 5 { closes = matches(bytes, value.lowerBound, "close") }
        case 14 where matches(bytes, line.lowerBound, "content-length"):
            var length = 0
            for at in value {
                let digit = bytes[at] &- UInt8(ascii: "0")
                guard digit < 10, length < 1 << 50 else { throw MalformedMessage() }
                length = length * 10 + Int(digit)
            }
            guard !value.isEmpty, framing == .none else { throw MalformedMessage() }
            framing = .length(length)
        case 17 where matches(bytes, line.lowerBound, "transfer-encoding"):
            guard value.count == 7, matches(bytes, value.lowerBound, "chunked"), framing == .none else {
                throw MalformedMessage()
            }
            framing = .chunked
        case 17 where matches(bytes, line.lowerBound, "sec-websocket-key"): webSocketKey = value
        case 20 where matches(bytes, line.lowerBound, "sec-websocket-accept"): webSocketKey = value
        default: break
        }
    }
}

/// Where `byte` stands in `bytes` at or after `start`.
@inline(__always) func find(_ byte: UInt8, in bytes: Span<UInt8>, from start: Int) -> Int? {
    guard start < bytes.count else { return nil }
    // Safety: memchr looks at the bytes from `start` to the end of the span, which lives through the closure.
    return unsafe bytes.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress,
            let found = unsafe memchr(base + start, Int32(byte), buffer.count - start)
        else { return nil }
        return unsafe UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }
}

/// Whether `bytes` from `start` read as `text` (lower case) but for case.
@inline(__always) func matches(_ bytes: Span<UInt8>, _ start: Int, _ text: StaticString) -> Bool {
    guard bytes.count - start >= text.utf8CodeUnitCount else { return false }
    for i in 0..<text.utf8CodeUnitCount {
        // Safety: `i` is within the literal.
        let wanted = unsafe text.utf8Start[i]
        let byte = bytes[start + i]
        if byte != wanted && byte | 0x20 != wanted { return false }
    }
    return true
}

/// Reads a chunked body (RFC 9112 §7.1) and forgets it, in whatever pieces it comes.
struct ChunkedBody {
    /// The hash of the body so far, where it was asked for.
    private(set) var digest = BodyDigest()
    private let keepsDigest: Bool

    private enum State { case size, sizeEnd, data, dataEnd, trailer, done }

    private var state = State.size
    private var size = 0
    private var digits = 0
    private var lineLength = 0
    /// Body bytes so far.
    private(set) var total = 0

    /// The start of a body, of which a hash is kept if wanted.
    init(keepsDigest: Bool = false) { self.keepsDigest = keepsDigest }

    /// Whether the last chunk and the trailer section have been read.
    var isComplete: Bool { state == .done }

    /// Reads on; returns where it stopped: at the end of `bytes`, or behind the body's last one.
    mutating func consume(_ bytes: Span<UInt8>, from start: Int) throws(MalformedMessage) -> Int {
        var at = start
        while at < bytes.count {
            let byte = bytes[at]
            switch state {
            case .size:
                if let digit = hexDigit(byte) {
                    guard digits < 12 else { throw MalformedMessage() }
                    size = size << 4 | digit
                    digits += 1
                } else {
                    guard byte == UInt8(ascii: "\r"), digits > 0 else { throw MalformedMessage() }
                    state = .sizeEnd
                }
                at += 1
            case .sizeEnd:
                guard byte == UInt8(ascii: "\n") else { throw MalformedMessage() }
                state = size == 0 ? .trailer : .data
                lineLength = 0
                at += 1
            case .data:
                let count = min(size, bytes.count - at)
                if keepsDigest { digest.add(bytes, at..<at + count) }
                size -= count
                total += count
                at += count
                if size == 0 {
                    state = .dataEnd
                    lineLength = 0
                }
            case .dataEnd:
                guard byte == (lineLength == 0 ? UInt8(ascii: "\r") : UInt8(ascii: "\n")) else {
                    throw MalformedMessage()
                }
                lineLength += 1
                if lineLength == 2 { (state, digits) = (.size, 0) }
                at += 1
            case .trailer:
                at += 1
                if byte == UInt8(ascii: "\n") {
                    if lineLength == 0 {
                        state = .done
                        return at
                    }
                    lineLength = 0
                } else if byte != UInt8(ascii: "\r") {
                    lineLength += 1
                }
            case .done: return at
            }
        }
        return at
    }

    private func hexDigit(_ byte: UInt8) -> Int? {
        let digit = byte &- UInt8(ascii: "0")
        if digit < 10 { return Int(digit) }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? Int(letter) + 10 : nil
    }
}
