// What comes out of the reconciler between its turns: who can answer now, what is missing, everything for people, and what a
// later process should know.

import ProxyCore

extension Reconciler {
    /// Who can answer for `service` now.
    public func endpoints(of service: String) -> [Endpoint] { index[service].map { records[$0].usable } ?? [] }

    /// Every identity that a witness names for `service`, usable or not.
    func known(of service: String) -> Set<EndpointID> {
        index[service].map { Set(records[$0].known.lazy.map(\.id)) } ?? []
    }

    /// The name of the pod that is the endpoint `id` of `service`.
    func pod(of service: String, _ id: EndpointID) -> String? {
        index[service].flatMap { records[$0].known.first { $0.id == id }?.endpoint.pod }
    }

    /// Services of which nothing is known yet, each with what is missing; empty once discovery has its first answer.
    public var missing: [String] {
        unanswered.sorted().map { name in
            guard let position = index[name] else { return name }
            return "\(name): \(records[position].missing)"
        }
    }

    /// Whether something is known of each service.
    public var hasFirstAnswer: Bool { unanswered.isEmpty }

    /// Everything, for people.
    public func view(now: Instant, wallMicroseconds: Int64) -> [ServiceView] {
        records.map { $0.view(book, contact, now: now, wallMicroseconds: wallMicroseconds) }
    }

    /// Everything about `service`; nil where there is no such service.
    public func view(of service: String, now: Instant, wallMicroseconds: Int64) -> ServiceView? {
        index[service].map { records[$0].view(book, contact, now: now, wallMicroseconds: wallMicroseconds) }
    }

    /// How many addresses of each service witnesses disagree about now, in the order of the configuration.
    public var disagreementCounts: [(service: String, count: Int)] {
        records.map { (service: $0.name, count: $0.check.disagreements.count) }
    }

    /// Whether what is served of Kubernetes' word may be out of date.
    public func isKubernetesStale(now: Instant) -> Bool {
        contact.standing == .away || contact.isStale(now: now)
            || records.contains { $0.spec.kubernetes != nil && $0.isRemembered }
    }

    /// Whether services that DNS alone knows are served from what an earlier process had written down.
    public var isDNSStale: Bool { records.contains { $0.spec.kubernetes == nil && $0.isRemembered } }

    /// Whether there is anything worth keeping over a restart.
    public var knowsAnything: Bool { records.contains { $0.truth != .none && $0.truth != .static } }

    /// When the Kubernetes API was heard last, in microseconds since 1970.
    public var kubernetesHeardMicroseconds: Int64? { contact.lastHeardMicroseconds }

    /// What a later process should know.
    public func kept(wallMicroseconds: Int64) -> KeptState {
        var state = KeptState(writtenMicroseconds: wallMicroseconds)
        var ips: Set<IPAddress> = []
        for record in records {
            guard let service = record.kept(contact, now: now, wallMicroseconds: wallMicroseconds) else { continue }
            state.services.append(service)
            ips.formUnion(record.ips)
        }
        for ip in ips {
            let claims = book.claims(on: ip)
            if !claims.isEmpty { state.owners.append(.init(ip: ip, sharedBy: book.node(sharing: ip), claims: claims)) }
        }
        return state
    }
}
