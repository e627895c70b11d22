// Where does each service live? A witness knows, or believes to know. Each kind of witness that has to ask somebody is
// one implementation: `Kubernetes/KubernetesSource` and `DNS/DNSSource`. The ``Reconciler`` weighs what they say.

import ProxyCore

/// A witness of where services live.
@ControlThread
public protocol EndpointSource: AnyObject {
    /// What status pages, metrics and logs call it: `kubernetes`, `dns`.
    var name: String { get }
    /// How it is doing.
    var status: SourceStatus { get }
    /// Asks from now on for these services.
    func update(_ services: [ServiceSpec])
    /// Asks and tells until it is cancelled. What it hears goes to the closure that it was made with.
    func run() async
}

/// How a witness is doing.
public struct SourceStatus: Sendable, Equatable {
    /// What it is called.
    public var name: String
    /// Whether it has told all that it was asked for at least once, and is in touch now.
    public var synced = false
    /// Whether what it told may be out of date: it has been out of touch for too long.
    public var stale = false
    /// When it was heard last, in microseconds since 1970; nil before that.
    public var lastEventMicroseconds: Int64?
    /// What is wrong now, or nil.
    public var error: String?
    /// How often each kind of error came, for `hdproxy_discovery_errors_total{source,reason}`. Reasons are from a fixed
    /// list of words.
    public var errorCounts: [String: Int] = [:]

    /// A witness called `name` of which nothing was heard yet.
    public init(name: String) { self.name = name }

    /// Counts an error and remembers its text until something is heard again.
    public mutating func failed(_ reason: String, _ text: String) {
        errorCounts[reason, default: 0] += 1
        error = text
    }
}

/// A line for the log.
public struct Notice: Sendable, Equatable {
    /// How much it matters.
    public enum Level: String, Sendable { case debug, info, warn, error }

    /// How much it matters.
    public var level: Level
    /// What happened, in one word of the log: `discovery_disagreement`.
    public var event: String
    /// Details, in order.
    public var details: [(name: String, value: String)]

    /// A line of these parts.
    public init(_ level: Level, _ event: String, _ details: KeyValuePairs<String, String> = [:]) {
        self.level = level
        self.event = event
        self.details = details.map { (name: $0.key, value: $0.value) }
    }

    /// Two lines are the same where all their parts are.
    public static func == (a: Notice, b: Notice) -> Bool {
        a.level == b.level && a.event == b.event && a.details.elementsEqual(b.details, by: ==)
    }
}
