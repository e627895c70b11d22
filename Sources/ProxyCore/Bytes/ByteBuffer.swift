// How are bytes held? One contiguous piece of memory with a readable part in its middle:
//
//     | headroom | readable | writable |
//     0        start       end      capacity
//
// Headroom lets a rewritten head be put right before a body that already lies in place, so that both leave in one
// send and no body byte is copied. Memory comes from a pool and goes back as soon as nothing is in flight.

/// A range of bytes in a buffer, counted from the buffer's first readable byte. Half the size of `Range<Int>`.
public struct ByteRange: BitwiseCopyable, Equatable, Sendable {
    /// Where it begins.
    public var start: UInt32
    /// How many bytes it has.
    public var count: UInt32

    /// The empty range.
    public init() {
        start = 0
        count = 0
    }

    /// The bytes from `start` up to `end`. Both are positions in a buffer, which are far below 4 GiB.
    @inline(__always) public init(_ start: Int, _ end: Int) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.count = UInt32(truncatingIfNeeded: end &- start)
    }

    /// Whether it has no bytes.
    @inline(__always) public var isEmpty: Bool { count == 0 }
    /// The position behind its last byte.
    @inline(__always) public var end: Int { Int(start) + Int(count) }
    /// As positions.
    @inline(__always) public var range: Range<Int> { Int(start)..<end }
}

/// Contiguous bytes that are written at one end and read at the other. Empty until a ``BufferPool`` supplies memory.
///
/// Noncopyable: two owners of one piece of memory are how one client's bytes reach another.
///
/// Safety: positions are checked before they are used, and the memory has one owner.
@safe public struct ByteBuffer: ~Copyable {
    /// Safety: nil, or `capacity` bytes that only this value refers to.
    private var base: UnsafeMutableRawPointer?
    /// How many bytes of memory it has; 0 where it has none.
    public private(set) var capacity: Int32
    private var start: Int32
    private var end: Int32

    /// A buffer without memory.
    @inline(__always) public init() {
        unsafe base = nil
        capacity = 0
        start = 0
        end = 0
    }

    /// A buffer with memory of its own, for tests and tools; workers get theirs from a pool.
    public init(capacity: Int) {
        unsafe base = .allocate(byteCount: capacity, alignment: 16)
        self.capacity = Int32(capacity)
        start = 0
        end = 0
    }

    fileprivate init(memory: UnsafeMutableRawPointer, capacity: Int32, headroom: Int32) {
        unsafe base = memory
        self.capacity = capacity
        start = headroom
        end = headroom
    }

    deinit {
        // Safety: the memory was allocated by `init(capacity:)` or the pool, and nobody else refers to it.
        unsafe base?.deallocate()
    }

    /// Whether it has memory.
    @inline(__always) public var hasMemory: Bool { capacity != 0 }
    /// Readable bytes.
    @inline(__always) public var count: Int { Int(end &- start) }
    /// Whether nothing is readable.
    @inline(__always) public var isEmpty: Bool { end == start }
    /// Bytes that can still be appended.
    @inline(__always) public var writableCount: Int { Int(capacity &- end) }
    /// Bytes that can be put before the readable ones.
    @inline(__always) public var headroom: Int { Int(start) }

    /// Calls `body` with the readable bytes.
    @inline(__always)
    public borrowing func withReadable<R: ~Copyable, E: Error>(_ body: (Span<UInt8>) throws(E) -> R) throws(E) -> R {
        // Safety: the memory is ours for the length of the borrow, and start...end lie within it.
        let bytes = unsafe UnsafeBufferPointer<UInt8>(
            start: base.map { unsafe ($0 + Int(start)).assumingMemoryBound(to: UInt8.self) }, count: count)
        return try body(unsafe bytes.span)
    }

    /// Calls `body` with all bytes that were appended since the last ``clear(headroom:)``, also those already read.
    borrowing func withAppended<R>(_ body: (Span<UInt8>) -> R) -> R {
        // Safety: 0...end lies within the memory, and was written.
        let bytes = unsafe UnsafeBufferPointer<UInt8>(
            start: base.map { unsafe $0.assumingMemoryBound(to: UInt8.self) }, count: Int(end))
        return body(unsafe bytes.span)
    }

    /// Calls `body` with the readable bytes from `offset` on, as raw memory for a system call.
    @inline(__always)
    borrowing func withUnsafeReadable<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        // Safety: as in withReadable.
        unsafe body(UnsafeRawBufferPointer(start: base.map { unsafe UnsafeRawPointer($0 + Int(start)) }, count: count))
    }

    /// Calls `body` with at most `limit` bytes of the writable memory; it returns how many it filled.
    @inline(__always)
    mutating func withUnsafeWritable(limit: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        let room = min(writableCount, limit)
        // Safety: end...end+room lies within the memory.
        let filled = unsafe body(UnsafeMutableRawBufferPointer(start: base.map { unsafe $0 + Int(end) }, count: room))
        if filled > 0 {
            precondition(filled <= room, "more bytes were read than there was room for")
            end &+= Int32(truncatingIfNeeded: filled)
        }
        return filled
    }

    /// Marks the first `n` readable bytes as read.
    @inline(__always) public mutating func consume(_ n: Int) {
        precondition(n >= 0 && n <= count, "only readable bytes can be consumed")
        start &+= Int32(truncatingIfNeeded: n)
    }

    /// Drops readable bytes from the end, so that `n` are left.
    @inline(__always) public mutating func truncate(to n: Int) {
        precondition(n >= 0 && n <= count, "a buffer can only be truncated to fewer bytes")
        end = start &+ Int32(truncatingIfNeeded: n)
    }

    /// Makes all bytes that were ever appended readable again. Only meaningful while none was overwritten, which is
    /// the caller's promise; used to send a request a second time.
    @inline(__always) public mutating func rewind() { start = 0 }

    /// Forgets all bytes, keeping `headroom` bytes free at the front.
    @inline(__always) public mutating func clear(headroom: Int = 0) {
        precondition(headroom >= 0 && headroom <= Int(capacity), "headroom must lie within the memory")
        start = Int32(truncatingIfNeeded: headroom)
        end = start
    }

    /// Moves the readable bytes to the front, so that all free memory is writable.
    public mutating func compact() {
        guard start > 0, let memory = unsafe base else { return }
        let n = count
        // Safety: both ranges lie within the memory; memmove semantics.
        unsafe memory.copyMemory(from: memory + Int(start), byteCount: n)
        start = 0
        end = Int32(truncatingIfNeeded: n)
    }

    /// Appends one byte.
    @inline(__always) public mutating func append(_ byte: UInt8) {
        precondition(writableCount >= 1, "the writer reserved too little")
        // Safety: end lies within the memory.
        unsafe base!.storeBytes(of: byte, toByteOffset: Int(end), as: UInt8.self)
        end &+= 1
    }

    /// Appends text.
    @inline(__always) public mutating func append(_ text: StaticString) {
        let n = text.utf8CodeUnitCount
        precondition(writableCount >= n, "the writer reserved too little")
        // Safety: a static string has n bytes; the destination was checked.
        unsafe (base! + Int(end)).copyMemory(from: text.utf8Start, byteCount: n)
        end &+= Int32(truncatingIfNeeded: n)
    }

    /// Appends all of `bytes`.
    @inline(__always) public mutating func append(_ bytes: Span<UInt8>) {
        append(bytes, from: 0, count: bytes.count)
    }

    /// Appends `count` bytes of `bytes` from position `from` on.
    @inline(__always) public mutating func append(_ bytes: Span<UInt8>, from: Int, count n: Int) {
        precondition(from >= 0 && n >= 0 && from <= bytes.count - n, "the range must lie within the bytes")
        precondition(writableCount >= n, "the writer reserved too little")
        if n == 0 { return }
        // Safety: both ranges were checked; a span never overlaps memory that this value owns alone.
        unsafe bytes.withUnsafeBufferPointer { source in
            unsafe (base! + Int(end)).copyMemory(from: source.baseAddress! + from, byteCount: n)
        }
        end &+= Int32(truncatingIfNeeded: n)
    }

    /// Appends the bytes of a range of `bytes`.
    @inline(__always) public mutating func append(_ bytes: Span<UInt8>, _ range: ByteRange) {
        append(bytes, from: Int(range.start), count: Int(range.count))
    }

    /// Appends the readable bytes of `other`, at most `limit`, and returns how many.
    @inline(__always) public mutating func append(from other: borrowing ByteBuffer, limit: Int = .max) -> Int {
        let n = min(other.count, writableCount, limit)
        other.withReadable { append($0, from: 0, count: n) }
        return n
    }

    /// Puts the readable bytes of `head` right before the readable ones.
    @inline(__always) public mutating func prepend(_ head: borrowing ByteBuffer) {
        let n = head.count
        precondition(n <= headroom, "the caller checked that the head fits")
        // Safety: start - n ... start lies within the memory, and `head` is another piece of memory.
        unsafe head.withUnsafeReadable { source in
            if let bytes = source.baseAddress {
                unsafe (base! + Int(start) - n).copyMemory(from: bytes, byteCount: n)
            }
        }
        start &-= Int32(truncatingIfNeeded: n)
    }

    /// Appends a number in decimal.
    @inline(__always) public mutating func append(decimal value: UInt64) {
        var digits = [20 of UInt8](repeating: 0)
        var at = 20
        var rest = value
        repeat {
            at &-= 1
            digits[at] = UInt8(truncatingIfNeeded: rest % 10) &+ UInt8(ascii: "0")
            rest /= 10
        } while rest > 0
        while at < 20 {
            append(digits[at])
            at &+= 1
        }
    }

    /// Appends a number in lower-case hexadecimal without leading zeros, or padded to `width`.
    @inline(__always) public mutating func append(hex value: UInt64, width: Int = 1) {
        var shift = max((64 - value.leadingZeroBitCount + 3) / 4, width) &* 4
        while shift > 0 {
            shift &-= 4
            let digit = UInt8(truncatingIfNeeded: value &>> UInt64(shift)) & 15
            append(digit < 10 ? digit &+ 48 : digit &+ 87)
        }
    }

    /// The readable bytes as text, wrong UTF-8 replaced.
    public borrowing func text() -> String {
        withReadable { bytes in String(decoding: (0..<bytes.count).map { bytes[$0] }, as: UTF8.self) }
    }

    /// Appends as much of `text` as fits.
    public mutating func append(utf8 text: String) {
        for byte in text.utf8 where writableCount > 0 { append(byte) }
    }
}

/// Memory for buffers, by size, kept by one worker and used again last in, first out, while it is still in the cache.
public struct BufferPool: ~Copyable {
    /// The sizes there are.
    public enum Size: Int, Sendable {
        /// One head, or an answer of our own.
        case head = 0
        /// Bytes of a body on their way, with room for a head before them.
        case stream = 1
        /// A head that did not fit into ``stream``.
        case largeHead = 2
        /// What a client that keeps us waiting has said so far, where that is little.
        case small = 3
    }

    /// What lies free before the readable bytes of a stream buffer: a rewritten response head grows by less.
    public static let streamHeadroom = 1024
    /// Memory of a stream buffer.
    public static let streamCapacity = 33 * 1024
    /// Memory of a head buffer.
    public static let headCapacity = 4096
    /// Memory of a small buffer.
    public static let smallCapacity = 1024

    private var freeSmall: StackOfMemory
    private var freeHeads: StackOfMemory
    private var freeStreams: StackOfMemory
    /// Memory of a large head buffer.
    public var largeHeadCapacity: Int
    /// How many buffers are out now.
    public private(set) var lent = 0
    /// Bytes of memory that are out now.
    public private(set) var bytesLent = 0

    /// A pool whose large heads hold `largeHeadBytes`, and that keeps at most `kept` free buffers of a size.
    public init(largeHeadBytes: Int = 192 * 1024, kept: Int = 64) {
        largeHeadCapacity = largeHeadBytes
        freeSmall = StackOfMemory(kept)
        freeHeads = StackOfMemory(kept)
        freeStreams = StackOfMemory(kept)
    }

    /// Gives `buffer`, which must be without memory, memory of `size`. Stream buffers begin behind their headroom.
    @inline(__always)
    public mutating func supply(_ buffer: inout ByteBuffer, _ size: Size) {
        precondition(!buffer.hasMemory, "a buffer that has memory needs none")
        lent &+= 1
        switch size {
        // Safety: memory of the size's capacity, which the buffer then owns.
        case .head:
            let memory = unsafe freeHeads.pop() ?? .allocate(byteCount: Self.headCapacity, alignment: 64)
            buffer = unsafe ByteBuffer(memory: memory, capacity: Int32(Self.headCapacity), headroom: 0)
        case .stream:
            let memory = unsafe freeStreams.pop() ?? .allocate(byteCount: Self.streamCapacity, alignment: 64)
            buffer = unsafe ByteBuffer(
                memory: memory, capacity: Int32(Self.streamCapacity), headroom: Int32(Self.streamHeadroom))
        case .largeHead:
            buffer = ByteBuffer(capacity: largeHeadCapacity)
        case .small:
            let memory = unsafe freeSmall.pop() ?? .allocate(byteCount: Self.smallCapacity, alignment: 64)
            buffer = unsafe ByteBuffer(memory: memory, capacity: Int32(Self.smallCapacity), headroom: 0)
        }
        bytesLent &+= Int(buffer.capacity)
    }

    /// Takes the memory of `buffer` back, if it has any; its bytes are gone.
    @inline(__always)
    public mutating func reclaim(_ buffer: inout ByteBuffer) {
        if buffer.hasMemory { take(&buffer) }
    }

    private mutating func take(_ buffer: inout ByteBuffer) {
        lent &-= 1
        let capacity = Int(buffer.capacity)
        bytesLent &-= capacity
        var kept = false
        // Safety: memory that a stack keeps is forgotten by the buffer.
        unsafe buffer.withMemory { memory in
            if capacity == Self.headCapacity {
                kept = unsafe freeHeads.push(memory)
            } else if capacity == Self.streamCapacity {
                kept = unsafe freeStreams.push(memory)
            } else if capacity == Self.smallCapacity {
                kept = unsafe freeSmall.push(memory)
            }
        }
        if kept { unsafe buffer.forget() } else { buffer = ByteBuffer() }
    }

    /// Replaces the memory of `buffer` by a larger piece, its readable bytes kept.
    public mutating func grow(_ buffer: inout ByteBuffer, to size: Size) {
        var larger = ByteBuffer()
        supply(&larger, size)
        larger.clear()
        _ = larger.append(from: buffer)
        swap(&buffer, &larger)
        reclaim(&larger)
    }

    /// Replaces the memory of `buffer` by a piece of another size. All that was appended since it was last cleared is kept,
    /// also what was read already, so that it can still be read again.
    public mutating func refit(_ buffer: inout ByteBuffer, to size: Size) {
        var other = ByteBuffer()
        supply(&other, size)
        other.copyAll(of: buffer)
        swap(&buffer, &other)
        reclaim(&other)
    }

    /// Puts what a client that keeps us waiting has said, or may need again, into as little memory as will do.
    @inline(__always)
    public mutating func putAside(_ buffer: inout ByteBuffer) {
        if buffer.capacity > Self.smallCapacity, buffer.usedCount <= Self.smallCapacity { refit(&buffer, to: .small) }
    }

    /// Gives free memory back to the system; called when nothing much is going on.
    public mutating func trim() {
        freeSmall.drain()
        freeHeads.drain()
        freeStreams.drain()
    }
}

extension ByteBuffer {
    /// Bytes from the front of the memory to the end of what is readable.
    var usedCount: Int { Int(end) }

    /// Takes over all bytes of `other`, those already read included, at the places where they lie there.
    fileprivate mutating func copyAll(of other: borrowing ByteBuffer) {
        precondition(other.end <= capacity, "the caller checked that it fits")
        // Safety: as many bytes as the other one has used, and no more than there is room for; two pieces of memory.
        if let target = unsafe base, let source = unsafe other.base {
            unsafe target.copyMemory(from: source, byteCount: Int(other.end))
        }
        start = other.start
        end = other.end
    }

    /// Safety: the memory is the buffer's for the length of the call.
    fileprivate borrowing func withMemory(_ body: (UnsafeMutableRawPointer) -> Void) {
        if let memory = unsafe base { unsafe body(memory) }
    }

    /// Safety: the caller now owns the memory.
    @unsafe fileprivate mutating func forget() {
        unsafe base = nil
        capacity = 0
        start = 0
        end = 0
    }
}

/// Free memory, last in first out, of bounded number.
///
/// Safety: owns each piece that lies on it.
@safe private struct StackOfMemory: ~Copyable {
    private let slots: UnsafeMutablePointer<UnsafeMutableRawPointer>
    private let capacity: Int
    private var count = 0

    init(_ capacity: Int) {
        // Safety: room for `capacity` pointers; `count` of them are initialized.
        unsafe slots = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit {
        for i in 0..<count { unsafe slots[i].deallocate() }
        unsafe slots.deallocate()
    }

    @inline(__always) mutating func pop() -> UnsafeMutableRawPointer? {
        if count == 0 { return nil }
        count &-= 1
        return unsafe slots[count]
    }

    @inline(__always) mutating func push(_ memory: UnsafeMutableRawPointer) -> Bool {
        if count == capacity { return false }
        unsafe slots[count] = memory
        count &+= 1
        return true
    }

    mutating func drain() {
        while let memory = unsafe pop() { unsafe memory.deallocate() }
    }
}
