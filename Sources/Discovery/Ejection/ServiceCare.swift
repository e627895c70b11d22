// Which endpoints of a service get no new requests, though witnesses call them usable? What probes find and what workers
// see goes in; what comes out is the list for the workers, with those that are held back marked. Pure: `now` is told.
//
// - Probes hold an endpoint back while they call it down.
// - Failures in a row eject it for a time that grows; at most `maxEjectedPercent` of the endpoints, never the last one,
//   and none whose going would bring panic. Where endpoints leave and more than that share would be out, those that went
//   out last come back early. An endpoint that is out is not ejected again.
// - A ghost, an address where somebody else answers, is held back at once, whatever the share. It comes back when a probe
//   sees the service's own identity there, or after a time like any other to see whether it is still one; and whoever
//   has the address under another identity is another endpoint and begins anew.
// - Where probes and ejections together leave too few, neither is listened to (`HealthFilter` says why). Ghosts stay out.
//
// So a service that has an endpoint that is no ghost has one that is not held back, in every state: the filter never
// returns an empty list for one that is not.

import ProxyCore

/// The care for one service.
struct ServiceCare: Sendable {
    /// What is known of an endpoint beyond what witnesses say. Belongs to its identity and goes with it.
    struct Patient: Sendable {
        var address: NetworkAddress
        /// What probes say, and what the deciding one found.
        var health = EndpointHealth.unknown
        var finding: String?
        /// Whether that was no answer at all.
        var isSilent = false
        /// What probes saw of somebody else there.
        var probedGhost: String?
        var ejection: Ejection?
        var record = EjectionRecord()
        /// When it was last told that it is spared.
        var sparedAt: Instant?
        /// Whether workers are told to hold it back.
        var isHeldBack = false
        /// Since when that, or the reason for it, is as it is.
        var since: Instant

        var isGhost: Bool { probedGhost != nil || ejection?.isGhost == true }
        var isIll: Bool { health == .down || ejection != nil || isGhost }

        /// Why it is out, apart from its health; nil where nothing speaks against it.
        var ejected: String? { ejection?.text ?? probedGhost.map { "ghost: \($0)" } }
    }

    let name: String
    private(set) var spec: CareSpec
    /// Who gets requests as far as witnesses say, and which of them are held back.
    private(set) var endpoints: [Endpoint] = []
    /// Whether probes and ejections are not listened to.
    private(set) var isPanic = false
    private(set) var patients: [EndpointID: Patient] = [:]

    private let filter = HealthFilter()
    /// For how long an endpoint that is spared again and again is not told of again.
    private static let sparedAgain = Instant.Span.milliseconds(60_000)

    init(_ name: String, _ spec: CareSpec) {
        self.name = name
        self.spec = spec
    }

    /// When ``advance(now:_:)`` has something to do.
    var nextDeadline: Instant { patients.values.lazy.compactMap(\.ejection?.until).min() ?? .never }

    /// Whether a probe can tell this service from another one.
    var probesCheckIdentity: Bool { spec.identity != nil && spec.health?.path != nil }

    /// How many of `count` endpoints may be ejected at once: the share, but where anybody may be, at least one, and never
    /// the last one.
    func ejectedMax(of count: Int) -> Int {
        let percent = spec.outlier.maxEjectedPercent
        return count < 2 || percent == 0 ? 0 : min(count - 1, max(1, count * percent / 100))
    }

    // MARK: What goes in

    /// The configuration says something else; whether the list is another one.
    mutating func update(_ next: CareSpec, now: Instant, _ events: inout [CareEvent]) -> Bool {
        if spec == next { return false }
        spec = next
        for id in patients.keys {
            if spec.identity == nil {
                patients[id]?.probedGhost = nil
                if patients[id]?.ejection?.isGhost == true { patients[id]?.ejection = nil }
            }
            if spec.health == nil {
                patients[id]?.health = .unknown
                patients[id]?.finding = nil
                patients[id]?.isSilent = false
                patients[id]?.probedGhost = nil
            }
            if spec.outlier.consecutiveFailures == 0, patients[id]?.ejection?.isGhost == false {
                patients[id]?.ejection = nil
            }
        }
        return settle(now: now, &events)
    }

    /// Witnesses call these endpoints usable now. What is known of another one is kept while it is among `known`, and
    /// forgotten with its identity.
    mutating func take(_ usable: [Endpoint], known: Set<EndpointID>, now: Instant, _ events: inout [CareEvent]) {
        let isUsable = Set(usable.lazy.map(\.id))
        patients = patients.filter { isUsable.contains($0.key) || known.contains($0.key) }
        for id in patients.keys where !isUsable.contains(id) {
            // Nobody probes it meanwhile.
            patients[id]?.health = .unknown
            patients[id]?.finding = nil
            patients[id]?.isSilent = false
            patients[id]?.isHeldBack = false
        }
        for endpoint in usable where patients[endpoint.id]?.address != endpoint.address {
            patients[endpoint.id] = Patient(address: endpoint.address, since: now)
        }
        endpoints = usable
        _ = settle(now: now, &events)
    }

    /// Probes call an endpoint well, or ill, from now on; whether the list is another one.
    mutating func probed(_ change: HealthChange, now: Instant, _ events: inout [CareEvent]) -> Bool {
        guard spec.health != nil, var patient = patients[change.id], patient.address == change.address else {
            return false
        }
        let (before, wasGhost) = (patient.health, patient.isGhost)
        patient.health = change.health
        patient.finding = change.reason
        patient.isSilent = change.isSilent && change.health == .down
        if change.isGhost {
            patient.probedGhost = patient.probedGhost ?? change.reason
        } else {
            patient.probedGhost = nil
            // It was asked and showed who it is.
            if probesCheckIdentity, patient.ejection?.isGhost == true { end(&patient, now: now) }
        }
        if patient.isGhost != wasGhost {
            let kind: CareEvent.Kind = wasGhost ? .ghostGone : .ghost(seen: patient.probedGhost ?? change.reason)
            events.append(CareEvent(service: name, id: change.id, address: change.address, kind: kind))
        } else if before != change.health, !patient.isGhost {
            let kind: CareEvent.Kind =
                change.health == .down
                ? .down(reason: change.reason) : .up(reason: change.reason, isFirst: before == .unknown)
            events.append(CareEvent(service: name, id: change.id, address: change.address, kind: kind))
        }
        patient.since = now
        patients[change.id] = patient
        return settle(now: now, &events)
    }

    /// A probe was answered by somebody else; whether the list is another one.
    mutating func probeMet(_ ghost: GhostFinding, now: Instant, _ events: inout [CareEvent]) -> Bool {
        guard spec.identity != nil, var patient = patients[ghost.id], patient.address == ghost.address else {
            return false
        }
        if !patient.isGhost {
            events.append(
                CareEvent(service: name, id: ghost.id, address: ghost.address, kind: .ghost(seen: ghost.seen)))
            patient.since = now
        }
        patient.probedGhost = ghost.seen
        patients[ghost.id] = patient
        return settle(now: now, &events)
    }

    /// A worker has seen something. One of an endpoint that has gone is of no interest.
    mutating func sighted(_ sighting: Sighting, now: Instant, _ events: inout [CareEvent]) -> Bool {
        guard let patient = patients[sighting.endpoint], patient.address == sighting.address,
            endpoints.contains(where: { $0.id == sighting.endpoint })
        else { return false }
        switch sighting.kind {
        case .failures(let count, let last):
            guard spec.outlier.consecutiveFailures > 0, !patient.isIll else { return false }
            guard mayEject else {
                spare(sighting, now: now, &events)
                return false
            }
            // An answer that says itself that somebody behind the endpoint is ill.
            let word = last == .ok ? "an answer of 502 to 504" : last.word.description
            eject(sighting, .failures(count, last: word), now: now, &events)
        case .ghost(let seen):
            guard let identity = spec.identity, !patient.isGhost else { return false }
            let text = seen == "nothing" ? "an answer without \(identity.header)" : "\(identity.header): \(seen)"
            eject(sighting, .ghost(seen: text), now: now, &events)
        }
        return settle(now: now, &events)
    }

    /// Time has passed; whether the list is another one.
    mutating func advance(now: Instant, _ events: inout [CareEvent]) -> Bool { settle(now: now, &events) }

    // MARK: What follows

    /// Whether one more may go: not beyond the share, not the last one, and not into panic.
    private var mayEject: Bool {
        let own = endpoints.lazy.compactMap { [patients] in patients[$0.id] }.filter { !$0.isGhost }
        let count = own.count
        let well = own.count { !$0.isIll }
        guard own.count(where: { $0.ejection != nil }) < ejectedMax(of: count), well > 1 else { return false }
        return (well - 1) * 100 >= count * filter.panicBelowPercent
    }

    private mutating func eject(
        _ sighting: Sighting, _ cause: Ejection.Cause, now: Instant, _ events: inout [CareEvent]
    ) {
        guard var patient = patients[sighting.endpoint] else { return }
        if let running = patient.ejection {
            // It was out for its failures, and now it is known whose they were.
            patient.ejection?.cause = cause
            patient.ejection?.until = max(running.until, now + Instant.Span(spec.outlier.ejectFor))
        } else {
            let length = patient.record.begin(now: now, ejectFor: spec.outlier.ejectFor)
            patient.ejection = Ejection(cause: cause, began: now, until: now + length)
        }
        patient.since = now
        let ejection = patient.ejection
        patients[sighting.endpoint] = patient
        guard let ejection else { return }
        let seconds = Double((ejection.until - now).nanoseconds / 1_000_000) / 1000
        let kind: CareEvent.Kind =
            switch cause {
            case .failures: .ejected(reason: ejection.text, seconds: seconds)
            case .ghost(let seen): .ghost(seen: seen)
            }
        events.append(CareEvent(service: name, id: sighting.endpoint, address: sighting.address, kind: kind))
    }

    private mutating func spare(_ sighting: Sighting, now: Instant, _ events: inout [CareEvent]) {
        if let last = patients[sighting.endpoint]?.sparedAt, now - last < Self.sparedAgain { return }
        patients[sighting.endpoint]?.sparedAt = now
        events.append(CareEvent(service: name, id: sighting.endpoint, address: sighting.address, kind: .spared))
    }

    private func end(_ patient: inout Patient, now: Instant) {
        patient.ejection = nil
        patient.record.end(now: now)
        patient.since = now
    }

    /// Ends what is over, and works the list out anew; whether it is another one.
    private mutating func settle(now: Instant, _ events: inout [CareEvent]) -> Bool {
        for (id, patient) in patients {
            if let until = patient.ejection?.until, until <= now { bringBack(id, now: now, &events) }
        }
        endTheTooMany(now: now, &events)
        let result = filter.apply(to: endpoints) { id in
            guard let patient = patients[id] else { return (.unknown, false) }
            return (patient.ejection != nil ? .down : patient.health, patient.isGhost)
        }
        if result.isPanic != isPanic {
            isPanic = result.isPanic
            events.append(CareEvent(service: name, id: nil, address: nil, kind: isPanic ? .panic : .panicOver))
        }
        let served = Set(result.endpoints.lazy.map(\.id))
        var isOther = false
        for index in endpoints.indices {
            let id = endpoints[index].id
            let isHeldBack = !served.contains(id)
            if patients[id]?.isHeldBack != isHeldBack {
                patients[id]?.isHeldBack = isHeldBack
                patients[id]?.since = now
            }
            var traits = endpoints[index].traits
            traits.isHeldBack = isHeldBack
            traits.isGhost = patients[id]?.isGhost == true
            traits.isSilent = isHeldBack && patients[id]?.isSilent == true
            if traits == endpoints[index].traits { continue }
            endpoints[index].traits = traits
            isOther = true
        }
        return isOther
    }

    private mutating func bringBack(_ id: EndpointID, now: Instant, _ events: inout [CareEvent]) {
        guard var patient = patients[id] else { return }
        end(&patient, now: now)
        patients[id] = patient
        if patient.isIll { return }
        events.append(CareEvent(service: name, id: id, address: patient.address, kind: .returned))
    }

    /// Endpoints have left, and too great a part of the others is out.
    private mutating func endTheTooMany(now: Instant, _ events: inout [CareEvent]) {
        let own = endpoints.filter { patients[$0.id]?.isGhost == false }
        let out = own.compactMap { endpoint in
            patients[endpoint.id]?.ejection.map { (id: endpoint.id, began: $0.began) }
        }
        let excess = out.count - ejectedMax(of: own.count)
        if excess <= 0 { return }
        for item in out.sorted(by: { $0.began > $1.began }).prefix(excess) { bringBack(item.id, now: now, &events) }
    }
}
