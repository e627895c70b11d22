// Which route? The compiled table against the rules read one by one, and against other spellings of the same request.

@testable import ProxyCore

enum RoutingTarget {
    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let seed = UInt64(input.byte())
        let routes = (0..<(1 + Int(input.byte()) % 12)).map { _ in route(&input) }
        let host = input.text(limit: 64)
        let path = input.text(limit: 512)
        let table = RouteTable(routes, seed: seed)
        let found = try inProportion(to: host.count + path.count, "a lookup") {
            table.match(host: host.span, path: path.span)
        }
        let slow = slowMatch(routes, host, path)
        try expect(found == slow, "\(found), slowly \(slow): \(routes.map(\.name)), \(host.escaped), \(path.escaped)")
        let other = RouteTable(routes, seed: ~seed).match(host: host.span, path: path.span)
        try expect(other == found, "\(found), with another seed \(other)")
        let told = Explanation(host: host, path: path, in: Snapshot(routes: routes))
        try expect(told.match == found, "\(found), explained as \(told.match)")
        try expect(told.fates.count == routes.count, "\(told.fates.count) fates of \(routes.count) rules")
        let taken = told.fates.indices.filter { told.fates[$0] == .taken }
        if case .route(let index) = found {
            try expect(taken == [index], "\(index) is taken, explained as \(taken)")
        } else {
            try expect(taken.isEmpty, "nothing is taken, explained as \(taken)")
        }
        try expectSpellings(table, host, path, found)
        try expectConflicts(routes)
    }

    /// Rules in an alphabet so small that they meet one another.
    private static func route(_ input: inout FuzzInput) -> Route {
        let choice = input.byte()
        let name = ["a.x", "b.a.x", "x", "[::1]"][Int(choice & 3)]
        let host: HostPattern = choice & 4 == 0 ? .exact(name) : choice & 8 == 0 ? .wildcard(name) : .any
        let path: PathPattern
        switch choice >> 4 & 3 {
        case 0: path = .any
        case 1: path = .exact("/" + text(&input))
        default: path = .prefix("/" + text(&input))
        }
        return Route(host: host, path: path, allowsAmbiguousPaths: choice & 0x80 != 0, action: .forward([]))
    }

    /// Visible ASCII without `?` and `#`, as the configuration's reader lets through.
    private static func text(_ input: inout FuzzInput) -> String {
        let bytes = input.text(limit: 16).map { 0x21 + $0 % 0x5E }.filter { $0 != 0x3F && $0 != 0x23 }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The rules' words, read over whole elements, with nothing shared with the table.
    private static func slowMatch(_ routes: [Route], _ host: [UInt8], _ path: [UInt8]) -> RouteMatch {
        var name = SlowHead.lower(host).utf8[...]
        if name.last == UInt8(ascii: ".") { name.removeLast() }
        func rank(_ pattern: HostPattern) -> Int? {
            switch pattern {
            case .any: return 0
            case .exact(let text): return name.elementsEqual(text.utf8) ? 2 : nil
            case .wildcard(let parent):
                let label = name.prefix { $0 != UInt8(ascii: ".") }
                return !label.isEmpty && name.dropFirst(label.count).elementsEqual(("." + parent).utf8) ? 1 : nil
            }
        }
        guard let best = routes.compactMap({ rank($0.host) }).max() else { return .noHost }
        let mine = routes.indices.filter { rank(routes[$0].host) == best }
        let asked = elements(path)
        var winner: (index: Int, rank: Int)?
        for index in mine {
            let length: Int
            switch routes[index].path {
            case .any: length = -1
            case .exact(let text):
                guard let asked, asked == elements(Array(text.utf8)) else { continue }
                length = .max
            case .prefix(let text):
                var wanted = elements(Array(text.utf8)) ?? []
                if wanted.last == [] { wanted.removeLast() }
                guard let asked, asked.starts(with: wanted) else { continue }
                length = wanted.count
            }
            if winner == nil || winner!.rank < length { winner = (index, length) }
        }
        let decidesByPath = mine.contains { routes[$0].path != .any }
        if decidesByPath, !(winner.map { routes[$0.index].allowsAmbiguousPaths } ?? false),
            !RequestTargetTarget.slowAmbiguities(path).isEmpty
        {
            return .ambiguousPath
        }
        return winner.map { .route($0.index) } ?? .noPath
    }

    /// What stands between slashes, decoded once; nil where it is no path.
    private static func elements(_ path: [UInt8]) -> [[UInt8]]? {
        guard path.isEmpty || path[0] == UInt8(ascii: "/") else { return nil }
        return path.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { element in
            var decoded: [UInt8] = []
            var rest = element
            while let byte = rest.popFirst() {
                let digits = rest.prefix(2)
                if byte == UInt8(ascii: "%"), digits.count == 2, digits.allSatisfy({ ASCII.hexDigit($0) != nil }),
                    let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
                {
                    decoded.append(value)
                    rest = rest.dropFirst(2)
                } else {
                    decoded.append(byte)
                }
            }
            return decoded
        }
    }

    /// Letter case and a final dot of the host change nothing, nor does an escape of what needs none.
    private static func expectSpellings(
        _ table: borrowing RouteTable, _ host: [UInt8], _ path: [UInt8], _ found: RouteMatch
    ) throws {
        let upper = host.map { (0x61...0x7A).contains($0) ? $0 - 32 : $0 }
        let inUpper = table.match(host: upper.span, path: path.span)
        try expect(inUpper == found, "\(found), in capitals \(inUpper)")
        if host.last != UInt8(ascii: ".") {
            let dotted = host + [UInt8(ascii: ".")]
            let withDot = table.match(host: dotted.span, path: path.span)
            try expect(withDot == found, "\(found), with a dot \(withDot)")
        }
        // Not before the slash and not within an escape.
        guard !path.contains(UInt8(ascii: "%")), path.first == UInt8(ascii: "/") else { return }
        let spelled = path.flatMap { byte in
            SlowHead.isAlphanumeric(byte) || byte == UInt8(ascii: ".")
                ? Array("%\(String(byte, radix: 16))".utf8) : [byte]
        }
        let inEscapes = table.match(host: host.span, path: spelled.span)
        try expect(inEscapes == found, "\(found), in escapes \(inEscapes)")
    }

    /// Rules that are told to conflict are never taken, the first of their kind aside.
    private static func expectConflicts(_ routes: [Route]) throws {
        for (first, second) in RouteTable.conflicts(in: routes) {
            try expect(first < second && routes[first].host == routes[second].host, "a conflict of strangers")
        }
    }
}
