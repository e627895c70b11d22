// Does a worker still turn? Once in a while it is asked to say so; a health check looks at how long ago it did.

import Synchronization

/// When one worker turned last, as far as it was asked.
public final class Heartbeat: Sendable {
    private let nanoseconds: Atomic<Int64>

    /// A worker that turned at `now`.
    public init(_ now: Instant) { nanoseconds = Atomic(now.nanoseconds) }

    /// The time of the latest turn in which it was asked. Any thread may ask.
    public var lastTurn: Instant { Instant(nanoseconds: nanoseconds.load(ordering: .relaxed)) }

    /// The worker's word.
    func beat(_ now: Instant) { nanoseconds.store(now.nanoseconds, ordering: .relaxed) }
}
