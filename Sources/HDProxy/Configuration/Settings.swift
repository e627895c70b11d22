// What is this process told to do? The whole configuration as typed values, validated, every default filled in.

import Discovery
import ProxyCore

/// A valid configuration.
struct Settings: Equatable, Sendable {
    /// Threads that serve; 0: one per CPU the process may use.
    var workers = 0
    /// Where we accept.
    var listeners: [ListenerSpec] = []
    /// Of the listeners that speak TLS, on what terms.
    var tls: [TLSSettings] = []
    /// What the files that these name held when they were read, by listener.
    var tlsMaterial: [String: TLSTermsSpec] = [:]
    /// On what terms the endpoints of services are spoken to over TLS, by service, once their files were read.
    var upstreamTerms: [String: UpstreamTerms] = [:]
    /// Where the process tells how it is.
    var admin = AdminSettings()
    /// Whom discovery asks.
    var discovery = DiscoverySettings()
    /// The services, in the order of the file.
    var services: [ServiceSettings] = []
    /// The rules, in the order of the file.
    var routes: [RouteSettings] = []
    /// Whose word about the client is believed.
    var trustedProxies: [TrustedProxy] = []
    /// Whether anybody else may connect, and who; nil: everybody may.
    var originLockdown: OriginLockdown?
    /// Names of the listeners whose connections begin with a PROXY header: `proxyProtocol: "required"`.
    var proxyHeaderListeners: Set<String> = []
    /// Bytes of memory that the process should take at most; nil: what the machine's limit for it leaves.
    var memory: Int?
    /// `timeouts` and `limits`.
    var limits = Limits()
    /// How we leave.
    var drain = DrainSpec()
    /// How we follow another process, and are followed.
    var handoff = HandoffSettings()
    /// What is logged, and where.
    var log = LogSettings()
}

extension Settings {
    /// All certificates, keys and authorities that it names.
    var materialPaths: [String] { tls.flatMap(\.paths) + services.compactMap(\.tls).flatMap(\.paths) }

    /// The same with what the files of `other` held.
    func withMaterial(of other: Settings) -> Settings {
        var settings = self
        settings.tlsMaterial = other.tlsMaterial
        settings.upstreamTerms = other.upstreamTerms
        return settings
    }
}

/// `tls` of a listener.
struct TLSSettings: Equatable, Sendable {
    /// A certificate and its key, in PEM form.
    struct Files: Equatable, Sendable {
        /// The file with the certificate and what leads to its authority.
        var certificate: String
        /// The file with its key.
        var key: String
    }

    /// Which clients are let in.
    struct Clients: Equatable, Sendable {
        /// Whether they have to show a certificate.
        var authentication = ClientAuthentication.off
        /// The file with the authorities that it must lead to; nil where none is asked for.
        var authorities: String?
    }

    /// `tls.hosts`: terms of some hosts.
    struct Host: Equatable, Sendable {
        /// Which ones.
        var pattern: HostPattern
        /// What is shown to their clients; empty: the listener's.
        var certificates: [Files] = []
        /// Which clients are let in.
        var clients = Clients()
    }

    /// The listener's name.
    var listener: String
    /// What is shown.
    var certificates: [Files] = []
    /// Which clients are let in.
    var clients = Clients()
    /// The least version that is spoken.
    var minimumVersion = TLSVersion.v1_2
    /// Whether names that nobody has are refused.
    var isStrict = false
    /// Hosts with terms of their own.
    var hosts: [Host] = []

    /// All files that it names.
    var paths: [String] {
        let certificates = certificates + hosts.flatMap(\.certificates)
        let authorities = ([clients] + hosts.map(\.clients)).compactMap(\.authorities)
        return certificates.flatMap { [$0.certificate, $0.key] } + authorities
    }
}

/// `handoff`: how one process follows another.
struct HandoffSettings: Equatable, Sendable {
    /// The Unix socket's path, an abstract name where it begins with `@`; empty: no handoff.
    var socket = ""
    /// For how long a process that has handed over can take back.
    var confirm = Duration.seconds(10)

    /// The name for a process whose first listener is on `address`. Where the system chooses the port nobody can follow.
    static func socket(for address: NetworkAddress?) -> String {
        guard let address, address.port != 0 else { return "" }
        return "@hdproxy/\(address)"
    }
}

/// `admin`: where the process tells how it is.
struct AdminSettings: Equatable, Sendable {
    /// The TCP listener; nil: none.
    var address: NetworkAddress? = AdminSettings.defaultAddress
    /// The path of the Unix socket, `%p` in it for the process id; nil: none.
    var socket: String? = AdminSettings.defaultSocket
    /// Whether the file names the address. One that it does not name may be missing: the process starts without it.
    var isAddressWritten = false
    /// Whether the file names the socket, likewise.
    var isSocketWritten = false

    /// 127.0.0.1:9090.
    static let defaultAddress = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 9090)
    /// Where the command line looks first.
    static let defaultSocket = "/run/hdproxy/admin.sock"

    /// The socket's path in the process `id`.
    func socketPath(process id: Int32) -> String? { socket?.replacing("%p", with: String(id)) }

    /// Whether the same is served; who named it does not matter.
    static func == (a: Self, b: Self) -> Bool { a.address == b.address && a.socket == b.socket }
}

/// A service as it is configured.
struct ServiceSettings: Equatable, Sendable {
    /// Its key.
    var name: String
    /// Its configured addresses; empty where it is discovered.
    var endpoints: [NetworkAddress] = []
    /// The Kubernetes Service behind it.
    var kubernetes: KubernetesReference?
    /// The DNS name behind it.
    var dns: DNSReference?
    /// How long a connect may take.
    var connectTimeout: Duration = .seconds(1)
    /// To the first byte of a response.
    var responseTimeout: Duration = .seconds(95)
    /// Between two reads of a response's body.
    var idleTimeout: Duration = .seconds(60)
    /// From the start of one try to the first byte of its response; zero: no limit of its own.
    var tryTimeout: Duration = .zero
    /// How requests are shared out: `balance`, `slowStart`, `maxConcurrent`, `queue` and `queueTimeout`.
    var balance = BalanceSpec()
    /// When a request is sent a second time.
    var retry = RetrySpec()
    /// How its endpoints are spoken to over TLS: `scheme: "https"`, and `tls`; nil: in the clear.
    var tls: UpstreamTLSSettings?
    /// How its endpoints are looked after: `health`, `identity`, `outlier`, `prefer` and the weights of ``endpoints``.
    var care = CareSpec()
}

/// `tls` of a service.
struct UpstreamTLSSettings: Equatable, Sendable {
    /// The file with the authorities that an endpoint's certificate must lead to; nil: those of the system.
    var authorities: String?
    /// The name that it must have.
    var serverName: String
    /// What is shown to endpoints that ask who we are.
    var certificate: TLSSettings.Files?

    /// All files that it names.
    var paths: [String] { [authorities, certificate?.certificate, certificate?.key].compactMap(\.self) }
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
    /// `redirect: "https"` beside a service: the status with which those who did not come by https are sent there.
    var httpsRedirect: Int?
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
