// How long does it take? Durations sorted into fixed buckets, from a millisecond to two minutes, so that the buckets of
// workers, and of months, can be added up.

/// Durations in buckets.
public struct Histogram: Sendable {
    /// The upper bounds of the buckets in seconds, as metrics spell them; the last bucket has none.
    public static let bounds: [StaticString] = [
        "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0",
        "60.0", "120.0",
    ]

    /// How many durations fell into each bucket; one more than there are bounds.
    public private(set) var counts = [17 of UInt64](repeating: 0)
    /// All durations together, in nanoseconds.
    public private(set) var sumNanoseconds: UInt64 = 0

    /// Nothing yet.
    public init() {}

    /// All durations.
    public var count: UInt64 {
        var sum: UInt64 = 0
        for i in counts.indices { sum &+= counts[i] }
        return sum
    }

    /// Counts a duration.
    @inline(__always)
    public mutating func record(_ span: Instant.Span) {
        let nanoseconds = max(0, span.nanoseconds)
        counts[Self.bucket(nanoseconds)] &+= 1
        sumNanoseconds &+= UInt64(truncatingIfNeeded: nanoseconds)
    }

    /// The bucket of a duration. Compared one after another: most answers come within the first few bounds, and all
    /// sixteen comparisons cost less than a miss of the cache.
    @inline(__always)
    static func bucket(_ nanoseconds: Int64) -> Int {
        if nanoseconds <= 1_000_000 { return 0 }
        if nanoseconds <= 2_500_000 { return 1 }
        if nanoseconds <= 5_000_000 { return 2 }
        if nanoseconds <= 10_000_000 { return 3 }
        if nanoseconds <= 25_000_000 { return 4 }
        if nanoseconds <= 50_000_000 { return 5 }
        if nanoseconds <= 100_000_000 { return 6 }
        if nanoseconds <= 250_000_000 { return 7 }
        if nanoseconds <= 500_000_000 { return 8 }
        if nanoseconds <= 1_000_000_000 { return 9 }
        if nanoseconds <= 2_500_000_000 { return 10 }
        if nanoseconds <= 5_000_000_000 { return 11 }
        if nanoseconds <= 10_000_000_000 { return 12 }
        if nanoseconds <= 30_000_000_000 { return 13 }
        if nanoseconds <= 60_000_000_000 { return 14 }
        if nanoseconds <= 120_000_000_000 { return 15 }
        return 16
    }

    /// Adds what another one has counted.
    public mutating func add(_ other: Histogram) {
        for i in counts.indices { counts[i] &+= other.counts[i] }
        sumNanoseconds &+= other.sumNanoseconds
    }
}
