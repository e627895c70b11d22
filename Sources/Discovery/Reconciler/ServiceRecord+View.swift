// One service, told to people: why this witness is believed, and what each endpoint's reasons are.

import ProxyCore

extension ServiceRecord {
    /// Whether Kubernetes' word gives it endpoints.
    var isPopulated: Bool { spec.kubernetes != nil && slices?.isEmpty == false }

    /// Whether something is known of it: addresses only, or the word of a witness that is believed. That DNS has none,
    /// or that there was none when the last process ended, says nothing yet while the API may answer at any moment.
    func hasAnswer(_ contact: Contact) -> Bool {
        if spec.kubernetes == nil, spec.dns == nil { return true }
        if let slices, !slices.isEmpty || origin == .live || contact.mayStayAway { return true }
        if problem != nil { return true }
        guard let answer = check.answer else { return false }
        return spec.kubernetes == nil || !answer.addresses.isEmpty || contact.standing != .awaited
    }

    /// What is missing of a service of which nothing is known.
    var missing: String {
        var parts: [String] = []
        if let reference = spec.kubernetes {
            parts.append("no word from the Kubernetes API about \(reference.namespace)/\(reference.service)")
        }
        if let reference = spec.dns {
            let failure = dnsFailure.map { " (\($0))" } ?? ""
            parts.append("no answer from DNS for \(reference.name)\(failure)")
        }
        return parts.joined(separator: ", ")
    }

    /// A line for each endpoint whose address has gone to somebody else since the last weighing.
    mutating func takings() -> [Notice] {
        var notices: [Notice] = []
        var next: Set<EndpointID> = []
        for item in known {
            guard case .taken(let owner) = item.verdict else { continue }
            next.insert(item.id)
            // Where only DNS names it, that is a disagreement.
            guard !item.sources.isDisjoint(with: [.kubernetes, .lastKnownGood]), !taken.contains(item.id) else {
                continue
            }
            notices.append(
                Notice(
                    .warn, "discovery_address_taken",
                    ["service": name, "address": "\(item.endpoint.address)", "owner": owner]))
        }
        taken = next
        return notices
    }

    /// What a disagreement is about.
    func text(of item: Disagreement, _ book: AddressBook, now: Instant) -> String {
        let stranger = item.kind.isExtra ? book.stranger(at: item.address, own: uids.contains) : nil
        return item.text(service: name, owner: stranger?.owner, now: now)
    }

    /// All that is known.
    func view(_ book: AddressBook, _ contact: Contact, now: Instant, wallMicroseconds: Int64) -> ServiceView {
        ServiceView(
            name: name, truth: truth, truthReason: truthReason(contact, now: now, wallMicroseconds: wallMicroseconds),
            problem: problem,
            endpoints: known.map { item in
                EndpointView(
                    address: item.endpoint.address, id: item.id, uid: item.endpoint.uid, pod: item.endpoint.pod,
                    node: item.endpoint.node, zone: item.endpoint.zone, sources: item.sources.names,
                    ready: item.endpoint.ready, serving: item.endpoint.serving,
                    terminating: item.endpoint.terminating, verdict: item.verdict,
                    sinceMicroseconds: item.sinceMicroseconds)
            },
            disagreements: check.disagreements.map { item in
                DisagreementView(
                    address: item.address, witness: "dns", sinceMicroseconds: item.sinceMicroseconds,
                    text: text(of: item, book, now: now))
            })
    }

    private func truthReason(_ contact: Contact, now: Instant, wallMicroseconds: Int64) -> String {
        switch truth {
        case .none: return "Nobody has told anything yet: \(missing)."
        case .static: return "The configuration gives its addresses."
        case .kubernetes:
            guard let since = contact.outOfTouchSince(now: now) else { return "The Kubernetes API tells its slices." }
            let away = "The Kubernetes API has been out of touch for \(Self.seconds(now - since)) s"
            return "\(away)\(contact.reason.map { " (\($0))" } ?? ""); the last good slices stay."
        case .dns:
            if spec.kubernetes == nil { return "DNS is its only witness." }
            if slices == nil, let problem {
                return "Kubernetes cannot tell its endpoints (\(problem)), so DNS is believed."
            }
            guard let since = contact.outOfTouchSince(now: now) else {
                return "The Kubernetes API is back and has not told its slices yet."
            }
            let reason = contact.reason.map { " (\($0))" } ?? ""
            return contact.lastHeard == nil
                ? "The Kubernetes API was never reached\(reason), so DNS is believed."
                : "The Kubernetes API has been out of touch for \(Self.seconds(now - since)) s\(reason), so DNS is believed."
        case .lastKnownGood:
            guard case .remembered(let then) = origin else { return "" }
            let age = max(0, (wallMicroseconds &- then) / 1_000_000)
            let time = CivilTime.timestamp(wallMicroseconds: then)
            return "Nobody has told more yet: last known good of \(time), \(age) s old."
        }
    }

    private static func seconds(_ span: Instant.Span) -> Int64 { max(0, span.nanoseconds / 1_000_000_000) }

    /// What a later process should know; nil where the configuration says it all, or nothing is known.
    func kept(_ contact: Contact, now: Instant, wallMicroseconds: Int64) -> KeptState.Service? {
        guard spec.kubernetes != nil || spec.dns != nil else { return nil }
        var endpoints: [WitnessedEndpoint]
        switch truth {
        case .none, .static: return nil
        case .kubernetes, .lastKnownGood: endpoints = slices ?? []
        case .dns:
            endpoints = known.lazy.filter { $0.verdict == .ready && $0.sources != .addresses }.map(\.endpoint)
        }
        if endpoints.isEmpty, truth == .dns { endpoints = slices ?? [] }
        // What is only held on to grows no younger by being written again.
        var asOf = wallMicroseconds
        if truth != .dns, isRemembered, case .remembered(let then) = origin { asOf = then }
        if truth == .kubernetes, !contact.isInTouch(now: now) { asOf = contact.lastHeardMicroseconds ?? asOf }
        return KeptState.Service(
            kubernetes: spec.kubernetes, dns: spec.dns, asOfMicroseconds: asOf, endpoints: endpoints,
            clusterAddresses: clusterAddresses,
            disbelieved: check.disagreements.filter(\.kind.isExtra).map(\.address))
    }
}

extension ServiceRecord.Sources {
    /// As status pages call them.
    var names: [String] {
        var names: [String] = []
        if contains(.addresses) { names.append("static") }
        if contains(.kubernetes) { names.append("kubernetes") }
        if contains(.dns) { names.append("dns") }
        if contains(.lastKnownGood) { names.append(Truth.lastKnownGood.rawValue) }
        return names
    }
}
