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
}

/// What one worker knows of an endpoint.
struct EndpointLedger: ~Copyable {
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
    /// Whether the latest snapshot has it.
    var isCurrent = false
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
    private var endpointSlots: [EndpointID: Int32] = [:]

    deinit {
        services.destroy()
        endpoints.destroy()
    }

    /// Takes over the services of a snapshot and returns their slots in its order. Records of those that are gone
    /// stay until nothing refers to them. `endpointLeft` is told the slot of each endpoint that is gone; whoever asked
    /// closes its pooled connections and then calls ``releaseEndpointIfUnused(_:)``.
    package mutating func adopt(_ snapshot: [Service], endpointLeft: (Int32) -> Void) -> [Int32] {
        var nowCurrent = Set<EndpointID>()
        let slots = snapshot.map { service in
            var members: [Int32] = []
            for endpoint in service.endpoints {
                nowCurrent.insert(endpoint.id)
                if let slot = slot(of: endpoint) { members.append(slot) }
            }
            return update(service, members)
        }
        for (id, slot) in endpointSlots where !nowCurrent.contains(id) {
            endpointSlots[id] = nil
            endpoints[slot].isCurrent = false
            endpointLeft(slot)
        }
        let names = Set(snapshot.map(\.name))
        for (name, slot) in serviceSlots where !names.contains(name) {
            serviceSlots[name] = nil
            services[slot].isCurrent = false
            // A request that began with it goes nowhere else any more: those slots may soon be somebody else's.
            services[slot].members = Table(capacity: 0)
            releaseServiceIfUnused(slot)
        }
        return slots
    }

    private mutating func slot(of endpoint: Endpoint) -> Int32? {
        if let slot = endpointSlots[endpoint.id] { return slot }
        var ledger = EndpointLedger()
        ledger.id = endpoint.id
        ledger.address = endpoint.address
        ledger.isCurrent = true
        guard let id = endpoints.insert(ledger) else { return nil }
        endpointSlots[endpoint.id] = id.index
        return id.index
    }

    private mutating func update(_ service: Service, _ members: [Int32]) -> Int32 {
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
        services[slot].members = Table(capacity: members.count)
        for member in members { _ = services[slot].members.append(member) }
        services[slot].connectTimeout = Instant.Span(service.connectTimeout)
        services[slot].responseTimeout = Instant.Span(service.responseTimeout)
        services[slot].idleTimeout = Instant.Span(service.idleTimeout)
        services[slot].name = service.name
        services[slot].isCurrent = true
        return slot
    }

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
