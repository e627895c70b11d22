// Numbered slots with generations: how a worker holds its connections. An element is named by index and generation,
// so a name that outlived its element is recognised, and nothing needs to be reference counted.

/// The name of a slot's present element.
public struct SlotID: BitwiseCopyable, Equatable, Hashable, Sendable {
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

/// Slots for elements of one kind, with stable addresses and a bound. Address space for all of them is taken at once, so
/// that an element is one addition away; memory follows only as slots are made, some at a time.
///
/// A handle: copies of it name the same slots, and ``destroy()`` frees them. So elements of several slabs, and several
/// elements of one, can be changed at the same time; an element is never removed while somebody works on it.
///
/// Safety: chunk memory is only reached through checked indices, and every slot of a chunk is initialized.
@safe public struct Slab<Element: ~Copyable> {
    struct Slot: ~Copyable {
        var element: Element
        var generation: UInt32
        /// The next free slot, -1 for none, while this one is free; else `inUse`.
        var nextFree: Int32
        var isUsed: Bool { nextFree == Slab.inUse }
    }

    private static var inUse: Int32 { -2 }

    @safe private struct Header: ~Copyable {
        let capacity: Int32
        let vacant: () -> Element
        var slotCount: Int32 = 0
        var firstFree: Int32 = -1
        var count = 0
    }

    private let header: UnsafeMutablePointer<Header>
    private let slots: UnsafeMutablePointer<Slot>

    /// Slots that are made at a time.
    private static var chunkSize: Int32 { 256 }

    /// A slab for at most `capacity` elements; `vacant` makes what an unused slot holds.
    public init(capacity: Int, vacant: @escaping () -> Element) {
        let chunkMax = max(1, (capacity + Int(Self.chunkSize) - 1) / Int(Self.chunkSize))
        let whole = Int32(chunkMax) * Self.chunkSize
        unsafe slots = .allocate(capacity: Int(whole))
        unsafe header = .allocate(capacity: 1)
        unsafe header.initialize(to: Header(capacity: whole, vacant: vacant))
    }

    /// Destroys all elements and frees the slots. No copy of the handle may be used afterwards.
    public func destroy() {
        // Safety: slots below the count are initialized, and nobody uses the handle any more.
        unsafe slots.deinitialize(count: Int(slotCount))
        unsafe slots.deallocate()
        unsafe header.deinitialize(count: 1)
        unsafe header.deallocate()
    }

    @inline(__always) private func slot(_ index: Int32) -> UnsafeMutablePointer<Slot> {
        // Safety: the index was checked against the slots that exist.
        precondition(UInt32(bitPattern: index) < UInt32(bitPattern: slotCount), "no such slot")
        return unsafe slots + Int(index)
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

    /// Elements now.
    public var count: Int { unsafe header.pointee.count }

    /// Slots that exist; each index below it may be asked with ``isUsed(_:)``.
    @inline(__always) public var slotCount: Int32 { unsafe header.pointee.slotCount }

    /// Whether the slot holds an element.
    public func isUsed(_ index: Int32) -> Bool { unsafe slot(index).pointee.isUsed }

    /// Whether `id` still names an element.
    @inline(__always) public func contains(_ id: SlotID) -> Bool {
        guard UInt32(bitPattern: id.index) < UInt32(bitPattern: slotCount) else { return false }
        let slot = unsafe slot(id.index)
        return unsafe slot.pointee.generation == id.generation && slot.pointee.isUsed
    }

    /// The present name of a slot in use.
    @inline(__always) public func id(_ index: Int32) -> SlotID {
        SlotID(index: index, generation: unsafe slot(index).pointee.generation)
    }

    /// Takes a slot for `element`; nil where the slab is full, and then the element is destroyed.
    @inline(__always) public func insert(_ element: consuming Element) -> SlotID? {
        // Safety: a free slot is initialized with what is vacant.
        if unsafe header.pointee.firstFree < 0, !addChunk() { return nil }
        let index = unsafe header.pointee.firstFree
        let slot = unsafe slot(index)
        unsafe header.pointee.firstFree = slot.pointee.nextFree
        unsafe slot.pointee.element = element
        unsafe slot.pointee.nextFree = Self.inUse
        unsafe header.pointee.count &+= 1
        return SlotID(index: index, generation: unsafe slot.pointee.generation)
    }

    /// Frees a slot; its element is destroyed and its name becomes stale.
    @inline(__always) public func remove(_ index: Int32) {
        let slot = unsafe slot(index)
        precondition(unsafe slot.pointee.isUsed, "a slot is freed once")
        unsafe slot.pointee.element = header.pointee.vacant()
        // 30 bits of it travel in a poller token.
        unsafe slot.pointee.generation = (slot.pointee.generation &+ 1) & 0x3FFF_FFFF
        unsafe slot.pointee.nextFree = header.pointee.firstFree
        unsafe header.pointee.firstFree = index
        unsafe header.pointee.count &-= 1
    }

    private func addChunk() -> Bool {
        // Safety: the slots are initialized before anybody can name them.
        let first = slotCount
        guard first < (unsafe header.pointee.capacity) else { return false }
        for i in 0..<Self.chunkSize {
            let next = i + 1 < Self.chunkSize ? first + i + 1 : -1
            unsafe (slots + Int(first + i)).initialize(
                to: Slot(element: header.pointee.vacant(), generation: 0, nextFree: next))
        }
        unsafe header.pointee.slotCount = first + Self.chunkSize
        unsafe header.pointee.firstFree = first
        return true
    }
}
