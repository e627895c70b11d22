import Testing

@testable import ProxyCore

@Suite struct FrameTrailTests {
    /// A frame of `count` bytes of payload.
    private static func frame(_ opcode: UInt8, _ count: Int, isMasked: Bool, isFinal: Bool = true) -> [UInt8] {
        var bytes = [opcode | (isFinal ? 0x80 : 0)]
        let mask: UInt8 = isMasked ? 0x80 : 0
        switch count {
        case ..<126: bytes.append(mask | UInt8(count))
        case ..<65536: bytes += [mask | 126, UInt8(count >> 8), UInt8(count & 0xFF)]
        default:
            bytes.append(mask | 127)
            for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(count >> shift & 0xFF)) }
        }
        if isMasked { bytes += [0x88, 0x88, 0x88, 0x88] }
        // What is in a payload is nobody's business, heads of frames included.
        return bytes + [UInt8](repeating: 0x88, count: count)
    }

    /// Every length that is spelled in its own way, its neighbours, and a message in pieces.
    private static func talk(isMasked: Bool) -> (bytes: [UInt8], ends: Set<Int>) {
        var bytes: [UInt8] = []
        var ends: Set = [0]
        for (opcode, count, isFinal) in [
            (1, 0, true), (2, 1, true), (9, 125, true), (1, 126, true), (2, 127, false), (10, 3, true),
            (0, 65535, false),
            (0, 65536, true), (1, 5, true),
        ] as [(UInt8, Int, Bool)] {
            bytes += frame(opcode, count, isMasked: isMasked, isFinal: isFinal)
            ends.insert(bytes.count)
        }
        return (bytes, ends)
    }

    @Test(arguments: [false, true]) func itStandsBetweenFramesJustWhereOneEnds(isMasked: Bool) {
        let (bytes, ends) = Self.talk(isMasked: isMasked)
        var trail = FrameTrail()
        var found: Set = [0]
        for i in bytes.indices {
            let end = trail.follow([bytes[i]])
            if end != 1 { Issue.record("byte \(i) was left out") }
            if trail.isBetweenFrames { found.insert(i + 1) }
        }
        #expect(found == ends && !trail.hasClose)
    }

    @Test(arguments: [1, 2, 7, 1000, 33_000, 1 << 20]) func piecesMakeNoDifference(size: Int) {
        let (bytes, ends) = Self.talk(isMasked: true)
        var trail = FrameTrail()
        for start in stride(from: 0, to: bytes.count, by: size) {
            let end = min(start + size, bytes.count)
            #expect(trail.follow(Array(bytes[start..<end])) == end - start)
            #expect(trail.isBetweenFrames == ends.contains(end))
        }
    }

    @Test func itStopsAtTheFirstEndOfAFrame() {
        let (bytes, ends) = Self.talk(isMasked: false)
        for start in [1, 2, 3, 100, 130, 300, 70_000] {
            var trail = FrameTrail()
            _ = trail.follow(Array(bytes[..<start]))
            let next = ends.filter { $0 > start || ($0 == start && !trail.isBetweenFrames) }.min() ?? -1
            #expect(trail.follow(bytes, from: start, stops: true) == next && trail.isBetweenFrames)
        }
    }

    @Test func aLengthThatMakesNoSenseLosesTheTrailAndNothingElse() {
        var trail = FrameTrail()
        let bytes: [UInt8] = [0x82, 0xFF] + [UInt8](repeating: 0xFF, count: 8) + [0x88, 0x00, 0x88]
        #expect(trail.follow(bytes) == bytes.count)
        #expect(trail.isLost && !trail.isBetweenFrames && !trail.hasClose)
        #expect(trail.follow(bytes, stops: true) == bytes.count && !trail.isBetweenFrames)
    }

    @Test func ourLastWordIsMaskedOnlyWhereClientsSpeak() {
        for mask in [nil, 0x0102_0304] as [UInt32?] {
            var side = WebSocketSide()
            var out = ByteBuffer(capacity: 16)
            side.makeDue()
            side.sayClose(into: &out, mask: mask)
            side.sayClose(into: &out, mask: mask)
            let bytes = out.withReadable { span in span.indices.map { span[$0] } }
            #expect(bytes == (mask == nil ? [0x88, 2, 3, 0xE9] : [0x88, 0x82, 1, 2, 3, 4, 3 ^ 1, 0xE9 ^ 2]))
        }
    }

    @Test func theLastWordWaitsForTheEndOfTheFrameAndNothingFollowsIt() {
        let first = Self.frame(1, 5, isMasked: false)
        let more = Self.frame(1, 9, isMasked: false) + Self.frame(8, 2, isMasked: false)
        var side = WebSocketSide()
        side.follow(Array(first[..<4]))
        side.makeDue()
        #expect(side.lastWord == .none)
        let rest = Array(first[4...]) + more
        #expect(side.followToTheLast(rest) == first.count - 4 && side.lastWord == .due)
        var out = ByteBuffer(capacity: 4)
        side.sayClose(into: &out)
        #expect(side.lastWord == .due, "there is no room for it yet")
        out = ByteBuffer(capacity: 8)
        side.sayClose(into: &out)
        #expect(side.isOver, "its answer had come")
        #expect(side.followToTheLast(more) == 0)
    }

    @Test func whereThePeerHasClosedItselfThereIsNothingToSay() {
        var side = WebSocketSide()
        side.follow(Self.frame(8, 2, isMasked: false))
        side.makeDue()
        #expect(side.lastWord == .said && side.isOver)
    }
}

extension FrameTrail {
    fileprivate mutating func follow(_ bytes: [UInt8], from: Int = 0, stops: Bool = false) -> Int {
        follow(bytes.span, from: from, stops: stops)
    }
}

extension WebSocketSide {
    fileprivate mutating func follow(_ bytes: [UInt8]) { follow(bytes.span, from: 0) }
    fileprivate mutating func followToTheLast(_ bytes: [UInt8]) -> Int { followToTheLast(bytes.span, from: 0) }
}
