// How many clients are connected to the whole process? The one count that must hold over all workers, so it is shared:
// each adds what changed once a turn, and no connection costs an atomic operation.

import Synchronization

/// Client connections of all workers.
public final class ConnectionCap: Sendable {
    private let total = Atomic<Int>(0)

    /// No connections yet.
    public init() {}

    /// Connections now, as of every worker's latest turn.
    public var count: Int { total.load(ordering: .relaxed) }

    /// Adds what changed in one worker.
    func add(_ change: Int) { total.add(change, ordering: .relaxed) }
}
