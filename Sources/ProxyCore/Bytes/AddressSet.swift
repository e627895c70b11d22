// Is this address one of those? Ranges made into two sorted tables, one for IPv4 and one for IPv6, so that a question
// costs a handful of comparisons and no memory. Peers are asked about with each connection and each request.

/// A set of addresses, made of ranges.
public struct AddressSet: ~Copyable {
    private struct Interval4: BitwiseCopyable {
        var first: UInt32
        var last: UInt32
    }

    private struct Interval6: BitwiseCopyable {
        var first: Bits
        var last: Bits
    }

    /// An address as a number of 128 bits.
    private struct Bits: BitwiseCopyable {
        var high: UInt64
        var low: UInt64

        init(_ address: IPAddress) {
            high = address.high
            low = address.low
        }

        @inline(__always) static func < (a: Bits, b: Bits) -> Bool {
            a.high < b.high || (a.high == b.high && a.low < b.low)
        }
    }

    private var v4: Table<Interval4>
    private var v6: Table<Interval6>

    /// The addresses of all `ranges`. An IPv6 range holds no IPv4 address, not even `::/0`: who writes it does not
    /// think of them.
    public init(_ ranges: [AddressRange]) {
        // Ranges by prefix hold one another or nothing in common, so of those that begin alike the widest stands first,
        // and whatever begins before the end of its forerunner lies within it.
        let sorted = ranges.sorted { a, b in
            if a.first != b.first { return Bits(a.first) < Bits(b.first) }
            return a.prefixBits < b.prefixBits
        }
        let narrow = sorted.filter(\.isIPv4)
        let wide = sorted.filter { !$0.isIPv4 }
        v4 = Table(capacity: narrow.count)
        v6 = Table(capacity: wide.count)
        for range in narrow {
            if v4.count > 0, range.first.v4 <= v4[v4.count - 1].last { continue }
            _ = v4.append(Interval4(first: range.first.v4, last: range.last.v4))
        }
        for range in wide {
            if v6.count > 0, !(v6[v6.count - 1].last < Bits(range.first)) { continue }
            _ = v6.append(Interval6(first: Bits(range.first), last: Bits(range.last)))
        }
    }

    /// Whether it has no address.
    @inline(__always) public var isEmpty: Bool { v4.count == 0 && v6.count == 0 }

    /// Whether `address` is one of them.
    @inline(__always)
    public borrowing func contains(_ address: IPAddress) -> Bool {
        if address.isIPv4 {
            let wanted = address.v4
            // Between: of the intervals before `low` the last one may hold it, those from `high` on begin behind it.
            var low = 0
            var high = v4.count
            while low < high {
                let middle = (low &+ high) &>> 1
                if v4[middle].first <= wanted { low = middle &+ 1 } else { high = middle }
            }
            return low > 0 && wanted <= v4[low &- 1].last
        }
        let wanted = Bits(address)
        var low = 0
        var high = v6.count
        while low < high {
            let middle = (low &+ high) &>> 1
            if wanted < v6[middle].first { high = middle } else { low = middle &+ 1 }
        }
        return low > 0 && !(v6[low &- 1].last < wanted)
    }
}
