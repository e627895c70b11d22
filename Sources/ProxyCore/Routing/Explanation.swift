// Why this route and not another? The verdict comes from ``RouteTable`` itself; what is said about each rule follows
// from the rule read alone, slowly and plainly. A property test holds both against each other.

/// A lookup told rule by rule.
public struct Explanation: Sendable, Equatable {
    /// What became of one rule.
    public enum Fate: Sendable, Equatable {
        /// The request goes here.
        case taken
        /// The rule is for other hosts.
        case otherHost
        /// The rule's host pattern meets the host, but a more specific one has rules too, and owns the request.
        case widerHost(owner: HostPattern)
        /// The rule is for other paths.
        case otherPath
        /// The rule meets the path, but the rule with index `winner` has a longer one, or an exact one.
        case shorterPath(winner: Int)
        /// The rule with index `earlier` meets the same requests and comes first.
        case duplicate(earlier: Int)
        /// The rule meets the request best, but the path can be read in two ways.
        case refused(PathAmbiguity)
    }

    /// What the table says.
    public var match: RouteMatch
    /// What can be read in two ways in the path, whether it matters on this host or not.
    public var ambiguity: PathAmbiguity?
    /// The fate of each rule, in the order of the snapshot.
    public var fates: [Fate]

    /// Explains the lookup of `host` (without port) and `path` (up to `?`) among the rules of `snapshot`.
    public init(host: [UInt8], path: [UInt8], in snapshot: Snapshot) {
        let table = RouteTable(snapshot)
        match = table.match(host: host.span, path: path.span)
        ambiguity = PathAmbiguity.first(in: path.span)

        let routes = snapshot.routes
        let owner = routes.map(\.host).filter { $0.meets(host) }.max { $0.rank < $1.rank }
        let best = routes.indices
            .filter { routes[$0].host == owner && routes[$0].path.meets(path) }
            .max { (routes[$0].path.rank, -$0) < (routes[$1].path.rank, -$1) }
        fates = []
        for index in routes.indices {
            fates.append(fate(of: index, in: routes, owner: owner, best: best, host: host, path: path))
        }
    }

    private func fate(
        of index: Int, in routes: [Route], owner: HostPattern?, best: Int?, host: [UInt8], path: [UInt8]
    ) -> Fate {
        let route = routes[index]
        guard route.host.meets(host), let owner else { return .otherHost }
        guard route.host == owner else { return .widerHost(owner: owner) }
        guard route.path.meets(path), let best else { return .otherPath }
        if match == .route(index) { return .taken }
        if index == best, match == .ambiguousPath, let ambiguity { return .refused(ambiguity) }
        return route.path.rank == routes[best].path.rank ? .duplicate(earlier: best) : .shorterPath(winner: best)
    }
}

extension HostPattern {
    /// Whether this pattern meets `host`.
    func meets(_ host: [UInt8]) -> Bool {
        var name = host.map(ASCII.lowercased)
        if name.last == UInt8(ascii: ".") { name.removeLast() }
        switch self {
        case .any: return true
        case .exact(let text): return name == text.utf8.map(ASCII.lowercased)
        case .wildcard(let parent):
            guard let dot = name.firstIndex(of: UInt8(ascii: ".")), dot > 0 else { return false }
            return Array(name[(dot + 1)...]) == parent.utf8.map(ASCII.lowercased)
        }
    }

    /// How specific this pattern is.
    var rank: Int {
        switch self {
        case .any: 0
        case .wildcard: 1
        case .exact: 2
        }
    }
}

extension PathPattern {
    /// Whether this pattern meets `path`.
    func meets(_ path: [UInt8]) -> Bool {
        guard let elements else { return true }
        if let first = path.first, first != ASCII.slash { return false }
        let asked = Self.elements(of: path)
        if case .exact = self { return asked == elements }
        return asked.starts(with: elements)
    }

    /// How specific this pattern is among those that meet the same path.
    var rank: Int {
        switch self {
        case .any: -1
        case .prefix: elements?.count ?? 0
        case .exact: .max
        }
    }
}
