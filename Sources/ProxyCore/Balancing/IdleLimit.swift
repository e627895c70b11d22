// For how long can an idle connection be kept and still be used? Whoever serves closes idle connections after a time of
// its own, and a request that is sent at that moment is lost or unsure. Servers rarely say what that time is (Node does,
// Go does not), so it is learned for each service: from what `Keep-Alive` says, from the closes that are seen, and from
// one connection that is kept longer than would be safe and never used again: when the other side closes it, or does not,
// tells the time at nobody's cost.

/// What one worker knows of how long the endpoints of a service keep idle connections.
struct IdleLimit: BitwiseCopyable {
    /// As long as nothing is known: less than the 5 s of Node, which is the shortest default in use.
    static let cautious = Instant.Span.milliseconds(4000)
    /// Nobody keeps a connection longer than that; what is idle for longer is not needed.
    static let most = Instant.Span.milliseconds(60_000)
    /// The least. One that was idle for less when it was closed is no evidence: whoever is replaced closes all that it
    /// has, and nobody's idle time is that short.
    static let least = Instant.Span.milliseconds(1000)
    /// What is kept between our limit and theirs where they say it: their clock and the network's way.
    static let margin = Instant.Span.milliseconds(1000)

    /// For how long connections were seen to be kept; as long as none was, what is cautious.
    private(set) var safe = cautious
    /// Whether a connection is being kept to see when it ends.
    var isObserving = false

    /// When to give a connection up that has just become idle and whose server said `seconds`; 0 for one that did not.
    @inline(__always) func retiresAfter(said seconds: UInt32) -> Instant.Span {
        if seconds <= 1 { return safe }
        let said = Instant.Span.milliseconds(Int64(min(seconds, 3600)) &* 1000 &- Self.margin.nanoseconds / 1_000_000)
        // Who has been seen to close sooner than it says is believed by what it does.
        return min(hasSeenClose ? min(said, safe) : said, Self.most)
    }

    /// Whether a connection that is given up should be kept, unused, to see when the other side closes it.
    /// Of one that says what it does that is only of interest where it was seen to do otherwise: a pod that went may have
    /// closed what it had, and the next one keeps its word.
    func wantsToSee(said seconds: UInt32) -> Bool {
        !isObserving && safe < Self.most && (seconds == 0 || hasSeenClose)
    }

    private var hasSeenClose = false

    /// The other side closed a connection that had been idle for `age`.
    mutating func sawClose(after age: Instant.Span) {
        if age < Self.least { return }
        safe = min(safe, Self.below(age))
        hasSeenClose = true
    }

    /// A connection that was kept to see its end was closed by the other side after `age`, or lived to ``most``.
    mutating func observed(_ age: Instant.Span, wasClosed: Bool) {
        isObserving = false
        hasSeenClose = wasClosed
        safe = wasClosed ? Self.below(age) : Self.most
    }

    /// A fifth less: timers on both sides are coarse, and a request takes its time to get there.
    private static func below(_ age: Instant.Span) -> Instant.Span {
        max(least, min(most, Instant.Span(nanoseconds: age.nanoseconds / 5 &* 4)))
    }
}
