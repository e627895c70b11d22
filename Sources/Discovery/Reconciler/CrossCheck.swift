// Do slices and DNS tell the same about a service? Asked all the time, also while nobody needs DNS: an answer that names
// an address which is not the service's is how a stale record shows itself, and a stale record was what sent half of all
// requests to a stranger.
//
// DNS may lag behind slices by the TTL of its answers, so nothing is said about that long. A cache counts the TTL down:
// the last answer from it may say "1 s" of a record that is nearly 5 s old. What counts is therefore the highest TTL of
// the last minute's answers.

import ProxyCore

/// What an answer of DNS came to, and when.
struct DNSAnswer: Sendable {
    /// The addresses; empty where the name has none.
    var addresses: [NetworkAddress]
    var timeToLive: Instant.Span
    var at: Instant
}

/// One address about which DNS and slices say something else.
struct Disagreement: Sendable {
    enum Kind: Sendable, Hashable {
        /// DNS answers it, and slices never had it for this service.
        case neverInSlices
        /// DNS still answers it, and slices lost it then.
        case goneFromSlices(Instant)
        /// DNS does not answer it, and it has been ready in slices since then.
        case missingInDNS(Instant)

        /// Whether DNS names what it should not.
        var isExtra: Bool { if case .missingInDNS = self { false } else { true } }
    }

    var address: NetworkAddress
    var kind: Kind
    var sinceMicroseconds: Int64

    /// As in "DNS still answers 10.42.1.7 for api, gone from slices 41 s ago; that address now belongs to
    /// honeydue/dozzle".
    func text(service: String, owner: String?, now: Instant) -> String {
        let belongs = owner.map { "; that address now belongs to \($0)" } ?? ""
        return switch kind {
        case .neverInSlices: "DNS answers \(address.ip) for \(service), which slices never had\(belongs)"
        case .goneFromSlices(let then):
            "DNS still answers \(address.ip) for \(service), gone from slices \(seconds(now - then)) s ago\(belongs)"
        case .missingInDNS(let then):
            "DNS does not answer \(address.ip) for \(service), ready in slices for \(seconds(now - then)) s"
        }
    }

    private func seconds(_ span: Instant.Span) -> Int64 { max(0, span.nanoseconds / 1_000_000_000) }
}

/// What is remembered of one service to compare its two witnesses.
struct CrossCheck: Sendable {
    /// Addresses that slices lost and that are remembered, at most.
    static let goneMax = 256
    private static let lookBack = Instant.Span.milliseconds(60_000)

    /// Whether ports are compared: not where the configuration gives DNS the port.
    let comparesPorts: Bool
    /// What DNS answered last, if that was definite.
    private(set) var answer: DNSAnswer?
    /// What slices have, and since when it is ready.
    private var present: [NetworkAddress: Instant?] = [:]
    private var gone: [NetworkAddress: Instant] = [:]
    private var highest: (timeToLive: Instant.Span, at: Instant)?
    /// What they disagree about.
    private(set) var disagreements: [Disagreement] = []

    init(comparesPorts: Bool) { self.comparesPorts = comparesPorts }

    /// An address as it is compared.
    func key(_ address: NetworkAddress) -> NetworkAddress {
        comparesPorts ? address : NetworkAddress(ip: address.ip, port: 0)
    }

    /// Whether DNS names `address` now.
    func isAnswered(_ address: NetworkAddress) -> Bool {
        guard let answer else { return false }
        let wanted = key(address)
        return answer.addresses.contains { key($0) == wanted }
    }

    /// Whether DNS names `address` wrongly.
    func isDisbelieved(_ address: NetworkAddress) -> Bool {
        let wanted = key(address)
        return disagreements.contains { $0.kind.isExtra && key($0.address) == wanted }
    }

    mutating func take(_ answer: DNSAnswer) {
        self.answer = answer
        if let highest, highest.timeToLive > answer.timeToLive, answer.at < highest.at + Self.lookBack { return }
        highest = (answer.timeToLive, answer.at)
    }

    mutating func take(slices: [WitnessedEndpoint], now: Instant) {
        var next: [NetworkAddress: Instant?] = [:]
        for endpoint in slices {
            let key = key(endpoint.address)
            let since: Instant? = endpoint.ready ? (present[key] ?? nil) ?? now : nil
            // The same address may stand in two slices; it is ready if it is in one of them.
            if let other = next[key], other != nil { continue }
            next[key] = .some(since)
        }
        for key in present.keys where next[key] == nil { gone[key] = now }
        if !gone.isEmpty { for key in next.keys { gone[key] = nil } }
        if gone.count > Self.goneMax {
            let kept = gone.sorted { $0.value > $1.value }.prefix(Self.goneMax / 2)
            gone = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
        }
        present = next
    }

    /// Compares; what has begun and what has ended. `isIgnored` are addresses about which slices have no say (the
    /// Service's own, and those that the configuration names); `isTaken` those that slices still name though they
    /// belong to somebody else.
    mutating func compare(
        slices: [WitnessedEndpoint], wallMicroseconds: Int64, isClusterAddress: (IPAddress) -> Bool,
        isStatic: (NetworkAddress) -> Bool, isTaken: (NetworkAddress) -> Bool
    ) -> (begun: [Disagreement], ended: [Disagreement]) {
        guard let answer else { return ([], []) }
        let found = differences(
            answer, slices, isClusterAddress: isClusterAddress, isStatic: isStatic, isTaken: isTaken)
        if found.isEmpty, disagreements.isEmpty { return ([], []) }
        var next: [Disagreement] = []
        var begun: [Disagreement] = []
        for (address, kind) in found {
            let known = disagreements.first {
                $0.kind.isExtra == kind.isExtra && key($0.address) == key(address)
            }
            let item = Disagreement(
                address: address, kind: kind, sinceMicroseconds: known?.sinceMicroseconds ?? wallMicroseconds)
            if known == nil { begun.append(item) }
            next.append(item)
        }
        let ended = disagreements.filter { old in
            !next.contains { $0.kind.isExtra == old.kind.isExtra && key($0.address) == key(old.address) }
        }
        disagreements = next
        return (begun, ended)
    }

    private func differences(
        _ answer: DNSAnswer, _ slices: [WitnessedEndpoint], isClusterAddress: (IPAddress) -> Bool,
        isStatic: (NetworkAddress) -> Bool, isTaken: (NetworkAddress) -> Bool
    ) -> [(address: NetworkAddress, kind: Disagreement.Kind)] {
        let lag = max(answer.timeToLive, highest?.timeToLive ?? answer.timeToLive)
        var found: [(NetworkAddress, Disagreement.Kind)] = []
        var answered: Set<NetworkAddress> = []
        var families: (v4: Bool, v6: Bool) = (false, false)
        var hasClusterAddress = false
        for address in answer.addresses {
            if isClusterAddress(address.ip) {
                hasClusterAddress = true
                continue
            }
            if address.ip.isIPv4 { families.v4 = true } else { families.v6 = true }
            let key = key(address)
            guard answered.insert(key).inserted, present[key] == nil, !isStatic(address) else { continue }
            if let then = gone[key] {
                if answer.at - then > lag { found.append((address, .goneFromSlices(then))) }
            } else {
                found.append((address, .neverInSlices))
            }
        }
        // A name that gives the Service's own address says nothing about pods.
        if hasClusterAddress { return found }
        for endpoint in slices where endpoint.ready {
            let key = key(endpoint.address)
            // A family that DNS was not asked for is not missing.
            let isAsked = answer.addresses.isEmpty || (endpoint.address.ip.isIPv4 ? families.v4 : families.v6)
            guard isAsked, let since = present[key] ?? nil, answer.at - since > lag, !isTaken(endpoint.address),
                answered.insert(key).inserted
            else { continue }
            found.append((endpoint.address, .missingInDNS(since)))
        }
        return found
    }

    /// Takes over addresses that an earlier process had found DNS to name wrongly.
    mutating func remember(disbelieved: [NetworkAddress], sinceMicroseconds: Int64) {
        disagreements = disbelieved.map {
            Disagreement(address: $0, kind: .neverInSlices, sinceMicroseconds: sinceMicroseconds)
        }
    }
}
