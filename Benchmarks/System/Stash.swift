// Bytes that have to wait: a head of which half has come, an answer that the socket did not take. Nothing in the usual
// case, so it takes memory only then.

import Glibc

/// Bytes in memory of their own. Who holds it must call `release` in the end.
@safe struct Stash {
    private var base: UnsafeMutablePointer<UInt8>?
    /// How many bytes wait.
    private(set) var count = 0
    private var capacity = 0

    /// Nothing waits.
    init() {}

    /// Whether nothing waits.
    var isEmpty: Bool { count == 0 }

    /// The bytes; valid until the next change.
    var bytes: UnsafeMutableBufferPointer<UInt8> {
        // Safety: `count` bytes at `base` are initialised.
        unsafe UnsafeMutableBufferPointer(start: base, count: count)
    }

    /// Puts `more` behind.
    mutating func append(_ more: UnsafeBufferPointer<UInt8>) {
        guard let source = more.baseAddress, more.count > 0 else { return }
        if count + more.count > capacity {
            capacity = max(4096, (count + more.count) * 2)
            let wider = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            // Safety: the old bytes fit into the wider memory; both are separate allocations.
            if let base = unsafe base { unsafe wider.update(from: base, count: count) }
            unsafe base?.deallocate()
            unsafe base = wider
        }
        // Safety: room for `more.count` bytes was made above.
        unsafe (base! + count).update(from: source, count: more.count)
        count += more.count
    }

    /// Puts the bytes of `text` behind.
    mutating func append(_ text: [UInt8]) {
        // Safety: the buffer is used within the call.
        unsafe text.withUnsafeBufferPointer { unsafe append($0) }
    }

    /// Takes the first `number` bytes away.
    mutating func removeFirst(_ number: Int) {
        precondition(number >= 0 && number <= count, "no more than waits can be taken away")
        count -= number
        // Safety: what is left lies within the allocation; memmove may overlap.
        if count > 0, let base = unsafe base { unsafe _ = memmove(base, base + number, count) }
    }

    /// Takes all away and keeps the memory.
    mutating func removeAll() { count = 0 }

    /// Gives the memory back.
    mutating func release() {
        unsafe base?.deallocate()
        unsafe base = nil
        (count, capacity) = (0, 0)
    }
}
