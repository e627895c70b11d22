// What goes into metrics? Everything that they show, as plain values, so that rendering them needs nothing else.

import Discovery
import ProxyCore

/// What all metrics are made from, at one moment.
struct MetricsFigures: Sendable {
    /// The program's version.
    var version: String
    /// What the workers told, added up and in a steady order.
    var workers: WorkerTelemetry
    /// What discovery knows.
    var discovery: DiscoveryMetrics
    /// How often each outcome of a reload came.
    var reloads: (applied: Int, unchanged: Int, refused: Int)
    /// Whether we are on our way out.
    var isDraining: Bool
    /// How often each outcome of a handoff came.
    var handoffs = HandoffCounts()
    /// How often certificates that changed on disk were taken over, and refused.
    var tlsReloads = (applied: 0, refused: 0)
    /// Certificates and authorities, and when they end.
    var certificates: [DatedFile] = []
    /// What earlier processes counted, which is added.
    var inherited = InheritedCounters()
    /// What the system says of this process.
    var process: ProcessFigures

    /// The figures of these parts; `workers` holds what each worker told.
    init(
        version: String, workers: [WorkerTelemetry], discovery: DiscoveryMetrics,
        reloads: (applied: Int, unchanged: Int, refused: Int), isDraining: Bool, process: ProcessFigures
    ) {
        var sum = WorkerTelemetry.merged(workers)
        sum.routes.sort { ($0.route, $0.service) < ($1.route, $1.service) }
        sum.services.sort { $0.service < $1.service }
        sum.attempts.sort {
            ($0.service, $0.address.ip.high, $0.address.ip.low, $0.address.port)
                < ($1.service, $1.address.ip.high, $1.address.ip.low, $1.address.port)
        }
        sum.listeners.sort { $0.listener < $1.listener }
        for i in sum.routes.indices {
            sum.routes[i].requests.sort { ($0.method.rawValue, $0.code) < ($1.method.rawValue, $1.code) }
        }
        self.version = version
        self.workers = sum
        self.discovery = discovery
        self.reloads = reloads
        self.isDraining = isDraining
        self.process = process
    }
}

/// What metrics show of discovery.
struct DiscoveryMetrics: Sendable {
    /// A service.
    struct Service: Sendable {
        /// Its configured name.
        var name: String
        /// Addresses of which witnesses disagree now.
        var disagreements = 0
        /// Its endpoints by address, and whether each gets requests.
        var endpoints: [(address: NetworkAddress, isUp: Bool)] = []
    }

    /// Every service of the configuration.
    var services: [Service] = []
    /// Every witness that is asked.
    var sources: [SourceStatus] = []
    /// How often what is known could not be written to the state directory.
    var keepingFailures = 0
    /// How often endpoints of a service were ejected, by reason.
    var ejections: [(service: String, reason: String, count: Int)] = []
    /// How often somebody else answered at an address of a service.
    var mismatches: [(service: String, address: NetworkAddress, count: Int)] = []
}
