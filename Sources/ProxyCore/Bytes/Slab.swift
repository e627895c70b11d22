// Numbered slots with generations: how a worker holds its connections. An element is named by index and generation,
// so a name that outlived its element is recognised, and nothing needs to be reference counted.

/// The name of a slot's present element.
public struct SlotID: Equatable, Hashable, Sendable {
    /// Which slot; -1 for none.
    public var index: Int32
    /// Which of the elements that the slot held over time.
    public var generation: UInt32

    /// The name of element `generation` in slot `index`.
    @inline(__always) public init(index: Int32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// No slot.
    public static let none = SlotID(index: -1, generation: 0)
    /// Whether this names no slot.
    @inline(__always) public var isNone: Bool { index < 0 }
}

/// Slots for elements of one kind, with stable addresses, grown by chunks and bounded.
///
/// Safety: chunk memory is owned by the slab and only reached through checked indices; every slot is initialized.
@safe public struct Slab<Element: ~Copyable>: ~Copyable {
    private struct Slot: ~Copyable {
        var element: Element
        var generation: UInt32
        var nextFree: Int32
        var isUsed: Bool
    }

    private static var chunkBits: Int32 { 8 }
    private static var chunkSize: Int32 { 1 << chunkBits }

    private let chunks: UnsafeMutablePointer<UnsafeMutablePointer<Slot>>
    private var chunkCount: Int32 = 0
    private let capacity: Int32
    private var firstFree: Int32 = -1
    private let vacant: () -> Element
    /// Elements now.
    public private(set) var count = 0

    /// A slab for at most `capacity` elements; `vacant` makes what an unused slot holds.
    public init(capacity: Int, vacant: @escaping () -> Element) {
        let chunkMax = (capacity + Int(Self.chunkSize) - 1) / Int(Self.chunkSize)
        unsafe chunks = .allocate(capacity: max(chunkMax, 1))
        self.capacity = Int32(chunkMax) * Self.chunkSize
        self.vacant = vacant
    }

    deinit {
        for c in 0..<Int(chunkCount) {
            unsafe chunks[c].deinitialize(count: Int(Self.chunkSize))
            unsafe chunks[c].deallocate()
        }
        unsafe chunks.deallocate()
    }

    @inline(__always) private func slot(_ index: Int32) -> UnsafeMutablePointer<Slot> {
        precondition(UInt32(bitPattern: index) < UInt32(bitPattern: chunkCount &<< Self.chunkBits), "no such slot")
        return unsafe chunks[Int(index &>> Self.chunkBits)] + Int(index & (Self.chunkSize &- 1))
    }

    /// Safety: the element is the slot's first field, so both have one address.
    @inline(__always) private func elementAddress(_ index: Int32) -> UnsafeMutablePointer<Element> {
        unsafe UnsafeMutableRawPointer(slot(index)).assumingMemoryBound(to: Element.self)
    }

    /// The element in a slot that is in use.
    @inline(__always) public subscript(index: Int32) -> Element {
        unsafeAddress { unsafe UnsafePointer(elementAddress(index)) }
        nonmutating unsafeMutableAddress { unsafe elementAddress(index) }
    }

    /// Whether `id` still names an element.
    @inline(__always) public func contains(_ id: SlotID) -> Bool {
        guard UInt32(bitPattern: id.index) < UInt32(bitPattern: chunkCount &<< Self.chunkBits) else { return false }
        let slot = unsafe slot(id.index)
        return unsafe slot.pointee.generation == id.generation && slot.pointee.isUsed
    }

    /// The present name of a slot in use.
    @inline(__always) public func id(_ index: Int32) -> SlotID {
        SlotID(index: index, generation: unsafe slot(index).pointee.generation)
    }

    /// Takes a slot for `element`; nil where the slab is full, and then the element is destroyed.
    @inline(__always) public mutating func insert(_ element: consuming Element) -> SlotID? {
        if firstFree < 0, !addChunk() { return nil }
        let index = firstFree
        let slot = unsafe slot(index)
        firstFree = unsafe slot.pointee.nextFree
        unsafe slot.pointee.element = element
        unsafe slot.pointee.isUsed = true
        count &+= 1
        return SlotID(index: index, generation: unsafe slot.pointee.generation)
    }

    /// Frees a slot; its element is destroyed and its name becomes stale.
    @inline(__always) public mutating func remove(_ index: Int32) {
        let slot = unsafe slot(index)
        precondition(unsafe slot.pointee.isUsed, "a slot is freed once")
        unsafe slot.pointee.element = vacant()
        unsafe slot.pointee.isUsed = false
        // 30 bits of it travel in a poller token.
        unsafe slot.pointee.generation = (slot.pointee.generation &+ 1) & 0x3FFF_FFFF
        unsafe slot.pointee.nextFree = firstFree
        firstFree = index
        count &-= 1
    }

    /// Slots that exist; each index below it may be asked with ``isUsed(_:)``.
    public var slotCount: Int32 { chunkCount &<< Self.chunkBits }

    /// Whether the slot holds an element.
    public func isUsed(_ index: Int32) -> Bool { unsafe slot(index).pointee.isUsed }

    private mutating func addChunk() -> Bool {
        let first = chunkCount &<< Self.chunkBits
        guard first < capacity else { return false }
        let chunk = UnsafeMutablePointer<Slot>.allocate(capacity: Int(Self.chunkSize))
        for i in 0..<Self.chunkSize {
            let next = i + 1 < Self.chunkSize ? first + i + 1 : -1
            unsafe (chunk + Int(i)).initialize(
                to: Slot(element: vacant(), generation: 0, nextFree: next, isUsed: false))
        }
        unsafe chunks[Int(chunkCount)] = chunk
        chunkCount += 1
        firstFree = first
        return true
    }
}
