// Which endpoints are left when probes have spoken? The last step from what witnesses say to what workers are given.
//
// Probes take endpoints out, and never the last hope: where they leave too few, they are more likely to be wrong (a slow
// health page under load, a network of our own that is ill) than nearly all endpoints to be dead at once, and sending
// everything to the rest would kill it too. So they are not listened to then, which is Envoy's panic mode. Readiness
// is none of their business: only endpoints that the witnesses call usable come in here.

import ProxyCore

/// Takes the endpoints out that probes find not to be well.
public struct HealthFilter: Sendable, Hashable {
    /// Panic begins when fewer than so many percent of the endpoints are well or unknown.
    public let panicBelowPercent: Int

    /// A filter that panics below this share, 0 to 100. A quarter unless told otherwise: of four endpoints or fewer, a
    /// single one that is well is still preferred to dead ones, and carries them; of ten it would have to carry nine.
    public init(panicBelowPercent: Int = 25) {
        precondition((0...100).contains(panicBelowPercent), "a share is a percentage")
        self.panicBelowPercent = panicBelowPercent
    }

    /// What it leaves.
    public struct Result: Sendable, Equatable {
        /// The endpoints that get requests, in their order.
        public var endpoints: [Endpoint]
        /// Whether probes are not listened to, because they leave too few.
        public var isPanic: Bool
    }

    /// What is left of `usable`.
    ///
    /// - Unknown ones stay: the witness who called them ready has seen more of them than we have.
    /// - Ghosts go always, in panic too: there it is certain that somebody else answers. They do not count for the
    ///   share either, they are no endpoints of this service at all.
    /// - In panic all others stay. With none left that is well or unknown it is always panic.
    public func apply(
        to usable: [Endpoint], health: (EndpointID) -> (health: EndpointHealth, isGhost: Bool)
    ) -> Result {
        let own = usable.filter { !health($0.id).isGhost }
        let well = own.filter { health($0.id).health != .down }
        if well.count == own.count { return Result(endpoints: own, isPanic: false) }
        let isPanic = well.isEmpty || well.count * 100 < own.count * panicBelowPercent
        return Result(endpoints: isPanic ? own : well, isPanic: isPanic)
    }
}
