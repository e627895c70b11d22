// Many witnesses, one truth, with reasons. What witnesses tell goes in; what comes out is which services have other
// usable endpoints now, what is worth a line in the log, and at any time a view of everything with the reason for it.
// It asks nobody and reads no clock.
//
// Who is believed about a service: EndpointSlices where the API has told them; DNS where it is the only witness, where
// the API was never reached, and where the API has been out of touch for longer than `staleAfter`; what an earlier
// process wrote down until either tells more. Addresses of the configuration always count. What a witness cannot tell
// never empties anything: only its definite word does.
//
// An update of a service costs that service, and a new claim on an address costs the services that name it.

import ProxyCore

/// Weighs what witnesses tell.
public struct Reconciler: Sendable {
    /// What one testimony, or the passing of time, has changed.
    public struct Turn: Sendable {
        /// The services whose usable endpoints are others now.
        public var changes: [EndpointsChange] = []
        /// What is worth a line in the log.
        public var notices: [Notice] = []
        /// Whether there is something new to be kept over a restart.
        public var isWorthKeeping = false
    }

    private(set) var records: [ServiceRecord] = []
    private(set) var index: [String: Int] = [:]
    private(set) var book = AddressBook()
    private(set) var contact: Contact
    /// Which services name an IP.
    private var naming: [IPAddress: [Int]] = [:]
    private var named: [Set<IPAddress>] = []
    /// Services with a reference to Kubernetes that have endpoints by its word.
    private var populated = 0
    /// Services of which nothing is known yet.
    private(set) var unanswered: Set<String> = []
    private(set) var now: Instant
    /// Where this process runs.
    private var place: Place
    /// The usable endpoints of services that were weighed in this turn, as they were before.
    private var former: [Int: [Endpoint]] = [:]

    /// Nothing was heard yet about `services`, except what `kept` says. `place` is where near endpoints are.
    public init(
        services: [ServiceSpec], staleAfter: Duration, kept: KeptState? = nil, place: Place = Place(), now: Instant,
        wallMicroseconds: Int64
    ) {
        self.now = now
        self.place = place
        contact = Contact(start: now, staleAfter: staleAfter)
        records = services.map(ServiceRecord.init)
        for (position, spec) in services.enumerated() { index[spec.name] = position }
        if let kept { remember(kept) }
        named = Array(repeating: [], count: records.count)
        var turn = Turn()
        weighAll(&turn, wallMicroseconds)
        former = [:]
    }

    // MARK: What goes in

    /// A witness has told something.
    public mutating func hear(_ testimony: Testimony, now: Instant, wallMicroseconds: Int64) -> Turn {
        var turn = Turn()
        pass(to: now, &turn, wallMicroseconds)
        switch testimony {
        case .kubernetes(let update):
            heard(&turn, wallMicroseconds)
            take(update, &turn, wallMicroseconds)
        case .kubernetesHeard:
            heard(&turn, wallMicroseconds)
        case .kubernetesLost(let reason):
            change(&turn, wallMicroseconds) { $0.lost(reason: reason, now: now) }
        case .dns(let testimony):
            guard let position = index[testimony.service], records[position].spec.dns != nil else { break }
            records[position].take(testimony.answer, now: now)
            weigh(position, &turn, wallMicroseconds)
        }
        return finish(turn)
    }

    /// What the passing of time has changed; to be asked at ``nextDeadline``.
    public mutating func advance(now: Instant, wallMicroseconds: Int64) -> Turn {
        var turn = Turn()
        pass(to: now, &turn, wallMicroseconds)
        return finish(turn)
    }

    private mutating func pass(to now: Instant, _ turn: inout Turn, _ wallMicroseconds: Int64) {
        self.now = max(now, self.now)
        change(&turn, wallMicroseconds) { $0.advance(now: now) }
        // Without the API's word "side by side" may mean "the news of the end is missing".
        if book.nextDeadline <= now, contact.isInTouch(now: now) {
            for ip in book.settle(now: now) {
                for position in naming[ip] ?? [] { weigh(position, &turn, wallMicroseconds) }
            }
        }
    }

    /// Tells of each service once, and only where its endpoints are others than before the turn.
    private mutating func finish(_ turn: Turn) -> Turn {
        var turn = turn
        for (position, endpoints) in former.sorted(by: { $0.key < $1.key })
        where records[position].usable != endpoints {
            turn.changes.append(
                EndpointsChange(service: records[position].name, endpoints: records[position].usable))
        }
        former = [:]
        turn.isWorthKeeping = turn.isWorthKeeping || !turn.changes.isEmpty
        return turn
    }

    /// When ``advance(now:wallMicroseconds:)`` will have something to do.
    public var nextDeadline: Instant {
        let settling = contact.isInTouch(now: now) ? book.nextDeadline : .never
        return min(contact.nextDeadline(now: now), settling)
    }

    /// The configuration has changed: these services instead of those before, and `staleAfter`. What is known of a
    /// service whose references are the same stays.
    public mutating func update(
        _ services: [ServiceSpec], staleAfter: Duration, now: Instant, wallMicroseconds: Int64
    ) -> Turn {
        var turn = advance(now: now, wallMicroseconds: wallMicroseconds)
        let earlier = turn.changes
        turn.changes = []
        contact.staleAfter = Instant.Span(staleAfter)
        let formerRecords = records
        let formerIndex = index
        records = []
        index = [:]
        naming = [:]
        named = Array(repeating: [], count: services.count)
        unanswered = []
        for (position, spec) in services.enumerated() {
            if let known = formerIndex[spec.name] {
                var record = formerRecords[known]
                if record.spec.kubernetes != spec.kubernetes { book.listBegan() }
                record.update(spec)
                records.append(record)
            } else {
                // The witness asks for a new list now; its claims may be as old as any other.
                if spec.kubernetes != nil { book.listBegan() }
                records.append(ServiceRecord(spec))
            }
            index[spec.name] = position
        }
        populated = records.count { $0.isPopulated }
        weighAll(&turn, wallMicroseconds)
        // A service that is new is told of in any case.
        for (position, record) in records.enumerated() where formerIndex[record.name] == nil { former[position] = nil }
        turn = finish(turn)
        for record in records
        where formerIndex[record.name] == nil || earlier.contains(where: { $0.service == record.name }) {
            turn.changes.removeAll { $0.service == record.name }
            turn.changes.append(EndpointsChange(service: record.name, endpoints: record.usable))
        }
        turn.isWorthKeeping = true
        return turn
    }

    /// The witness of Kubernetes is another one from now on, which begins with a list. `isOtherCluster`: what was told
    /// before came from somebody else, so that it is worth no more than what an earlier process wrote down.
    public mutating func kubernetesStartsAnew(isOtherCluster: Bool = false) {
        book.startAnew()
        guard isOtherCluster else { return }
        let asOf = contact.lastHeardMicroseconds
        let staleAfter = contact.staleAfter
        contact = Contact(start: now, staleAfter: .zero)
        contact.staleAfter = staleAfter
        guard let asOf else { return }
        for position in records.indices where records[position].spec.kubernetes != nil {
            records[position].becomeRemembered(asOfMicroseconds: asOf)
        }
    }

    // MARK: Details

    private mutating func remember(_ kept: KeptState) {
        struct References: Hashable {
            var kubernetes: KubernetesReference?
            var dns: DNSReference?
        }
        let known = Dictionary(
            kept.services.map { (References(kubernetes: $0.kubernetes, dns: $0.dns), $0) },
            uniquingKeysWith: { first, _ in first })
        for position in records.indices {
            let spec = records[position].spec
            guard spec.kubernetes != nil || spec.dns != nil,
                let service = known[References(kubernetes: spec.kubernetes, dns: spec.dns)]
            else { continue }
            records[position].remember(
                service.endpoints, clusterAddresses: service.clusterAddresses, disbelieved: service.disbelieved,
                asOfMicroseconds: service.asOfMicroseconds)
        }
        for service in kept.services { _ = place.learn(from: service.endpoints) }
        for owner in kept.owners { book.remember(owner.claims, on: owner.ip, sharedBy: owner.sharedBy) }
        populated = records.count { $0.isPopulated }
    }

    private mutating func heard(_ turn: inout Turn, _ wall: Int64) {
        let now = now
        change(&turn, wall) { $0.heard(now: now, wallMicroseconds: wall) }
    }

    /// Lets something happen to the contact with the API, and what follows from it for every service.
    private mutating func change(_ turn: inout Turn, _ wall: Int64, _ body: (inout Contact) -> Void) {
        let before = contact.standing
        let reason = contact.reason
        body(&contact)
        guard contact.standing != before else { return }
        switch (before, contact.standing) {
        case (_, .away):
            let details = reason ?? contact.reason ?? "it says nothing"
            turn.notices.append(Notice(.warn, "discovery_stale", ["source": "kubernetes", "reason": details]))
        case (.away, .current):
            turn.notices.append(Notice(.info, "discovery_recovered", ["source": "kubernetes"]))
        default: break
        }
        for position in records.indices where records[position].spec.kubernetes != nil {
            weigh(position, &turn, wall)
        }
    }

    private mutating func take(_ update: KubernetesUpdate, _ turn: inout Turn, _ wall: Int64) {
        let before = populated
        var touched: Set<Int> = []
        book.take(update.claims, now: now)
        for ip in update.claims.keys { touched.formUnion(naming[ip] ?? []) }
        if update.isComplete {
            for ip in book.listEnded() { touched.formUnion(naming[ip] ?? []) }
        }
        // A service whose endpoints cannot be told loses those of which no slice speaks any more.
        for position in touched { records[position].keepOnlyClaimed(book, now: now) }
        for (name, addresses) in update.clusterAddresses {
            guard let position = index[name] else { continue }
            records[position].take(clusterAddresses: addresses)
            touched.insert(position)
        }
        for (name, slices) in update.services {
            guard let position = index[name], records[position].spec.kubernetes != nil else { continue }
            let problem = update.problems[name]
            note(problem, of: position, &turn)
            if place.learn(from: slices) {
                // Whoever prefers this zone prefers somebody now.
                touched.formUnion(records.indices.filter { records[$0].spec.care.prefer == .zone })
            }
            let was = records[position].isPopulated
            records[position].take(slices: slices, problem: problem, book: book, now: now)
            populated += (records[position].isPopulated ? 1 : 0) - (was ? 1 : 0)
            touched.insert(position)
        }
        for (name, problem) in update.problems where update.services[name] == nil {
            guard let position = index[name], records[position].spec.kubernetes != nil else { continue }
            note(problem, of: position, &turn)
            let was = records[position].isPopulated
            records[position].take(problem: problem, book: book, isComplete: update.isComplete, now: now)
            populated += (records[position].isPopulated ? 1 : 0) - (was ? 1 : 0)
            touched.insert(position)
        }
        if before > 0, populated == 0 {
            turn.notices.append(
                Notice(.warn, "discovery_all_empty", ["source": "kubernetes", "services": "\(before)"]))
        }
        turn.isWorthKeeping = turn.isWorthKeeping || !touched.isEmpty
        if update.isComplete { change(&turn, wall) { $0.completed() } }
        for position in touched.sorted() { weigh(position, &turn, wall) }
    }

    private func note(_ problem: String?, of position: Int, _ turn: inout Turn) {
        let record = records[position]
        guard problem != record.problem else { return }
        if let problem {
            turn.notices.append(Notice(.warn, "discovery_problem", ["service": record.name, "text": problem]))
        } else {
            turn.notices.append(Notice(.info, "discovery_problem_over", ["service": record.name]))
        }
    }

    private mutating func weighAll(_ turn: inout Turn, _ wall: Int64) {
        for position in records.indices { weigh(position, &turn, wall) }
    }

    private mutating func weigh(_ position: Int, _ turn: inout Turn, _ wall: Int64) {
        let before = records[position].usable
        if records[position].weigh(book, contact, place, now: now, wallMicroseconds: wall), former[position] == nil {
            former[position] = before
        }
        turn.notices += records[position].takings()
        // Two witnesses can only be compared while both are heard, and in what they say of the same time.
        if contact.standing == .current, contact.isInTouch(now: now),
            let answer = records[position].check.answer, answer.at >= contact.backSince ?? answer.at
        {
            let (begun, ended) = records[position].compare(book: book, wallMicroseconds: wall)
            note(begun, ended, of: position, &turn)
        }
        if records[position].hasAnswer(contact) {
            unanswered.remove(records[position].name)
        } else {
            unanswered.insert(records[position].name)
        }
        noteNames(of: position)
    }

    /// How many disagreements of one service and turn get a line each.
    private static let linesMax = 16

    private func note(
        _ begun: [Disagreement], _ ended: [Disagreement], of position: Int, _ turn: inout Turn
    ) {
        if begun.isEmpty, ended.isEmpty { return }
        turn.isWorthKeeping = true
        let record = records[position]
        for (items, state) in [(begun, "begun"), (ended, "ended")] {
            for item in items.prefix(Self.linesMax) {
                turn.notices.append(
                    Notice(
                        state == "begun" ? .warn : .info, "discovery_disagreement",
                        [
                            "state": state, "service": record.name, "address": "\(item.address)", "witness": "dns",
                            "text": record.text(of: item, book, now: now),
                        ]))
            }
            if items.count > Self.linesMax {
                turn.notices.append(
                    Notice(
                        .warn, "discovery_disagreement",
                        ["state": state, "service": record.name, "more": "\(items.count - Self.linesMax)"]))
            }
        }
    }

    private mutating func noteNames(of position: Int) {
        let ips = records[position].ips
        let before = named[position]
        guard ips != before else { return }
        for ip in before.subtracting(ips) {
            naming[ip]?.removeAll { $0 == position }
            if naming[ip]?.isEmpty == true { naming[ip] = nil }
        }
        for ip in ips.subtracting(before) { naming[ip, default: []].append(position) }
        named[position] = ips
    }
}
