import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import Discovery

@Suite(.onControlThread) struct WatchTests {
    init() { ControlThread.start() }

    /// Answers for Services, and nothing else.
    private static func services(_ request: ScriptedServer.Request, _ peer: ScriptedServer.Conversation) -> Bool {
        if request.isWatch {
            peer.beginWatch()
            peer.waitForEnd()
            return false
        }
        peer.answer(Scripted.services)
        return true
    }

    /// How often what was asked: the script of a test by the number of lists and watches of slices.
    private final class Count: Sendable {
        private let numbers = Mutex<[String: Int]>([:])
        func next(_ name: String) -> Int {
            numbers.withLock {
                $0[name, default: 0] += 1
                return $0[name]!
            }
        }
    }

    private static func server(
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

    private static func hold(_ peer: ScriptedServer.Conversation) -> Bool {
        peer.waitForEnd()
        return false
    }

    private static func slices(_ server: ScriptedServer) -> [String] {
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

    @Test("429 is asked again when the server says, from the same version") @ControlThread
    func throttled() async throws {
        let server = try Self.server { _, _, peer in
            peer.answer(Scripted.list("EndpointSlice", 1, []))
            return true
        } watch: { number, _, peer in
            if number > 1 {
                peer.beginWatch()
                return Self.hold(peer)
            }
            peer.answer(429, "Too many requests", fields: "Retry-After: 2\r\n")
            return true
        }
        let witness = Witness(server)
        let begin = Clock.now()
        #expect(await witness.until { Self.slices(server) == ["list 0", "watch 1", "watch 1"] })
        #expect(.milliseconds(1900) < Clock.now() - begin)
        #expect(witness.source.status.errorCounts == ["throttled": 1])
        await witness.stop()
        server.stop()
    }

    @Test("at a 401 the token is read again by its path, and the request is repeated at once") @ControlThread
    func token() async throws {
        let path = "/tmp/hdproxy-token-\(getpid())-\(systemRandom())"
        try write("old\n", to: path)
        // Safety: the path lives for the length of the call.
        defer { unsafe unlink(path) }
        let server = try Self.server { _, request, peer in
            if request.head.contains("Authorization: Bearer new\r\n") {
                peer.answer(Scripted.list("EndpointSlice", 1, []))
            } else {
                peer.answer(401, Scripted.status(401, "Unauthorized"))
            }
            return true
        } watch: { _, _, peer in
            peer.beginWatch()
            return Self.hold(peer)
        }
        var access = server.access
        access.token = .file(path)
        // The first answer is already the one to the old token.
        let rotated = Credentials(access)
        #expect(try rotated.bearerToken(now: Clock.now()) == "old")
        try write("new\n", to: path)
        #expect(try rotated.bearerToken(now: Clock.now()) == "old")
        #expect(try rotated.bearerToken(now: Clock.now() + .milliseconds(60_000)) == "new", "once a minute it is read")
        try write("", to: path)
        #expect(try rotated.bearerToken(now: Clock.now() + .milliseconds(180_000)) == "new", "a gap takes nothing away")
        rotated.forgetToken()
        #expect(throws: APIFailure.self) { try rotated.bearerToken(now: Clock.now() + .milliseconds(180_000)) }
        try write("old\n", to: path)
        let witness = Witness(server) { $0.access = access }
        #expect(await witness.until { server.requests.contains { $0.isSlices } })
        try write("new\n", to: path)
        #expect(await witness.until { Self.slices(server).contains("watch 1") })
        await witness.stop()
        server.stop()
    }

    private func write(_ text: String, to path: String) throws {
        // Safety: paths and text live for the length of the calls.
        let descriptor = unsafe open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        _ = unsafe Glibc.write(descriptor, text, text.utf8.count)
        _ = close(descriptor)
        _ = unsafe rename(path + ".new", path)
    }

    @Test(
        "a server without slices is asked for Endpoints; with few rights it says 403 for what it does not have",
        arguments: [404, 403])
    @ControlThread
    func endpoints(_ code: Int) async throws {
        let server = try ScriptedServer { request, peer in
            if request.isServices { return Self.services(request, peer) }
            if request.isSlices {
                peer.answer(code, Scripted.status(code, "NotFound"))
            } else if request.target == "/apis/discovery.k8s.io/v1" {
                peer.answer(404, "404 page not found\n")
            } else if request.isWatch {
                peer.beginWatch()
                return Self.hold(peer)
            } else {
                peer.answer(
                    Scripted.list(
                        "Endpoints", 3,
                        [
                            #"{"metadata":{"name":"api","namespace":"shop"},"subsets":[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"name":"http","port":8000}]}]}"#
                        ]))
            }
            return true
        }
        let witness = Witness(server)
        #expect(await witness.until { witness.addresses() == "10.0.0.1" })
        #expect(await witness.until { server.requests.contains { $0.target.contains("/endpoints?watch=1") } })
        #expect(witness.notices.map(\.event) == ["kubernetes_without_slices"])
        #expect(witness.lost.isEmpty)
        await witness.stop()
        server.stop()
    }

    @Test("where neither slices nor Endpoints are given, slices are asked for again: a gateway may have said 404")
    @ControlThread
    func gateway() async throws {
        let server = try ScriptedServer { [count = Count()] request, peer in
            if request.isServices { return Self.services(request, peer) }
            if request.isSlices, request.isWatch {
                peer.beginWatch()
                return Self.hold(peer)
            }
            if request.isSlices, count.next("slices") > 1 {
                peer.answer(Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            } else if request.isSlices {
                peer.answer(404, "default backend - 404")
            } else {
                peer.answer(403, Scripted.status(403, "Forbidden"))
            }
            return true
        }
        let witness = Witness(server)
        #expect(await witness.until { witness.addresses() == "10.0.0.1" })
        #expect(await witness.until { witness.source.status.synced })
        await witness.stop()
        server.stop()
    }

    @Test("what may not be read is named once, not with every try") @ControlThread
    func forbidden() async throws {
        let server = try ScriptedServer { request, peer in
            if request.isServices { return Self.services(request, peer) }
            if request.target == "/apis/discovery.k8s.io/v1" {
                peer.answer("{}")
            } else {
                peer.answer(403, Scripted.status(403, "Forbidden"))
            }
            return true
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server).count == 2 })
        #expect(witness.notices.map(\.event) == ["kubernetes_trouble"])
        #expect(witness.source.status.errorCounts["forbidden"].map { $0 >= 1 } == true)
        #expect(witness.source.status.error == "slices of shop: 403 scripted")
        #expect(!witness.source.status.synced)
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

    @Test("a server that closes after each list is watched over another connection, and not listed for ever")
    @ControlThread
    func closesAfterLists() async throws {
        let server = try Self.server { _, _, peer in
            peer.answer(
                200, Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]),
                fields: "Connection: close\r\n")
            return false
        } watch: { _, _, peer in
            peer.beginWatch()
            return Self.hold(peer)
        }
        let witness = Witness(server)
        #expect(await witness.until { Self.slices(server).count >= 3 })
        #expect(Self.slices(server).prefix(3) == ["list 0", "list 5", "watch 5"])
        await witness.stop()
        server.stop()
    }

    @Test("watches that end at once, each with an event, are not asked for without a pause") @ControlThread
    func shortWatches() async throws {
        let server = try Self.server { _, _, peer in
            peer.answer(Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            return true
        } watch: { number, _, peer in
            peer.beginWatch()
            peer.chunk(Scripted.bookmark(5 + number))
            peer.endWatch()
            return true
        }
        let witness = Witness(server)
        #expect(await witness.until { witness.source.status.errorCounts["closed"] != nil })
        #expect(Self.slices(server) == ["list 0", "watch 5", "watch 6"])
        await witness.stop()
        server.stop()
    }

    @Test("a list whose pages never end is given up, and so is one that drips, and interim answers without an end")
    @ControlThread
    func endless() async throws {
        let server = try Self.server { number, request, peer in
            switch number {
            case 1:
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while peer.sends("x") { usleep(5000) }
                return false
            case 2:
                while peer.sends(String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 1000)) {}
                return false
            default:
                peer.answer(Scripted.list("EndpointSlice", 5, [], next: "\(number)"))
                return true
            }
        } watch: { _, _, peer in
            Issue.record("no list is complete")
            return Self.hold(peer)
        }
        let witness = Witness(server) {
            $0.timing.body = .milliseconds(200)
            $0.timing.head = .milliseconds(200)
            $0.slices.pagesMax = 20
        }
        #expect(await witness.until { witness.source.status.errorCounts["too_large"] != nil })
        #expect(witness.source.status.errorCounts["timeout"] == 2)
        #expect(witness.addresses() == "")
        await witness.stop()
        server.stop()
    }

    @Test("a silent watch is asked about: a server that does not know the version is listed anew") @ControlThread
    func silentWatch() async throws {
        let server = try ScriptedServer { request, peer in
            if request.isServices { return Self.services(request, peer) }
            if request.isWatch {
                peer.beginWatch()
                return Self.hold(peer)
            }
            if request.query("limit") == "1" {
                peer.answer(
                    504, Scripted.status(504, "Timeout", #"{"causes":[{"reason":"ResourceVersionTooLarge"}]}"#))
            } else {
                peer.answer(Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            }
            return true
        }
        let witness = Witness(server) { $0.slices.quiet = .milliseconds(30) }
        #expect(await witness.until { Self.slices(server).contains("list newest") })
        #expect(Self.slices(server).prefix(4) == ["list 0", "watch 5", "list 5", "list newest"])
        #expect(witness.lost.isEmpty)
        await witness.stop()
        server.stop()
    }

    @Test("a paused server is noticed while a watch is silent, what is known stays, and the watch goes on")
    @ControlThread
    func paused() async throws {
        let isPaused = Mutex(true)
        let events = Mutex<ScriptedServer.Conversation?>(nil)
        let server = try ScriptedServer { request, peer in
            if request.isServices { return Self.services(request, peer) }
            if request.isWatch {
                peer.beginWatch()
                events.withLock { $0 = peer }
                return Self.hold(peer)
            }
            if request.query("limit") == "1", isPaused.withLock({ $0 }) { return Self.hold(peer) }
            peer.answer(Scripted.list("EndpointSlice", 5, [Scripted.slice("a", 1, ["10.0.0.1"])]))
            return true
        }
        let witness = Witness(server) {
            $0.slices.quiet = .milliseconds(20)
            $0.timing.head = .milliseconds(60)
        }
        #expect(await witness.until { !witness.lost.isEmpty })
        #expect(!witness.source.status.synced)
        isPaused.withLock { $0 = false }
        #expect(await witness.until { witness.source.status.synced })
        events.withLock { $0 }?.chunk(Scripted.event("MODIFIED", Scripted.slice("a", 6, ["10.0.0.2"])))
        #expect(await witness.until { witness.addresses() == "10.0.0.2" })
        #expect(Self.slices(server).filter { $0.hasPrefix("watch") }.count == 1)
        await witness.stop()
        server.stop()
    }

    @Test("a watch that outlives its time is ended") @ControlThread
    func outlives() async throws {
        let server = try Self.server { _, _, peer in
            peer.answer(Scripted.list("EndpointSlice", 5, []))
            return true
        } watch: { _, _, peer in
            peer.beginWatch()
            return Self.hold(peer)
        }
        let witness = Witness(server) {
            $0.slices.seconds = 0...0
            $0.slices.grace = .milliseconds(50)
        }
        #expect(await witness.until { witness.source.status.errorCounts["timeout"] != nil })
        #expect(await witness.until { Self.slices(server).count > 3 })
        #expect(Self.slices(server).prefix(3) == ["list 0", "watch 5", "list 5"])
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
