// One client's conversation with a demo backend, from its first request to its last (RFC 9112 §9). The target's first
// element chooses what happens: /stream/BYTES, /echo, /ws, /sleep/MS, /status/CODE; anything else is told back.

import ProxyCore

/// A connection to a demo backend, owned by the thread that serves it.
struct DemoConnection {
    private let socket: DemoSocket
    private let identity: DemoIdentity
    private var input: DemoInput
    /// Whether the request in hand already has a status line: then a refusal can only be a close.
    private var hasAnswered = false

    init(socket: DemoSocket, identity: DemoIdentity) {
        self.socket = socket
        self.identity = identity
        input = DemoInput(socket)
    }

    /// Answers one request after the other and returns when the connection is to be closed.
    mutating func converse() {
        socket.setTimeouts(seconds: Self.idleSecondsMax)
        do throws(DemoEnd) {
            while try answerNext() {}
        } catch {
            switch error {
            case .closed: break
            case .refused(let status, let why):
                if !hasAnswered { try? send(DemoAnswer(status: status, text: why + "\n"), to: nil) }
            }
        }
        leave()
    }

    /// Answers one request. False when the connection is to be closed.
    private mutating func answerNext() throws(DemoEnd) -> Bool {
        hasAnswered = false
        guard let request = try DemoRequest(from: &input) else { return false }
        let path = request.path
        if path.first == "ws" { return try upgrade(request) }
        if request.framing != .length(0), request.minorVersion == 1, request.has("100-continue", in: "expect") {
            try socket.send("HTTP/1.1 100 Continue\r\n\r\n".utf8.span)
        }
        var body = DemoBody(request.framing)
        if path.first == "echo" { try echo(&body, of: request) }
        var bodyBytes: UInt64 = 0
        while let piece = try body.next(from: &input) { bodyBytes += UInt64(piece.count) }
        if path.first == "echo" { return request.keepsAlive }

        let number = path.count == 2 ? DemoRequest.decimal(path[1].utf8) : nil
        switch path.first {
        case "stream": try stream(number, to: request)
        case "sleep": try sleep(number, to: request)
        case "status": try status(number, to: request)
        default: try send(.received(request, bodyBytes: bodyBytes, by: identity), to: request)
        }
        return request.keepsAlive
    }

    /// Sends the body back while it arrives, framed as it came.
    private mutating func echo(_ body: inout DemoBody, of request: DemoRequest) throws(DemoEnd) {
        var fields = [("Content-Type", request.values("content-type").first ?? "application/octet-stream")]
        switch request.framing {
        case .length(let count): fields.append(("Content-Length", String(count)))
        case .chunked: fields.append(("Transfer-Encoding", "chunked"))
        }
        try sendHead(200, fields, to: request)
        guard request.method != "HEAD" else { return }
        while let piece = try body.next(from: &input) {
            if request.framing == .chunked {
                try socket.send(Self.chunk(piece).span)
            } else {
                try socket.send(piece.span)
            }
        }
        if request.framing == .chunked { try socket.send(Self.lastChunk.utf8.span) }
    }

    /// Sends so many bytes of readable filling, in chunks.
    private mutating func stream(_ count: UInt64?, to request: DemoRequest) throws(DemoEnd) {
        guard let count, count <= Self.streamBytesMax else {
            return try send(.wrongNumber("/stream/BYTES", 0...Self.streamBytesMax), to: request)
        }
        // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
        let isChunked = request.minorVersion == 1
        let coding = isChunked ? [("Transfer-Encoding", "chunked")] : []
        try sendHead(200, [("Content-Type", "text/plain; charset=utf-8")] + coding, to: request)
        guard request.method != "HEAD" else { return }
        let filling = Array(
            repeatElement(Self.fillingLine.utf8, count: Self.chunkBytes / Self.fillingLine.utf8.count).joined())
        let whole = isChunked ? Self.chunk(filling[...]) : filling
        var left = count
        while left >= UInt64(filling.count) {
            try socket.send(whole.span)
            left -= UInt64(filling.count)
        }
        let rest = filling.prefix(Int(left))
        if isChunked {
            try socket.send(((rest.isEmpty ? [] : Self.chunk(rest)) + Array(Self.lastChunk.utf8)).span)
        } else {
            try socket.send(rest.span)
        }
    }

    /// Answers after so many milliseconds.
    private mutating func sleep(_ milliseconds: UInt64?, to request: DemoRequest) throws(DemoEnd) {
        guard let milliseconds, milliseconds <= Self.sleepMillisecondsMax else {
            return try send(.wrongNumber("/sleep/MS", 0...Self.sleepMillisecondsMax), to: request)
        }
        socket.pause(milliseconds: Int(milliseconds))
        try send(DemoAnswer(text: "\(identity.name) slept for \(milliseconds) ms\n"), to: request)
    }

    /// Answers with this status; an interim one (RFC 9110 §15.2) is followed by a 200.
    private mutating func status(_ code: UInt64?, to request: DemoRequest) throws(DemoEnd) {
        guard let code, 100...599 ~= code, code != 101 else {
            return try send(.wrongNumber("/status/CODE", 100...599), to: request)
        }
        guard code < 200 else {
            return try send(DemoAnswer(status: Int(code), text: "\(identity.name) answers \(code)\n"), to: request)
        }
        if request.minorVersion == 1 {
            let line = "HTTP/1.1 \(code) \(DemoAnswer.reason(Int(code)))\r\nX-Backend: \(identity.name)\r\n\r\n"
            try socket.send(line.utf8.span)
        }
        try send(DemoAnswer(text: "\(identity.name) sent an interim \(code) before this\n"), to: request)
    }

    /// Becomes a WebSocket, or says why not. False in the end: what follows a WebSocket is the connection's end.
    private mutating func upgrade(_ request: DemoRequest) throws(DemoEnd) -> Bool {
        // A body before the switch would have two readers (RFC 9110 §7.8 leaves it open): refused.
        guard request.framing == .length(0) else {
            throw .refused(status: 400, why: "a WebSocket handshake has no body")
        }
        guard let accept = DemoWebSocket.acceptValue(for: request) else {
            try send(.upgradeRequired, to: request)
            return request.keepsAlive
        }
        let fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
        try sendHead(101, fields, to: request)
        socket.setTimeouts(seconds: Self.webSocketIdleSecondsMax)
        var webSocket = DemoWebSocket(socket: socket, input: input)
        try webSocket.echo()
        return false
    }

    /// Sends a whole answer. Without a request (it could not be read) the connection is closed behind it.
    private mutating func send(_ answer: DemoAnswer, to request: DemoRequest?) throws(DemoEnd) {
        hasAnswered = true
        try socket.send(answer.bytes(to: request, from: identity).span)
    }

    private mutating func sendHead(
        _ status: Int, _ fields: [(String, String)], to request: DemoRequest
    ) throws(DemoEnd) {
        hasAnswered = true
        let isLast = status != 101 && !request.keepsAlive
        try socket.send(DemoAnswer.head(status, fields, isLast: isLast, from: identity).utf8.span)
    }

    /// Lets the client read our last words: a close with its bytes unread would reset the connection and take them away.
    private mutating func leave() {
        socket.finishSending()
        socket.setTimeouts(seconds: 1)
        for _ in 0..<64 { guard (try? input.some(atMost: DemoInput.pieceBytesMax)) != nil else { return } }
    }

    /// RFC 9112 §7.1. `piece` is not empty: an empty chunk would be the last.
    private static func chunk(_ piece: ArraySlice<UInt8>) -> [UInt8] {
        Array(String(piece.count, radix: 16).utf8) + [13, 10] + piece + [13, 10]
    }

    private static let lastChunk = "0\r\n\r\n"
    private static let fillingLine = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n"
    private static let chunkBytes = 64 * 1024
    private static let streamBytesMax: UInt64 = 1 << 50
    private static let sleepMillisecondsMax: UInt64 = 600_000
    private static let idleSecondsMax = 300
    private static let webSocketIdleSecondsMax = 3600
}
