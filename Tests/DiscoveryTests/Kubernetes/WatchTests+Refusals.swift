// What if the server refuses? Too many requests, a token that is over, things that are not there or not for us.

import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import Discovery

extension WatchTests {
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
}
