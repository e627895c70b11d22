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
    /// Whether probes and ejections are not listened to, because they leave too few.
    public var isPanic = false
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
    /// What probes say of it.
    public var health = EndpointHealth.unknown
    /// What the latest probe found, for people; nil where none has.
    public var finding: String?
    /// Why it is ejected: what requests, or a probe that met somebody else, saw; nil: it is not.
    public var ejected: String?
    /// How often it was ejected.
    public var ejections = 0
    /// Whether it gets no new requests though witnesses call it usable.
    public var isHeldBack = false

    /// Whether requests may go there.
    public var isUsable: Bool { verdict.isUsable && !isHeldBack }

    /// Why it is used, or not, in words.
    public var reason: String {
        guard verdict.isUsable else { return verdict.words }
        if isHeldBack { return ejected ?? "probes: \(finding ?? "down")" }
        if ejected == nil, health != .down { return verdict.words }
        return "\(ejected ?? "probes: \(finding ?? "down")"), but too few others are left"
    }
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
