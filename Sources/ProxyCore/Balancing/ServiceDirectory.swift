// Which endpoint? What one worker knows of services and endpoints: kept over generations by name and identity, so
// that a request keeps the service it began with, and a count belongs to the endpoint and not to its address.

/// A service, as one worker knows it.
struct ServiceRecord: ~Copyable {
    /// Slots of its endpoints.
    var members = Table<Int32>(capacity: 0)
    /// Those that get its requests: the near ones, or all where none is near.
    var near = Tier()
    /// The far ones, where some are near.
    var far = Tier()
    /// How the next endpoint is found.
    var method = BalanceSpec.Method.leastRequest
    /// For how long a new endpoint gets less than its share.
    var slowStart = Instant.Span(nanoseconds: 0)
    /// Requests that an endpoint has at once, from the whole process; 0: as many as come.
    var maxConcurrent: Int32 = 0
    /// Requests that may wait for an endpoint with room, in the whole process.
    var queueMax: Int32 = 0
    /// How long one may wait: never longer than for an answer.
    var queueTimeout = Instant.Span(nanoseconds: 0)
    /// The requests that wait in this worker, the one that came first at the front; -1 for none.
    var firstWaiting: Int32 = -1
    var lastWaiting: Int32 = -1
    var waitingCount: Int32 = 0
    /// The requests that wait in all workers, as long as there is a limit.
    var queueLoad: SharedPlace?
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
    /// Whether its endpoints are spoken to over TLS.
    var isSecure = false
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
    /// Requests under way, from the moment in which it was picked. Changed by `claim` and `giveBack` alone.
    var inFlight: Int32 = 0
    /// How fast it is, and in what state.
    var load = EndpointLoad()
    /// Requests under way from all workers, where the service has a limit.
    private(set) var shared: SharedPlace?
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
    /// Whether it gets requests.
    var standing = Standing.current
    /// What the control plane knows of it.
    var traits = EndpointTraits()
    /// Whether its service has it.
    var isCurrent: Bool { standing == .current }
    /// What it was made for.
    var endpoint: Endpoint { Endpoint(id: id, address: address, traits: traits) }

    /// Whether it may have another request, as of now.
    @inline(__always) func hasRoom(_ limit: Int32) -> Bool { limit == 0 || shared?.hasRoom(limit) ?? true }

    /// Counts a request, unless that would be one more than the limit allows. Whether it was counted.
    @inline(__always) mutating func claim(_ limit: Int32) -> Bool {
        if let shared, !shared.claim(limit == 0 ? .max : limit) { return false }
        inFlight &+= 1
        return true
    }

    /// A request that was counted is over.
    @inline(__always) mutating func giveBack() {
        inFlight &-= 1
        shared?.giveBack()
    }

    /// From now on its requests count for the whole process.
    mutating func join(_ loads: SharedLoads, _ service: String) {
        guard shared == nil else { return }
        let key = SharedLoads.Key(service: service, endpoint: EndpointIdentity(endpoint))
        shared = SharedPlace(loads, key)
        shared?.add(inFlight)
    }

    /// Its requests count for this worker alone.
    mutating func leave(_ loads: SharedLoads) {
        shared?.add(0 &- inFlight)
        shared?.leave(loads)
        shared = nil
    }
}

/// All services and endpoints of one worker.
package struct ServiceDirectory: ~Copyable {
    /// Services, by slot.
    let services = Slab<ServiceRecord>(capacity: 1 << 16) { ServiceRecord() }
    /// Endpoints, by slot.
    let endpoints = Slab<EndpointLedger>(capacity: 1 << 17) { EndpointLedger() }
    /// What is counted with other workers.
    let loads: SharedLoads

    /// No services. Workers of one process have the same `loads`.
    package init(loads: SharedLoads = SharedLoads()) { self.loads = loads }

    private var serviceSlots: [String: Int32] = [:]
    private var newcomers: [Int32] = []

    deinit {
        for slot in 0..<endpoints.slotCount where endpoints.isUsed(slot) { endpoints[slot].leave(loads) }
        for slot in 0..<services.slotCount where services.isUsed(slot) { services[slot].queueLoad?.leave(loads) }
        services.destroy()
        endpoints.destroy()
    }

    /// Takes over the services of a snapshot and returns their slots in its order. Records of those that are gone
    /// stay until nothing refers to them. `endpointLeft` is told the slot of each endpoint that is gone; whoever asked
    /// closes its pooled connections and then calls ``releaseEndpointIfUnused(_:)``.
    package mutating func adopt(
        _ snapshot: [Service], now: Instant, endpointLeft: (Int32) -> Void
    ) -> [Int32] {
        let slots = snapshot.map { service in
            let slot = slot(of: service)
            update(slot, service.endpoints, now, endpointLeft)
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
            arrange(slot)
            releaseServiceIfUnused(slot)
        }
        return slots
    }

    /// Takes over the endpoints of one service. One that no snapshot has is passed over: it was there when this was
    /// sent. `endpointLeft` as in ``adopt(_:now:endpointLeft:)``.
    package mutating func adopt(_ change: EndpointsChange, now: Instant, endpointLeft: (Int32) -> Void) {
        guard let slot = serviceSlots[change.service] else { return }
        update(slot, change.endpoints, now, endpointLeft)
    }

    /// The slot of a service, with its times and policies.
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
        services[slot].isSecure = service.isSecure
        services[slot].name = service.name
        adopt(service.balance, slot)
        services[slot].isCurrent = true
        return slot
    }

    private func adopt(_ balance: BalanceSpec, _ slot: Int32) {
        services[slot].method = balance.method
        services[slot].slowStart = Instant.Span(balance.slowStart)
        services[slot].maxConcurrent = Int32(clamping: max(0, balance.maxConcurrent))
        services[slot].queueMax = Int32(clamping: max(0, balance.queue))
        services[slot].queueTimeout = min(Instant.Span(balance.queueTimeout), services[slot].responseTimeout)
        let isLimited = services[slot].maxConcurrent > 0
        if isLimited == (services[slot].queueLoad != nil) { return }
        if isLimited {
            services[slot].queueLoad = SharedPlace(loads, SharedLoads.Key(service: services[slot].name))
            services[slot].queueLoad?.add(services[slot].waitingCount)
        } else {
            services[slot].queueLoad?.add(0 &- services[slot].waitingCount)
            services[slot].queueLoad?.leave(loads)
            services[slot].queueLoad = nil
        }
        for i in 0..<services[slot].members.count {
            let member = services[slot].members[i]
            if isLimited { endpoints[member].join(loads, services[slot].name) } else { endpoints[member].leave(loads) }
        }
    }

    /// Makes `wanted` the members of a service. Who stays keeps the ledger; identity and address together are compared,
    /// so that a ledger never leads elsewhere. The cost is that of both lists, not of their product.
    private mutating func update(
        _ service: Int32, _ wanted: [Endpoint], _ now: Instant, _ endpointLeft: (Int32) -> Void
    ) {
        if hasMembers(service, wanted) { return }
        // Where nobody was there before, nobody is new in comparison.
        let isFirst = services[service].members.count == 0
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
                takeOver(endpoint.traits, member, now)
                _ = members.append(member)
            } else if let member = add(endpoint, to: service) {
                if !isFirst { endpoints[member].load.ramp(from: now, services[service].slowStart) }
                known[EndpointIdentity(endpoint)] = member
                _ = members.append(member)
            }
        }
        for i in 0..<services[service].members.count {
            let member = services[service].members[i]
            if !endpoints[member].isCurrent { endpointLeft(member) }
        }
        services[service].members = members
        arrange(service)
    }

    private func takeOver(_ traits: EndpointTraits, _ member: Int32, _ now: Instant) {
        let wasHeldBack = endpoints[member].traits.isHeldBack
        endpoints[member].traits = traits
        if traits.isHeldBack == wasHeldBack { return }
        if traits.isHeldBack { return endpoints[member].load.heldBackByOthers(now) }
        endpoints[member].load.isLetGo(now, slowStart: services[endpoints[member].service].slowStart)
    }

    /// Compiles who competes with whom for a service's requests.
    private func arrange(_ service: Int32) {
        var near: [(slot: Int32, weight: UInt16)] = []
        var far: [(slot: Int32, weight: UInt16)] = []
        for i in 0..<services[service].members.count {
            let member = services[service].members[i]
            let traits = endpoints[member].traits
            if traits.isHeldBack || traits.weight == 0 { continue }
            if traits.isNear { near.append((member, traits.weight)) } else { far.append((member, traits.weight)) }
        }
        // Compared with each other, also across the tiers.
        let all = near + far
        let mean = Float(all.reduce(0) { $0 + Int($1.weight) }) / Float(max(1, all.count))
        for (slot, weight) in all { endpoints[slot].load.loadFactor = mean / Float(weight) }
        services[service].near.arrange(near.isEmpty ? far : near)
        services[service].far.arrange(near.isEmpty ? [] : far)
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
        if services[service].maxConcurrent > 0 { endpoints[slot].join(loads, services[service].name) }
        newcomers.append(slot)
        return slot
    }

    /// Endpoints that came since this was last asked.
    mutating func takeNewcomers() -> [Int32] {
        defer { newcomers.removeAll(keepingCapacity: true) }
        return newcomers
    }

    // MARK: What requests met

    /// An answer's first byte came from an endpoint, `span` after its request had gone.
    @inline(__always)
    mutating func noteLatency(_ endpoint: Int32, _ span: Instant.Span, now: Instant) {
        endpoints[endpoint].load.noteLatency(span, now)
    }

    /// A request failed at an endpoint: others are better for a while.
    mutating func noteFailure(_ endpoint: Int32, now: Instant) { endpoints[endpoint].load.noteFailure(now) }

    /// Gives an endpoint nothing until `until`, or until the control plane holds it back and lets it go. Where all others
    /// are held, it is asked all the same.
    mutating func hold(_ endpoint: Int32, until: Instant) {
        endpoints[endpoint].load.hold(until: until, slowStart: slowStart(of: endpoint))
    }

    /// Gives an endpoint nothing as ``hold(_:until:)`` does, even where there is no other: a stranger answers there.
    mutating func holdAsGhost(_ endpoint: Int32, until: Instant) {
        endpoints[endpoint].load.holdAsGhost(until: until, slowStart: slowStart(of: endpoint))
    }

    private func slowStart(of endpoint: Int32) -> Instant.Span {
        // The record of a service that is gone may be another's by now.
        guard endpoints[endpoint].isCurrent else { return Instant.Span(nanoseconds: 0) }
        return services[endpoints[endpoint].service].slowStart
    }

    // MARK: Waiting

    /// Counts a request that waits for an endpoint with room, unless as many wait in the process as may. Whether it was
    /// counted.
    mutating func claimWaiting(_ service: Int32) -> Bool {
        // Without a limit nobody needs to wait; but a place that is there may be lost to others for a moment.
        if let load = services[service].queueLoad, !load.claim(services[service].queueMax) { return false }
        services[service].waitingCount &+= 1
        return true
    }

    /// A request waits no more.
    mutating func giveBackWaiting(_ service: Int32) {
        services[service].waitingCount &-= 1
        services[service].queueLoad?.giveBack()
    }

    // MARK: Ends

    /// Frees the ledger of an endpoint that is gone once its last connection is.
    mutating func releaseEndpointIfUnused(_ slot: Int32) {
        guard !endpoints[slot].isCurrent, endpoints[slot].connections == 0, endpoints[slot].inFlight == 0 else {
            return
        }
        endpoints[slot].leave(loads)
        endpoints.remove(slot)
    }

    /// Frees the record of a service that is gone once its last request is over.
    mutating func releaseServiceIfUnused(_ slot: Int32) {
        guard !services[slot].isCurrent, services[slot].inFlight == 0 else { return }
        services[slot].queueLoad?.leave(loads)
        services.remove(slot)
    }
}
