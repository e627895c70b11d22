// What can be told about a service? For status pages, `explain` and metrics: every endpoint that a witness names, who
// names it, whether it is used and why, and where witnesses disagree.

import ProxyCore

/// All that discovery knows of one service.
public struct ServiceView: Sendable, Equatable {
    /// The configured name.
    public var name: String
    /// The witness that is believed now.
    public var truth: Truth
    /// Why that one, as a sentence.
    public var truthReason: String
    /// Why Kubernetes cannot tell the service's endpoints: no such Service, no such port.
    public var problem: String?
    /// Every endpoint that is known, usable or not.
    public var endpoints: [EndpointView]
    /// Addresses about which witnesses disagree now.
    public var disagreements: [DisagreementView]
}

/// All that discovery knows of one endpoint.
public struct EndpointView: Sendable, Equatable {
    /// Where it is.
    public var address: NetworkAddress
    /// What makes it itself.
    public var id: EndpointID
    /// Its pod's UID.
    public var uid: String?
    /// Its pod's name.
    public var pod: String?
    /// The node that it runs on.
    public var node: String?
    /// The zone of that node.
    public var zone: String?
    /// Witnesses that name it now: `static`, `kubernetes`, `dns`, `last known good`.
    public var sources: [String]
    /// Whether it wants new requests, as far as the witness that is believed can tell.
    public var ready: Bool
    /// Whether it could answer them.
    public var serving: Bool
    /// Whether its pod is on its way out.
    public var terminating: Bool
    /// Why it is used, or not.
    public var verdict: Verdict
    /// Since when that is so, in microseconds since 1970.
    public var sinceMicroseconds: Int64

    /// Whether requests may go there.
    public var isUsable: Bool { verdict.isUsable }
    /// ``verdict`` in words.
    public var reason: String { verdict.words }
}

/// An address about which a witness says something else than the one that is believed.
public struct DisagreementView: Sendable, Equatable {
    /// The address.
    public var address: NetworkAddress
    /// The witness that is not believed: `dns`.
    public var witness: String
    /// Since when, in microseconds since 1970.
    public var sinceMicroseconds: Int64
    /// What it says, and what is known instead.
    public var text: String
}
