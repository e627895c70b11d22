// Who looks after the endpoints of all services? One `ServiceCare` each, and the counts that outlive an endpoint. Pure.

import ProxyCore

/// The care for all services.
struct Caretaker: Sendable {
    /// What one event, or the passing of time, has changed.
    struct Turn: Sendable {
        /// The services that have another list now.
        var changes: [EndpointsChange] = []
        var events: [CareEvent] = []
    }

    /// Answers of somebody else, by the service that was asked and where.
    struct Mismatch: Sendable, Hashable {
        var service: String
        var address: NetworkAddress
    }

    private var services: [String: ServiceCare] = [:]
    /// When the next ejection of a service ends; only of those that have one.
    private var deadlines: [String: Instant] = [:]
    /// How often endpoints of each service were ejected, by reason: `failures`, `ghost`.
    private(set) var ejections: [String: [String: Int]] = [:]
    private(set) var mismatches: [Mismatch: Int] = [:]
    /// Addresses whose mismatches are counted; those of endpoints that have gone make room for others.
    private static let mismatchesMax = 4096

    init(_ specs: [ServiceSpec]) {
        for spec in specs { services[spec.name] = ServiceCare(spec.name, spec.care) }
    }

    /// Who can answer for `service` now, those that are held back marked.
    func endpoints(of service: String) -> [Endpoint] { services[service]?.endpoints ?? [] }

    /// Whether probes and ejections of `service` are not listened to.
    func isPanic(_ service: String) -> Bool { services[service]?.isPanic ?? false }

    /// What is known of one endpoint.
    func patient(_ service: String, _ id: EndpointID) -> ServiceCare.Patient? { services[service]?.patients[id] }

    /// How the endpoints of `service` are looked after.
    func spec(_ service: String) -> CareSpec? { services[service]?.spec }

    /// Whether probes of `service` can tell it from another one.
    func probesCheckIdentity(_ service: String) -> Bool { services[service]?.probesCheckIdentity ?? false }

    /// When ``advance(now:)`` has something to do.
    var nextDeadline: Instant { deadlines.values.min() ?? .never }

    // MARK: What goes in

    /// The configuration has these services from now on.
    mutating func update(_ specs: [ServiceSpec], now: Instant) -> Turn {
        var turn = Turn()
        let names = Set(specs.lazy.map(\.name))
        services = services.filter { names.contains($0.key) }
        deadlines = deadlines.filter { names.contains($0.key) }
        ejections = ejections.filter { names.contains($0.key) }
        mismatches = mismatches.filter { names.contains($0.key.service) }
        for spec in specs {
            change(spec.name, &turn) { care, events in
                guard care != nil else {
                    care = ServiceCare(spec.name, spec.care)
                    return false
                }
                return care?.update(spec.care, now: now, &events) ?? false
            }
        }
        return turn
    }

    /// Witnesses call other endpoints of a service usable; `known` are all that anybody names. It is told in any case.
    mutating func take(_ change: EndpointsChange, known: Set<EndpointID>, now: Instant, _ turn: inout Turn) {
        turn.changes.removeAll { $0.service == change.service }
        self.change(change.service, &turn) { care, events in
            care?.take(change.endpoints, known: known, now: now, &events)
            return care != nil
        }
    }

    /// Probes have found something.
    mutating func probed(_ changes: [HealthChange], now: Instant) -> Turn {
        var turn = Turn()
        for item in changes {
            change(item.service, &turn) { care, events in care?.probed(item, now: now, &events) ?? false }
        }
        return turn
    }

    /// A probe was answered by somebody else.
    mutating func probeMet(_ ghost: GhostFinding, now: Instant) -> Turn {
        var turn = Turn()
        change(ghost.service, &turn) { care, events in care?.probeMet(ghost, now: now, &events) ?? false }
        countMismatch(ghost.service, ghost.id, ghost.address)
        return turn
    }

    /// Workers have seen something.
    mutating func sighted(_ sightings: [Sighting], now: Instant) -> Turn {
        var turn = Turn()
        for item in sightings {
            change(item.service, &turn) { care, events in care?.sighted(item, now: now, &events) ?? false }
            if case .ghost = item.kind { countMismatch(item.service, item.endpoint, item.address) }
        }
        return turn
    }

    /// Time has passed.
    mutating func advance(now: Instant) -> Turn {
        var turn = Turn()
        for (name, deadline) in deadlines where deadline <= now {
            change(name, &turn) { care, events in care?.advance(now: now, &events) ?? false }
        }
        return turn
    }

    // MARK: Details

    /// Lets something happen to a service, and tells its list where that says it is another one.
    private mutating func change(
        _ service: String, _ turn: inout Turn, _ body: (inout ServiceCare?, inout [CareEvent]) -> Bool
    ) {
        var events: [CareEvent] = []
        let isOther = body(&services[service], &events)
        for event in events {
            switch event.kind {
            case .ejected: ejections[service, default: [:]]["failures", default: 0] += 1
            case .ghost: ejections[service, default: [:]]["ghost", default: 0] += 1
            case .down, .up, .ghostGone, .spared, .returned, .panic, .panicOver: break
            }
        }
        turn.events += events
        let deadline = services[service]?.nextDeadline ?? .never
        if deadline == .never { deadlines[service] = nil } else { deadlines[service] = deadline }
        guard isOther, let care = services[service] else { return }
        let change = EndpointsChange(service: service, endpoints: care.endpoints)
        if let place = turn.changes.firstIndex(where: { $0.service == service }) {
            turn.changes[place] = change
        } else {
            turn.changes.append(change)
        }
    }

    private mutating func countMismatch(_ service: String, _ id: EndpointID, _ address: NetworkAddress) {
        guard let care = services[service], care.spec.identity != nil, care.patients[id] != nil else { return }
        let key = Mismatch(service: service, address: address)
        if mismatches[key] == nil, mismatches.count >= Self.mismatchesMax {
            mismatches = mismatches.filter { item in
                services[item.key.service]?.endpoints.contains { $0.address == item.key.address } == true
            }
            if mismatches.count >= Self.mismatchesMax { return }
        }
        mismatches[key, default: 0] += 1
    }
}
