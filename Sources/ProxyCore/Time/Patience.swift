// For how long may a peer keep us waiting? A wait alone says little: a byte now and then would begin it anew for ever. So
// time is an account: waiting draws from it, bytes pay into it at the least rate that is asked for, and it holds no more
// than the longest single wait that is allowed.

/// How long a peer may keep us waiting, at its present pace.
struct Patience: BitwiseCopyable, Sendable {
    /// Nanoseconds that are left; -1: as much as there may be.
    private var left: Int64 = -1
    /// Since when we wait; `.never` while we do not.
    private var began = Instant.never
    /// Bytes that have been paid in.
    private var paid: UInt64 = 0

    /// As much patience as there may be.
    init() {}

    /// What patience is had with a peer.
    struct Terms: BitwiseCopyable, Sendable {
        /// The longest wait.
        var longest: Int64
        /// Nanoseconds that a byte pays for; a rate of none: any byte pays for all.
        var perByte: Int64

        /// Waits of `longest` at most, and `bytesPerSecond` in the long run; 0: no rate is asked for.
        init(longest: Instant.Span, bytesPerSecond: Int) {
            self.longest = longest.nanoseconds
            perByte = bytesPerSecond > 0 ? 1_000_000_000 / Int64(bytesPerSecond) : .max
        }
    }

    /// We wait from now on, or go on waiting, having had `bytes` of the peer in all. When it will have been too long.
    mutating func wait(_ terms: Terms, bytes: UInt64, now: Instant) -> Instant {
        rest(terms, bytes: bytes, now: now)
        began = now
        return now + Instant.Span(nanoseconds: left)
    }

    /// We do not wait any more.
    mutating func rest(_ terms: Terms, bytes: UInt64, now: Instant) {
        left = remaining(terms, now: now)
        began = .never
        let (earned, overflow) = Int64(clamping: bytes &- paid).multipliedReportingOverflow(by: terms.perByte)
        paid = bytes
        left = overflow ? terms.longest : min(terms.longest, left &+ min(earned, terms.longest))
    }

    /// What is left, if nothing more comes.
    func remaining(_ terms: Terms, now: Instant) -> Int64 {
        let before = left < 0 ? terms.longest : left
        if began == .never { return before }
        return max(0, before &- max(0, (now - began).nanoseconds))
    }
}
