// Who is probed, and what is told of it? The words between the prober and those who use it.

import ProxyCore

/// An endpoint that is to be probed.
public struct ProbeTarget: Sendable, Hashable {
    /// The service, by its configured name.
    public var service: String
    /// Which endpoint of it.
    public var id: EndpointID
    /// Where to connect.
    public var address: NetworkAddress
    /// How to ask.
    public var health: HealthSpec
    /// What its answers carry. A probe without a path has no answer that could be checked.
    public var identity: IdentitySpec?
    /// On what terms TLS is spoken there; nil: in the clear.
    public var terms: UpstreamTerms?

    /// The endpoint `id` of `service` at `address`.
    public init(
        service: String, id: EndpointID, address: NetworkAddress, health: HealthSpec, identity: IdentitySpec? = nil,
        terms: UpstreamTerms? = nil
    ) {
        self.terms = terms
        self.service = service
        self.id = id
        self.address = address
        self.health = health
        self.identity = identity
    }
}

/// An endpoint's health is another one now.
public struct HealthChange: Sendable, Equatable {
    /// The service, by its configured name.
    public var service: String
    /// Which endpoint of it.
    public var id: EndpointID
    /// Where it is.
    public var address: NetworkAddress
    /// Its health from now on.
    public var health: EndpointHealth
    /// Whether it is known to be somebody else's address now; it is down then.
    public var isGhost: Bool
    /// Whether the deciding probe got no answer at all, so that requests that wait there may wait in vain.
    public var isSilent: Bool
    /// What the deciding probe found, for people.
    public var reason: String
    /// How long the latest answer took; nil where none has come yet.
    public var latency: Duration?
}

/// An answer that was not of the service it was asked for.
public struct GhostFinding: Sendable, Equatable {
    /// The service that was asked for, by its configured name.
    public var service: String
    /// Which endpoint of it.
    public var id: EndpointID
    /// Where the stranger answers.
    public var address: NetworkAddress
    /// What was seen of him, for people.
    public var seen: String
    /// Whether it was not seen before: worth a line of the log. The others are for counting.
    public var isNew: Bool
}

/// What status tells of one endpoint's probes.
public struct ProbeView: Sendable, Equatable {
    /// Where it is.
    public var address: NetworkAddress
    /// Its health.
    public var health: EndpointHealth
    /// Whether a stranger answered there.
    public var isGhost: Bool
    /// Since when both are so, in microseconds since 1970.
    public var sinceMicroseconds: Int64
    /// What the latest probe found, for people; nil before the first.
    public var lastReason: String?
    /// How long the latest answer took; nil before the first.
    public var lastLatency: Duration?
}
