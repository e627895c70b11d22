// What should be served, as one value. The control plane hands a new, complete, numbered snapshot to every worker,
// which adopts it at the top of a turn; nothing in it ever changes afterwards.

/// All that should be served from one moment on.
public struct Snapshot: Sendable, Equatable {
    /// Counts upwards from 1; a worker ignores a snapshot that is older than the one it serves.
    public var generation: UInt64
    /// Where we accept.
    public var listeners: [ListenerSpec]
    /// The named groups of endpoints; a route refers to them by index.
    public var services: [Service]
    /// The rules, in the order of the configuration.
    public var routes: [Route]
    /// Limits and times on the client's side.
    public var limits: Limits
    /// Whose word about the client is believed.
    public var trustedProxies: [AddressRange] = []
    /// Who else may connect where only ``trustedProxies`` may; nil: everybody may.
    public var lockdown: [AddressRange]?
    /// Names of the listeners whose connections begin with a PROXY header.
    public var proxyHeaderListeners: Set<String> = []
    /// Bytes of memory that connections of one worker may take; 0: as much as there is.
    public var workerMemory = 0
    /// How we leave.
    public var drain: DrainSpec
    /// Whether each request gets a line in the access log.
    public var accessLog: Bool

    /// A snapshot of these parts.
    public init(
        generation: UInt64 = 1, listeners: [ListenerSpec] = [], services: [Service] = [], routes: [Route] = [],
        limits: Limits = Limits(), drain: DrainSpec = DrainSpec(), accessLog: Bool = true
    ) {
        self.generation = generation
        self.listeners = listeners
        self.services = services
        self.routes = routes
        self.limits = limits
        self.drain = drain
        self.accessLog = accessLog
    }
}

/// An address that we accept connections on. `[::]` accepts IPv4 too; any other address only its own family.
public struct ListenerSpec: Sendable, Hashable {
    /// The configured name, for metrics and the log.
    public var name: String
    /// Where to listen; port 0 lets the system choose.
    public var address: NetworkAddress
    /// Whether TLS is spoken there, on terms that reach workers by themselves: certificates come and go while the
    /// listener stays.
    public var isSecure: Bool

    /// A listener called `name` on `address`.
    public init(name: String, address: NetworkAddress, isSecure: Bool = false) {
        self.name = name
        self.address = address
        self.isSecure = isSecure
    }
}

/// How long leaving may take.
public struct DrainSpec: Sendable, Hashable {
    /// How long the process goes on accepting after it was told to stop.
    public var delay: Duration
    /// How long what is in flight may take after that. ``withoutDeadline`` has no end of its own.
    public var timeout: Duration

    /// Leaving that takes as long as its connections do: nothing is closed before its own time, until a second spec sets
    /// a deadline. For a process that has handed its listeners over.
    public static let withoutDeadline = DrainSpec(delay: .zero, timeout: .seconds(Int64.max))

    /// The times of the contract: no delay, 30 seconds.
    public init(delay: Duration = .zero, timeout: Duration = .seconds(30)) {
        self.delay = delay
        self.timeout = timeout
    }
}
