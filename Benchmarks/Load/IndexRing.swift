// Which connection is next in an open loop? The one that has been free for the longest time.

/// Slots that wait for their turn: first in, first out, in memory taken once.
@safe struct IndexRing: ~Copyable {
    private let slots: UnsafeMutablePointer<Int32>
    private let capacity: Int
    private var first = 0
    private var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        // Safety: initialised to its full length.
        unsafe slots = .allocate(capacity: capacity)
        unsafe slots.initialize(repeating: 0, count: capacity)
    }

    deinit {
        // Safety: allocated in init, never given away.
        unsafe slots.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ slot: Int32) {
        precondition(count < capacity, "a connection waits at most once")
        // Safety: the place is below `capacity`.
        unsafe slots[(first + count) % capacity] = slot
        count += 1
    }

    mutating func popFirst() -> Int32? {
        guard count > 0 else { return nil }
        // Safety: the place is below `capacity`.
        let slot = unsafe slots[first]
        first = (first + 1) % capacity
        count -= 1
        return slot
    }

    mutating func removeAll() { (first, count) = (0, 0) }
}
