// Which of a host's rules by path? A tree of path elements: each configured path is a walk from its host's root, and a
// request takes the same walk once, element by element, so its cost grows with the request's path alone and not with the
// number of rules.
//
// Elements are compared by the bytes that they stand for: `/%61dmin` meets a rule for `/admin`, because the upstream
// behind it would read it so (RFC 3986 §6.2.2.2), and a rule that can be walked around by spelling protects nothing.
// What travels on is the path as it came. A slash that is spelled `%2f` never divides elements.

/// The rules by path of all hosts.
struct PathTree: ~Copyable, Sendable {
    /// A point of the walk: the rules whose path ends here.
    private struct Node {
        /// The rule that meets this path and all below it; negative: none.
        var prefix: Int32 = -1
        /// The rule that meets this very path; negative: none.
        var exact: Int32 = -1
    }

    private var nodes: [Node] = []
    /// From a node (the salt) by an element (the name) to the next node (the value).
    private var edges = ByteTable()
    private let seed: UInt64

    /// An empty tree whose hash is keyed with `seed`.
    init(seed: UInt64) { self.seed = seed }

    /// The rule that meets `path` below `root`: the exact one, else the one with the longest prefix. An empty path is
    /// read as `/` (RFC 9112 §3.2.1); one that begins otherwise (`*`) meets no rule by path.
    @inline(__always) func find(_ path: Span<UInt8>, below root: Int32) -> Int32? {
        if !path.isEmpty, path[0] != ASCII.slash { return nil }
        let nodes = nodes.span
        var node = root
        var longest = nodes[Int(node)].prefix
        var at = path.isEmpty ? 0 : 1
        while let next = step(from: node, path, &at) {
            node = next
            let reached = nodes[Int(node)]
            if reached.prefix >= 0 { longest = reached.prefix }
            if at > path.count {
                if reached.exact >= 0 { longest = reached.exact }
                break
            }
        }
        return longest >= 0 ? longest : nil
    }

    /// The node that `node` leads to by the element at `at`, which moves to the element after it: past the end of the
    /// path when this was the last one.
    @inline(__always) private func step(from node: Int32, _ path: Span<UInt8>, _ at: inout Int) -> Int32? {
        let start = at
        var hash = SeededHash(seed: seed, salt: UInt32(bitPattern: node))
        var length = 0
        while at < path.count, path[at] != ASCII.slash {
            hash.append(PercentCoding.next(path, &at))
            length &+= 1
        }
        let end = at
        at &+= 1
        guard length <= edges.lengthMax, !edges.isEmpty else { return nil }
        var place = edges.firstPlace(for: hash.value)
        while let slot = edges.next(hash.value, salt: UInt32(bitPattern: node), from: &place) {
            if Int(slot.length) == length, equal(path, from: start, to: end, slot) { return slot.value }
        }
        return nil
    }

    @inline(__always) private func equal(
        _ path: Span<UInt8>, from start: Int, to end: Int, _ slot: ByteTable.Slot
    ) -> Bool {
        var name = Int(slot.start)
        var at = start
        while at < end {
            if PercentCoding.next(path, &at) != edges.byte(at: name) { return false }
            name &+= 1
        }
        return true
    }

    /// A new root, for a host of its own.
    mutating func addRoot() -> Int32 {
        nodes.append(Node())
        return Int32(nodes.count - 1)
    }

    /// Adds the rule number `route` for `pattern` below `root`. Of two that meet the same requests the first one stays.
    mutating func insert(_ pattern: PathPattern, route: Int32, below root: Int32) {
        guard let elements = pattern.elements else { return }
        var node = root
        for element in elements { node = findOrAdd(element, below: node) }
        switch pattern {
        case .exact: if nodes[Int(node)].exact < 0 { nodes[Int(node)].exact = route }
        case .prefix: if nodes[Int(node)].prefix < 0 { nodes[Int(node)].prefix = route }
        case .any: break
        }
    }

    /// The node below `node` by the already decoded `element`.
    private mutating func findOrAdd(_ element: [UInt8], below node: Int32) -> Int32 {
        let salt = UInt32(bitPattern: node)
        var hash = SeededHash(seed: seed, salt: salt)
        for byte in element { hash.append(byte) }
        if !edges.isEmpty {
            var place = edges.firstPlace(for: hash.value)
            while let slot = edges.next(hash.value, salt: salt, from: &place) {
                let start = Int(slot.start)
                let isSame =
                    Int(slot.length) == element.count
                    && element.indices.allSatisfy { edges.byte(at: start + $0) == element[$0] }
                if isSame { return slot.value }
            }
        }
        let next = addRoot()
        edges.insert(element, hash: hash.value, salt: salt, value: next)
        return next
    }
}

extension PathPattern {
    /// The decoded elements that a path begins with (`prefix`) or consists of (`exact`); nil where every path is met.
    /// A slash at the end of a prefix adds nothing, as in a Kubernetes Ingress: `/static/` means `/static` and what is
    /// below it. At the end of an exact path it is an empty last element.
    var elements: [[UInt8]]? {
        switch self {
        case .any: return nil
        case .exact(let path): return Self.elements(of: Array(path.utf8))
        case .prefix(let path):
            var elements = Self.elements(of: Array(path.utf8))
            if elements.last?.isEmpty == true { elements.removeLast() }
            return elements
        }
    }

    /// What stands between the slashes of `path`, decoded; the empty path is read as `/`.
    static func elements(of path: [UInt8]) -> [[UInt8]] {
        let path = path.span
        var elements: [[UInt8]] = []
        var at = path.isEmpty ? 0 : 1
        while at <= path.count {
            var element: [UInt8] = []
            while at < path.count, path[at] != ASCII.slash { element.append(PercentCoding.next(path, &at)) }
            elements.append(element)
            at += 1
        }
        return elements
    }
}
