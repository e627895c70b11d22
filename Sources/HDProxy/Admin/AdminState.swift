// What does the admin listener show? Whatever the one who runs the process tells it, through this one protocol.

import Discovery
import ProxyCore

/// Who knows how the process is and can tell it what to do: the control loop.
@ControlThread
protocol AdminState: AnyObject {
    /// The configuration that is served.
    var settings: Settings { get }
    /// What must hold while the process works: `/healthz`.
    var liveness: [Condition] { get }
    /// What must hold before it gets traffic: `/readyz`. First whatever ends it, as `handed over` or `draining`.
    var readiness: [Condition] { get }
    /// Everything that `/api/v1/status` and the status page show.
    func status() async -> StatusReport
    /// The services of it that are called `names`.
    func services(_ names: [String]) async -> [String: ServiceReport]
    /// The rollouts that are over, the latest one first.
    var rolloutReports: [RolloutReport] { get }
    /// The heads that were refused last, the latest one last.
    func refusedHeads() async -> [RefusedHead]
    /// `/metrics`.
    func metrics(_ format: MetricsFormat) async -> [UInt8]
    /// Begins to drain, where that has not begun yet.
    func drain()
    /// Reads the configuration again, and what became of it.
    func reload() async -> ReloadOutcome
}

/// Something that must hold.
struct Condition: Decodable, Equatable, Sendable {
    /// Its name, one word: `listeners`, `discovery`, `worker-0`.
    var name: String
    /// Why it does not hold; nil: it does.
    var failure: String?

    /// Whether it holds.
    var isMet: Bool { failure == nil }

    /// The condition `name`, which holds unless `failure` says why not.
    init(_ name: String, failure: String? = nil) {
        self.name = name
        self.failure = failure
    }
}

/// What became of a reload.
enum ReloadOutcome: Equatable, Sendable {
    /// It is served now, as this generation.
    case applied(generation: UInt64)
    /// It says the same as before.
    case unchanged(generation: UInt64)
    /// It is wrong, for these reasons, and the one before stays.
    case refused([String])
}
