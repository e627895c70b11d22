// Which endpoint? What one worker knows of services and endpoints: kept over generations by name and identity, so
// that a request keeps the service it began with, and a count belongs to the endpoint and not to its address.

/// A service, as one worker knows it.
struct ServiceRecord: ~Copyable {
    /// Slots of its endpoints.
    var members = Table<Int32>(capacity: 0)
    /// How long a connect may take.
    var connectTimeout = Instant.Span(nanoseconds: 0)
    /// From the request's end to the response's first byte.
    var responseTimeout = Instant.Span(nanoseconds: 0)
    /// Between two reads of a response's body.
    var idleTimeout = Instant.Span(nanoseconds: 0)
    /// Requests under way, which keep the record alive after its service is gone.
    var inFlight: Int32 = 0
    /// Whether the latest snapshot has it.
    var isCurrent = false
    /// Its name.
    var name = ""
    /// The slot that counts for it.
    var totals = SlotID.none
    /// How long one try may take while another endpoint may be asked.
    var tryTimeout = Instant.Span(nanoseconds: .max)
    /// When requests are repeated.
    var retry = RetrySpec()
    /// The repetitions that it may have now.
    var budget = RetryBudget()
    /// Failures in a row that are told; 0: none are.
    var failuresMax: Int32 = 0
    /// What each answer must carry.
    var identity = IdentityCheck()
    /// For how long its idle connections are good.
    var idleLimit = IdleLimit()
}

/// What one worker knows of an endpoint of one service. The same pod in two services has two, so that each service
/// counts and connects for itself.
struct EndpointLedger: ~Copyable {
    /// Whether it gets requests.
    enum Standing: UInt8 {
        /// Its service has it.
        case current
        /// Its service is there and has it no more: nothing may be sent to its address.
        case gone
        /// Its service is there no more; requests that began with it are finished.
        case withoutService
    }

    /// What makes it itself.
    var id = EndpointID("")
    /// Where it is.
    var address = NetworkAddress(ip: IPAddress(v4: 0), port: 0)
    /// Requests under way.
    var inFlight: Int32 = 0
    /// Connections of any state, which keep the ledger alive after its endpoint is gone.
    var connections: Int32 = 0
    /// The pooled connection that was used last; -1 for none.
    var firstIdle: Int32 = -1
    /// Pooled connections.
    var idleCount: Int32 = 0
    /// Connections that are being made.
    var connecting: Int32 = 0
    /// Its service's slot, as long as that has it.
    var service: Int32 = -1
    /// The slot that counts for its address.
    var totals = SlotID.none
    /// Failures since the last answer.
    var failures: Int32 = 0
    /// Its recent time to the first byte, in nanoseconds; -1 before the first answer.
    private(set) var latency: Int64 = -1
    /// Whether it gets requests.
    var standing = Standing.current
    /// What the control plane knows of it.
    var traits = EndpointTraits()
    /// Whether its service has it.
    var isCurrent: Bool { standing == .current }
    /// What it was made for.
    var endpoint: Endpoint { Endpoint(id: id, address: address, traits: traits) }

    /// Moves the latency an eighth of the way to that of an answer: a mean of the last dozen or so, without a clock.
    @inline(__always) mutating func noteLatency(_ span: Instant.Span) {
        let nanoseconds = max(0, span.nanoseconds)
        latency = latency < 0 ? nanoseconds : latency &+ (nanoseconds &- latency) / 8
    }
}

/// All services and endpoints of one worker.
package struct ServiceDirectory: ~Copyable {
    /// Services, by slot.
    let services = Slab<ServiceRecord>(capacity: 1 << 16) { ServiceRecord() }
    /// Endpoints, by slot.
    let endpoints = Slab<EndpointLedger>(capacity: 1 << 17) { EndpointLedger() }
    /// No services.
    package init() {}

    private var serviceSlots: [String: Int32] = [:]
    private var newcomers: [Int32] = []

    deinit {
        services.destroy()
        endpoints.destroy()
    }

    /// Takes over the services of a snapshot and returns their slots in its order. Records of those that are gone
    /// stay until nothing refers to them. `endpointLeft` is told the slot of each endpoint that is gone; whoever asked
    /// closes its pooled connections and then calls ``releaseEndpointIfUnused(_:)``.
    package mutating func adopt(_ snapshot: [Service], endpointLeft: (Int32) -> Void) -> [Int32] {
        let slots = snapshot.map { service in
            let slot = slot(of: service)
            update(slot, service.endpoints, endpointLeft)
            return slot
        }
        let names = Set(snapshot.map(\.name))
        for (name, slot) in serviceSlots where !names.contains(name) {
            serviceSlots[name] = nil
            services[slot].isCurrent = false
            for i in 0..<services[slot].members.count {
                let member = services[slot].members[i]
                endpoints[member].standing = .withoutService
                endpointLeft(member)
            }
            // A request that began with it goes nowhere else any more: those slots may soon be somebody else's.
            services[slot].members = Table(capacity: 0)
            releaseServiceIfUnused(slot)
        }
        return slots
    }

    /// Takes over the endpoints of one service. One that no snapshot has is passed over: it was there when this was
    /// sent. `endpointLeft` as in ``adopt(_:endpointLeft:)``.
    package mutating func adopt(_ change: EndpointsChange, endpointLeft: (Int32) -> Void) {
        guard let slot = serviceSlots[change.service] else { return }
        update(slot, change.endpoints, endpointLeft)
    }

    /// The slot of a service, with its times.
    private mutating func slot(of service: Service) -> Int32 {
        let slot: Int32
        if let known = serviceSlots[service.name] {
            slot = known
        } else {
            guard let id = services.insert(ServiceRecord()) else {
                preconditionFailure("configuration allows fewer services than there are slots")
            }
            slot = id.index
            serviceSlots[service.name] = slot
        }
        services[slot].connectTimeout = Instant.Span(service.connectTimeout)
        services[slot].responseTimeout = Instant.Span(service.responseTimeout)
        services[slot].idleTimeout = Instant.Span(service.idleTimeout)
        services[slot].tryTimeout =
            service.tryTimeout > .zero ? Instant.Span(service.tryTimeout) : Instant.Span(nanoseconds: .max)
        services[slot].retry = service.retry
        services[slot].failuresMax = Int32(clamping: service.outlier.consecutiveFailures)
        services[slot].identity = IdentityCheck(service.identity)
        services[slot].name = service.name
        services[slot].isCurrent = true
        return slot
    }

    /// Makes `wanted` the members of a service. Who stays keeps the ledger; identity and address together are compared,
    /// so that a ledger never leads elsewhere. The cost is that of both lists, not of their product.
    private mutating func update(_ service: Int32, _ wanted: [Endpoint], _ endpointLeft: (Int32) -> Void) {
        if hasMembers(service, wanted) { return }
        var known: [EndpointIdentity: Int32] = [:]
        known.reserveCapacity(max(wanted.count, services[service].members.count))
        for i in 0..<services[service].members.count {
            let member = services[service].members[i]
            endpoints[member].standing = .gone
            known[EndpointIdentity(endpoints[member].endpoint)] = member
        }
        var members = Table<Int32>(capacity: wanted.count)
        for endpoint in wanted {
            if let member = known[EndpointIdentity(endpoint)] {
                // One that is named twice is there once.
                if endpoints[member].isCurrent { continue }
                endpoints[member].standing = .current
                endpoints[member].traits = endpoint.traits
                _ = members.append(member)
            } else if let member = add(endpoint, to: service) {
                known[EndpointIdentity(endpoint)] = member
                _ = members.append(member)
            }
        }
        for i in 0..<services[service].members.count {
            let member = services[service].members[i]
            if !endpoints[member].isCurrent { endpointLeft(member) }
        }
        services[service].members = members
    }

    /// Whether a service has just these members, in this order.
    private func hasMembers(_ service: Int32, _ wanted: [Endpoint]) -> Bool {
        guard wanted.count == services[service].members.count else { return false }
        for (i, endpoint) in wanted.enumerated() {
            let member = services[service].members[i]
            if endpoints[member].endpoint != endpoint { return false }
        }
        return true
    }

    private mutating func add(_ endpoint: Endpoint, to service: Int32) -> Int32? {
        var ledger = EndpointLedger()
        ledger.id = endpoint.id
        ledger.address = endpoint.address
        ledger.traits = endpoint.traits
        ledger.service = service
        guard let slot = endpoints.insert(ledger)?.index else { return nil }
        newcomers.append(slot)
        return slot
    }

    /// Endpoints that came since this was last asked.
    mutating func takeNewcomers() -> [Int32] {
        defer { newcomers.removeAll(keepingCapacity: true) }
        return newcomers
    }

    /// TODO(balance)
    mutating func hold(_ endpoint: Int32, until: Instant) {}
    mutating func holdAsGhost(_ endpoint: Int32) {}
    mutating func noteFailure(_ endpoint: Int32, now: Instant) {}

    /// Frees the ledger of an endpoint that is gone once its last connection is.
    mutating func releaseEndpointIfUnused(_ slot: Int32) {
        guard !endpoints[slot].isCurrent, endpoints[slot].connections == 0, endpoints[slot].inFlight == 0 else {
            return
        }
        endpoints.remove(slot)
    }

    /// Frees the record of a service that is gone once its last request is over.
    mutating func releaseServiceIfUnused(_ slot: Int32) {
        guard !services[slot].isCurrent, services[slot].inFlight == 0 else { return }
        services.remove(slot)
    }
}
