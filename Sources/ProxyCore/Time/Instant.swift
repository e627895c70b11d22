// When? Time as a plain number: the wet rooms read the clock once a turn and pass it on.

/// A moment of the monotonic clock.
public struct Instant: BitwiseCopyable, Comparable, Hashable, Sendable {
    /// Nanoseconds since the clock's own beginning.
    public var nanoseconds: Int64

    /// The moment `nanoseconds` after the clock's beginning.
    @inline(__always) public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// Later than every moment: no deadline.
    public static let never = Instant(nanoseconds: .max)

    /// Which of two is earlier.
    @inline(__always) public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The moment `span` later.
    @inline(__always) public static func + (a: Instant, span: Span) -> Instant {
        let (sum, overflow) = a.nanoseconds.addingReportingOverflow(span.nanoseconds)
        return overflow ? .never : Instant(nanoseconds: sum)
    }

    /// How long it is from `b` to `a`.
    @inline(__always) public static func - (a: Instant, b: Instant) -> Span {
        Span(nanoseconds: a.nanoseconds &- b.nanoseconds)
    }

    /// A length of time in nanoseconds: what a `Duration` becomes where it is added on every request.
    public struct Span: BitwiseCopyable, Comparable, Hashable, Sendable {
        /// The length.
        public var nanoseconds: Int64

        /// A length of `nanoseconds`.
        @inline(__always) public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

        /// A `Duration`, at most some 290 years.
        public init(_ duration: Duration) {
            let (seconds, attoseconds) = duration.components
            let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
            nanoseconds = overflow ? .max : whole &+ attoseconds / 1_000_000_000
        }

        /// A length of `count` milliseconds.
        @inline(__always) public static func milliseconds(_ count: Int64) -> Span {
            Span(nanoseconds: count &* 1_000_000)
        }

        /// Which of two is shorter.
        @inline(__always) public static func < (a: Span, b: Span) -> Bool { a.nanoseconds < b.nanoseconds }
    }
}
