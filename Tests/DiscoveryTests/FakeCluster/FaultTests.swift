// Does the fake misbehave as it is told to, and only then?

import FakeCluster
import Foundation
import ProxyCore
import Testing

@Suite struct FaultTests {
    static let slices = "/apis/discovery.k8s.io/v1/namespaces/honeydue/endpointslices"

    let cluster = FakeCluster()
    let server: FakeAPIServer

    init() throws {
        server = try FakeAPIServer(cluster, security: .plain)
        for name in ["api", "other"] {
            cluster.setService("honeydue", name, ports: [FakePort("http", port: 80, targetPort: 8000)])
        }
    }

    private func watch(_ client: inout FakeClient) {
        client.ask("\(Self.slices)?watch=1&allowWatchBookmarks=true&resourceVersion=\(cluster.resourceVersion)")
        _ = client.hear { !$0.statusLine.isEmpty }
    }

    private static func names(_ answer: Answered) -> [String] {
        answer.lines.map { String($0.firstMatch(of: /"name":"([a-z]+)-/)?.1 ?? "?") }
    }

    @Test func `a paused server says nothing, and all of it when it goes on`() async throws {
        var client = try FakeClient(server)
        watch(&client)
        #expect(await server.watchIsOpen(on: .endpointSlices))
        server.pause()
        cluster.setEndpoints("honeydue", "api", [FakePod(ip: "10.0.0.1")])
        var second = try FakeClient(server)
        second.ask(Self.slices)
        #expect(await server.sees { $0.accepted == 2 })
        #expect(server.observed.events == 0 && server.observed.requests.count == 1)
        server.resume()
        #expect(client.hear { $0.lines.count == 1 }.lines.count == 1)
        #expect(second.hear().statusLine == "HTTP/1.1 200 OK")
    }

    @Test func `killed connections end at once, by a reset or cleanly`() async throws {
        for reset in [true, false] {
            var client = try FakeClient(server)
            watch(&client)
            #expect(await server.watchIsOpen(on: .endpointSlices))
            server.killConnections(reset: reset)
            _ = client.hear { _ in false }
            #expect(client.ending == (reset ? "reset" : "end"))
            #expect(server.observed.connections == 0 && server.observed.watches.isEmpty)
        }
    }

    @Test func `a server that is stopped while it is told to listen stops, and nobody waits for it`() async throws {
        for _ in 0..<50 {
            let server = try FakeAPIServer(cluster, security: .plain)
            let other = try Thread(name: "other") { server.accept() }
            server.stop()
            _ = other
        }
    }

    @Test func `a server that refuses is back on the same port`() throws {
        server.crash()
        #expect(throws: FakeClient.Refused.self) { _ = try FakeClient(server) }
        server.accept()
        var client = try FakeClient(server)
        #expect(client.get(Self.slices).statusLine == "HTTP/1.1 200 OK")
    }

    @Test func `answers are spoilt as often as asked, and only those that are meant`() throws {
        server.answer(next: 2, .init(.endpointSlices, isWatch: false), with: .status(500))
        server.answer(.init(.services), with: .html)
        server.answer(.init(.endpoints), with: .wrongChunkSize)
        var client = try FakeClient(server)
        #expect(client.get("\(Self.slices)?watch=1&timeoutSeconds=0").statusLine == "HTTP/1.1 200 OK")
        #expect(client.get(Self.slices).statusLine == "HTTP/1.1 500 Internal Server Error")
        #expect(client.get("/api/v1/services").value("Content-Type") == "text/html; charset=utf-8")
        #expect(client.get(Self.slices).statusLine == "HTTP/1.1 500 Internal Server Error")
        #expect(client.get(Self.slices).statusLine == "HTTP/1.1 200 OK")
        let cut = client.get("/api/v1/endpoints")
        #expect(!cut.isComplete && client.ending != nil)
        #expect(server.observed.requests.map(\.status) == [200, 500, 200, 500, 200, 200])
    }

    @Test func `a late event is overtaken by others, and not by later ones of its object`() throws {
        server.delayEvents(of: .init(.endpointSlices), name: "api-", by: .milliseconds(300))
        var client = try FakeClient(server)
        watch(&client)
        let began = Clock.now()
        cluster.setEndpoints("honeydue", "api", [FakePod(ip: "10.0.0.1")])
        cluster.setEndpoints("honeydue", "other", [FakePod(ip: "10.0.0.2")])
        let first = client.hear { $0.lines.count == 1 }
        #expect(Self.names(first) == ["other"])
        let second = client.hear { $0.lines.count == 2 }
        #expect(Self.names(second) == ["other", "api"])
        #expect(Clock.now() - began >= .milliseconds(300))
        cluster.setEndpoints("honeydue", "api", [])
        server.delayNothing()
        #expect(Self.names(client.hear { $0.lines.count == 3 }) == ["other", "api", "api"])
    }

    @Test func `bookmarks come when asked for, and only to who wants them`() throws {
        var client = try FakeClient(server)
        watch(&client)
        cluster.advance(by: 7)
        cluster.sendBookmarks()
        let line = client.hear { $0.lines.count == 1 }.lines[0]
        #expect(
            line.contains(#""type":"BOOKMARK""#) && line.contains("\"resourceVersion\":\"\(cluster.resourceVersion)\""))
    }

    @Test func `watch-list and slices can be switched off`() throws {
        server.setServesWatchList(false)
        var client = try FakeClient(server)
        let target = "\(Self.slices)?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        #expect(client.get(target).statusLine == "HTTP/1.1 422 Unprocessable Entity")
        server.setServesSlices(false)
        #expect(client.get(Self.slices).statusLine == "HTTP/1.1 404 Not Found")
        #expect(client.get("/api/v1/namespaces/honeydue/endpoints").statusLine == "HTTP/1.1 200 OK")
    }

    @Test func `a revoked token is refused, a new authority not trusted before its CA is read again`() throws {
        let server = try FakeAPIServer(cluster)
        let folder = NSTemporaryDirectory() + "fake-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try server.writeFiles(caFile: folder + "/ca", tokenFile: folder + "/token")
        let old = try TLSContext(client: .certificates([UInt8](Data(contentsOf: URL(filePath: folder + "/ca")))))
        #expect(try String(contentsOfFile: folder + "/token", encoding: .utf8) == "fake-token\n")
        var client = try FakeClient(server)
        #expect(client.get(Self.slices).statusLine == "HTTP/1.1 200 OK")
        server.revokeToken()
        #expect(client.get(Self.slices).statusLine == "HTTP/1.1 401 Unauthorized")
        server.addToken("second")
        #expect(client.get(Self.slices, token: "second").statusLine == "HTTP/1.1 200 OK")
        try server.rotateAuthority()
        _ = try FakeClient(server)
        #expect(server.certificateAuthority != [UInt8](try Data(contentsOf: URL(filePath: folder + "/ca"))))
        _ = old
    }

    @Test func `with mutual TLS a certificate is enough, and without one there is no answer`() throws {
        let server = try FakeAPIServer(cluster, security: .mutualTLS)
        var client = try FakeClient(server, identity: server.clientIdentity())
        #expect(client.get(Self.slices, token: nil).statusLine == "HTTP/1.1 200 OK")
        var stranger = try FakeClient(server)
        #expect(stranger.get(Self.slices, token: nil).statusLine.isEmpty)
    }

    @Test func `two hundred events of four kilobytes go to a watcher, each whole`() throws {
        cluster.setEndpoints("honeydue", "api", (0..<12).map { FakePod(ip: "10.0.0.\($0)", zone: "zone") })
        var client = try FakeClient(server)
        watch(&client)
        var pods = cluster.endpoints("honeydue", "api")
        for round in 0..<200 {
            pods[0].ready = round % 2 == 1
            cluster.setEndpoints("honeydue", "api", pods)
        }
        let answer = client.hear { $0.lines.count == 200 }
        #expect(answer.lines.count == 200 && answer.lines[0].utf8.count > 3500)
    }
}
