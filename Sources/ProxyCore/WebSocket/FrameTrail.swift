// Where does a frame of a WebSocket end? Bytes that pass are followed, never changed: only their heads are looked at, so
// that one frame of our own, a Close, can be put between two of theirs. RFC 6455 §5.2.

/// Where one direction of a WebSocket stands: between two frames, or in one.
struct FrameTrail: BitwiseCopyable, Sendable {
    /// What the next byte is.
    private enum Place: UInt8 {
        /// A frame's first one, or one that ``rest`` counts.
        case start
        /// A frame's second one.
        case second
        /// One of a long payload length.
        case length
    }

    private var place = Place.start
    /// Bytes of a long payload length that are still to come.
    private var lengthBytes: UInt8 = 0
    private var isMasked = false
    /// Bytes of mask and payload that are still to come; before that, what is known of their number.
    private var rest: UInt64 = 0
    /// Whether a Close frame has begun.
    private(set) var hasClose = false
    /// Whether a length made no sense: nobody knows where frames begin any more.
    private(set) var isLost = false

    /// At a connection's beginning.
    init() {}

    /// Whether the next byte begins a frame.
    var isBetweenFrames: Bool { place == .start && rest == 0 && !isLost }

    /// Follows the bytes from `from` on, to the end or, where `stops`, to the first place between two frames. Returns the
    /// position behind the last one that was followed.
    @inline(__always)
    mutating func follow(_ bytes: Span<UInt8>, from: Int, stops: Bool = false) -> Int {
        var at = from
        let end = bytes.count
        while at < end {
            if place == .start, rest > 0 {
                let n = Int(min(rest, UInt64(end &- at)))
                rest &-= UInt64(n)
                at &+= n
            } else {
                if isLost || (stops && isBetweenFrames && at > from) { break }
                head(bytes[at])
                at &+= 1
            }
        }
        return isLost ? end : at
    }

    /// The next byte of a frame's head.
    @inline(__always)
    private mutating func head(_ byte: UInt8) {
        switch place {
        case .start:
            if byte & 0x0F == 8 { hasClose = true }
            place = .second
        case .second:
            isMasked = byte & 0x80 != 0
            let short = byte & 0x7F
            if short < 126 { return begin(UInt64(short)) }
            lengthBytes = short == 126 ? 2 : 8
            place = .length
        case .length:
            rest = rest << 8 | UInt64(byte)
            lengthBytes &-= 1
            if lengthBytes == 0 { begin(rest) }
        }
    }

    private mutating func begin(_ payload: UInt64) {
        // The highest bit is always clear.
        if payload > UInt64(Int64.max) { isLost = true }
        rest = payload &+ (isMasked ? 4 : 0)
        place = .start
    }
}

/// One direction of a WebSocket, of which we say the last word when we leave.
struct WebSocketSide: BitwiseCopyable, Sendable {
    /// What has become of the last word.
    enum LastWord: UInt8, Sendable {
        /// Frames pass, and there is no place for it yet.
        case none
        /// Here it belongs; nothing may pass any more.
        case due
        /// It has passed: ours, or the peer's own.
        case said
    }

    /// What has passed, or come and was thrown away.
    private(set) var trail = FrameTrail()
    /// What has become of the last word.
    private(set) var lastWord = LastWord.none

    /// At a connection's beginning.
    init() {}

    /// Whether the last word was said this way, and whoever sends this way has said its own.
    var isOver: Bool { lastWord == .said && trail.hasClose && trail.isBetweenFrames }

    /// Follows the bytes from `from` on.
    @inline(__always)
    mutating func follow(_ bytes: Span<UInt8>, from: Int) { _ = trail.follow(bytes, from: from) }

    /// Follows the bytes from `from` on while we leave, and returns up to where they may pass: to the next place between
    /// two frames, where the last word is due.
    mutating func followToTheLast(_ bytes: Span<UInt8>, from: Int) -> Int {
        var end = from
        if lastWord == .none {
            end = trail.follow(bytes, from: from, stops: true)
            makeDue()
        }
        // What is thrown away may hold the peer's answer.
        _ = trail.follow(bytes, from: end)
        return end
    }

    /// Says the last word as soon as it may be said.
    mutating func makeDue() {
        guard lastWord == .none, trail.isBetweenFrames else { return }
        lastWord = trail.hasClose ? .said : .due
    }

    /// Appends a Close 1001, "going away", where it is due and there is room (RFC 6455 §5.5.1, §7.4.1). What clients
    /// send is masked, with a key that nobody can guess (§5.3).
    mutating func sayClose(into out: inout ByteBuffer, mask: UInt32? = nil) {
        guard lastWord == .due, out.writableCount >= Self.closeBytesMax else { return }
        lastWord = .said
        out.append(0x88)
        guard let mask else {
            out.append(2)
            out.append(0x03)
            out.append(0xE9)
            return
        }
        out.append(0x82)
        for shift: UInt32 in [24, 16, 8, 0] { out.append(UInt8(truncatingIfNeeded: mask >> shift)) }
        out.append(0x03 ^ UInt8(truncatingIfNeeded: mask >> 24))
        out.append(0xE9 ^ UInt8(truncatingIfNeeded: mask >> 16))
    }

    /// Bytes of a Close frame with a status and a mask.
    static var closeBytesMax: Int { 8 }
}

/// Both directions of a WebSocket that passes through.
struct WebSocket: BitwiseCopyable, Sendable {
    /// From the client to the upstream, masked.
    var up = WebSocketSide()
    /// From the upstream to the client.
    var down = WebSocketSide()
}
