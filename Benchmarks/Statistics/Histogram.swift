// How long did it take, for how many? Latencies in logarithmic buckets: 256 to each power of two, so a value read back
// is at most 0.4 % above the one recorded, from a nanosecond to half an hour, in 70 kB and without an allocation.

/// Counts of times in nanoseconds.
@safe struct Histogram: ~Copyable {
    private let counts: UnsafeMutablePointer<UInt64>
    /// How many were recorded.
    private(set) var count: UInt64 = 0
    /// The largest one recorded, exactly.
    private(set) var largest: UInt64 = 0
    private var sum: Double = 0

    private static let fineBits: UInt64 = 8
    private static let topBit: UInt64 = 40
    private static let buckets = Int((topBit - fineBits + 2) << fineBits)

    /// Nothing recorded yet.
    init() {
        // Safety: the memory just allocated holds exactly this many counts.
        unsafe counts = .allocate(capacity: Self.buckets)
        unsafe counts.initialize(repeating: 0, count: Self.buckets)
    }

    deinit {
        // Safety: allocated in init, never given away.
        unsafe counts.deallocate()
    }

    /// Records one time; anything past 2^41 ns (36 minutes) counts as that.
    @inline(__always) mutating func record(_ nanoseconds: UInt64) {
        // Safety: bucket(of:) is below `buckets` for every value.
        unsafe counts[Self.bucket(of: nanoseconds)] &+= 1
        count &+= 1
        sum += Double(nanoseconds)
        if nanoseconds > largest { largest = nanoseconds }
    }

    /// Forgets all.
    mutating func reset() {
        // Safety: as in init.
        unsafe counts.update(repeating: 0, count: Self.buckets)
        (count, largest, sum) = (0, 0, 0)
    }

    /// The mean, exactly; 0 where nothing was recorded.
    var mean: Double { count == 0 ? 0 : sum / Double(count) }

    /// The time that `fraction` of all stayed at or below, in nanoseconds; 0 where nothing was recorded.
    func quantile(_ fraction: Double) -> Double {
        guard count > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(count) * fraction).rounded(.up)))
        var seen: UInt64 = 0
        for bucket in 0..<Self.buckets {
            // Safety: within the allocation.
            seen += unsafe counts[bucket]
            if seen >= wanted { return Double(min(Self.upperEnd(of: bucket), largest)) }
        }
        return Double(largest)
    }

    @inline(__always) static func bucket(of value: UInt64) -> Int {
        let value = min(value, (2 << topBit) - 1)
        if value < 2 << fineBits { return Int(value) }
        let shift = 63 - UInt64(value.leadingZeroBitCount) - fineBits
        return Int(shift << fineBits + value >> shift)
    }

    /// The largest value that falls into `bucket`.
    static func upperEnd(of bucket: Int) -> UInt64 {
        let bucket = UInt64(bucket)
        if bucket < 2 << fineBits { return bucket }
        let shift = bucket >> fineBits - 1
        return (bucket - shift << fineBits + 1) << shift - 1
    }
}
