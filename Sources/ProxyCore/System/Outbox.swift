// How does a worker tell the control plane that an endpoint is ill? By a line in the outbox that all workers share, and a
// wake-up. That happens when something is wrong, never in the run of things, so that a lock is no cost.

import Synchronization

/// The one way out of the workers for what they have seen.
public final class Outbox: Sendable {
    /// More than this many wait for nobody: whoever would read them is stuck.
    private static let sightingsMax = 1024

    /// Wakes the reader.
    public let wake: WakeHandle
    private let waiting = Mutex<[Sighting]>([])

    /// An empty outbox.
    public init() throws(SystemError) { wake = try WakeHandle() }

    /// Leaves a sighting. Any thread may call it. One for which there is no room is dropped: the endpoint goes on being
    /// ill, and the next one says it again.
    public func post(_ sighting: Sighting) {
        let wasEmpty = waiting.withLock { waiting in
            if waiting.count < Self.sightingsMax { waiting.append(sighting) }
            return waiting.count == 1
        }
        if wasEmpty { wake.wake() }
    }

    /// Takes all sightings, in order.
    public func take() -> [Sighting] {
        wake.clear()
        return waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
