// Is this endpoint well? What follows from one probe after the other, for one endpoint identity. Pure: the time of each
// result and random bits come as arguments.
//
//               pass                       unhealthyAfter failures in a row, or a ghost
//     unknown ─────────────────► up ──────────────────────────────────────────► down
//        │                        ▲                                              │ ▲
//        │                        └──────────────────────────────────────────────┘ │
//        │                              healthyAfter passes in a row               │
//        └─────────────────────────────────────────────────────────────────────────┘
//               failure or ghost
//
// The first result decides alone, in both directions, as in HAProxy and Envoy: a new endpoint must neither wait for its
// second good answer before it is known to be well, nor get three more chances when it cannot be reached at all. Results
// that could not be had for a reason of our own change nothing.

import ProxyCore

/// What probes say of an endpoint.
public enum EndpointHealth: String, Sendable, Hashable {
    /// Nothing yet.
    case unknown
    /// It answers as it should.
    case up
    /// It does not.
    case down
}

/// What is known of one endpoint by its probes.
public struct ProbeState: Sendable, Equatable {
    /// Its health.
    public private(set) var health = EndpointHealth.unknown
    /// Whether a stranger answered at its address, and nobody has shown since that he is of this service. Such an
    /// endpoint is down.
    public private(set) var isGhost = false
    /// Since when both are so.
    public private(set) var since: Instant
    /// Results in a row that speak against the present health.
    public private(set) var contraryCount = 0
    /// What the latest probe found; nil before the first.
    public private(set) var lastFinding: ProbeFinding?
    /// How long the latest answer took, from the beginning of the connect; nil before the first.
    public private(set) var lastLatency: Duration?
    /// Whether the second probe is already behind: until then its distance is drawn more freely.
    private var isInStride = false

    /// An endpoint that is known since `now`.
    public init(now: Instant) { since = now }

    /// Takes the result of a probe; whether health or ``isGhost`` changed by it.
    ///
    /// A ghost is down at once and without confirmation: that answer was of some other service, however often one asks.
    /// It stays one until an answer carries this service's identity, so a stranger who falls silent is still known.
    public mutating func record(
        _ finding: ProbeFinding, latency: Duration?, spec: HealthSpec, now: Instant
    ) -> Bool {
        let before = (health, isGhost)
        lastFinding = finding
        switch finding {
        case .inconclusive: return false
        case .passed:
            isGhost = false
            switch health {
            case .unknown: settle(.up)
            case .up: contraryCount = 0
            case .down: count(towards: .up, needed: spec.healthyAfter)
            }
        case .failed(let failure):
            switch failure {
            case .ghost: isGhost = true
            case .status: isGhost = false
            case .refused, .unreachable, .connectTimeout, .answerTimeout, .insecure, .reset, .closed, .malformed,
                .tooManyInterim, .tooManyPieces:
                break
            }
            switch health {
            case .unknown: settle(.down)
            case .up: count(towards: .down, needed: isGhost ? 1 : spec.unhealthyAfter)
            case .down: contraryCount = 0
            }
        }
        if let latency { lastLatency = latency }
        let changed = before != (health, isGhost)
        if changed { since = now }
        return changed
    }

    private mutating func settle(_ next: EndpointHealth) {
        health = next
        contraryCount = 0
    }

    private mutating func count(towards next: EndpointHealth, needed: Int) {
        contraryCount += 1
        if contraryCount >= needed { settle(next) }
    }

    /// From the beginning of the latest probe to that of the next. Varied by a tenth up or down, so that probes that
    /// once met do not meet for ever; the second one comes after half an interval to a whole one, because nodes that
    /// learned of an endpoint by the same event would go on in step for a while otherwise.
    public mutating func nextWait(_ spec: HealthSpec, random: UInt64) -> Instant.Span {
        if case .inconclusive? = lastFinding { return Self.varied(spec.fastInterval, 900...1100, random) }
        if contraryCount > 0 { return Self.varied(spec.fastInterval, 900...1100, random) }
        defer { isInStride = true }
        return Self.varied(spec.interval, isInStride ? 900...1100 : 500...1000, random)
    }

    /// `duration` times one of `permille`.
    private static func varied(
        _ duration: Duration, _ permille: ClosedRange<Int64>, _ random: UInt64
    ) -> Instant.Span {
        let choices = UInt64(permille.upperBound - permille.lowerBound + 1)
        let factor = permille.lowerBound + Int64(random % choices)
        // Longer ones than a day are cut, so that the product fits.
        let nanoseconds = min(Instant.Span(duration).nanoseconds, 86_400_000_000_000)
        return Instant.Span(nanoseconds: nanoseconds / 1000 * factor)
    }
}
