// How are the endpoints of a service looked after? What the configuration says of health, identity, ejection, nearness
// and weights, as the control plane needs it; workers are told only what follows from it.

import ProxyCore

/// How the endpoints of a service are looked after.
public struct CareSpec: Sendable, Hashable {
    /// How they are probed; nil: not at all.
    public var health: HealthSpec?
    /// What their answers carry; nil: nothing is looked for.
    public var identity: IdentitySpec?
    /// When one is ejected for what requests met there.
    public var outlier = OutlierSpec()
    /// Which of them are near.
    public var prefer = Preference.anywhere
    /// The weights of configured addresses; where none stands here it is 1.
    public var weights: [NetworkAddress: UInt16] = [:]

    /// On what terms probes speak TLS; nil: in the clear.
    public var terms: UpstreamTerms?

    /// The same, where probes speak TLS on these terms.
    public func over(_ terms: UpstreamTerms?) -> CareSpec {
        var spec = self
        spec.terms = terms
        return spec
    }

    /// The defaults of the contract: nobody is probed, requests alone tell.
    public init() {}
}

/// Which endpoints a service prefers.
public enum Preference: String, Sendable, Hashable, CaseIterable {
    /// None: all are as near as any.
    case anywhere = "none"
    /// Those in this process's zone.
    case zone
    /// Those on this process's node.
    case node
}
