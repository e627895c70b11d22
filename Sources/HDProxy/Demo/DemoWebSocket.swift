// A WebSocket that says back what it is told (RFC 6455). Messages pass through piece by piece, so their size has no
// limit and our memory has one.

import ProxyCore

/// The server's side of an open WebSocket.
struct DemoWebSocket {
    private let socket: DemoSocket
    private var input: DemoInput
    /// The message of which fragments are still to come, if any.
    private var message: Message?

    private struct Message {
        /// Nil for binary messages. A text must be UTF-8 (RFC 6455 §8.1).
        var text: UTF8Progress?
    }

    private struct Frame {
        let isFinal: Bool
        let opcode: UInt8
        let length: UInt64
        let mask: [UInt8]
    }

    /// A WebSocket over a socket on which the handshake is done; `input` may already hold frames.
    init(socket: DemoSocket, input: DemoInput) {
        self.socket = socket
        self.input = input
    }

    /// The value of Sec-WebSocket-Accept, or nil when the request is no handshake that we know (RFC 6455 §4.2.1).
    static func acceptValue(for request: DemoRequest) -> String? {
        let keys = request.values("sec-websocket-key")
        guard request.method == "GET", request.minorVersion == 1, request.has("websocket", in: "upgrade"),
            request.has("upgrade", in: "connection"), request.values("sec-websocket-version") == ["13"],
            keys.count == 1, keys[0].utf8.count == 24, keys[0].hasSuffix("=="),
            keys[0].utf8.dropLast(2).allSatisfy(base64Alphabet.contains)
        else { return nil }
        return base64(Digest.sha1(Array((keys[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
    }

    /// Echoes until the client closes or breaks the rules; both ends are told by a Close frame.
    mutating func echo() throws(DemoEnd) {
        while true {
            let frame = try nextFrame()
            switch frame.opcode {
            case Opcode.continuation, Opcode.text, Opcode.binary: try echo(frame)
            case Opcode.ping: try send(Opcode.pong, isFinal: true, try payload(frame))
            case Opcode.pong: _ = try payload(frame)
            case Opcode.close: return try answerClose(try payload(frame))
            default: try fail(Status.protocolError)
            }
        }
    }

    /// A data frame goes back as one frame where it fits into a piece, else as fragments.
    private mutating func echo(_ frame: Frame) throws(DemoEnd) {
        let isContinuation = frame.opcode == Opcode.continuation
        guard isContinuation == (message != nil) else { try fail(Status.protocolError) }
        var current = message ?? Message(text: frame.opcode == Opcode.text ? UTF8Progress() : nil)
        var opcode = frame.opcode
        var left = frame.length
        repeat {
            let count = Int(min(left, UInt64(DemoInput.pieceBytesMax)))
            left -= UInt64(count)
            let piece = try unmasked(count, frame.mask)
            let isFinal = frame.isFinal && left == 0
            if var text = current.text {
                guard text.accepts(piece), !isFinal || text.isWhole else { try fail(Status.notText) }
                current.text = text
            }
            try send(opcode, isFinal: isFinal, piece)
            opcode = Opcode.continuation
        } while left > 0
        message = frame.isFinal ? nil : current
    }

    /// RFC 6455 §5.5.1: the same status comes back, unless it is one that nobody may send.
    private func answerClose(_ payload: [UInt8]) throws(DemoEnd) {
        guard !payload.isEmpty else { return try send(Opcode.close, isFinal: true, []) }
        guard payload.count >= 2 else { try fail(Status.protocolError) }
        var reason = UTF8Progress()
        guard reason.accepts(payload.dropFirst(2)), reason.isWhole else { try fail(Status.notText) }
        switch UInt16(payload[0]) << 8 | UInt16(payload[1]) {
        case 1000...1003, 1007...1014, 3000...4999: try send(Opcode.close, isFinal: true, Array(payload.prefix(2)))
        default: try fail(Status.protocolError)
        }
    }

    /// Reads the head of a frame (RFC 6455 §5.2): no extension was agreed on, clients mask, lengths are minimal.
    private mutating func nextFrame() throws(DemoEnd) -> Frame {
        let start = Array(try input.exactly(2))
        let opcode = start[0] & 0x0F
        let isFinal = start[0] & 0x80 != 0
        guard start[0] & 0x70 == 0, start[1] & 0x80 != 0 else { try fail(Status.protocolError) }
        var length = UInt64(start[1] & 0x7F)
        if length >= 126 {
            let isLong = length == 127
            length = try input.exactly(isLong ? 8 : 2).reduce(0) { $0 << 8 | UInt64($1) }
            guard length > (isLong ? 0xFFFF : 125), length <= UInt64(Int64.max) else { try fail(Status.protocolError) }
        }
        // Control frames are short and whole (RFC 6455 §5.5).
        guard opcode < 8 || isFinal && length <= 125 else { try fail(Status.protocolError) }
        return Frame(isFinal: isFinal, opcode: opcode, length: length, mask: Array(try input.exactly(4)))
    }

    /// The payload of a control frame.
    private mutating func payload(_ frame: Frame) throws(DemoEnd) -> [UInt8] {
        try unmasked(Int(frame.length), frame.mask)
    }

    /// The next bytes of a payload in clear. Pieces are multiples of four long, so each begins with the mask's first byte.
    private mutating func unmasked(_ count: Int, _ mask: [UInt8]) throws(DemoEnd) -> [UInt8] {
        var bytes = Array(try input.exactly(count))
        for index in bytes.indices { bytes[index] ^= mask[index & 3] }
        return bytes
    }

    private func send(_ opcode: UInt8, isFinal: Bool, _ payload: [UInt8]) throws(DemoEnd) {
        var frame = [opcode | (isFinal ? 0x80 : 0)]
        if payload.count < 126 {
            frame.append(UInt8(payload.count))
        } else {
            // A piece is shorter than 64 KiB, so two bytes hold its length.
            frame += [126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        }
        try socket.send((frame + payload).span)
    }

    /// Says why in a Close frame and ends the conversation.
    private func fail(_ status: UInt16) throws(DemoEnd) -> Never {
        try send(Opcode.close, isFinal: true, [UInt8(status >> 8), UInt8(status & 0xFF)])
        throw .closed
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                let isPadding = place > group.count
                text.append(isPadding ? UInt8(ascii: "=") : base64Alphabet[bits >> (18 - 6 * place) & 63])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static let base64Alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// RFC 6455 §5.2.
    private enum Opcode {
        static let continuation: UInt8 = 0
        static let text: UInt8 = 1
        static let binary: UInt8 = 2
        static let close: UInt8 = 8
        static let ping: UInt8 = 9
        static let pong: UInt8 = 10
    }

    /// RFC 6455 §7.4.1.
    private enum Status {
        static let protocolError: UInt16 = 1002
        static let notText: UInt16 = 1007
    }
}

/// Whether bytes that come in pieces are UTF-8 (RFC 3629 §4).
private struct UTF8Progress {
    /// Bytes that the character in hand still needs.
    private var missing = 0
    /// What the next of them may be.
    private var allowed: ClosedRange<UInt8> = 0x80...0xBF

    /// Whether no character is cut off at the end.
    var isWhole: Bool { missing == 0 }

    /// Takes the next bytes; false at the first one that cannot stand where it stands.
    mutating func accepts(_ bytes: some Sequence<UInt8>) -> Bool {
        for byte in bytes { guard accepts(byte) else { return false } }
        return true
    }

    private mutating func accepts(_ byte: UInt8) -> Bool {
        if missing > 0 {
            guard allowed.contains(byte) else { return false }
            missing -= 1
            allowed = 0x80...0xBF
            return true
        }
        switch byte {
        case 0x00...0x7F: return true
        case 0xC2...0xDF: missing = 1
        case 0xE0...0xEF: missing = 2
        case 0xF0...0xF4: missing = 3
        default: return false
        }
        // No overlong forms, no surrogates, nothing beyond U+10FFFF.
        switch byte {
        case 0xE0: allowed = 0xA0...0xBF
        case 0xED: allowed = 0x80...0x9F
        case 0xF0: allowed = 0x90...0xBF
        case 0xF4: allowed = 0x80...0x8F
        default: break
        }
        return true
    }
}
