// When to ask again? When the answer has ended, at least every five seconds, and never all at once.

import ProxyCore

/// The pace at which one question is asked.
struct AskingPace {
    private var failures = 0

    /// Nothing was asked yet.
    init() {}

    /// The answer was good for `timeToLive` and took `took` to come: how long to wait. `chance` is from 0 to 1.
    mutating func answered(_ timeToLive: Duration, took: Instant.Span, chance: Double) -> Instant.Span {
        failures = 0
        let life = max(Instant.Span(timeToLive), Self.shortest)
        // A little later than its end, when it can have changed; a little before five seconds, which is the promise.
        let wanted = min(Self.scaled(life, 1 + chance / 8), Self.scaled(Self.longest, 1 - chance / 8))
        let left = Instant.Span(nanoseconds: Self.longest.nanoseconds - max(took.nanoseconds, 0))
        return max(min(wanted, left), Self.first)
    }

    /// Nobody could tell: how long to wait. Doubled each time, and spread.
    mutating func failed(chance: Double) -> Instant.Span {
        failures = min(failures + 1, 16)
        let doubled = Instant.Span(nanoseconds: Self.first.nanoseconds << Int64(failures - 1))
        return Self.scaled(min(doubled, Self.longest), 1 - chance / 4)
    }

    private static func scaled(_ span: Instant.Span, _ factor: Double) -> Instant.Span {
        Instant.Span(nanoseconds: Int64(Double(span.nanoseconds) * factor))
    }

    /// Between two questions whose answers do not last.
    private static let shortest = Instant.Span.milliseconds(1000)
    /// After the first failure.
    private static let first = Instant.Span.milliseconds(500)
    /// DNS is the cross-check of other witnesses: it is asked at least so often.
    private static let longest = Instant.Span.milliseconds(5000)
}
