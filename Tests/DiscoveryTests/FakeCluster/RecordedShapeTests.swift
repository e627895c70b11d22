// Does the fake say it as the real server does? Each recorded exchange again, against the fake: same status line, same
// fields in the same order, same chunks, same JSON keys in the same order.

import FakeCluster
import ProxyCore
import Testing

@Suite struct RecordedShapeTests {
    static let slices = "/apis/discovery.k8s.io/v1/namespaces/honeydue/endpointslices"
    static let endpoints = "/api/v1/namespaces/honeydue/endpoints"

    let cluster = FakeCluster()
    let server: FakeAPIServer

    /// The cluster of the recordings: names and addresses as long as there, so that even lengths are equal.
    init() throws {
        server = try FakeAPIServer(cluster)
        server.addToken("nobody", user: "system:serviceaccount:honeydue:nobody", rights: .none)
        server.addToken("admin", rights: .admin)
        cluster.advance(by: 100)
        cluster.setService(
            "honeydue", "admin", ports: [FakePort("http", port: 3000, targetPort: 3000)], labels: ["app": "admin"])
        for (name, slice, headless) in [
            ("api", "api-b2pfs", false), ("api-headless", "api-headless-d6wvh", true),
        ] {
            cluster.setService(
                "honeydue", name, ports: [FakePort("http", port: 80, targetPort: 8000)], headless: headless,
                labels: ["app": "api"], slice: slice)
        }
        setPods()
    }

    static let pods = [
        FakePod(ip: "10.42.0.11", name: "api-6f975d8f8f-4dbjr", node: "hetzner1", zone: "fsn1"),
        FakePod(ip: "10.42.1.11", name: "api-6f975d8f8f-4t58d", node: "hetzner2", zone: "nbg1"),
        FakePod(ip: "10.42.2.11", name: "api-6f975d8f8f-tf2jw", node: "hetzner3", zone: "hel1"),
    ]
    static let admin = FakePod(ip: "10.42.0.12", name: "admin-64fcc9499f-fv7jl", node: "hetzner1", zone: "fsn1")

    /// The recorded objects were last written when something other than a pod's readiness changed.
    private func setPods() {
        let passing = FakePod(ip: "10.42.9.9")
        cluster.setEndpoints("honeydue", "admin", [Self.admin, passing])
        cluster.setEndpoints("honeydue", "admin", [Self.admin])
        for name in ["api", "api-headless"] {
            cluster.setEndpoints("honeydue", name, Self.pods + [passing])
            cluster.setEndpoints("honeydue", name, Self.pods)
        }
    }

    /// What two answers must share; bodies by their JSON's keys, line by line.
    private func expectSameShape(_ name: String, _ fake: Answered, _ recorded: Answered, sameSizes: Bool = true) {
        #expect(fake.statusLine == recorded.statusLine, "\(name)")
        #expect(fake.fixedFields == recorded.fixedFields, "\(name)")
        if sameSizes {
            #expect(fake.chunks == recorded.chunks, "\(name)")
            #expect(fake.value("Content-Length") == recorded.value("Content-Length"), "\(name)")
        }
        #expect(fake.lines.map(skeleton) == recorded.lines.map(skeleton), "\(name)")
    }

    @Test func `lists and objects have the recorded shape, down to each chunk's size`() throws {
        var client = try FakeClient(server)
        for name in [
            "endpointslices/list", "endpointslices/list-rv0", "endpointslices/list-none",
            "endpointslices/list-service-api", "endpointslices/list-limit1-page1", "endpoints/list",
            "errors/200-list-absent-namespace", "keepalive/1-list", "keepalive/3-list",
        ] {
            let recorded = try Answered.recorded(name)
            expectSameShape(name, client.get(recorded.target), recorded.answer)
        }
        #expect(server.observed.accepted == 1, "all of them over one connection")
    }

    @Test func `a list in pages goes on where it stopped, and its last page has no token`() throws {
        var client = try FakeClient(server)
        var token = ""
        for page in 1...3 {
            let recorded = try Answered.recorded("endpointslices/list-limit1-page\(page)")
            let fake = client.get("\(Self.slices)?limit=1" + (token.isEmpty ? "" : "&continue=\(token)"))
            expectSameShape("page \(page)", fake, recorded.answer)
            token = String(fake.lines[0].firstMatch(of: /"continue":"([^"]*)"/)?.1 ?? "")
            #expect(token.isEmpty == (page == 3))
        }
    }

    @Test func `a service without pods has a slice of nulls and Endpoints without subsets`() throws {
        cluster.setEndpoints("honeydue", "admin", [])
        var client = try FakeClient(server)
        for name in ["endpointslices/list-scaled-to-zero", "endpoints/get-scaled-to-zero"] {
            let recorded = try Answered.recorded(name)
            expectSameShape(name, client.get(recorded.target), recorded.answer)
        }
    }

    @Test func `130 pods are two slices, cut into chunks as the real list is`() throws {
        cluster.setService(
            "big", "big-0", ports: [FakePort("http", port: 80, targetPort: 8000)], labels: ["app": "big"])
        cluster.setEndpoints(
            "big", "big-0",
            (0..<130).map { FakePod(ip: "10.42.0.\($0 + 100)", name: "big-\($0)", node: "hetzner1", zone: "fsn1") })
        var client = try FakeClient(server)
        let recorded = try Answered.recorded("endpointslices/list-130-pods-two-slices")
        let fake = client.get(recorded.target)
        expectSameShape("130 pods", fake, recorded.answer, sameSizes: false)
        let layout = { (answer: Answered) in answer.chunks!.sorted().map { $0 > 2048 ? 9999 : $0 } }
        #expect(layout(fake) == layout(recorded.answer))
    }

    @Test func `the initial events of a watch are cut every 2048 bytes and closed by a bookmark`() throws {
        for (name, query) in [
            ("endpointslices/watch-no-rv", "allowWatchBookmarks=true"),
            ("endpointslices/watch-rv0", "allowWatchBookmarks=true&resourceVersion=0"),
            (
                "endpointslices/watchlist",
                "allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            ),
            ("endpointslices/watchlist-without-bookmarks", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"),
        ] {
            var client = try FakeClient(server)
            let recorded = try Answered.recorded(name).answer
            client.ask("\(Self.slices)?watch=1&\(query)&timeoutSeconds=1")
            let fake = client.hear()
            let count = query.hasPrefix("allow") ? 4 : 3
            #expect(fake.statusLine == recorded.statusLine && fake.fixedFields == recorded.fixedFields)
            #expect(fake.lines.count == count)
            #expect(fake.chunks!.prefix(2) == [2048, 2048] && fake.chunks!.count == 4 && fake.chunks!.last == 0)
            // Some recorded objects had been changed by pods before; the time of that is an annotation.
            let bare = { (line: String) in
                skeleton(line).replacing(/annotations:\{endpoints[^}]*\},/, with: "")
                    .replacing(/f:annotations:\{\.:\{\},f:[^}]*\}\},/, with: "")
            }
            #expect(fake.lines.map(bare) == recorded.lines.prefix(count).map(bare), "\(name)")
        }
    }

    @Test func `a rolling update gives the recorded events, one chunk each`() throws {
        let old = [Self.pods[1], Self.pods[2], Self.pods[0]]
        // The recorded slice had been written seven times before.
        for _ in 0..<2 {
            cluster.setEndpoints("honeydue", "api", Self.pods + [FakePod(ip: "10.42.9.9")])
            cluster.setEndpoints("honeydue", "api", Self.pods)
        }
        var client = try FakeClient(server)
        let selector = "labelSelector=kubernetes.io%2Fservice-name%3Dapi"
        client.ask("\(Self.slices)?watch=1&resourceVersion=\(cluster.resourceVersion)&\(selector)&timeoutSeconds=60")
        _ = client.hear { !$0.statusLine.isEmpty }
        let new = [("10.42.1.12", "5tc54", 2), ("10.42.1.13", "q2jjs", 2), ("10.42.2.12", "xzg5l", 3)].map { pod in
            FakePod(
                ip: pod.0, name: "api-7b77cbf7c6-\(pod.1)", node: "hetzner\(pod.2)", zone: pod.2 == 2 ? "nbg1" : "hel1")
        }
        var sent = 0
        let recorded = try Answered.recorded("endpointslices/watch-rollout-no-bookmarks").answer
        for step in FakeRollout(from: old, to: new).steps {
            // In the recording the slice's order is another one than the order in which pods go.
            cluster.setEndpoints("honeydue", "api", step.pods)
            sent += 1
            #expect(client.hear { $0.lines.count == sent }.lines.count == sent)
        }
        let fake = client.hear { $0.lines.count == sent }
        #expect(sent == recorded.lines.count)
        #expect(fake.chunks! == recorded.chunks!.dropLast())
        #expect(fake.lines.map(skeleton) == recorded.lines.map(skeleton))
        #expect(fake.lines.map(Self.endpoints) == recorded.lines.map(Self.endpoints))
    }

    /// Address and conditions of each endpoint of an event, in order.
    private static func endpoints(_ line: String) -> [String] {
        line.matches(
            of: /"addresses":\["([^"]*)"\],"conditions":\{"ready":(\w)\w*,"serving":(\w)\w*,"terminating":(\w)/
        )
        .map { "\($0.1)=\($0.2)\($0.3)\($0.4)" }
    }

    @Test func `Endpoints and Services are told of as recorded when a service comes, changes and goes`() throws {
        for (name, path) in [
            ("endpoints/watch-service-added-removed", Self.endpoints),
            ("services/watch-added-changed-removed", "/api/v1/namespaces/honeydue/services"),
            ("endpointslices/watch-service-added-removed", Self.slices),
        ] {
            var client = try FakeClient(server)
            client.ask("\(path)?watch=1&allowWatchBookmarks=true&resourceVersion=\(cluster.resourceVersion)")
            #expect(!client.hear { !$0.statusLine.isEmpty }.statusLine.isEmpty)
            let first = FakePort("http", port: 80, targetPort: 8000)
            cluster.setService("honeydue", "api-canary", ports: [first])
            cluster.setEndpoints("honeydue", "api-canary", Self.pods)
            cluster.setService(
                "honeydue", "api-canary",
                ports: [
                    FakePort("http", port: 80, targetPort: 8000, targetName: "http"),
                    FakePort("metrics", port: 9090, targetPort: 9090),
                ])
            cluster.removeService("honeydue", "api-canary")
            cluster.sendBookmarks()
            let fake = client.hear { $0.lines.last?.contains("BOOKMARK") == true }
            let recorded = try Answered.recorded(name).answer
            // A slice and Endpoints come without pods first here; the recording's were written with them at once.
            let lines = path.hasSuffix("services") ? fake.lines : fake.lines.dropFirst().map { $0 }
            let bare = { (line: String) in
                skeleton(line).replacing(/annotations:\{endpoints[^}]*\},/, with: "")
                    .replacing(/f:annotations:\{\.:\{\},f:[^}]*\}\},/, with: "")
            }
            #expect(lines.map(bare) == recorded.lines.map(bare), "\(name)")
            let types = { (line: String) in line.split(separator: "\"")[3] }
            #expect(lines.dropFirst().map(types) == recorded.lines.dropFirst().map(types), "\(name)")
        }
    }

    @Test func `what leaves a selection is deleted, what enters it is added`() throws {
        var client = try FakeClient(server)
        client.ask(
            "/api/v1/namespaces/honeydue/services?watch=1&resourceVersion=\(cluster.resourceVersion)"
                + "&labelSelector=app%3Dadmin")
        _ = client.hear { !$0.statusLine.isEmpty }
        let ports = [FakePort("http", port: 3000, targetPort: 3000)]
        cluster.setService("honeydue", "admin", ports: ports)
        cluster.setService("honeydue", "admin", ports: ports, labels: ["app": "admin"])
        let fake = client.hear { $0.lines.count == 2 }
        let recorded = try Answered.recorded("services/watch-selector-label-removed-and-added").answer
        let types = { (line: String) in line.split(separator: "\"")[3] }
        #expect(fake.lines.map(types) == recorded.lines.prefix(2).map(types))
        #expect(fake.lines[0].contains(#""labels":{"app":"admin"}"#), "it is told of as it was")
    }

    @Test func `refusals are worded and framed as recorded`() throws {
        server.setTooLargeAfter(.milliseconds(10))
        for (name, token) in [
            ("errors/401-bad-token", "wrong"), ("errors/401-watch-bad-token", "wrong"), ("errors/403-anonymous", nil),
            ("errors/403-no-rbac", "nobody"), ("errors/403-watch-no-rbac", "nobody"),
            ("errors/403-unknown-resource", "fake-token"), ("errors/403-unknown-path", "fake-token"),
            ("errors/404-object", "fake-token"), ("errors/404-unknown-resource", "admin"),
            ("errors/404-unknown-path", "admin"), ("errors/400-bad-selector", "fake-token"),
            ("errors/400-bad-continue", "fake-token"), ("errors/500-watch-bad-rv", "fake-token"),
            ("errors/422-watch-send-initial-events-without-match", "fake-token"),
            ("errors/504-list-rv-in-the-future", "fake-token"),
        ] as [(String, String?)] {
            var client = try FakeClient(server)
            let recorded = try Answered.recorded(name)
            let fake = client.get(recorded.target, token: token)
            expectSameShape(name, fake, recorded.answer)
            if !name.hasPrefix("errors/504") { #expect(fake.body == recorded.answer.body, "\(name)") }
        }
        for name in ["errors/429-list", "errors/429-watch"] {
            server.answer(with: .status(429))
            var client = try FakeClient(server)
            let recorded = try Answered.recorded(name)
            let fake = client.get(recorded.target)
            #expect(fake.statusLine == recorded.answer.statusLine && fake.fixedFields == recorded.answer.fixedFields)
            #expect(fake.body == recorded.answer.body)
        }
        var client = try FakeClient(server)
        client.ask("/apis/discovery.k8s.io/v1", method: "DELETE")
        expectSameShape("405", client.hear(), try Answered.recorded("errors/405-method").answer)
    }

    @Test func `a lost history is 410 in each of its ways`() throws {
        var client = try FakeClient(server)
        let token = try #require(
            client.get("\(Self.slices)?limit=1").lines[0].firstMatch(of: /"continue":"([^"]*)"/)?.1)
        let old = cluster.resourceVersion
        cluster.loseHistory()
        for (name, target) in [
            ("errors/410-watch-old-rv", "\(Self.slices)?watch=1&resourceVersion=\(old)"),
            ("errors/410-watch-old-rv-endpoints", "\(Self.endpoints)?watch=1&resourceVersion=\(old)"),
            ("errors/410-list-exact-old-rv", "\(Self.slices)?resourceVersion=\(old)&resourceVersionMatch=Exact"),
            ("errors/410-continue-page2-after-compaction", "\(Self.slices)?limit=1&continue=\(token)"),
        ] {
            expectSameShape(name, client.get(target), try Answered.recorded(name).answer, sameSizes: false)
        }
        server.setSaysGoneByStatus(true)
        #expect(client.get("\(Self.slices)?watch=1&resourceVersion=\(old)").statusLine == "HTTP/1.1 410 Gone")
    }

    @Test func `a watch of a version in the future is answered and silent, and a quiet one ends with the last chunk`()
        throws
    {
        var client = try FakeClient(server)
        for (name, version) in [
            ("errors/watch-rv-in-the-future", 999_999), ("keepalive/2-watch", cluster.resourceVersion),
        ] {
            let fake = client.get(
                "\(Self.slices)?watch=1&allowWatchBookmarks=true&resourceVersion=\(version)&timeoutSeconds=1")
            expectSameShape(name, fake, try Answered.recorded(name).answer)
        }
    }

    @Test func `version has the recorded keys`() throws {
        var client = try FakeClient(server)
        let (fake, recorded) = (client.get("/version"), try Answered.recorded("version").answer)
        #expect(skeleton(fake.lines.joined()) == skeleton(recorded.lines.joined()))
        #expect(fake.fixedFields == recorded.fixedFields)
    }
}
