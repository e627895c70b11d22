// How do probes and the workers' sightings change what is served? What they say goes to the caretaker, and what follows
// from it to the workers and to the log.

import ProxyCore

extension Discovery {
    /// For how long first results are waited for at most, whatever timeout a probe has.
    private static let firstHealthTakes = Instant.Span.milliseconds(5000)
    /// A probe that is at its timeout is a little over it when it says so; and many do not begin at one moment.
    private static let firstHealthSlack = Instant.Span.milliseconds(250)

    // MARK: What is heard

    /// Workers have seen something of endpoints.
    public func take(_ sightings: [Sighting]) {
        let care = caretaker.sighted(sightings, now: Clock.now())
        for sighting in sightings where caretaker.probesCheckIdentity(sighting.service) {
            // Until a probe shows otherwise, which is asked soon.
            guard let patient = caretaker.patient(sighting.service, sighting.endpoint),
                patient.address == sighting.address, case .ghost(let seen) = patient.ejection?.cause
            else { continue }
            prober.requestMetGhost(seen, sighting.service, sighting.endpoint)
        }
        told(care)
    }

    func probed(_ changes: [HealthChange]) { told(caretaker.probed(changes, now: Clock.now())) }

    func probeMet(_ ghost: GhostFinding) { told(caretaker.probeMet(ghost, now: Clock.now())) }

    private func told(_ care: Caretaker.Turn) {
        tell(care)
        endNaps()
        setAlarm()
    }

    // MARK: Who is probed

    /// The endpoints of `service` that are to be probed now.
    func probeTargets(_ service: ServiceSpec) -> [ProbeTarget] {
        guard let health = service.care.health else { return [] }
        return reconciler.endpoints(of: service.name).map {
            ProbeTarget(
                service: service.name, id: $0.id, address: $0.address, health: health,
                identity: service.care.identity, terms: service.care.terms)
        }
    }

    func probeEndpoints(of service: ServiceSpec) { prober.update(service.name, probeTargets(service)) }

    /// Waits until each endpoint that is probed has had a first result; false where `deadline`, the longest timeout of a
    /// probe (5 s at most) or the end of the task comes first. At once where nobody is probed.
    public func firstHealth(until deadline: Instant = .never) async -> Bool {
        if prober.unknownCount == 0 { return true }
        let timeouts = services.compactMap { $0.care.health.map { Instant.Span($0.timeout) } }
        let takes = min((timeouts.max() ?? .milliseconds(0)), Self.firstHealthTakes)
        let limit = Clock.now() + takes + Self.firstHealthSlack
        return await wait(until: min(deadline, limit)) { prober.unknownCount == 0 }
    }

    // MARK: What is told

    func notice(of event: CareEvent) -> Notice {
        let spec = services.first { $0.name == event.service }
        return event.notice(
            pod: event.id.flatMap { reconciler.pod(of: event.service, $0) }, expected: spec?.care.identity)
    }

    /// `view` with what probes and requests say.
    func withCare(_ view: ServiceView) -> ServiceView {
        var view = view
        view.isPanic = caretaker.isPanic(view.name)
        for index in view.endpoints.indices {
            let id = view.endpoints[index].id
            guard let patient = caretaker.patient(view.name, id) else { continue }
            let probes = prober.view(view.name, id)
            view.endpoints[index].health = patient.health
            view.endpoints[index].finding = probes?.lastReason ?? patient.finding
            view.endpoints[index].ejected = patient.ejected
            view.endpoints[index].ejections = patient.record.count
            view.endpoints[index].isHeldBack = patient.isHeldBack
            guard view.endpoints[index].verdict.isUsable, patient.isIll else { continue }
            let age = (Clock.now() - patient.since).nanoseconds / 1000
            view.endpoints[index].sinceMicroseconds = Clock.wallMicroseconds() - age
        }
        return view
    }

    /// How often endpoints of each service were ejected, by reason, in a steady order.
    public var ejectionCounts: [(service: String, reason: String, count: Int)] {
        services.flatMap { service in
            (caretaker.ejections[service.name] ?? [:]).sorted { $0.key < $1.key }.map {
                (service: service.name, reason: $0.key, count: $0.value)
            }
        }
    }

    /// How often somebody else answered at each address of a service, in a steady order.
    public var mismatchCounts: [(service: String, address: NetworkAddress, count: Int)] {
        caretaker.mismatches.map { (service: $0.key.service, address: $0.key.address, count: $0.value) }.sorted {
            ($0.service, $0.address.ip.high, $0.address.ip.low, $0.address.port)
                < ($1.service, $1.address.ip.high, $1.address.ip.low, $1.address.port)
        }
    }
}
