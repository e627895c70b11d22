// Frames of a WebSocket, followed but not changed: the same places between frames however the bytes are cut, as in a slow
// reading of RFC 6455 §5.2.

@testable import ProxyCore

enum WebSocketFramesTarget {
    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let step = 1 + Int(input.byte()) % 32
        let bytes = input.remainder()
        let (ends, isLost) = slowEnds(bytes)
        var whole = FrameTrail()
        let followed = try inProportion(to: bytes.count, "frames") { () -> Int in
            whole = FrameTrail()
            return whole.follow(bytes.span, from: 0)
        }
        try expect(followed == bytes.count, "\(followed) bytes of \(bytes.count) followed")
        try expect(whole.isLost == isLost, "lost: \(whole.isLost), slowly \(isLost)")
        if !isLost { try expect(whole.isBetweenFrames == (ends.last == bytes.count), "between frames, or not") }

        var pieces = FrameTrail()
        var at = 0
        while at < bytes.count {
            let next = min(bytes.count, at + step)
            at = pieces.follow(bytes.span.extracting(0..<next), from: at)
            try expect(at == next, "stopped at \(at) of \(next)")
            if !pieces.isLost {
                try expect(pieces.isBetweenFrames == ends.contains(at), "between frames at \(at), or not")
            }
        }
        try expect(pieces.hasClose == whole.hasClose && pieces.isLost == whole.isLost, "cut, it is otherwise")
        try expectTheLast(bytes, cut: min(bytes.count, step), ends, isLost)
    }

    /// Our last word comes between two frames, or not at all.
    private static func expectTheLast(_ bytes: [UInt8], cut: Int, _ ends: [Int], _ isLost: Bool) throws {
        var side = WebSocketSide()
        side.follow(bytes.span.extracting(0..<cut), from: 0)
        var out = ByteBuffer(capacity: 64)
        side.makeDue()
        let end = side.followToTheLast(bytes.span, from: cut)
        try expect((cut...bytes.count).contains(end), "\(end) of \(cut)…\(bytes.count) bytes may pass")
        side.sayClose(into: &out, mask: 0x0102_0304)
        if !out.isEmpty && !isLost { try expect(ends.contains(end), "a Close in a frame, at \(end)") }
        try expect(out.count <= WebSocketSide.closeBytesMax, "a Close of \(out.count) bytes")
    }

    /// Where frames end, the beginning included, and whether a length made no sense.
    private static func slowEnds(_ bytes: [UInt8]) -> (ends: [Int], isLost: Bool) {
        var ends = [0]
        var at = 0
        while at + 2 <= bytes.count {
            let short = bytes[at + 1] & 0x7F
            let extra = short == 126 ? 2 : short == 127 ? 8 : 0
            guard at + 2 + extra <= bytes.count else { break }
            let long = bytes[(at + 2)..<(at + 2 + extra)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let payload = extra == 0 ? UInt64(short) : long
            if payload > UInt64(Int64.max) { return (ends, true) }
            let rest = payload + (bytes[at + 1] & 0x80 != 0 ? 4 : 0)
            guard rest <= UInt64(bytes.count - at - 2 - extra) else { break }
            at += 2 + extra + Int(rest)
            ends.append(at)
        }
        return (ends, false)
    }
}
