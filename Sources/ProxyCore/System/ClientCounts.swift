// How many connections has this client? It holds for the whole process, as the kernel spreads a client's connections over
// all workers; so it is shared, and asked when a connection comes and when it goes, never for a request.

import Synchronization

/// Connections of each client, in all workers.
public final class ClientCounts: Sendable {
    private let counts = Mutex<[IPAddress: Int32]>([:])

    /// No connections yet.
    public init() {}

    /// Counts a connection of `client`, unless that has `most` already. Whether it was counted.
    func enter(_ client: IPAddress, most: Int) -> Bool {
        counts.withLock { counts in
            let count = counts[Self.key(client), default: 0]
            guard count < most else { return false }
            counts[Self.key(client)] = count + 1
            return true
        }
    }

    /// A connection of `client` that was counted is gone.
    func leave(_ client: IPAddress) {
        counts.withLock { counts in
            let key = Self.key(client)
            guard let count = counts[key] else { return }
            counts[key] = count > 1 ? count - 1 : nil
        }
    }

    /// Clients that have a connection now.
    var clientCount: Int { counts.withLock { $0.count } }

    /// Who counts as one: an IPv4 address, or the 64 bits that a household gets of IPv6, in which it takes addresses as it
    /// likes.
    private static func key(_ client: IPAddress) -> IPAddress {
        client.isIPv4 ? client : IPAddress(high: client.high, low: 0)
    }
}
