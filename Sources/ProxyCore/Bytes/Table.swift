// A list of bounded length over memory of its own: what an array is, without uniqueness checks and reference counts.

/// A list of trivial elements with a fixed bound.
///
/// Safety: memory is owned, indices are checked, and elements are trivial.
@safe public struct Table<Element: BitwiseCopyable>: ~Copyable {
    private let base: UnsafeMutablePointer<Element>
    /// How many elements it can hold.
    public let capacity: Int
    /// How many it holds.
    public private(set) var count = 0

    /// An empty table for `capacity` elements.
    public init(capacity: Int) {
        self.capacity = capacity
        unsafe base = .allocate(capacity: max(capacity, 1))
    }

    deinit { unsafe base.deallocate() }

    /// The element at `index`.
    @inline(__always) public subscript(index: Int) -> Element {
        unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
            return unsafe UnsafePointer(base + index)
        }
        unsafeMutableAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
            return unsafe base + index
        }
    }

    /// Appends `element`; false where the table is full.
    @inline(__always) public mutating func append(_ element: Element) -> Bool {
        if count == capacity { return false }
        unsafe (base + count).initialize(to: element)
        count &+= 1
        return true
    }

    /// Removes and returns the last element.
    @inline(__always) public mutating func popLast() -> Element? {
        if count == 0 { return nil }
        count &-= 1
        return unsafe base[count]
    }

    /// Forgets all elements.
    @inline(__always) public mutating func removeAll() { count = 0 }
}
