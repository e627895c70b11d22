// What is this process told to do? The whole configuration as typed values, validated, every default filled in.

import ProxyCore

/// A valid configuration.
struct Settings: Equatable, Sendable {
    /// Threads that serve; 0: one per CPU the process may use.
    var workers = 0
    /// Where we accept.
    var listeners: [ListenerSpec] = []
    /// The services, in the order of the file.
    var services: [ServiceSettings] = []
    /// The rules, in the order of the file.
    var routes: [RouteSettings] = []
    /// `timeouts` and `limits`.
    var limits = Limits()
    /// How we leave.
    var drain = DrainSpec()
    /// What is logged, and where.
    var log = LogSettings()
}

/// A service as it is configured.
struct ServiceSettings: Equatable, Sendable {
    /// Its key.
    var name: String
    /// Its configured addresses.
    var endpoints: [NetworkAddress] = []
    /// How long a connect may take.
    var connectTimeout: Duration = .seconds(1)
    /// To the first byte of a response.
    var responseTimeout: Duration = .seconds(95)
    /// Between two reads of a response's body.
    var idleTimeout: Duration = .seconds(60)
}

/// A rule as it is configured.
struct RouteSettings: Equatable, Sendable {
    /// Which hosts it meets.
    var host: HostPattern
    /// Which paths it meets.
    var path: PathPattern = .any
    /// `paths: "asis"`.
    var allowsAmbiguousPaths = false
    /// What becomes of a request.
    var action: RouteActionSettings
}

/// What becomes of a request that a rule meets.
enum RouteActionSettings: Equatable, Sendable {
    /// `service`, or `services` with their weights; each is a key of ``Settings/services``.
    case forward([(name: String, weight: Int)])
    /// `redirect`.
    case redirect(Redirect)

    static func == (a: Self, b: Self) -> Bool {
        switch (a, b) {
        case (.forward(let a), .forward(let b)): a.elementsEqual(b, by: ==)
        case (.redirect(let a), .redirect(let b)): a == b
        case (.forward, .redirect), (.redirect, .forward): false
        }
    }
}

/// `log`.
struct LogSettings: Equatable, Sendable {
    /// From which level on events are logged.
    enum Level: String, CaseIterable, Sendable { case debug, info, warn, error }

    /// Whether each request gets a line.
    var access = true
    /// The least level of other events.
    var level = Level.info
    /// The file that lines are appended to; `-`: standard output.
    var file = "-"
}
