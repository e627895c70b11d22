// What has a worker to tell? One whole value, made when somebody asks; those of all workers are added up by name.

/// What one worker, or several together, have counted, and how they are now.
public struct WorkerTelemetry: Sendable {
    /// Requests that one rule met and one service got. Either name may be empty: no rule met them, or they were not
    /// forwarded.
    public struct Route: Sendable {
        /// The rule, as the log names it.
        public var route: String
        /// The service's configured name.
        public var service: String
        /// How many, by method and status.
        public var requests: [RequestCount] = []
        /// From the request's head read to the exchange's end.
        public var duration = Histogram()
        /// Bytes of request bodies.
        public var requestBytes: UInt64 = 0
        /// Bytes of responses, heads included.
        public var responseBytes: UInt64 = 0
    }

    /// A service.
    public struct Service: Sendable {
        /// Its configured name.
        public var service: String
        /// Requests under way.
        public var inFlight = 0
        /// Those of them that wait for an endpoint with room.
        public var waiting = 0
        /// From the request's last byte sent to the answer's first byte.
        public var upstreamDuration = Histogram()
        /// Connections made.
        public var connected: UInt64 = 0
        /// Connections that were not made, by reason.
        public var connectRefused: UInt64 = 0
        /// Connections that were not made in time.
        public var connectTimeout: UInt64 = 0
        /// Connections to where no way leads.
        public var connectUnreachable: UInt64 = 0
        /// Connections over which TLS did not come about.
        public var connectInsecure: UInt64 = 0
        /// Attempts after a request's first one that brought an answer.
        public var retriesAnswered: UInt64 = 0
        /// Attempts after a request's first one that did not.
        public var retriesFailed: UInt64 = 0
        /// Requests for which there was no endpoint.
        public var unanswered: UInt64 = 0
        /// Connections to its endpoints that wait for a request.
        public var idleConnections = 0
        /// Connections to its endpoints that serve a request.
        public var activeConnections = 0
        /// Connections to its endpoints that are being made.
        public var connectingConnections = 0
    }

    /// How attempts at an address of a service ended. A series goes on when another pod has the address.
    public struct Attempts: Sendable {
        /// The service's configured name.
        public var service: String
        /// The endpoint's address.
        public var address: NetworkAddress
        /// How many ended how.
        public var outcomes = OutcomeCounts()
        /// Requests that waited there and went elsewhere, unseen, because it left.
        public var moved: UInt64 = 0
        /// Requests that it failed, and that were sent elsewhere.
        public var retried: UInt64 = 0
        /// Answers that were not the service's.
        public var ghosts: UInt64 = 0

        /// Who has, or had, the address last. What follows is of that one alone.
        public var id: EndpointID?
        /// When the first request was sent there that was answered; nil: none was.
        public var firstRequest: Instant?
        /// When the last request was sent there that was answered or failed; nil: none was.
        public var lastRequest: Instant?
        /// From the request's last byte sent to the answer's first byte.
        public var firstByte = Histogram()
    }

    /// An endpoint of a service as it is now, one that is gone and still finishes requests included.
    public struct Endpoint: Sendable {
        /// The service's configured name.
        public var service: String
        /// What makes it itself.
        public var id: EndpointID
        /// Where it is.
        public var address: NetworkAddress
        /// Whether its service has it.
        public var isCurrent: Bool
        /// Requests under way.
        public var inFlight: Int
        /// Connections that wait for a request.
        public var idleConnections: Int
        /// Its recent time to the first byte, in nanoseconds: it rises at once and falls slowly. nil before the first.
        public var latencyNanoseconds: Int64?
    }

    /// The clients of a listener.
    public struct ListenerClients: Sendable {
        /// Its configured name.
        public var listener: String
        /// Clients that are connected.
        public var open: UInt64 = 0
        /// Clients that were ever.
        public var accepted: UInt64 = 0
    }

    /// When the worker's turn was that tells this; the oldest of several.
    public var turn = Instant.never
    /// By rule and service.
    public var routes: [Route] = []
    /// By service.
    public var services: [Service] = []
    /// By service and address.
    public var attempts: [Attempts] = []
    /// By service and identity.
    public var endpoints: [Endpoint] = []
    /// By listener.
    public var listeners: [ListenerClients] = []
    /// Requests and connections that we refused, by the words of rejections and outcomes.
    public var refusals: [(reason: StaticString, count: UInt64)] = []
    /// Lines of the access log that found no room.
    public var droppedLogLines: UInt64 = 0
    /// TLS handshakes with clients that are over, by outcome and version; none that never came.
    public var handshakes: [HandshakeCount] = []
    /// The heads that were refused last, the latest one last.
    public var refusedHeads: [RefusedHead] = []
    /// Sums over everything.
    public var counters = Counters()

    /// Nothing to tell.
    public init() {}

    /// What several workers have to tell together, by name.
    public static func merged(_ all: [WorkerTelemetry]) -> WorkerTelemetry {
        var sum = WorkerTelemetry()
        var routes = Merging<RouteKey, Route>()
        var services = Merging<String, Service>()
        var attempts = Merging<EndpointKey, Attempts>()
        var endpoints = Merging<IdentityKey, (endpoint: Endpoint, latencies: Int64)>()
        var listeners = Merging<String, ListenerClients>()
        var reasons: [(reason: StaticString, count: UInt64)] = []
        for one in all {
            sum.turn = min(sum.turn, one.turn)
            sum.droppedLogLines &+= one.droppedLogLines
            sum.counters = sum.counters + one.counters
            sum.refusedHeads += one.refusedHeads
            for route in one.routes {
                routes.add(RouteKey(route: route.route, service: route.service), route) { $0.add(route) }
            }
            for service in one.services { services.add(service.service, service) { $0.add(service) } }
            for attempt in one.attempts {
                attempts.add(EndpointKey(service: attempt.service, address: attempt.address), attempt) {
                    $0.add(attempt)
                }
            }
            for endpoint in one.endpoints {
                let key = IdentityKey(service: endpoint.service, id: endpoint.id, address: endpoint.address)
                let latencies: Int64 = endpoint.latencyNanoseconds == nil ? 0 : 1
                endpoints.add(key, (endpoint, latencies)) { merged in
                    merged.endpoint.inFlight += endpoint.inFlight
                    merged.endpoint.idleConnections += endpoint.idleConnections
                    merged.endpoint.isCurrent = merged.endpoint.isCurrent || endpoint.isCurrent
                    // The mean of those workers that know one.
                    guard let latency = endpoint.latencyNanoseconds else { return }
                    let before = merged.endpoint.latencyNanoseconds ?? 0
                    merged.latencies += 1
                    merged.endpoint.latencyNanoseconds = before + (latency - before) / merged.latencies
                }
            }
            for listener in one.listeners {
                listeners.add(listener.listener, listener) {
                    $0.open &+= listener.open
                    $0.accepted &+= listener.accepted
                }
            }
            for handshake in one.handshakes {
                let at = sum.handshakes.firstIndex {
                    $0.outcome == handshake.outcome && $0.version == handshake.version
                }
                if let at { sum.handshakes[at].count &+= handshake.count } else { sum.handshakes.append(handshake) }
            }
            for (reason, count) in one.refusals {
                if let at = reasons.firstIndex(where: { $0.reason.description == reason.description }) {
                    reasons[at].count &+= count
                } else {
                    reasons.append((reason, count))
                }
            }
        }
        sum.routes = routes.values
        sum.services = services.values
        sum.attempts = attempts.values
        sum.endpoints = endpoints.values.map(\.endpoint)
        sum.listeners = listeners.values
        sum.refusals = reasons
        sum.refusedHeads.sort { $0.wallMicroseconds < $1.wallMicroseconds }
        sum.refusedHeads.removeFirst(max(0, sum.refusedHeads.count - RefusedHead.most))
        return sum
    }

    private struct IdentityKey: Hashable {
        var service: String
        var id: EndpointID
        var address: NetworkAddress
    }
}

/// Values of equal keys become one; the order is that in which keys first came.
private struct Merging<Key: Hashable, Value> {
    private(set) var values: [Value] = []
    private var places: [Key: Int] = [:]

    mutating func add(_ key: Key, _ value: Value, merge: (inout Value) -> Void) {
        if let place = places[key] {
            merge(&values[place])
        } else {
            places[key] = values.count
            values.append(value)
        }
    }
}

extension WorkerTelemetry.Route {
    fileprivate mutating func add(_ other: WorkerTelemetry.Route) {
        for request in other.requests {
            if let at = requests.firstIndex(where: { $0.method == request.method && $0.code == request.code }) {
                requests[at].count &+= request.count
            } else {
                requests.append(request)
            }
        }
        duration.add(other.duration)
        requestBytes &+= other.requestBytes
        responseBytes &+= other.responseBytes
    }
}

extension WorkerTelemetry.Attempts {
    fileprivate mutating func add(_ other: WorkerTelemetry.Attempts) {
        outcomes.add(other.outcomes)
        moved &+= other.moved
        retried &+= other.retried
        ghosts &+= other.ghosts
        // A worker that has not read its mail yet may still have the one before.
        guard id == other.id else { return }
        firstRequest = [firstRequest, other.firstRequest].compactMap(\.self).min()
        lastRequest = [lastRequest, other.lastRequest].compactMap(\.self).max()
        firstByte.add(other.firstByte)
    }
}

extension WorkerTelemetry.Service {
    fileprivate mutating func add(_ other: WorkerTelemetry.Service) {
        inFlight += other.inFlight
        waiting += other.waiting
        upstreamDuration.add(other.upstreamDuration)
        connected &+= other.connected
        connectRefused &+= other.connectRefused
        connectTimeout &+= other.connectTimeout
        connectUnreachable &+= other.connectUnreachable
        connectInsecure &+= other.connectInsecure
        retriesAnswered &+= other.retriesAnswered
        retriesFailed &+= other.retriesFailed
        unanswered &+= other.unanswered
        idleConnections += other.idleConnections
        activeConnections += other.activeConnections
        connectingConnections += other.connectingConnections
    }
}
