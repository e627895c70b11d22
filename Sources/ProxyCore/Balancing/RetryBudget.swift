// May one more request be repeated? Repetitions are a share of what came in lately, so that a service that fails as a
// whole gets a little more work and not a multiple of it. Each request pays a part of a repetition in, each repetition
// takes a whole one out, and what is not taken fades within some ten seconds.

/// The repetitions that one service may have, in one worker.
struct RetryBudget: BitwiseCopyable {
    /// What one repetition costs; a request pays its percentage in.
    private static let price: Int64 = 100
    /// Repetitions that are always allowed in a second: a share of little traffic would be none at all.
    private static let fewPerSecond: Int64 = 10
    /// In how many seconds what was paid in fades: to about a third in so many.
    private static let fadesIn: Int64 = 10

    private var balance: Int64 = fewPerSecond * price
    private var seconds: Int64 = 0

    /// A request came in: its service allows so many repetitions for a hundred of them.
    @inline(__always) mutating func deposit(percent: Int32, now: Instant) {
        step(now)
        balance &+= Int64(percent)
    }

    /// Whether a repetition can be paid.
    mutating func affords(_ percent: Int32, now: Instant) -> Bool {
        step(now)
        return percent > 0 && balance >= Self.price
    }

    /// Pays a repetition that ``affords(_:now:)`` allowed.
    mutating func withdraw() { balance &-= Self.price }

    /// Lets a tenth fade for each second that has passed since the last one was noticed.
    @inline(__always) private mutating func step(_ now: Instant) {
        let second = now.nanoseconds / 1_000_000_000
        if second != seconds { fade(to: second) }
    }

    private mutating func fade(to second: Int64) {
        let passed = second &- seconds
        seconds = second
        if passed > 0, passed < 100 {
            for _ in 0..<passed { balance &-= balance / Self.fadesIn }
        } else {
            balance = 0
        }
        balance = max(balance, Self.fewPerSecond * Self.price)
    }
}
