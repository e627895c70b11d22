// Which route? The rules of a snapshot, compiled for lookups by a request's bytes: hop 6 of a request's journey.
//
// 1. The host decides alone: an exact name before `*.parent` (exactly one label) before `*`. The most specific pattern
//    that has any rule owns the request; when none of its rules meets the path, the answer is "no path", and rules of a
//    wider pattern are not asked. Envoy's virtual hosts and Gateway API's listeners do the same: whoever configures a
//    host sees all that happens to it in one place.
// 2. Among the host's rules the longest path wins, an exact one before a prefix of the same length.
// 3. Where the host has any rule by path, a path that can be read in two ways is refused, unless the rule that it meets
//    lets such paths through.
//
// A lookup allocates nothing, counts no references and costs the same with ten hosts as with ten thousand.

/// What a lookup came to.
public enum RouteMatch: Sendable, Equatable {
    /// The rule with this index in ``Snapshot/routes``.
    case route(Int)
    /// No rule is for this host.
    case noHost
    /// Rules are for this host, none of them for this path.
    case noPath
    /// The path can be read in two ways (``PathAmbiguity``) and decides something on this host.
    case ambiguousPath
}

/// The compiled rules of a snapshot.
public struct RouteTable: ~Copyable, Sendable {
    /// The rules of one host pattern.
    private struct HostRules {
        /// Where its rules by path begin in the tree; negative: it has none.
        var root: Int32 = -1
        /// Its rule for every path; negative: none.
        var anyPath: Int32 = -1
    }

    private var exact: HostIndex
    private var wildcard: HostIndex
    private var anyHost: Int32 = -1
    private var hosts: [HostRules] = []
    private var paths: PathTree
    private var allowsAmbiguousPaths: [Bool] = []

    /// Compiles the rules of `snapshot`. The hash of hosts and paths is keyed with `seed`; a fixed one is for tests.
    public init(_ snapshot: Snapshot, seed: UInt64 = .random(in: .min ... .max)) {
        self.init(snapshot.routes, seed: seed)
    }

    /// Compiles `routes`; a match tells their index.
    init(_ routes: [Route], seed: UInt64) {
        exact = HostIndex(seed: seed)
        wildcard = HostIndex(seed: ~seed)
        paths = PathTree(seed: seed)
        var known: [HostPattern: Int] = [:]
        for (index, route) in routes.enumerated() {
            let host = known[route.host] ?? addHost(route.host)
            known[route.host] = host
            add(route.path, Int32(index), to: host)
            allowsAmbiguousPaths.append(route.allowsAmbiguousPaths)
        }
    }

    /// The rule that meets a request.
    ///
    /// - Parameters:
    ///   - host: the request's host without its port, in any letter case; one final dot is ignored.
    ///   - path: the request target's bytes up to its `?`.
    public borrowing func match(host: Span<UInt8>, path: Span<UInt8>) -> RouteMatch {
        guard let owner = owner(of: host) else { return .noHost }
        let rules = hosts.span[Int(owner)]
        guard rules.root >= 0 else { return .route(Int(rules.anyPath)) }
        let found = paths.find(path, below: rules.root) ?? rules.anyPath
        let isLetThrough = found >= 0 && allowsAmbiguousPaths.span[Int(found)]
        if !isLetThrough, PathAmbiguity.first(in: path) != nil { return .ambiguousPath }
        return found >= 0 ? .route(Int(found)) : .noPath
    }

    /// The most specific host pattern that meets `host`.
    @inline(__always) private borrowing func owner(of host: Span<UInt8>) -> Int32? {
        var end = host.count
        if end > 0, host[end &- 1] == Self.dot { end &-= 1 }
        if let found = exact.find(host, from: 0, to: end) { return found }
        var label = 0
        while label < end, host[label] != Self.dot { label &+= 1 }
        // The wildcard stands for one label, and a label has at least one byte (RFC 1035 §2.3.1).
        if label > 0, label < end, let found = wildcard.find(host, from: label &+ 1, to: end) { return found }
        return anyHost >= 0 ? anyHost : nil
    }

    private mutating func addHost(_ pattern: HostPattern) -> Int {
        let number = Int32(hosts.count)
        hosts.append(HostRules())
        switch pattern {
        case .exact(let name): exact.insert(name, value: number)
        case .wildcard(let parent): wildcard.insert(parent, value: number)
        case .any: anyHost = number
        }
        return Int(number)
    }

    private mutating func add(_ path: PathPattern, _ route: Int32, to host: Int) {
        if path == .any {
            if hosts[host].anyPath < 0 { hosts[host].anyPath = route }
            return
        }
        if hosts[host].root < 0 { hosts[host].root = paths.addRoot() }
        paths.insert(path, route: route, below: hosts[host].root)
    }

    private static let dot = UInt8(ascii: ".")
}

extension RouteTable {
    /// The pairs of rules that meet the same requests, as indices: each such rule beside the first of its kind. They
    /// have the same host and the same path, however it is spelled: `/a/` is `/a` for a prefix, `/%61` is `/a`, and the
    /// prefix `/` is no path at all.
    public static func conflicts(in routes: [Route]) -> [(Int, Int)] {
        struct Requests: Hashable {
            var host: HostPattern
            var elements: [[UInt8]]
            var isExact: Bool
        }
        var first: [Requests: Int] = [:]
        var pairs: [(Int, Int)] = []
        for (index, route) in routes.enumerated() {
            var isExact = false
            if case .exact = route.path { isExact = true }
            let requests = Requests(host: route.host, elements: route.path.elements ?? [], isExact: isExact)
            if let earlier = first[requests] {
                pairs.append((earlier, index))
            } else {
                first[requests] = index
            }
        }
        return pairs
    }
}
