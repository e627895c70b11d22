// What does one worker count? Plain numbers in slots: a request adds to them by slot, and only the control plane's
// changes and reports ask for names.

/// A rule and one of its services. Either may be empty: requests that no rule met, and those that were not forwarded.
struct RouteKey: Hashable {
    var route: String
    var service: String
}

/// An endpoint as metrics name it: by address, so that a series goes on when another pod has it.
struct EndpointKey: Hashable {
    var service: String
    var address: NetworkAddress
}

/// What is counted of requests that one rule met and one service got.
struct RouteTotals: ~Copyable {
    var requests = CodeCounts()
    var duration = Histogram()
    var requestBytes: UInt64 = 0
    var responseBytes: UInt64 = 0
}

/// What is counted of one service.
struct ServiceTotals: ~Copyable {
    /// From the request's last byte sent to the answer's first byte.
    var upstreamDuration = Histogram()
    /// Connections made; those that were not, by reason.
    var connected: UInt64 = 0
    var connectRefused: UInt64 = 0
    var connectTimeout: UInt64 = 0
    var connectUnreachable: UInt64 = 0
    var connectInsecure: UInt64 = 0
    /// Further attempts that brought an answer, and those that did not.
    var retriesAnswered: UInt64 = 0
    var retriesFailed: UInt64 = 0
    /// Requests for which there was no endpoint.
    var unanswered: UInt64 = 0
}

/// What is counted of one endpoint: how attempts at it ended.
struct EndpointTotals: ~Copyable {
    var key: EndpointKey
    var outcomes = OutcomeCounts()
    /// Requests that waited there and went elsewhere, unseen, because it left.
    var moved: UInt64 = 0
    /// Requests that it failed, and that were sent elsewhere.
    var retried: UInt64 = 0
    /// Answers that were not the service's.
    var ghosts: UInt64 = 0

    /// Of whoever has, or had, the address last; the counts above go on when another one has it.
    var tenure = Tenure()
}

/// What one endpoint, by its identity, has done.
struct Tenure {
    /// Who.
    var id: EndpointID?
    /// When the first and the last request that were answered, or the last that failed, were sent.
    var firstRequest = Instant.never
    var lastRequest = Instant.never
    /// From the request's last byte sent to the answer's first byte.
    var firstByte = Histogram()

    /// Notes an answer.
    @inline(__always)
    mutating func noteAnswer(sentAt: Instant, took span: Instant.Span) {
        if firstRequest == .never { firstRequest = sentAt }
        lastRequest = sentAt
        firstByte.record(span)
    }
}

/// What is counted of one listener.
struct ListenerTotals: ~Copyable {
    var accepted: UInt64 = 0
    var open: UInt64 = 0
}

/// Counts by outcome.
public struct OutcomeCounts: Sendable {
    // One for each kind, and a few to spare; a test counts them.
    private var counts = [32 of UInt64](repeating: 0)

    /// Nothing yet.
    public init() {}

    /// How many ended so.
    @inline(__always) public subscript(kind: Outcome.Kind) -> UInt64 {
        get { counts[Int(kind.rawValue)] }
        set { counts[Int(kind.rawValue)] = newValue }
    }

    /// Adds what others have counted.
    public mutating func add(_ other: OutcomeCounts) {
        for i in counts.indices { counts[i] &+= other.counts[i] }
    }
}

/// All that one worker counts, by slot, and whose slots they are.
struct Totals: ~Copyable {
    let routes = Slab<RouteTotals>(capacity: 1 << 17) { RouteTotals() }
    let services = Slab<ServiceTotals>(capacity: 1 << 17) { ServiceTotals() }
    let endpoints = Slab<EndpointTotals>(capacity: 1 << 18) {
        EndpointTotals(
            key: EndpointKey(service: "", address: NetworkAddress(ip: IPAddress(high: 0, low: 0), port: 0)))
    }
    let listeners = Slab<ListenerTotals>(capacity: 1 << 14) { ListenerTotals() }
    /// How many requests and connections we refused, by outcome and, for rejections, by rejection. Not inline: what
    /// holds all this is copied now and then by code that only looks at it.
    private var refusals = Table<UInt64>(capacity: 0)
    private var rejections = Table<UInt64>(capacity: 0)
    /// How handshakes ended, by outcome and version.
    private var handshakes = Table<UInt64>(capacity: 0)
    private var connectionRefusals = Table<UInt64>(capacity: 0)

    private(set) var routeNames = Retention<RouteKey>()
    private(set) var serviceNames = Retention<String>()
    private(set) var endpointNames = Retention<EndpointKey>()
    private(set) var listenerNames = Retention<String>()

    /// Nothing counted.
    init() {
        refusals = Self.zeros(Outcome.Kind.allCases.count)
        rejections = Self.zeros(Rejection.allCases.count)
        handshakes = Self.zeros(HandshakeOutcome.allCases.count * TLSVersion.allCases.count)
        connectionRefusals = Self.zeros(ConnectionRefusal.allCases.count)
    }

    private static func zeros(_ count: Int) -> Table<UInt64> {
        var table = Table<UInt64>(capacity: count)
        for _ in 0..<count { _ = table.append(0) }
        return table
    }

    deinit {
        routes.destroy()
        services.destroy()
        endpoints.destroy()
        listeners.destroy()
    }

    // MARK: Names

    /// The slot of a rule and a service.
    mutating func use(_ key: RouteKey) -> SlotID { routeNames.use(key) { routes.insert(RouteTotals()) } }
    /// The slot of a service.
    mutating func use(service: String) -> SlotID { serviceNames.use(service) { services.insert(ServiceTotals()) } }
    /// The slot of an endpoint.
    mutating func use(_ key: EndpointKey) -> SlotID {
        endpointNames.use(key) { endpoints.insert(EndpointTotals(key: key)) }
    }
    /// The slot of an endpoint that has just come.
    mutating func use(_ key: EndpointKey, by id: EndpointID) -> SlotID {
        let slot = use(key)
        if endpoints.contains(slot), endpoints[slot.index].tenure.id != id {
            endpoints[slot.index].tenure = Tenure()
            endpoints[slot.index].tenure.id = id
        }
        return slot
    }
    /// The slot of a listener.
    mutating func use(listener: String) -> SlotID { listenerNames.use(listener) { listeners.insert(ListenerTotals()) } }

    /// A rule with a service is there no more.
    mutating func release(_ key: RouteKey, at now: Instant) { routeNames.release(key, at: now) }
    /// A service is there no more.
    mutating func release(service: String, at now: Instant) { serviceNames.release(service, at: now) }
    /// An endpoint is there no more.
    mutating func release(endpoint slot: SlotID, at now: Instant) {
        if endpoints.contains(slot) { endpointNames.release(endpoints[slot.index].key, at: now) }
    }
    /// A listener is there no more.
    mutating func release(listener: String, at now: Instant) { listenerNames.release(listener, at: now) }

    /// Forgets what has been gone for long enough.
    mutating func forget(at now: Instant) {
        for slot in routeNames.forget(at: now) { routes.remove(slot.index) }
        for slot in serviceNames.forget(at: now) { services.remove(slot.index) }
        for slot in endpointNames.forget(at: now) { endpoints.remove(slot.index) }
        // As long as its clients are connected they are told of.
        let closed = listenerNames.forget(at: now, isNeeded: { listeners[$0.index].open > 0 })
        for slot in closed { listeners.remove(slot.index) }
    }

    // MARK: Counting

    /// Counts a request or a connection that we refused.
    mutating func refused(_ outcome: Outcome) {
        guard outcome.kind.isRefusal else { return }
        refusals[Int(outcome.kind.rawValue)] &+= 1
        if case .rejected(let rejection) = outcome { rejections[Int(rejection.rawValue)] &+= 1 }
    }

    /// Counts a connection that we refused.
    mutating func refused(_ refusal: ConnectionRefusal) { connectionRefusals[Int(refusal.rawValue)] &+= 1 }

    /// How many connections were refused for this reason.
    borrowing func connectionRefusals(_ refusal: ConnectionRefusal) -> UInt64 {
        connectionRefusals[Int(refusal.rawValue)]
    }
    /// How many requests and connections ended so because we refused them.
    borrowing func refusals(_ kind: Outcome.Kind) -> UInt64 { refusals[Int(kind.rawValue)] }
    /// Counts a handshake that is over.
    mutating func handshakeEnded(_ outcome: HandshakeOutcome, _ version: TLSVersion) {
        handshakes[Int(outcome.rawValue) * TLSVersion.allCases.count + Int(version.rawValue)] &+= 1
    }

    /// How many handshakes ended so.
    borrowing func handshakes(_ outcome: HandshakeOutcome, _ version: TLSVersion) -> UInt64 {
        handshakes[Int(outcome.rawValue) * TLSVersion.allCases.count + Int(version.rawValue)]
    }

    /// How many requests were rejected for this reason.
    borrowing func rejections(_ rejection: Rejection) -> UInt64 { rejections[Int(rejection.rawValue)] }
}
