// How do a listener's terms become OpenSSL's contexts? For each name the rule of its host is looked up, and the
// certificates that are for it: one of each kind of key, so that a client that knows only RSA gets one, too. Equal
// combinations share a context.

import COpenSSL

/// Builds the parts of ``TLSTerms``.
struct TermsBuilder {
    /// A certificate with what it is for.
    private struct Candidate {
        var identity: TLSIdentity
        var certificate: CertificateFacts
    }

    /// What makes two names share a context.
    private struct Combination: Hashable {
        var identities: [Int]
        var rule: Int32
    }

    struct Entry {
        var context: Int
        var rule: Int32
    }

    private let spec: TLSTermsSpec
    private var candidates: [Candidate] = []
    /// The candidates of the listener, and of each host that has its own.
    private var general: [Int] = []
    private var ofHosts: [[Int]] = []
    private var known: [Combination: Int] = [:]
    private(set) var contexts: [TLSContext] = []
    private(set) var rules: [ClientRule] = []
    private(set) var entries: [Entry] = []

    init(_ spec: TLSTermsSpec) throws(TLSError) {
        self.spec = spec
        general = try add(spec.identities)
        for host in spec.hosts { ofHosts.append(try add(host.identities)) }
        guard !general.isEmpty else {
            throw TLSError(.material, reason: "there is no certificate", doing: "setting up a listener")
        }
    }

    private mutating func add(_ identities: [TLSIdentity]) throws(TLSError) -> [Int] {
        var places: [Int] = []
        for identity in identities {
            places.append(candidates.count)
            let facts = try CertificateFacts(first: identity.certificateChain, doing: "reading the server certificate")
            candidates.append(Candidate(identity: identity, certificate: facts))
        }
        return places
    }

    // MARK: Names

    /// Names that lead somewhere by themselves.
    var exactNames: [String] { unique { if case .exact(let name) = $0 { name } else { nil } } }
    /// Names below which each label leads somewhere.
    var wildcardNames: [String] { unique { if case .wildcard(let name) = $0 { name } else { nil } } }

    private func unique(_ name: (HostPattern) -> String?) -> [String] {
        var seen: Set<String> = []
        let patterns = spec.hosts.map(\.pattern) + candidates.flatMap(\.certificate.names)
        return patterns.compactMap(name).filter { seen.insert($0).inserted }
    }

    // MARK: Entries

    /// The entry for a name, all names that a wildcard stands for and that have none of their own, or, nil, all others.
    mutating func entry(for pattern: HostPattern?) throws(TLSError) -> Int32 {
        let host =
            spec.hosts.firstIndex { $0.pattern == pattern } ?? spec.hosts.firstIndex { covers($0.pattern, pattern) }
        let rule = self.rule(host.map { spec.hosts[$0].rule } ?? spec.rule)
        let own = host.map { ofHosts[$0] } ?? []
        let identities = choose(own.isEmpty ? general : own, for: pattern)
        entries.append(Entry(context: try context(Combination(identities: identities, rule: rule)), rule: rule))
        return Int32(entries.count - 1)
    }

    private mutating func rule(_ rule: ClientRule) -> Int32 {
        if let known = rules.firstIndex(of: rule) { return Int32(known) }
        rules.append(rule)
        return Int32(rules.count - 1)
    }

    /// Whether each name that `pattern` stands for is one of `wide`.
    private func covers(_ wide: HostPattern, _ pattern: HostPattern?) -> Bool {
        guard let pattern else { return false }
        if wide == pattern { return true }
        guard case .wildcard(let parent) = wide, case .exact(let name) = pattern else { return false }
        let labels = name.split(separator: ".", maxSplits: 1)
        return labels.count == 2 && labels[1] == parent
    }

    /// Which of these certificates are shown: of those for the name one of each kind, an exact one before a wildcard.
    private func choose(_ places: [Int], for pattern: HostPattern?) -> [Int] {
        let exact = places.filter { place in pattern.map { candidates[place].certificate.names.contains($0) } ?? false }
        let wide = places.filter { place in candidates[place].certificate.names.contains { covers($0, pattern) } }
        let fitting = onePerKind(exact + wide)
        if !fitting.isEmpty { return fitting }
        // For no name in particular: the first, and those of other kinds that are for one of its names.
        let first = places[0]
        let names = Set(candidates[first].certificate.names)
        return onePerKind(
            [first] + places.dropFirst().filter { !names.isDisjoint(with: candidates[$0].certificate.names) })
    }

    private func onePerKind(_ places: [Int]) -> [Int] {
        var kinds: Set<CertificateFacts.Kind> = []
        return places.filter { kinds.insert(candidates[$0].certificate.kind).inserted }.sorted()
    }

    private mutating func context(_ combination: Combination) throws(TLSError) -> Int {
        if let place = known[combination] { return place }
        let rule = rules[Int(combination.rule)]
        contexts.append(
            try TLSContext(
                listener: combination.identities.map { candidates[$0].identity }, rule: rule,
                minimumVersion: spec.minimumVersion, byKernel: spec.prefersKernel))
        known[combination] = contexts.count - 1
        return contexts.count - 1
    }
}
