// For how long is an endpoint let alone? Longer each time that it fails soon after it came back, and less again after it
// was well for a while.

import ProxyCore

/// An endpoint's time out.
struct Ejection: Sendable, Equatable {
    /// Why it is out.
    enum Cause: Sendable, Equatable {
        /// So many requests in a row failed in one worker; the word for how the last one did.
        case failures(Int, last: String)
        /// An answer came from somebody else; what was seen of it.
        case ghost(seen: String)
    }

    var cause: Cause
    var began: Instant
    /// When requests may try it again.
    var until: Instant

    var isGhost: Bool { if case .ghost = cause { true } else { false } }

    /// Why, for people.
    var text: String {
        switch cause {
        case .failures(let count, let last): "\(count) failure\(count == 1 ? "" : "s") in a row, the last one \(last)"
        case .ghost(let seen): "ghost: \(seen)"
        }
    }
}

/// How often an endpoint was ejected, as far as it matters for the next time.
struct EjectionRecord: Sendable, Equatable {
    /// No ejection is longer, unless the first one is already.
    static let longest = Instant.Span.milliseconds(300_000)

    /// How often in all.
    private(set) var count = 0
    /// How many times `ejectFor` the last one was: each time one more, and one less for each `ejectFor` of quiet.
    private(set) var steps = 0
    private var lastEnd: Instant?

    /// Another ejection begins; how long it is.
    mutating func begin(now: Instant, ejectFor: Duration) -> Instant.Span {
        let first = max(Instant.Span(ejectFor).nanoseconds, 1)
        if let lastEnd {
            let quiet = max(0, (now - lastEnd).nanoseconds) / first
            steps = max(0, steps - Int(clamping: quiet))
        }
        let stepsMax = max(1, (Self.longest.nanoseconds + first - 1) / first)
        steps = Int(clamping: min(Int64(steps + 1), stepsMax))
        count += 1
        // As many steps as fit below the longest, so the product does, too.
        let length = first * Int64(steps)
        return Instant.Span(nanoseconds: min(length, max(first, Self.longest.nanoseconds)))
    }

    /// It is over.
    mutating func end(now: Instant) { lastEnd = now }
}
