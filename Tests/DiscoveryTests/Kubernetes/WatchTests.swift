import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import Discovery

@Suite(.onControlThread) struct WatchTests {
    init() { ControlThread.start() }

    /// Answers for Services, and nothing else.
    static func services(_ request: ScriptedServer.Request, _ peer: ScriptedServer.Conversation) -> Bool {
        if request.isWatch {
            peer.beginWatch()
            peer.waitForEnd()
            return false
        }
        peer.answer(Scripted.services)
        return true
    }

    /// How often what was asked: the script of a test by the number of lists and watches of slices.
    final class Count: Sendable {
        private let numbers = Mutex<[String: Int]>([:])
        func next(_ name: String) -> Int {
            numbers.withLock {
                $0[name, default: 0] += 1
                return $0[name]!
            }
        }
    }

    static func server(
        list: @escaping @Sendable (Int, ScriptedServer.Request, ScriptedServer.Conversation) -> Bool,
        watch: @escaping @Sendable (Int, ScriptedServer.Request, ScriptedServer.Conversation) -> Bool
    ) throws -> ScriptedServer {
        let count = Count()
        return try ScriptedServer { request, peer in
            if request.isServices { return services(request, peer) }
            return request.isWatch
                ? watch(count.next("watch"), request, peer) : list(count.next("list"), request, peer)
        }
    }

    static func hold(_ peer: ScriptedServer.Conversation) -> Bool {
        peer.waitForEnd()
        return false
    }

    static func slices(_ server: ScriptedServer) -> [String] {
        server.requests.filter(\.isSlices).map { request in
            (request.isWatch ? "watch " : "list ") + (request.query("resourceVersion") ?? "newest")
        }
    }

    @Test("a list, a watch from its version, events together are one testimony, a clean end goes on without a list")
    @ControlThread
    func course() async throws {
        let server = try Self.server { _, _, peer in
            peer.answer(Scripted.list("EndpointSlice", 10, [Scripted.slice("a", 9, ["10.0.0.1"])]))
            return true
        } watch: { number, _, peer in
            peer.beginWatch()
            guard number == 1 else { return Self.hold(peer) }
            peer.chunk(
                Scripted.event("MODIFIED", Scripted.slice("a", 11, ["10.0.0.1", "10.0.0.2"]))
                    + Scripted.event("ADDED", Scripted.slice("b", 12, ["10.0.0.3"])) + Scripted.bookmark(15))
            peer.endWatch()
            return true
        }
        let witness = Witness(server)
        let all = "10.0.0.1 10.0.0.2 10.0.0.3"
        #expect(await witness.until { Self.slices(server).count == 3 && witness.addresses() == all })
        #expect(Self.slices(server) == ["list 0", "watch 10", "watch 15"])
        let updates = witness.testimonies.compactMap { testimony in
            if case .kubernetes(let update) = testimony { update.services["api"]?.count } else { nil }
        }
        // The Service's port may become known only after the slices' events have come; they are one testimony each way.
        #expect(updates == [1, 3] || updates == [3])
        #expect(witness.lost.isEmpty && witness.source.status.synced && witness.source.status.error == nil)
        #expect(server.requests.first?.head.contains("Accept-Encoding") == false)
        #expect(server.requests.first?.head.contains("User-Agent: hdproxy\r\n") == true)
        #expect(Set(server.requests.filter(\.isSlices).map(\.connection)).count == 1, "one connection for all of it")
        await witness.stop()
        server.stop()
    }

    @Test("410, as a status or as an event, is a list as a difference, at once", arguments: [true, false])
    @ControlThread
    func expired(_ asEvent: Bool) async throws {
        let server = try Self.server { number, _, peer in
            peer.answer(
                Scripted.list("EndpointSlice", number * 100, [Scripted.slice("a", 9, ["10.0.0.\(number)"])]))
            return true
        } watch: { number, _, peer in
            guard number == 1 else {
                peer.beginWatch()
                return Self.hold(peer)
            }
            if asEvent {
                peer.beginWatch()
                peer.chunk(Scripted.event("ERROR", Scripted.status(410, "Expired")))
                peer.endWatch()
            } else {
                peer.answer(410, Scripted.status(410, "Expired"))
            }
            return true
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server).count == 4 })
        #expect(Self.slices(server) == ["list 0", "watch 100", "list 100", "watch 200"])
        #expect(witness.addresses() == "10.0.0.2")
        #expect(witness.lost.isEmpty, "the server is in touch")
        #expect(witness.source.status.errorCounts == ["expired": 1])
        await witness.stop()
        server.stop()
    }

    @Test("after a broken connection what is known stays, and is listed again; behind it may be another server")
    @ControlThread
    func broken() async throws {
        let server = try Self.server { number, request, peer in
            if number == 2 {
                peer.answer(
                    504, Scripted.status(504, "Timeout", #"{"causes":[{"reason":"ResourceVersionTooLarge"}]}"#))
            } else {
                peer.answer(Scripted.list("EndpointSlice", number, [Scripted.slice("a", number, ["10.0.0.1"])]))
            }
            return true
        } watch: { number, _, peer in
            peer.beginWatch()
            if number > 1 { return Self.hold(peer) }
            peer.chunk(Scripted.bookmark(5000))
            peer.send("64\r\n{\"type\":\"MODI")
            return false
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server).count == 5 })
        #expect(Self.slices(server) == ["list 0", "watch 1", "list 5000", "list newest", "watch 3"])
        #expect(witness.source.status.errorCounts["closed"] == 1 && witness.source.status.errorCounts["behind"] == 1)
        #expect(witness.lost.count == 1)
        #expect(witness.addresses() == "10.0.0.1")
        let emptied = witness.testimonies.contains { testimony in
            if case .kubernetes(let update) = testimony { update.services["api"] == [] } else { false }
        }
        #expect(!emptied)
        #expect(await witness.until { witness.source.status.error == nil && witness.source.status.synced })
        await witness.stop()
        server.stop()
    }

    @Test(
        "garbage in any shape is a failure with a word, and costs nothing that is known",
        arguments: [
            ("<html>500</html>", "malformed"), ("{}", "malformed"),
            ("{\"kind\":\"EndpointSliceList\",\"metad", "malformed"),
            (Scripted.list("Service", 7, []), "malformed"), ("", "malformed"),
        ])
    @ControlThread
    func garbage(_ body: String, _ word: String) async throws {
        let server = try Self.server { number, _, peer in
            peer.answer(number == 2 ? body : Scripted.list("EndpointSlice", 1, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            return true
        } watch: { number, _, peer in
            guard number == 1 else {
                peer.beginWatch()
                return Self.hold(peer)
            }
            return false
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server).filter { $0.hasPrefix("watch") }.count == 2 })
        #expect(witness.source.status.errorCounts[word] == 1)
        #expect(witness.addresses() == "10.0.0.1")
        await witness.stop()
        server.stop()
    }

    @Test(
        "what is wrong within a watch: cut JSON, foreign bytes, a coding nobody asked for",
        arguments: [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"type\":\r\n0\r\n\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n2\r\n{}\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "malformed"), ("SSH-2.0\r\n", "malformed"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "closed"),
            ("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", "server_error"),
            ("HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n", "forbidden"),
        ])
    @ControlThread
    func badWatches(_ bytes: String, _ word: String) async throws {
        let server = try Self.server { _, _, peer in
            peer.answer(Scripted.list("EndpointSlice", 1, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            return true
        } watch: { number, _, peer in
            if number > 1 {
                peer.beginWatch()
                return Self.hold(peer)
            }
            peer.send(bytes)
            return true
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server) == ["list 0", "watch 1", "list 1", "watch 1"] })
        #expect(witness.source.status.errorCounts == [word: 1])
        #expect(witness.addresses() == "10.0.0.1")
        await witness.stop()
        server.stop()
    }

    @Test("pages are one list, and a page that is too old begins it again") @ControlThread
    func pages() async throws {
        let server = try Self.server { number, request, peer in
            switch (number, request.query("continue")) {
            case (1, _): peer.answer(410, Scripted.status(410, "Expired"))
            case (_, nil):
                peer.answer(
                    Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])], next: "a/b=="))
            case (3, _): peer.answer(410, Scripted.status(410, "Expired"))
            case (_, "a%2Fb%3D%3D"):
                peer.answer(Scripted.list("EndpointSlice", 5, [], next: "c"))
            default: peer.answer(Scripted.list("EndpointSlice", 6, [Scripted.slice("b", 1, ["10.0.0.2"])]))
            }
            return true
        } watch: { _, _, peer in
            peer.beginWatch()
            return Self.hold(peer)
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server).last == "watch 5" })
        #expect(witness.addresses() == "10.0.0.1 10.0.0.2")
        await witness.stop()
        server.stop()
    }

    @Test("a list as the beginning of a watch, where it is wanted and the server has it") @ControlThread
    func watchList() async throws {
        let server = try Self.server { _, _, peer in
            Issue.record("no list is asked")
            return false
        } watch: { _, request, peer in
            #expect(request.query("sendInitialEvents") == "true")
            peer.beginWatch()
            peer.chunk(Scripted.event("ADDED", Scripted.slice("a", 90, ["10.0.0.1"])))
            peer.chunk(Scripted.event("ADDED", Scripted.slice("b", 3, ["10.0.0.2"])))
            peer.chunk(Scripted.bookmark(95, ends: true))
            peer.chunk(Scripted.event("DELETED", Scripted.slice("a", 96, ["10.0.0.1"])))
            return Self.hold(peer)
        }
        let witness = Witness(server) { $0.slices.prefersWatchList = true }
        #expect(await witness.until { witness.addresses() == "10.0.0.2" })
        await witness.stop()
        server.stop()
    }

    @Test(
        "a server that refuses it, or never ends its beginning, is asked for lists from then on",
        arguments: [true, false])
    @ControlThread
    func noWatchList(_ refuses: Bool) async throws {
        let server = try Self.server { _, _, peer in
            peer.answer(Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            return true
        } watch: { number, _, peer in
            if number == 1, refuses {
                peer.answer(422, Scripted.status(422, "Invalid"))
                return true
            }
            peer.beginWatch()
            if number == 1 { peer.chunk(Scripted.event("ADDED", Scripted.slice("a", 1, ["10.0.0.1"]))) }
            return Self.hold(peer)
        }
        let witness = Witness(server) {
            $0.slices.prefersWatchList = true
            $0.slices.initialSilence = .milliseconds(50)
        }
        #expect(await witness.until { witness.addresses() == "10.0.0.1" })
        #expect(await witness.until { Self.slices(server).last == "watch 5" })
        await witness.stop()
        server.stop()
    }

    @Test("a reload keeps the watches of namespaces that stay, and begins those that come") @ControlThread
    func reload() async throws {
        let server = try ScriptedServer { request, peer in
            if request.isWatch {
                peer.beginWatch()
                return Self.hold(peer)
            }
            if request.isServices {
                peer.answer(Scripted.services)
            } else {
                peer.answer(Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            }
            return true
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server) == ["list 0", "watch 5"] && witness.addresses() != "" })
        let other = ServiceSpec(
            name: "other", kubernetes: KubernetesReference(namespace: "else", service: "x", port: .name("http")))
        var again = Witness.api
        again.name = "again"
        witness.source.update([Witness.api, again, other])
        #expect(witness.addresses("again") == "10.0.0.1", "at once")
        #expect(
            await witness.until {
                server.requests.contains { $0.target.contains("/namespaces/else/endpointslices?watch") }
            })
        #expect(await witness.until { witness.services["other"] == [] })
        #expect(Self.slices(server).filter { $0 == "list 0" }.count == 2, "one for each namespace")
        witness.source.update([other])
        await witness.stop()
        server.stop()
    }

    @Test("without a server it is tried again with growing pauses, and when it comes all is told") @ControlThread
    func lateServer() async throws {
        let probe = try ScriptedServer { _, _ in false }
        let port = probe.port
        probe.stop()
        var access = ClusterAccess(host: .ip(IPAddress("127.0.0.1")!), port: port)
        access.isPlain = true
        let witness = Witness(nil) { $0.access = access }
        #expect(await witness.until { witness.source.status.errorCounts["connect"].map { $0 >= 2 } == true })
        #expect(witness.lost.first?.contains("connection refused") == true)
        #expect(witness.notices.count == 2, "one for slices and one for Services")
        let server = try ScriptedServer(port: port) { request, peer in
            if request.isServices { return Self.services(request, peer) }
            if request.isWatch {
                peer.beginWatch()
                return Self.hold(peer)
            }
            peer.answer(Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            return true
        }
        #expect(await witness.until { witness.addresses() == "10.0.0.1" })
        await witness.stop()
        server.stop()
    }

    @Test("what the configuration names and is not there is said, and tried again") @ControlThread
    func noCredentials() async {
        let witness = Witness(nil, cluster: .kubeconfig("/nonexistent/kubeconfig"))
        #expect(await witness.until { !witness.lost.isEmpty })
        #expect(witness.source.status.error == "kubernetes: /nonexistent/kubeconfig: no such file")
        #expect(witness.source.status.errorCounts == ["credentials": 1])
        await witness.stop()
    }
}
