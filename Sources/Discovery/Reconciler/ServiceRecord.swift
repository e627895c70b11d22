// What has each witness said about one service, and what follows from it? Weighing is a pure function of that, of the
// address book and of how far the API is away.

import ProxyCore

/// What is known of one service.
struct ServiceRecord: Sendable {
    /// Where what stands in ``slices`` comes from.
    enum Origin: Sendable, Equatable {
        /// The API told it to this process.
        case live
        /// An earlier process knew it as of then (microseconds since 1970).
        case remembered(asOfMicroseconds: Int64)
    }

    /// One endpoint that some witness names, and what was found about it.
    struct Known: Sendable {
        var endpoint: WitnessedEndpoint
        var id: EndpointID
        var sources: Sources
        var verdict: Verdict
        var sinceMicroseconds: Int64
    }

    /// Witnesses that name an endpoint.
    struct Sources: OptionSet, Sendable {
        let rawValue: UInt8
        static let addresses = Sources(rawValue: 1)
        static let kubernetes = Sources(rawValue: 2)
        static let dns = Sources(rawValue: 4)
        static let lastKnownGood = Sources(rawValue: 8)
    }

    private(set) var spec: ServiceSpec
    /// What slices (or a last known good state) have; nil before there is any.
    private(set) var slices: [WitnessedEndpoint]?
    private(set) var origin = Origin.live
    /// The pods that ``slices`` name.
    private(set) var uids: Set<String> = []
    /// Why Kubernetes cannot tell the endpoints.
    private(set) var problem: String?
    /// The Service's own addresses.
    private(set) var clusterAddresses: [IPAddress] = []
    private(set) var check: CrossCheck
    /// The last answer of DNS that had addresses.
    private(set) var lastAddresses: DNSAnswer?
    /// Why DNS did not answer, if it did not answer last time.
    private(set) var dnsFailure: String?

    /// What follows.
    private(set) var truth = Truth.none
    private(set) var known: [Known] = []
    private(set) var usable: [Endpoint] = []
    /// Those whose address was told to have gone to somebody else.
    var taken: Set<EndpointID> = []

    init(_ spec: ServiceSpec) {
        self.spec = spec
        check = CrossCheck(comparesPorts: spec.dns?.port == nil)
    }

    var name: String { spec.name }

    /// Whether its endpoints are taken from what an earlier process wrote down.
    var isRemembered: Bool { slices != nil && origin != .live }

    /// Every IP that somebody names for this service.
    var ips: Set<IPAddress> {
        var ips = Set(known.lazy.map(\.endpoint.address.ip))
        for address in check.answer?.addresses ?? [] { ips.insert(address.ip) }
        return ips
    }

    // MARK: What witnesses say

    /// The configuration says something else about this service; what witnesses that stay had said stays.
    mutating func update(_ next: ServiceSpec) {
        if next.kubernetes != spec.kubernetes {
            slices = nil
            uids = []
            problem = nil
            clusterAddresses = []
            origin = .live
        }
        if next.dns != spec.dns || next.kubernetes != spec.kubernetes {
            let answer = next.dns == spec.dns ? check.answer : nil
            check = CrossCheck(comparesPorts: next.dns?.port == nil)
            if let answer { check.take(answer) } else { lastAddresses = nil }
            dnsFailure = nil
        }
        spec = next
    }

    mutating func take(slices next: [WitnessedEndpoint], problem: String?, book: AddressBook, now: Instant) {
        self.problem = problem
        if next.isEmpty, problem != nil, origin == .live, slices != nil {
            // Without its Service or port the witness cannot tell; it is over only when the slices have gone as well.
            keepOnlyClaimed(book, now: now)
            return
        }
        origin = .live
        setSlices(next, now: now)
    }

    mutating func take(problem: String, book: AddressBook, isComplete: Bool, now: Instant) {
        self.problem = problem
        if isComplete { keepOnlyClaimed(book, now: now) }
    }

    /// Drops endpoints of which no slice speaks any more, where Kubernetes cannot tell the service's endpoints.
    mutating func keepOnlyClaimed(_ book: AddressBook, now: Instant) {
        guard problem != nil, let slices else { return }
        let kept = slices.filter { endpoint in
            guard let uid = endpoint.uid else { return false }
            return book.claims(on: endpoint.address.ip).contains { $0.uid == uid }
        }
        if kept.count != slices.count || origin != .live {
            origin = .live
            setSlices(kept, now: now)
        }
    }

    private mutating func setSlices(_ next: [WitnessedEndpoint], now: Instant) {
        slices = next
        uids = Set(next.lazy.compactMap(\.uid))
        if spec.dns != nil, spec.kubernetes != nil, origin == .live { check.take(slices: next, now: now) }
    }

    mutating func take(clusterAddresses addresses: [IPAddress]) { clusterAddresses = addresses }

    mutating func take(_ answer: DNSTestimony.Answer, now: Instant) {
        switch answer {
        case .addresses(let addresses, let timeToLive) where !addresses.isEmpty:
            let answer = DNSAnswer(addresses: addresses, timeToLive: Instant.Span(timeToLive), at: now)
            lastAddresses = answer
            heard(answer)
        case .addresses(_, let timeToLive), .none(let timeToLive):
            heard(DNSAnswer(addresses: [], timeToLive: Instant.Span(timeToLive), at: now))
        case .failed(let reason):
            dnsFailure = reason
        }
    }

    private mutating func heard(_ answer: DNSAnswer) {
        check.take(answer)
        dnsFailure = nil
        // What an earlier process had learned from DNS is over once DNS tells more.
        if spec.kubernetes == nil {
            slices = nil
            uids = []
        }
    }

    mutating func remember(
        _ endpoints: [WitnessedEndpoint], clusterAddresses: [IPAddress], disbelieved: [NetworkAddress],
        asOfMicroseconds: Int64
    ) {
        slices = endpoints
        uids = Set(endpoints.lazy.compactMap(\.uid))
        origin = .remembered(asOfMicroseconds: asOfMicroseconds)
        self.clusterAddresses = clusterAddresses
        check.remember(disbelieved: disbelieved, sinceMicroseconds: asOfMicroseconds)
    }

    /// What slices said came from an API server that is asked no more.
    mutating func becomeRemembered(asOfMicroseconds: Int64) {
        if slices != nil, origin == .live { origin = .remembered(asOfMicroseconds: asOfMicroseconds) }
    }

    mutating func compare(book: AddressBook, wallMicroseconds: Int64) -> (begun: [Disagreement], ended: [Disagreement])
    {
        guard spec.kubernetes != nil, spec.dns != nil, origin == .live, let slices else { return ([], []) }
        let taken = Set(
            known.lazy.filter { if case .taken = $0.verdict { true } else { false } }.map(\.endpoint.address))
        let cluster = clusterAddresses
        let own = spec.addresses
        return check.compare(
            slices: slices, wallMicroseconds: wallMicroseconds, isClusterAddress: { cluster.contains($0) },
            isStatic: { own.contains($0) }, isTaken: { taken.contains($0) })
    }

    // MARK: What follows

    /// Weighs what is known; whether the usable endpoints have changed.
    mutating func weigh(
        _ book: AddressBook, _ contact: Contact, _ place: Place, now: Instant, wallMicroseconds: Int64
    ) -> Bool {
        let former = known
        let formerIndex = Dictionary(
            former.enumerated().map { (Identity($1.endpoint), $0) }, uniquingKeysWith: { first, _ in first })
        let isAway = asksDNS(contact)
        if isAway, let lastAddresses, lastAddresses.at >= contact.lastCurrent ?? lastAddresses.at {
            truth = .dns
            known = byDNS(lastAddresses.addresses, book)
            // An answer that names nobody who may be dialled empties nothing.
            if !known.contains(where: \.verdict.isUsable) { known = bySlices(book) }
        } else if slices != nil {
            known = bySlices(book)
        } else if let answer = check.answer {
            truth = .dns
            known = byDNS(answer.addresses, book)
        } else {
            truth = spec.addresses.isEmpty ? .none : .static
            known = []
        }
        addConfigured()
        chooseLastResort()
        for index in known.indices {
            let endpoint = known[index].endpoint
            let before = formerIndex[Identity(endpoint)].map { former[$0] }
            // The text of an identity that stays is used again.
            known[index].id = before?.id ?? identity(endpoint)
            known[index].sinceMicroseconds =
                before?.verdict == known[index].verdict
                ? before?.sinceMicroseconds ?? wallMicroseconds : wallMicroseconds
        }
        let next = serve(place)
        guard next != usable else { return false }
        usable = next
        return true
    }

    /// Who is usable, with weight and nearness.
    private func serve(_ place: Place) -> [Endpoint] {
        let weights = spec.care.weights
        var endpoints: [Endpoint] = []
        for item in known where item.verdict.isUsable {
            var endpoint = Endpoint(id: item.id, address: item.endpoint.address)
            if !weights.isEmpty { endpoint.traits.weight = weights[item.endpoint.address] ?? 1 }
            endpoints.append(endpoint)
        }
        guard spec.care.prefer != .anywhere else { return endpoints }
        let near = place.near(spec.care.prefer, among: known.filter(\.verdict.isUsable).map(\.endpoint))
        if let near { for index in endpoints.indices { endpoints[index].traits.isNear = near[index] } }
        return endpoints
    }

    /// Whether DNS is believed, if it has told anything.
    private func asksDNS(_ contact: Contact) -> Bool {
        guard spec.kubernetes != nil, slices != nil else { return false }
        return switch contact.standing {
        case .away, .unreached: true
        // What was written down stays as doubtful as it was until the API has told about this very service.
        case .current: origin != .live && truth == .dns
        case .awaited: false
        }
    }

    private mutating func bySlices(_ book: AddressBook) -> [Known] {
        truth = origin == .live ? .kubernetes : .lastKnownGood
        let source: Sources = origin == .live ? .kubernetes : .lastKnownGood
        let uids = uids
        var known: [Known] = []
        for endpoint in slices ?? [] {
            var verdict: Verdict =
                endpoint.ready ? .ready : endpoint.terminating ? .terminating : .notReady
            if let uid = endpoint.uid, let taker = book.taker(of: endpoint.address, from: uid, own: uids.contains) {
                verdict = .taken(owner: taker.owner)
            }
            let sources = check.isAnswered(endpoint.address) ? source.union(.dns) : source
            known.append(Known(endpoint, sources, verdict))
        }
        let named = Set(known.map { check.key($0.endpoint.address) })
        for address in check.answer?.addresses ?? [] where !named.contains(check.key(address)) {
            let stranger = book.stranger(at: address, own: uids.contains)
            let verdict: Verdict =
                clusterAddresses.contains(address.ip)
                ? .clusterAddress : stranger.map { .taken(owner: $0.owner) } ?? .notInSlices
            known.append(Known(WitnessedEndpoint(address: address, ready: false, serving: false), .dns, verdict))
        }
        return known
    }

    private func byDNS(_ addresses: [NetworkAddress], _ book: AddressBook) -> [Known] {
        var known: [Known] = []
        let answered = Set(addresses.map { check.key($0) })
        var named: Set<NetworkAddress> = []
        for endpoint in slices ?? [] {
            let key = check.key(endpoint.address)
            let isAnswered = answered.contains(key)
            named.insert(key)
            var endpoint = endpoint
            if isAnswered {
                // DNS gives only ready ones, and its word is the newer one.
                endpoint.ready = true
                endpoint.serving = true
                endpoint.terminating = false
            }
            var verdict: Verdict = isAnswered ? .ready : .notInDNS
            if let uid = endpoint.uid, let taker = book.taker(of: endpoint.address, from: uid, own: uids.contains) {
                verdict = .taken(owner: taker.owner)
            }
            let source: Sources = origin == .live ? .kubernetes : .lastKnownGood
            known.append(Known(endpoint, isAnswered ? source.union(.dns) : source, verdict))
        }
        for address in addresses where named.insert(check.key(address)).inserted {
            var verdict = Verdict.ready
            if slices != nil, clusterAddresses.contains(address.ip) {
                // Whoever stands behind it knows no more than the API that is away.
                verdict = .clusterAddress
            } else if check.isDisbelieved(address) {
                verdict = .disbelieved
            } else if let stranger = stranger(at: address, book) {
                verdict = .taken(owner: stranger.owner)
            }
            known.append(Known(WitnessedEndpoint(address: address), .dns, verdict))
        }
        return known
    }

    /// Who has an address that DNS gives, if it is somebody else.
    private func stranger(at address: NetworkAddress, _ book: AddressBook) -> AddressClaim? {
        guard let claim = book.stranger(at: address, own: uids.contains) else { return nil }
        if slices != nil { return claim }
        // Without slices of its own it is only known which Service is meant, and without a reference to one, only a name
        // of the cluster says it. The same pods may be behind several Services of their namespace (`api` and
        // `api-headless`), of which the claim names one; then they have the port.
        guard let (namespace, service) = spec.kubernetes.map({ ($0.namespace, $0.service) }) ?? clusterName else {
            return nil
        }
        if claim.owner == "\(namespace)/\(service)" { return nil }
        return claim.owner.hasPrefix("\(namespace)/") && claim.ports.contains(address.port) ? nil : claim
    }

    /// The Service that the DNS name means, where it is one of the cluster: `service.namespace.svc…`.
    private var clusterName: (namespace: String, service: String)? {
        guard let labels = spec.dns?.name.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false),
            labels.count >= 3, labels[2].lowercased() == "svc"
        else { return nil }
        return (labels[1].lowercased(), labels[0].lowercased())
    }

    /// Puts the addresses of the configuration in front. They are ready because it says so, whoever claims them.
    private mutating func addConfigured() {
        guard !spec.addresses.isEmpty else { return }
        var front: [Known] = []
        for address in spec.addresses where !front.contains(where: { $0.endpoint.address == address }) {
            var sources = Sources.addresses
            for other in known where other.endpoint.address == address { sources.formUnion(other.sources) }
            front.append(Known(WitnessedEndpoint(address: address), sources, .ready))
        }
        known = front + known.filter { other in !front.contains { $0.endpoint.address == other.endpoint.address } }
    }

    private mutating func chooseLastResort() {
        if known.contains(where: { $0.verdict == .ready }) { return }
        for index in known.indices
        where known[index].verdict == .terminating && known[index].endpoint.serving
            && known[index].endpoint.terminating
        {
            known[index].verdict = .lastResort
        }
    }

    private func identity(_ endpoint: WitnessedEndpoint) -> EndpointID {
        EndpointID("\(endpoint.uid ?? name)/\(endpoint.address)")
    }

    /// What tells endpoints of one service apart.
    private struct Identity: Hashable {
        var address: NetworkAddress
        var uid: String?
        init(_ endpoint: WitnessedEndpoint) {
            address = endpoint.address
            uid = endpoint.uid
        }
    }
}

extension ServiceRecord.Known {
    init(_ endpoint: WitnessedEndpoint, _ sources: ServiceRecord.Sources, _ verdict: Verdict) {
        self.endpoint = endpoint
        self.sources = sources
        self.verdict = verdict
        id = EndpointID("")
        sinceMicroseconds = 0
    }
}
