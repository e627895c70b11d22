// For how long may a peer keep us waiting? A wait alone says little: a byte now and then would begin it anew for ever. So
// time is an account: waiting draws from it, bytes pay into it at the least rate that is asked for, and it holds no more
// than the longest single wait that is allowed.

/// How long a peer may keep us waiting, at its present pace. Each connection has two of these: hence the packing.
struct Patience: BitwiseCopyable, Sendable {
    private enum State: UInt8 {
        /// There is as much as there may be.
        case full
        /// We do not wait; `moment` is what is left, in nanoseconds.
        case resting
        /// We wait; `moment` is when it will have been too long.
        case waiting
    }

    private var moment: Int64 = 0
    /// The low half of the bytes that have been paid in: of what comes between two looks that is all.
    private var paid: UInt32 = 0
    private var state = State.full

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
        let due = now + Instant.Span(nanoseconds: moment)
        moment = due.nanoseconds
        state = .waiting
        return due
    }

    /// We do not wait any more.
    mutating func rest(_ terms: Terms, bytes: UInt64, now: Instant) {
        let left = remaining(terms, now: now)
        let come = UInt32(truncatingIfNeeded: bytes) &- paid
        let (earned, overflow) = Int64(come).multipliedReportingOverflow(by: terms.perByte)
        paid = UInt32(truncatingIfNeeded: bytes)
        moment = overflow ? terms.longest : min(terms.longest, left &+ min(earned, terms.longest))
        state = .resting
    }

    /// What is left, if nothing more comes.
    func remaining(_ terms: Terms, now: Instant) -> Int64 {
        switch state {
        case .full: terms.longest
        case .resting: moment
        case .waiting: max(0, moment &- now.nanoseconds)
        }
    }
}
