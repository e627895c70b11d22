// A list of bounded length over memory of its own: what an array is, without uniqueness checks and reference counts.

/// A list of trivial elements with a fixed bound.
///
/// Safety: memory is owned, indices are checked, and elements are trivial; where an index or a place passes the check
/// there is memory.
@safe public struct Table<Element: BitwiseCopyable>: ~Copyable {
    /// Of a table for no elements: none. Unused slots hold many such tables.
    private let base: UnsafeMutablePointer<Element>?
    /// How many elements it can hold.
    public let capacity: Int
    /// How many it holds.
    public private(set) var count = 0

    /// An empty table for `capacity` elements.
    public init(capacity: Int) {
        self.capacity = capacity
        unsafe base = capacity > 0 ? .allocate(capacity: capacity) : nil
    }

    deinit { unsafe base?.deallocate() }

    /// The element at `index`.
    @inline(__always) public subscript(index: Int) -> Element {
        unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
            return unsafe UnsafePointer(base.unsafelyUnwrapped + index)
        }
        unsafeMutableAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
            return unsafe base.unsafelyUnwrapped + index
        }
    }

    /// Appends `element`; false where the table is full.
    @inline(__always) public mutating func append(_ element: Element) -> Bool {
        if count == capacity { return false }
        unsafe (base.unsafelyUnwrapped + count).initialize(to: element)
        count &+= 1
        return true
    }

    /// Removes and returns the last element.
    @inline(__always) public mutating func popLast() -> Element? {
        if count == 0 { return nil }
        count &-= 1
        // Safety: as above.
        return unsafe base.unsafelyUnwrapped[count]
    }

    /// Forgets all elements.
    @inline(__always) public mutating func removeAll() { count = 0 }
}
