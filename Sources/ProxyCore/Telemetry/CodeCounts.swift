// How many requests of which method got which status? A small table that grows as new pairs come, which after the first
// minutes is never, and has a bound: statuses are the upstream's to choose.

/// Counts by method and status.
struct CodeCounts: ~Copyable {
    /// Pairs that are told apart at most; what comes beyond them is counted as `other` with status 0.
    static var pairsMax: Int { 512 }

    struct Entry: BitwiseCopyable {
        /// Method and status, and a bit that says that the entry is taken.
        var key: UInt32 = 0
        var count: UInt64 = 0
    }

    /// Open addressing; the number of entries is a power of two, at least a quarter of them free.
    private var entries = Table<Entry>(capacity: 0)
    private var shift: UInt32 = 32
    private var pairs = 0

    /// Counts one.
    @inline(__always)
    mutating func count(_ method: Method, _ code: UInt16) {
        let key = 1 << 31 | UInt32(method.rawValue) << 16 | UInt32(code)
        if entries.count > 0 {
            let place = place(key)
            if entries[place].key == key {
                entries[place].count &+= 1
                return
            }
        }
        insert(key)
    }

    /// Where `key` stands, or would.
    @inline(__always)
    private borrowing func place(_ key: UInt32) -> Int {
        var place = Int((key &* 0x9E37_79B1) &>> shift)
        while entries[place].key != key, entries[place].key != 0 { place = (place &+ 1) & (entries.count &- 1) }
        return place
    }

    @inline(never)
    private mutating func insert(_ key: UInt32) {
        var key = key
        if pairs >= Self.pairsMax { key = 1 << 31 | UInt32(Method.other.rawValue) << 16 }
        if (pairs + 1) * 4 > entries.count * 3 { grow() }
        let place = place(key)
        if entries[place].key == 0 { pairs += 1 }
        entries[place].key = key
        entries[place].count &+= 1
    }

    private mutating func grow() {
        let count = max(8, entries.count * 2)
        var old = Table<Entry>(capacity: count)
        for _ in 0..<count { _ = old.append(Entry()) }
        swap(&old, &entries)
        shift = UInt32(32 - count.trailingZeroBitCount)
        for i in 0..<old.count where old[i].key != 0 { entries[place(old[i].key)] = old[i] }
    }

    /// What was counted, in no order.
    borrowing func all() -> [RequestCount] {
        var found: [RequestCount] = []
        found.reserveCapacity(pairs)
        for i in 0..<entries.count where entries[i].key != 0 {
            let method = Method(rawValue: UInt8(truncatingIfNeeded: entries[i].key >> 16)) ?? .other
            found.append(
                RequestCount(
                    method: method, code: UInt16(truncatingIfNeeded: entries[i].key), count: entries[i].count))
        }
        return found
    }
}

/// How many requests of a method got a status.
public struct RequestCount: Sendable, Hashable {
    /// The method; `.other` for all that are not registered.
    public var method: Method
    /// The status that the client got; 0 where it got none.
    public var code: UInt16
    /// How many.
    public var count: UInt64
}
