// How is this process, and where does everything live? The values behind `/api/v1/status`, the status page and
// `hdproxy status`. They are written by `StatusReport+JSON`, and read again by the command line, which decodes them.

/// The whole of it. Times are RFC 3339, in UTC.
struct StatusReport: Decodable, Equatable, Sendable {
    /// What the process is doing.
    enum State: String, Decodable, Sendable {
        case starting, serving
        case handedOver = "handed-over"
        case draining
    }

    /// The version of the program.
    var version: String
    /// Which configuration is served: counts up with every reload that is applied.
    var generation: UInt64
    /// What the process is doing.
    var state: State
    /// The process id.
    var pid: Int
    /// When the report was made.
    var time: String
    /// When the process started.
    var started: String
    /// What `/readyz` depends on.
    var conditions: [Condition] = []
    /// The witnesses of where services live.
    var sources: [SourceReport] = []
    /// Where it accepts.
    var listeners: [ListenerReport] = []
    /// The rules, in the order of the configuration.
    var routes: [RouteReport] = []
    /// The services, in the order of the configuration.
    var services: [ServiceReport] = []
    /// The threads that serve.
    var workers: [WorkerReportLine] = []
    /// The latest rollout of each service that had one; nil from a process that knows none.
    var rollouts: [RolloutLine]? = []
    /// Who may connect, and who is believed; nil from a process that tells nothing of it.
    var access: AccessReport?

    /// Whether all conditions hold.
    var isReady: Bool { conditions.allSatisfy(\.isMet) }
}

/// A witness.
struct SourceReport: Decodable, Equatable, Sendable {
    /// `static`, `kubernetes`, `dns`.
    var name: String
    /// Whether it has told all that it was asked for, and is in touch.
    var synced: Bool
    /// Whether what it told may be out of date.
    var stale: Bool
    /// When it was heard last.
    var lastEvent: String?
    /// What is wrong with it now.
    var error: String?

    /// When it was heard last, as people say it: `3 s ago`. What the configuration says is not heard at all.
    func heard(now: String) -> String {
        if let lastEvent { return "\(Age.text(of: lastEvent, now: now)) ago" }
        return name == "static" ? "" : "not yet"
    }
}

/// A worker.
struct WorkerReportLine: Decodable, Equatable, Sendable {
    var name: String
    /// How long ago it turned last.
    var lastTurnMs: Double
    /// Client connections that it holds.
    var connections: Int
    /// Requests that it is busy with.
    var inFlight: Int
}

/// A rule.
struct RouteReport: Decodable, Equatable, Sendable {
    /// A service and its share.
    struct Share: Decodable, Equatable, Sendable {
        var name: String
        var weight: Int
    }

    /// Its position in the configuration.
    var index: Int
    /// Host and path: what metrics call it.
    var name: String
    /// Where its requests go; empty for a redirect.
    var services: [Share]
    /// `308 to https://…`; nil where it forwards.
    var redirect: String?
}

/// A service.
struct ServiceReport: Decodable, Equatable, Sendable {
    /// Its configured name.
    var name: String
    /// The witness that is believed now; nil where none has told anything.
    var source: String?
    /// Whether that one may be out of date.
    var stale = false
    /// Why its endpoints cannot be told: no such Service, no such port.
    var problem: String?
    /// Every endpoint that some witness names.
    var endpoints: [EndpointReport] = []
    /// Where witnesses contradict each other.
    var disagreements: [DisagreementReport] = []

    /// Whether probes and ejections are not listened to, because they would leave too few endpoints.
    var panic = false

    /// Endpoints that get requests.
    var usableCount: Int { endpoints.count(where: \.usable) }
    /// Endpoints at whose address somebody else answers.
    var ghosts: [EndpointReport] { endpoints.filter { !$0.usable && $0.ejected?.hasPrefix("ghost") == true } }
}

/// An endpoint.
struct EndpointReport: Decodable, Equatable, Sendable {
    /// What probes and requests say of it.
    enum Health: String, Decodable, Sendable { case up, down, unknown }

    var address: String
    /// What makes it itself.
    var id: String
    var pod: String?
    var node: String?
    var zone: String?
    /// The witnesses that name it.
    var sources: [String]
    var ready = true
    var serving = true
    var terminating = false
    var health = Health.unknown
    /// Why it is ejected; nil: it is not.
    var ejected: String?
    /// How often it was ejected so far.
    var ejections = 0
    /// Whether it gets requests.
    var usable = true
    /// Why it does, or does not, in a few words: `ready`, `terminating`, `the address belongs to honeydue/dozzle now`.
    var reason: String
    /// Since when that is so.
    var since: String?
    /// Requests on their way through it.
    var inFlight = 0
    /// The reason as it is shown, with how long it has been so before `now`: an ejection says more than the rest.
    func why(now: String) -> String {
        let text = usable ? reason : ejected.map { $0.hasPrefix("ghost") ? $0 : "ejected: \($0)" } ?? reason
        return since.map { "\(text) (\(Age.text(of: $0, now: now)))" } ?? text
    }
    /// How long it takes to answer, as a moving average; nil: it has not answered yet.
    var latencyMs: Double?
}

/// A contradiction.
struct DisagreementReport: Decodable, Equatable, Sendable {
    /// Which address it is about.
    var address: String
    /// Who says something that the one who is believed does not.
    var witness: String
    /// Since when.
    var since: String
    /// What it is, for people.
    var text: String
}
