// Which endpoints are near? Those on this process's own node, or in its zone, as a service prefers. Near ones save the
// way over the cluster's network; where nobody is near, or nobody knows where we are, all are.

import ProxyCore

/// Where this process runs, as far as that is known.
public struct Place: Sendable, Hashable {
    /// The node, as slices call it.
    public var node: String?
    /// The node's zone.
    public var zone: String?

    /// On `node`, in `zone`.
    public init(node: String? = nil, zone: String? = nil) {
        self.node = node
        self.zone = zone
    }

    /// Learns the zone from what slices say of endpoints on this node; whether it was learned just now.
    mutating func learn(from endpoints: [WitnessedEndpoint]) -> Bool {
        guard zone == nil, let node, let neighbour = endpoints.first(where: { $0.node == node && $0.zone != nil })
        else { return false }
        zone = neighbour.zone
        return true
    }

    /// Which of `endpoints` are near, one answer each; nil: all are.
    ///
    /// Hints (`hints.forZones`) say for whom an endpoint is meant, which is more than where it is: they share out zones
    /// with many clients and few endpoints. As with kube-proxy they count where each endpoint has some and any is for
    /// our zone.
    func near(_ prefer: Preference, among endpoints: [WitnessedEndpoint]) -> [Bool]? {
        switch prefer {
        case .anywhere: return nil
        case .node:
            guard let node else { return nil }
            return Self.some(endpoints.map { $0.node == node })
        case .zone:
            guard let zone else { return nil }
            if !endpoints.contains(where: \.zoneHints.isEmpty),
                let near = Self.some(endpoints.map { $0.zoneHints.contains(zone) })
            {
                return near
            }
            return Self.some(endpoints.map { $0.zone == zone })
        }
    }

    /// Nil where none is, or all are.
    private static func some(_ near: [Bool]) -> [Bool]? { near.contains(true) && near.contains(false) ? near : nil }
}
