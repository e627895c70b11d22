// How does a worker tell the control plane that an endpoint is ill? By a line in the outbox that all workers share, and a
// wake-up. That happens when something is wrong, never in the run of things, so that a lock is no cost.

import Synchronization

/// What requests met at an endpoint.
public struct Sighting: Sendable, Equatable {
    /// What it was.
    public enum Kind: Sendable, Equatable {
        /// So many requests in a row failed in one worker; how the last one did, `ok` for an answer of 502 to 504.
        case failures(Int, last: Outcome.Kind)
        /// An answer came without the service's identity; what stood in its place, cut to what fits a line, printable
        /// ASCII.
        case ghost(seen: String)
    }

    /// The service, by its configured name.
    public var service: String
    /// Which endpoint.
    public var endpoint: EndpointID
    /// Where it is.
    public var address: NetworkAddress
    /// What it was.
    public var kind: Kind

    /// A sighting of `kind`.
    public init(service: String, endpoint: EndpointID, address: NetworkAddress, kind: Kind) {
        self.service = service
        self.endpoint = endpoint
        self.address = address
        self.kind = kind
    }
}

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
