// What does the origin cost? As little as can be: one thread, edge-triggered, one read and one send a request, uploads
// thrown away in the kernel, so that the core it shares with the load generator is not what limits a measurement.

import CLinux
import Glibc

/// One connection of the backend.
private struct BackendConnection {
    /// What the connection does now.
    enum Phase: UInt8 {
        /// Waits for a head.
        case head
        /// Swallows a body of known length.
        case body
        /// Swallows a chunked body.
        case chunks
        /// Sends `/bytes/N`.
        case replying
        /// Sends what is in `output`.
        case flushing
        /// Echoes messages.
        case webSocket
    }

    var fd: Int32 = -1
    var generation: UInt32 = 0
    var phase = Phase.head
    /// Bytes may have come that nobody has read.
    var isReadable = false
    /// The end may have come.
    var isEnding = false
    var closesAfter = false
    /// Goes on as a WebSocket once `output` is out.
    var upgrades = false
    /// Body bytes still to come, and all of them.
    var remaining = 0
    var uploaded = 0
    var chunks = ChunkedBody()
    /// Of `/bytes/N`: N, and what has been sent of head and body.
    var replyBytes = 0
    var sent = 0
    /// HEAD was asked: no body follows.
    var omitsBody = false
    var input = Stash()
    var output = Stash()
}

/// The origin server of a measurement.
@safe struct Backend: ~Copyable {
    private let poller: Int32
    private let listener: Int32
    private let connections: UnsafeMutablePointer<BackendConnection>
    private var free: [Int32]
    private let buffer: UnsafeMutablePointer<UInt8>
    /// Room for a head, then a mebibyte of body: a reply's head is written right before the body, so that both go out
    /// in one send.
    private let reply: UnsafeMutablePointer<UInt8>
    private var date: [UInt8] = []
    private var dateSecond = -1

    private static let capacity = 16384
    private static let bufferBytes = 1 << 20
    private static let headRoom = 512
    private static let bodyBytes = 1 << 20
    private static let listenerToken = UInt64.max

    /// A backend that accepts from `listener`.
    init(listener: Int32) throws {
        self.listener = listener
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        // Safety: each allocation is initialised to its full length and lives as long as the process.
        unsafe connections = .allocate(capacity: Self.capacity)
        unsafe connections.initialize(repeating: BackendConnection(), count: Self.capacity)
        unsafe buffer = .allocate(capacity: Self.bufferBytes)
        unsafe buffer.initialize(repeating: 0, count: Self.bufferBytes)
        unsafe reply = .allocate(capacity: Self.headRoom + Self.bodyBytes)
        unsafe reply.initialize(repeating: UInt8(ascii: "x"), count: Self.headRoom + Self.bodyBytes)
        free = (0..<Int32(Self.capacity)).reversed()
        guard poller >= 0, watch(poller, listener, events: EPOLLIN.rawValue, token: Self.listenerToken) else {
            throw SystemFailure("epoll")
        }
    }

    /// Serves until the process is ended.
    mutating func run() throws {
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: 256)
        defer { unsafe events.deallocate() }
        while true {
            // Safety: epoll_wait fills at most 256 events.
            let count = unsafe epoll_wait(poller, events, 256, -1)
            if count < 0 && errno != EINTR { throw SystemFailure("epoll_wait") }
            renewDate()
            for k in 0..<max(0, Int(count)) {
                // Safety: the kernel filled these.
                let flags = unsafe events[k].events
                let token = unsafe events[k].data.u64
                if token == Self.listenerToken {
                    acceptAll()
                } else {
                    serve(Int(token & 0xFFFF_FFFF), generation: UInt32(token >> 32), flags)
                }
            }
        }
    }

    private mutating func acceptAll() {
        while let slot = free.last {
            // Safety: no address is asked for.
            let fd = accept4(
                listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
            guard fd >= 0 else { return }
            free.removeLast()
            setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            // Safety: the slot is within the slab, as `free` holds only such.
            let generation = unsafe connections[Int(slot)].generation &+ 1
            unsafe connections[Int(slot)] = BackendConnection(fd: fd, generation: generation)
            let token = UInt64(generation) << 32 | UInt64(slot)
            if !watch(poller, fd, events: allEvents, token: token) { drop(Int(slot)) }
        }
    }

    private mutating func drop(_ slot: Int) {
        // Safety: `slot` is within the slab.
        unsafe close(connections[slot].fd)
        unsafe connections[slot].fd = -1
        unsafe connections[slot].input.release()
        unsafe connections[slot].output.release()
        free.append(Int32(slot))
    }

    private mutating func serve(_ slot: Int, generation: UInt32, _ flags: UInt32) {
        // Safety: tokens carry only slots of the slab; the generation tells a stale event.
        guard unsafe connections[slot].fd >= 0, unsafe connections[slot].generation == generation else { return }
        if flags & (EPOLLIN.rawValue | endEvents) != 0 { unsafe connections[slot].isReadable = true }
        if flags & endEvents != 0 { unsafe connections[slot].isEnding = true }
        var isAlive = true
        // Each step either makes progress, or has nothing to do and ends the loop.
        while isAlive {
            let phase = unsafe connections[slot].phase
            switch phase {
            case .replying:
                guard let done = sendReply(slot) else { isAlive = false; continue }
                if !done { return }
            case .flushing:
                guard let done = flush(slot) else { isAlive = false; continue }
                if !done { return }
            case .webSocket:
                if unsafe !connections[slot].output.isEmpty {
                    guard let done = flush(slot) else { isAlive = false; continue }
                    if !done { return }
                }
                if unsafe !connections[slot].isReadable { return }
                isAlive = receive(slot)
            case .head, .body, .chunks:
                if unsafe !connections[slot].isReadable { return }
                isAlive = receive(slot)
            }
        }
        drop(slot)
    }

    /// Reads once. False: the connection is over.
    private mutating func receive(_ slot: Int) -> Bool {
        // Safety: `slot` is within the slab; recv writes at most `bufferBytes` into the buffer, or nothing for MSG_TRUNC.
        let connection = unsafe connections + slot
        let discards = unsafe connection.pointee.phase == .body
        let room = unsafe discards ? min(connection.pointee.remaining, Self.bufferBytes) : Self.bufferBytes
        let count = unsafe recv(connection.pointee.fd, buffer, room, discards ? Int32(MSG_TRUNC) : 0)
        if count == 0 { return false }
        if count < 0 {
            if errno == EINTR { return true }
            guard errno == EAGAIN else { return false }
            unsafe connection.pointee.isReadable = false
            return true
        }
        if unsafe count < room && !connection.pointee.isEnding { unsafe connection.pointee.isReadable = false }
        switch unsafe connection.pointee.phase {
        case .body:
            unsafe connection.pointee.remaining -= count
            if unsafe connection.pointee.remaining == 0 { answerUpload(slot) }
            return true
        case .webSocket: return echo(slot, count)
        case .head, .chunks, .replying, .flushing:
            if unsafe connection.pointee.input.isEmpty {
                return unsafe consume(slot, UnsafeBufferPointer(start: buffer, count: count))
            }
            unsafe connection.pointee.input.append(UnsafeBufferPointer(start: buffer, count: count))
            var held = unsafe connection.pointee.input
            unsafe connection.pointee.input = Stash()
            defer { held.release() }
            return unsafe consume(slot, UnsafeBufferPointer(held.bytes))
        }
    }

    /// Takes in bytes of a head or of a chunked body. What belongs to a later request waits in `input`.
    private mutating func consume(_ slot: Int, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        // Safety: the bytes live through the call.
        let connection = unsafe connections + slot
        let span = unsafe bytes.span
        do {
            var at = 0
            if unsafe connection.pointee.phase == .head {
                guard let head = try MessageHead.parse(span) else {
                    unsafe connection.pointee.input.append(bytes)
                    return true
                }
                at = head.length
                try begin(slot, head, span)
            }
            if unsafe connection.pointee.phase == .body {
                let count = unsafe min(connection.pointee.remaining, bytes.count - at)
                unsafe connection.pointee.remaining -= count
                at += count
                if unsafe connection.pointee.remaining == 0 { answerUpload(slot) }
            } else if unsafe connection.pointee.phase == .chunks {
                at = try unsafe connection.pointee.chunks.consume(span, from: at)
                if unsafe connection.pointee.chunks.isComplete {
                    unsafe connection.pointee.uploaded = connection.pointee.chunks.total
                    answerUpload(slot)
                }
            }
            if at < bytes.count {
                unsafe connection.pointee.input.append(UnsafeBufferPointer(rebasing: bytes[at...]))
                unsafe connection.pointee.isReadable = true
            }
            return true
        } catch {
            return false
        }
    }

    /// A head is in: what is asked, and is there a body?
    private mutating func begin(_ slot: Int, _ head: MessageHead, _ bytes: Span<UInt8>) throws(MalformedMessage) {
        // Safety: `slot` is within the slab.
        let connection = unsafe connections + slot
        unsafe connection.pointee.closesAfter = head.closes
        switch head.framing {
        case .length(let count) where count > 0:
            unsafe connection.pointee.remaining = count
            unsafe connection.pointee.uploaded = count
            unsafe connection.pointee.phase = .body
            return
        case .chunked:
            unsafe connection.pointee.chunks = ChunkedBody()
            unsafe connection.pointee.phase = .chunks
            return
        case .length, .none, .untilClose: break
        }
        guard let space = find(UInt8(ascii: " "), in: bytes, from: head.startLine.lowerBound) else {
            throw MalformedMessage()
        }
        let path = space + 1
        if matches(bytes, path, "/bytes/") {
            unsafe connection.pointee.replyBytes = number(bytes, path + 7)
            unsafe connection.pointee.sent = 0
            unsafe connection.pointee.omitsBody = matches(bytes, head.startLine.lowerBound, "head ")
            unsafe connection.pointee.phase = .replying
        } else if matches(bytes, path, "/ws"), let key = head.webSocketKey {
            let text = String(decoding: key.map { bytes[$0] }, as: UTF8.self)
            let lines =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: \(WebSocketWire.accept(for: text))\r\n\r\n"
            unsafe connection.pointee.output.append(Array(lines.utf8))
            unsafe connection.pointee.upgrades = true
            unsafe connection.pointee.phase = .flushing
        } else if matches(bytes, path, "/chunked/") {
            answerChunked(slot, number(bytes, path + 9))
        } else if matches(bytes, path, "/head") {
            answer(slot, "200 OK", (0..<head.length).map { bytes[$0] })
        } else if matches(bytes, path, "/ ") {
            answer(slot, "200 OK", Array("hdproxy-bench\n".utf8))
        } else {
            answer(slot, "404 Not Found", Array("no such path\n".utf8))
        }
    }

    private func number(_ bytes: Span<UInt8>, _ start: Int) -> Int {
        var value = 0
        var at = start
        while at < bytes.count, bytes[at] &- UInt8(ascii: "0") < 10, value < 1 << 50 {
            value = value * 10 + Int(bytes[at] - UInt8(ascii: "0"))
            at += 1
        }
        return value
    }

    private mutating func answerUpload(_ slot: Int) {
        // Safety: `slot` is within the slab.
        let uploaded = unsafe connections[slot].uploaded
        answer(slot, "200 OK", Array("\(uploaded)\n".utf8))
    }

    private mutating func answer(_ slot: Int, _ status: String, _ body: [UInt8]) {
        let head =
            "HTTP/1.1 \(status)\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: \(body.count)\r\n"
        // Safety: `slot` is within the slab.
        unsafe connections[slot].output.append(Array(head.utf8) + date + body)
        unsafe connections[slot].phase = .flushing
    }

    private mutating func answerChunked(_ slot: Int, _ count: Int) {
        var left = min(count, 64 << 20)
        var bytes = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".utf8) + date
        while left > 0 {
            let chunk = min(left, 16000)
            bytes += Array((String(chunk, radix: 16) + "\r\n").utf8)
            bytes += [UInt8](repeating: UInt8(ascii: "x"), count: chunk) + [13, 10]
            left -= chunk
        }
        // Safety: `slot` is within the slab.
        unsafe connections[slot].output.append(bytes + Array("0\r\n\r\n".utf8))
        unsafe connections[slot].phase = .flushing
    }

    /// Sends head and body of `/bytes/N`. Nil: the connection is over; false: the socket is full.
    private mutating func sendReply(_ slot: Int) -> Bool? {
        // Safety: `slot` is within the slab; every address below lies within `reply`, which is as long as head room
        // and body together.
        let connection = unsafe connections + slot
        let bodyBytes = unsafe connection.pointee.replyBytes
        let body = unsafe reply + Self.headRoom
        let headBytes = writeHead(bodyBytes)
        let total = unsafe headBytes + (connection.pointee.omitsBody ? 0 : bodyBytes)
        while true {
            let sent = unsafe connection.pointee.sent
            let start = sent < headBytes ? sent - headBytes : (sent - headBytes) % Self.bodyBytes
            let count = min(total - sent, Self.bodyBytes - start)
            let written = unsafe Glibc.send(connection.pointee.fd, body + start, count, Int32(MSG_NOSIGNAL))
            if written < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN ? false : nil
            }
            unsafe connection.pointee.sent += written
            if sent + written == total { return finish(slot) }
        }
    }

    /// Writes the head of a reply so that it ends where the body begins; returns its length.
    private func writeHead(_ bodyBytes: Int) -> Int {
        var at = Self.headRoom
        func put(_ byte: UInt8) {
            at -= 1
            // Safety: the whole head has some 150 bytes, less than the room.
            unsafe reply[at] = byte
        }
        for byte in date.reversed() { put(byte) }
        put(10)
        put(13)
        var left = bodyBytes
        repeat {
            put(UInt8(ascii: "0") + UInt8(left % 10))
            left /= 10
        } while left > 0
        let fixed: StaticString =
            "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/octet-stream\r\nContent-Length: "
        at -= fixed.utf8CodeUnitCount
        // Safety: as above; the literal is as long as it says.
        unsafe (reply + at).update(from: fixed.utf8Start, count: fixed.utf8CodeUnitCount)
        return Self.headRoom - at
    }

    /// Sends what waits in `output`. Nil: the connection is over; false: the socket is full.
    private mutating func flush(_ slot: Int) -> Bool? {
        // Safety: `slot` is within the slab; the bytes live until the stash changes.
        let connection = unsafe connections + slot
        while unsafe !connection.pointee.output.isEmpty {
            let bytes = unsafe connection.pointee.output.bytes
            let written = unsafe Glibc.send(
                connection.pointee.fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            if written < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN ? false : nil
            }
            unsafe connection.pointee.output.removeFirst(written)
        }
        if unsafe connection.pointee.phase == .webSocket { return true }
        return finish(slot)
    }

    /// An answer is out. Nil: the connection ends here.
    private mutating func finish(_ slot: Int) -> Bool? {
        // Safety: `slot` is within the slab.
        let connection = unsafe connections + slot
        if unsafe connection.pointee.closesAfter { return nil }
        unsafe connection.pointee.phase = connection.pointee.upgrades ? .webSocket : .head
        unsafe connection.pointee.upgrades = false
        if unsafe !connection.pointee.input.isEmpty && connection.pointee.phase == .head {
            var held = unsafe connection.pointee.input
            unsafe connection.pointee.input = Stash()
            defer { held.release() }
            return unsafe consume(slot, UnsafeBufferPointer(held.bytes)) ? true : nil
        }
        return true
    }

    /// `count` bytes of WebSocket frames are in the buffer: each whole message goes back as it came.
    private mutating func echo(_ slot: Int, _ count: Int) -> Bool {
        // Safety: `slot` is within the slab; `buffer` holds `count` bytes; the stash's bytes live until it changes.
        let connection = unsafe connections + slot
        if unsafe connection.pointee.input.isEmpty {
            guard let used = unsafe echo(connection, UnsafeMutableBufferPointer(start: buffer, count: count)) else {
                return false
            }
            if used < count {
                unsafe connection.pointee.input.append(UnsafeBufferPointer(start: buffer + used, count: count - used))
            }
            return true
        }
        unsafe connection.pointee.input.append(UnsafeBufferPointer(start: buffer, count: count))
        guard let used = unsafe echo(connection, connection.pointee.input.bytes) else { return false }
        unsafe connection.pointee.input.removeFirst(used)
        return unsafe connection.pointee.input.count < 64 << 20
    }

    /// Echoes the whole frames at the start of `bytes`; returns how many bytes those were, nil to end the connection.
    private func echo(
        _ connection: UnsafeMutablePointer<BackendConnection>, _ bytes: UnsafeMutableBufferPointer<UInt8>
    ) -> Int? {
        var at = 0
        while bytes.count - at >= 6 {
            // Safety: every index is checked against the buffer's count before it is used.
            let opcode = unsafe bytes[at] & 0x0F
            let short = unsafe Int(bytes[at + 1] & 0x7F)
            guard unsafe bytes[at + 1] & 0x80 != 0 else { return nil }
            let lengthBytes = short == 126 ? 2 : short == 127 ? 8 : 0
            let payload = at + 2 + lengthBytes + 4
            guard payload <= bytes.count else { return at }
            var length = lengthBytes == 0 ? short : 0
            for i in 0..<lengthBytes { length = unsafe length << 8 | Int(bytes[at + 2 + i]) }
            guard length >= 0, length < 32 << 20 else { return nil }
            guard payload + length <= bytes.count else { return at }
            // The head that goes back has no mask: it is four bytes shorter, and stands right before the payload.
            let start = at + 4
            unsafe unmask(bytes, payload, length)
            for i in (0..<2 + lengthBytes).reversed() { unsafe bytes[start + i] = bytes[at + i] }
            unsafe bytes[start] = 0x80 | (opcode == 9 ? 10 : opcode)
            unsafe bytes[start + 1] &= 0x7F
            let frame = unsafe UnsafeBufferPointer(rebasing: bytes[start..<payload + length])
            at = payload + length
            if unsafe !send(frame, to: connection) || opcode == 8 { return nil }
        }
        return at
    }

    private func unmask(_ bytes: UnsafeMutableBufferPointer<UInt8>, _ payload: Int, _ length: Int) {
        // Safety: the caller has checked that mask and payload lie within `bytes`.
        let base = unsafe UnsafeMutableRawPointer(bytes.baseAddress! + payload)
        let mask = unsafe (base - 4).loadUnaligned(as: UInt32.self)
        let wide = UInt64(mask) << 32 | UInt64(mask)
        var i = 0
        while i + 8 <= length {
            unsafe base.storeBytes(
                of: base.loadUnaligned(fromByteOffset: i, as: UInt64.self) ^ wide, toByteOffset: i, as: UInt64.self)
            i += 8
        }
        while i < length {
            unsafe bytes[payload + i] ^= UInt8(truncatingIfNeeded: mask >> UInt32(8 * (i & 3)))
            i += 1
        }
    }

    private func send(
        _ frame: UnsafeBufferPointer<UInt8>, to connection: UnsafeMutablePointer<BackendConnection>
    ) -> Bool {
        // Safety: the frame's bytes live through the call.
        guard unsafe connection.pointee.output.isEmpty else {
            unsafe connection.pointee.output.append(frame)
            return true
        }
        let written = unsafe Glibc.send(
            connection.pointee.fd, frame.baseAddress, frame.count, Int32(MSG_NOSIGNAL))
        if written < 0 && errno != EAGAIN { return false }
        if written < frame.count {
            unsafe connection.pointee.output.append(UnsafeBufferPointer(rebasing: frame[max(0, written)...]))
        }
        return true
    }

    /// Once a second: `Date: …` and the end of a head (RFC 9110 §6.6.1).
    private mutating func renewDate() {
        var now = timespec()
        // Safety: each call fills the structure it is given.
        unsafe clock_gettime(CLOCK_REALTIME_COARSE, &now)
        guard now.tv_sec != dateSecond else { return }
        dateSecond = now.tv_sec
        var parts = unsafe tm()
        unsafe gmtime_r(&now.tv_sec, &parts)
        var text = [CChar](repeating: 0, count: 64)
        let count = unsafe strftime(&text, text.count, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n\r\n", &parts)
        date = text[..<count].map { UInt8(bitPattern: $0) }
    }
}
