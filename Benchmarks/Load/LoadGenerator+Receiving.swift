// An answer's way in: head, framing, length and echo are checked as the bytes come.

import CLinux
import Glibc

extension LoadGenerator {
    /// Reads until the socket is drained.
    mutating func receive(_ i: Int) {
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        let generation = unsafe connection.pointee.generation
        while true {
            // A long body is thrown away in the kernel, to leave the core to others.
            let phase = unsafe connection.pointee.phase
            let discards = unsafe !isSecure && phase == .body && connection.pointee.remaining >= 65536
            let room = unsafe discards ? min(connection.pointee.remaining, Self.bufferBytes) : Self.bufferBytes
            let number: Int
            switch receive(i, room, discards: discards) {
            case .bytes(let received): number = received
            case .wouldBlock: return
            case .end: return ended(i, isReset: false)
            case .broken: return ended(i, isReset: true)
            }
            let isDrained = unsafe (isSecure ? tls.isDrained(i) : number < room) && !connection.pointee.isEnding
            if discards {
                receivedBytes += number
                unsafe connection.pointee.remaining -= number
                if unsafe connection.pointee.remaining == 0 { complete(i) }
            } else {
                take(i, phase, number)
            }
            // Gone, or gone and opened again: the new socket will have an event of its own.
            if unsafe connection.pointee.fd < 0 || connection.pointee.generation != generation { return }
            if isDrained { return }
        }
    }

    /// Reads at most `room` bytes of connection `i` into the buffer, through TLS where there is any, or throws them away.
    @inline(__always)
    private mutating func receive(_ i: Int, _ room: Int, discards: Bool) -> LoadTransfer {
        // Safety: at most `room` bytes are written into the buffer, or nothing for MSG_TRUNC.
        if isSecure { return unsafe tls.receive(i, buffer, room) }
        while true {
            let number = unsafe recv(connections[i].fd, buffer, room, discards ? Int32(MSG_TRUNC) : 0)
            if number > 0 { return .bytes(number) }
            if number == 0 { return .end }
            if errno != EINTR { return errno == EAGAIN ? .wouldBlock : .broken }
        }
    }

    /// Takes in `number` bytes of the buffer.
    mutating func take(_ i: Int, _ phase: LoadConnection.Phase, _ number: Int) {
        // Safety: `i` is within the slab; the buffer holds `number` bytes.
        let connection = unsafe connections + i
        do {
            switch phase {
            case .head, .handshake:
                if unsafe connection.pointee.input.isEmpty {
                    let bytes = unsafe UnsafeBufferPointer(start: buffer, count: number)
                    if try unsafe !takeHead(i, bytes) { unsafe connection.pointee.input.append(bytes) }
                    return
                }
                unsafe connection.pointee.input.append(UnsafeBufferPointer(start: buffer, count: number))
                var held = unsafe connection.pointee.input
                unsafe connection.pointee.input = Stash()
                if try unsafe takeHead(i, UnsafeBufferPointer(held.bytes)) {
                    held.release()
                } else {
                    unsafe connection.pointee.input = held
                }
            case .body, .chunks, .untilClose:
                try unsafe takeBody(i, UnsafeBufferPointer(start: buffer, count: number), from: 0)
            case .echo:
                let place = unsafe connection.pointee.remaining
                let isEqual = unsafe echo.withUnsafeBufferPointer { echo in
                    unsafe place + number <= echo.count && memcmp(echo.baseAddress! + place, buffer, number) == 0
                }
                guard isEqual else { return fail(i, .wrongEcho) }
                unsafe connection.pointee.remaining = place + number
                if place + number == echo.count {
                    receivedBytes += plan.messageBytes ?? 0
                    complete(i)
                }
            case .end, .idle: fail(i, .excess)
            case .closed, .connecting, .securing: break
            }
        } catch {
            fail(i, .malformed)
        }
    }

    /// Takes in an answer's head and what follows it. False: there is more to come.
    mutating func takeHead(_ i: Int, _ bytes: UnsafeBufferPointer<UInt8>) throws(MalformedMessage) -> Bool {
        // Safety: `i` is within the slab; the bytes live through the call.
        let connection = unsafe connections + i
        let span = unsafe bytes.span
        guard let head = try MessageHead.parse(span) else { return false }
        let line = head.startLine
        guard line.count >= 12, matches(span, line.lowerBound, "http/1.1 ") else { throw MalformedMessage() }
        if unsafe connection.pointee.phase == .handshake {
            let isRight = matches(span, line.lowerBound + 9, "101") && hasAccept(head, span)
            if isRight && head.length == bytes.count { ready(i) } else { fail(i, .handshake) }
            return true
        }
        if span[line.lowerBound + 9] == UInt8(ascii: "1") {
            // An interim answer: the final one is still to come (RFC 9110 §15.2).
            guard span[line.lowerBound + 11] != UInt8(ascii: "1") else { throw MalformedMessage() }
            let rest = unsafe UnsafeBufferPointer(rebasing: bytes[head.length...])
            if rest.count == 0 { return true }
            if try unsafe !takeHead(i, rest) { unsafe connection.pointee.input.append(rest) }
            return true
        }
        guard span[line.lowerBound + 9] == UInt8(ascii: "2") else {
            fail(i, .badStatus)
            return true
        }
        unsafe connection.pointee.closes = head.closes
        switch plan.method == "HEAD" ? .length(0) : head.framing {
        case .length(let length):
            if let expected = plan.expectedBytes, expected != length {
                fail(i, .wrongLength)
                return true
            }
            unsafe connection.pointee.remaining = length
            unsafe connection.pointee.phase = .body
        case .chunked:
            unsafe connection.pointee.chunks = ChunkedBody()
            unsafe connection.pointee.phase = .chunks
        case .untilClose, .none:
            unsafe connection.pointee.remaining = 0
            unsafe connection.pointee.phase = .untilClose
        }
        try unsafe takeBody(i, bytes, from: head.length)
        return true
    }

    func hasAccept(_ head: MessageHead, _ bytes: Span<UInt8>) -> Bool {
        guard let place = head.webSocketKey, place.count == accept.count else { return false }
        return place.allSatisfy { bytes[$0] == accept[$0 - place.lowerBound] }
    }

    mutating func takeBody(
        _ i: Int, _ bytes: UnsafeBufferPointer<UInt8>, from start: Int
    ) throws(MalformedMessage) {
        // Safety: `i` is within the slab; the bytes live through the call.
        let connection = unsafe connections + i
        let left = bytes.count - start
        switch unsafe connection.pointee.phase {
        case .body:
            let remaining = unsafe connection.pointee.remaining
            if left > remaining { return fail(i, .excess) }
            receivedBytes += left
            unsafe connection.pointee.remaining = remaining - left
            if left == remaining { complete(i) }
        case .chunks:
            let end = try unsafe connection.pointee.chunks.consume(bytes.span, from: start)
            guard unsafe connection.pointee.chunks.isComplete else { return }
            let total = unsafe connection.pointee.chunks.total
            receivedBytes += total
            if end != bytes.count { return fail(i, .excess) }
            if let expected = plan.expectedBytes, expected != total { return fail(i, .wrongLength) }
            complete(i)
        case .untilClose:
            receivedBytes += left
            unsafe connection.pointee.remaining += left
        case .closed, .connecting, .securing, .idle, .head, .end, .handshake, .echo: break
        }
    }
}
