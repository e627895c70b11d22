// What if an answer ends at once, late or never? Closed connections, short watches, endless lists, silence.

import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import Discovery

extension WatchTests {
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
}
