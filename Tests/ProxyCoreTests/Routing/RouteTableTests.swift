import Testing

@testable import ProxyCore

/// A rule in few letters: `host`, then perhaps ` /prefix` or ` =/exact`, then perhaps ` asis`.
private func rule(_ text: String) -> Route {
    let words = text.split(separator: " ").map(String.init)
    let host: HostPattern =
        words[0] == "*" ? .any : words[0].hasPrefix("*.") ? .wildcard(String(words[0].dropFirst(2))) : .exact(words[0])
    let path = words.dropFirst().first { $0 != "asis" }
    let pattern: PathPattern =
        path.map { $0.hasPrefix("=") ? .exact(String($0.dropFirst())) : .prefix($0) } ?? .any
    return Route(host: host, path: pattern, allowsAmbiguousPaths: words.contains("asis"), action: .forward([]))
}

private func match(_ rules: [String], _ host: String, _ path: String, seed: UInt64 = 1) -> RouteMatch {
    RouteTable(rules.map(rule), seed: seed).match(host: Array(host.utf8).span, path: Array(path.utf8).span)
}

@Suite struct RouteTableTests {
    @Test func theHostDecidesFirst() {
        let rules = ["api.example.com", "*.example.com", "example.com", "[2001:db8::1]"]
        let cases: [(host: String, expected: RouteMatch)] = [
            ("api.example.com", .route(0)), ("API.Example.COM", .route(0)), ("api.example.com.", .route(0)),
            ("www.example.com", .route(1)), ("WWW.EXAMPLE.COM.", .route(1)), ("example.com", .route(2)),
            ("[2001:DB8::1]", .route(3)),
            ("a.b.example.com", .noHost), (".example.com", .noHost), ("api.example.com..", .noHost),
            ("xexample.com", .noHost), ("api.example.co", .noHost), ("", .noHost), (".", .noHost), ("com", .noHost),
        ]
        for (host, expected) in cases { #expect(match(rules, host, "/") == expected, "\(host)") }
        for host in ["", ".", "anything", "a.b.example.com", ".example.com"] {
            #expect(match(rules + ["*"], host, "/") == .route(4), "\(host)")
        }
        #expect(match([], "example.com", "/") == .noHost)
    }

    @Test func theMostSpecificHostOwnsTheRequestEvenWhenNoneOfItsPathsFits() {
        let rules = ["api.example.com /v1", "*.example.com", "* /v2"]
        #expect(match(rules, "api.example.com", "/v1/x") == .route(0))
        #expect(match(rules, "api.example.com", "/v2") == .noPath)
        #expect(match(rules, "www.example.com", "/v2") == .route(1))
        #expect(match(rules, "example.com", "/v2") == .route(2))
        #expect(match(rules, "example.com", "/v1") == .noPath)
    }

    @Test func theLongestPathWinsByWholeElementsAndAnExactOneBeatsAPrefix() {
        let rules = ["h", "h /foo", "h /foo/bar", "h =/foo", "h =/foo/bar/", "h /static/", "h =/caf%c3%a9"]
        let cases: [(path: String, expected: Int)] = [
            ("/", 0), ("", 0), ("/foobar", 0), ("/fo", 0), ("/Foo", 0), ("*", 0),
            ("/foo", 3), ("/foo/", 1), ("/foo/b", 1), ("/foo/bar", 2), ("/foo/bar/baz", 2), ("/foo/barbaz", 1),
            ("/foo/bar/", 4),
            // As a Kubernetes Ingress reads a prefix: the slash at its end adds nothing.
            ("/static", 5), ("/static/", 5), ("/static/app.js", 5), ("/statics", 0),
            // Spelled otherwise, read the same.
            ("/%66oo", 3), ("/f%6F%6f/x", 1), ("/caf%C3%A9", 6), ("/caf%c3%a9/", 0),
            // Decoded once only.
            ("/%2566oo", 0),
        ]
        for (path, expected) in cases { #expect(match(rules, "h", path) == .route(expected), "\(path)") }
        #expect(match(["h /"], "h", "/any/thing") == .route(0))
        #expect(match(["h /"], "h", "*") == .noPath)
        #expect(match(["h =/"], "h", "") == .route(0))
    }

    @Test func aPathThatReadsInTwoWaysIsRefusedWherePathsDecide() {
        let ambiguous = [
            "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a\\b", "/a%00", "/./a", "/a/.", "/../a", "/a/..", "/a/../b",
            "/%2e/a", "/.%2e/a", "/%2E./a", "/%2e%2E/a", "//", "//a", "/a//b", "/a//", "/a/%", "/a%2", "/a%zz", "/a%2g",
            "/..;/a", "/..;x=1/a", "/a/.;", "/..%3b/a", "/;x/a", "/a/;",
        ]
        let plain = [
            "/", "", "/a", "/a/", "/a/b.c", "/...", "/a..", "/..a", "/.well-known/acme", "/a;x=1/b", "/a%252fb",
            "/a%20b",
            "/a%3fb", "/~a", "/a:b@c", "*",
        ]
        for path in ambiguous {
            #expect(match(["h", "h /x"], "h", path) == .ambiguousPath, "\(path)")
            #expect(match(["h /x"], "h", path) == .ambiguousPath, "no rule meets \(path), and we cannot be sure of it")
            #expect(match(["h asis", "h /x"], "h", path) == .route(0), "\(path)")
            #expect(match(["h", "other /x"], "h", path) == .route(0), "paths decide nothing on this host: \(path)")
        }
        for path in plain { #expect(match(["h", "h /x"], "h", path) == .route(0), "\(path)") }
        #expect(match(["h asis", "h /admin"], "h", "/admin/../x") == .ambiguousPath)
        #expect(match(["h /files asis"], "h", "/files/a%2fb") == .route(0))
    }

    @Test func rulesThatMeetTheSameRequestsAreFound() {
        let rules = [
            "h", "h /", "h /a", "h /a/", "h =/a", "h =/a/", "*.h", "*.h /%61", "*.h /a", "g /a", "h /%61", "*", "*",
        ].map(rule)
        let expected = [(0, 1), (2, 3), (7, 8), (2, 10), (11, 12)]
        let found = RouteTable.conflicts(in: rules)
        #expect(found.map(\.0) == expected.map(\.0))
        #expect(found.map(\.1) == expected.map(\.1))
    }

    @Test func aThousandHostsAreToldApart() {
        let rules = (0..<1000).map { "host\($0).example.com" } + (0..<1000).map { "*.zone\($0).example.com" }
        let table = RouteTable(rules.map(rule), seed: 7)
        for i in 0..<1000 {
            let exact = Array("HOST\(i).example.com".utf8)
            let wildcard = Array("x.zone\(i).example.com.".utf8)
            #expect(table.match(host: exact.span, path: exact.span) == .route(i))
            #expect(table.match(host: wildcard.span, path: exact.span) == .route(1000 + i))
        }
        let unknown = Array("host1000.example.com".utf8)
        #expect(table.match(host: unknown.span, path: unknown.span) == .noHost)
    }
}

@Suite struct ExplanationTests {
    @Test func everyCandidateIsToldItsReason() {
        let routes = [
            "api.example.com", "api.example.com /v1", "api.example.com =/v1", "api.example.com /v2", "*.example.com",
            "*",
            "example.org", "api.example.com /v1/",
        ].map(rule)
        let told = Explanation(
            host: Array("api.example.com".utf8), path: Array("/v1/x".utf8), in: Snapshot(routes: routes))
        #expect(told.match == .route(1))
        #expect(told.ambiguity == nil)
        let owner = HostPattern.exact("api.example.com")
        #expect(
            told.fates == [
                .shorterPath(winner: 1), .taken, .otherPath, .otherPath, .widerHost(owner: owner),
                .widerHost(owner: owner), .otherHost, .duplicate(earlier: 1),
            ])
        let refused = Explanation(
            host: Array("api.example.com".utf8), path: Array("/v1/..".utf8), in: Snapshot(routes: routes))
        #expect(refused.match == .ambiguousPath)
        #expect(refused.fates[1] == .refused(.dotSegment))
    }
}

/// The table, the explanation and a naive reading of the rules give the same answer on many small random cases.
@Suite struct RouteTableProperties {
    @Test(arguments: UInt64(0)..<8) func theTableAgreesWithANaiveMatcher(seed: UInt64) {
        var random = SplitMix(state: seed)
        for _ in 0..<150 {
            let rules = (0..<Int.random(in: 0...10, using: &random)).map { _ in randomRule(&random) }
            let routes = rules.map(rule)
            let table = RouteTable(routes, seed: seed)
            for _ in 0..<20 {
                let host = randomHost(&random)
                let path = randomPath(&random)
                let found = table.match(host: Array(host.utf8).span, path: Array(path.utf8).span)
                let comment = Comment(rawValue: "seed \(seed): \(host) \(path) among \(rules)")
                #expect(found == naiveMatch(rules, host, path), comment)
                checkExplanation(host, path, routes, found, comment)
            }
        }
    }

    private func checkExplanation(
        _ host: String, _ path: String, _ routes: [Route], _ found: RouteMatch, _ comment: Comment
    ) {
        let told = Explanation(host: Array(host.utf8), path: Array(path.utf8), in: Snapshot(routes: routes))
        #expect(told.match == found, comment)
        let taken = told.fates.indices.filter { told.fates[$0] == .taken }
        let refused = told.fates.filter { if case .refused = $0 { true } else { false } }
        switch found {
        case .route(let index):
            #expect(taken == [index], comment)
            #expect(refused.isEmpty, comment)
        case .noHost: #expect(told.fates.allSatisfy { $0 == .otherHost }, comment)
        case .noPath, .ambiguousPath:
            #expect(taken.isEmpty, comment)
            #expect(refused.count <= 1, comment)
        }
    }

    private func randomRule(_ random: inout SplitMix) -> String {
        let host = ["a.x", "a.x", "a.x", "*.x", "*.x", "x", "*.a.x", "*"].randomElement(using: &random)!
        let asis = Int.random(in: 0..<4, using: &random) == 0 ? " asis" : ""
        switch Int.random(in: 0..<3, using: &random) {
        case 0: return host + asis
        case 1: return host + " " + randomPlainPath(&random) + asis
        default: return host + " =" + randomPlainPath(&random) + asis
        }
    }

    private func randomHost(_ random: inout SplitMix) -> String {
        ["a.x", "A.x", "a.X.", "b.x", "C.x.", "x", "y.a.x", "q", "", ".x", "a..x"].randomElement(using: &random)!
    }

    private func randomPlainPath(_ random: inout SplitMix) -> String {
        let elements = (0..<Int.random(in: 1...2, using: &random)).map { _ in
            ["p", "p", "q", "%70", "pq"].randomElement(using: &random)!
        }
        return "/" + elements.joined(separator: "/") + (Bool.random(using: &random) ? "/" : "")
    }

    private func randomPath(_ random: inout SplitMix) -> String {
        let elements = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            if Int.random(in: 0..<10, using: &random) == 0 {
                return ["", "..", "%2e", "p%2fq", ";", "%"].randomElement(using: &random)!
            }
            return ["p", "p", "p", "q", "%70", "%71", "pq"].randomElement(using: &random)!
        }
        return "/" + elements.joined(separator: "/") + (Int.random(in: 0..<4, using: &random) == 0 ? "/" : "")
    }

    /// The contract's words on hosts and paths, read over text, with nothing shared with the table.
    private func naiveMatch(_ rules: [String], _ host: String, _ path: String) -> RouteMatch {
        var host = host.lowercased()
        if host.hasSuffix(".") { host.removeLast() }
        func hostRank(_ pattern: String) -> Int? {
            if pattern == "*" { return 0 }
            if !pattern.hasPrefix("*.") { return pattern == host ? 2 : nil }
            let label = host.prefix { $0 != "." }
            return !label.isEmpty && host.dropFirst(label.count) == pattern.dropFirst() ? 1 : nil
        }
        let words = rules.map { $0.split(separator: " ").map(String.init) }
        guard let best = words.compactMap({ hostRank($0[0]) }).max() else { return .noHost }
        let mine = words.indices.filter { hostRank(words[$0][0]) == best }
        func pattern(_ index: Int) -> String? { words[index].dropFirst().first { $0 != "asis" } }
        let plain = path.replacing("%70", with: "p").replacing("%71", with: "q")
        func pathRank(_ index: Int) -> Int? {
            guard var text = pattern(index)?.replacing("%70", with: "p") else { return 0 }
            if text.hasPrefix("=") { return text.dropFirst() == plain ? 2 * plain.count + 1 : nil }
            if text.hasSuffix("/") { text.removeLast() }
            return plain == text || plain.hasPrefix(text + "/") ? 2 * text.count : nil
        }
        let ranked = mine.filter { pathRank($0) != nil }
        let winner = ranked.max { (pathRank($0)!, -$0) < (pathRank($1)!, -$1) }
        if mine.allSatisfy({ pattern($0) == nil }) { return .route(winner!) }
        let elements = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let isAmbiguous =
            elements.dropLast().contains("")
            || elements.contains { ["..", "%2e", "p%2fq", ";", "%"].contains($0) }
        if isAmbiguous, winner.map({ !words[$0].contains("asis") }) ?? true { return .ambiguousPath }
        return winner.map { .route($0) } ?? .noPath
    }
}

/// A small generator that replays from its seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
