import Testing

@testable import ProxyCore

/// Clients that keep us waiting: how long they may, and what is done about them when there is not enough.
@Suite struct HostileTests {
    private func snapshot(_ server: PeerServer, memory: Int = 0, _ change: (inout Limits) -> Void = { _ in })
        -> Snapshot
    {
        var snapshot = Rig.snapshot([server.endpoint("a")])
        snapshot.services[0].responseTimeout = .seconds(600)
        snapshot.services[0].idleTimeout = .seconds(600)
        snapshot.workerMemory = memory
        change(&snapshot.limits)
        return snapshot
    }

    private func refused(_ reason: String, _ rig: inout Rig) -> UInt64 {
        rig.connections.telemetry().refusals.first { "\($0.reason)" == reason }?.count ?? 0
    }

    private static let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"

    /// How many seconds a client may send `bytes` bytes each second before it is answered.
    private func seconds(sending bytes: Int, most: Int, _ change: (inout Limits) -> Void = { _ in }) throws -> Int? {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server, change))
        let upload = try rig.exchange(with: server, asking: Self.post)
        for second in 1...most {
            if bytes > 0 { upload.client.write(String(repeating: "x", count: bytes)) }
            rig.pass(500)
            rig.pass(500)
            _ = upload.upstream.read()
            let said = upload.client.read()
            if said?.isEmpty == false {
                #expect(said?.hasPrefix("HTTP/1.1 408 ") == true)
                let counted = refused("body_timeout", &rig)
                #expect(counted == 1)
                return second
            }
        }
        return nil
    }

    @Test func aBodyThatTricklesInIsRefusedInBoundedTime() throws {
        #expect(try seconds(sending: 0, most: 40) == 31 || seconds(sending: 0, most: 40) == 30)
        let trickle = try #require(try seconds(sending: 1, most: 60))
        #expect((30...32).contains(trickle), "\(trickle)")
        #expect(try seconds(sending: 300, most: 120) == nil, "as fast as is asked for")
        #expect(try seconds(sending: 1, most: 120) { $0.minRequestRate = 0 } == nil, "no rate is asked for")
    }

    @Test func anUpstreamThatReadsSlowlyCostsItsClientNothing() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let upload = try rig.exchange(with: server, asking: Self.post)
        upload.client.write(String(repeating: "x", count: 100_000))
        rig.turn()
        // All has come; the answer takes two minutes.
        for _ in 0..<120 {
            _ = upload.upstream.read()
            rig.pass(1000)
        }
        #expect(upload.client.read() == "")
        rig.answer(upload)
    }

    @Test func aHeadThatTricklesInIsRefusedInTime() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let client = try rig.client()
        var second = 0
        for byte in getRequest.prefix(14) {
            client.write(String(byte))
            rig.pass(1000)
            second += 1
            if client.read() != "" { break }
        }
        #expect((10...12).contains(second), "\(second)")
        let counted = refused("header_timeout", &rig)
        #expect(counted == 1)
    }

    @Test func whatComesInPiecesTakesLittleMemoryAndIsReadAllTheSame() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let clients = try (0..<20).map { _ in try rig.client() }
        for client in clients { client.write("GET / HTTP/1.1\r\nHost: x\r\nX-Long: ") }
        rig.turn()
        let heads = rig.connections.buffers.bytesLent
        #expect(heads <= 20 * BufferPool.smallCapacity, "\(heads)")
        for client in clients { client.write(String(repeating: "y", count: 3000)) }
        rig.turn()
        for client in clients { client.write("\r\n\r\n") }
        rig.turn()
        rig.turn()
        for _ in clients {
            let upstream = try #require(server.accept())
            rig.turn()
            let heard = try #require(upstream.read())
            #expect(heard.contains("X-Long: yyyy") && heard.hasSuffix("\r\n\r\n"))
            upstream.write(okResponse)
        }
        rig.turn()
        for client in clients { #expect(client.read()?.hasPrefix("HTTP/1.1 200 ") == true) }
    }

    @Test func aRequestThatWasPutAsideCanBeSentAgainAndGoesOn() throws {
        let servers = [try PeerServer(), try PeerServer()]
        var both = snapshot(servers[0])
        both.services[0].endpoints.append(servers[1].endpoint("b"))
        var rig = try Rig(both)
        let client = try rig.client()
        client.write("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        rig.turn()
        rig.turn()
        do {
            let first = try #require(servers[0].accept() ?? servers[1].accept())
            rig.turn()
            #expect(first.read()?.hasSuffix("\r\n\r\nabc") == true)
            let held = rig.connections.buffers.bytesLent
            #expect(held <= 3 * BufferPool.smallCapacity, "\(held)")
        }
        // It closed before it answered, and what is idempotent is sent again, as far as it has come.
        rig.turn()
        rig.turn()
        let second = try #require(servers[0].accept() ?? servers[1].accept())
        rig.turn()
        #expect(second.read()?.hasSuffix("\r\n\r\nabc") == true)
        client.write("def")
        rig.turn()
        #expect(second.read() == "def")
        second.write(okResponse)
        rig.turn()
        #expect(client.read()?.hasPrefix("HTTP/1.1 200 ") == true)
        let logged = rig.logged()
        #expect(logged.contains("\"bytes_in\":6,") && logged.contains("\"outcome\":\"ok\""), "\(logged)")
    }

    @Test func aReaderThatStopsIsCutAndOneThatReadsSlowlyEnoughIsNot() throws {
        // The kernel tells of room only when there is much again (a segment, which is long on loopback).
        for bytesASecond in [0, 10, 40_000] {
            let server = try PeerServer()
            var rig = try Rig(snapshot(server) { $0.responseIdle = .seconds(10) })
            let download = try rig.stuckReader(of: server)
            var stream = Stream()
            var isCut = false
            for _ in 0..<60 where !isCut {
                // As fast as it is taken; the client takes what it takes.
                for _ in 0..<20 { _ = stream.flow(to: download.upstream, &rig) }
                if bytesASecond > 0 { _ = download.client.take(bytesASecond) }
                rig.pass(1000)
                isCut = rig.connections.isEmpty
            }
            #expect(isCut == (bytesASecond < 240), "\(bytesASecond) bytes a second")
        }
    }

    @Test func withoutMemoryTheSlowGoFirstAndOthersAreToldToComeBack() throws {
        let server = try PeerServer()
        // A request takes some 34 KiB while it is read, a slow head with its connection two and a half.
        var rig = try Rig(snapshot(server, memory: 64 * 1024))
        let slow = try (0..<12).map { _ in try rig.client() }
        for client in slow { client.write("GET / HTTP/1.1\r\nHost: x\r\n") }
        rig.turn()
        let quick = try rig.client()
        // Nobody has waited for long yet: there is nothing to take from anybody.
        quick.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        rig.turn()
        let said = quick.read()
        #expect(
            said?.hasPrefix("HTTP/1.1 503 ") == true && said?.contains("\r\nRetry-After: ") == true, "\(said ?? "")")
        #expect(said?.contains("\r\nConnection: close\r\n") == true)
        rig.pass(2000)
        // Now there is: of those who keep us waiting as many go as are needed.
        let later = try rig.client()
        later.write(getRequest)
        rig.turn()
        rig.turn()
        #expect(server.accept() != nil)
        #expect(slow.contains { $0.read() == nil })
        let counted = refused("overloaded", &rig)
        #expect(counted >= 2)
    }

    @Test func whoKeepsUsWaitingGoesBeforeWhatIsKeptForOthers() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let regular = try rig.exchange(with: server)
        rig.answer(regular)
        let slow = try rig.client()
        slow.write("GET / HTTP/1.1\r\n")
        rig.turn()
        rig.pass(2000)
        let hasRoom = rig.connections.makeRoom()
        let pooled = rig.connections.idleUpstreamCount
        #expect(hasRoom && slow.read() == nil && regular.client.read() == "" && pooled == 1)
    }

    @Test("whoever does not read goes first sooner than whoever sends slowly")
    func readersGoSooner() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let reader = try rig.stuckReader(of: server)
        let sender = try rig.client()
        sender.write("GET / HTTP/1.1\r\n")
        rig.turn()
        rig.pass(500)
        let isOneGone = rig.connections.makeRoom()
        let isAnotherGone = rig.connections.makeRoom()
        #expect(isOneGone && !isAnotherGone && sender.read() == "")
        withExtendedLifetime(reader) {}
    }

    @Test("readers who took much at once cost nobody else an answer, and give it back to one after the other")
    func manyReadersAtOnce() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server, memory: 2 << 20))
        let readers = try (0..<40).map { _ in try rig.exchange(with: server) }
        for reader in readers { reader.upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n") }
        var stream = Stream()
        for _ in 0..<20 { for reader in readers { _ = stream.flow(to: reader.upstream, &rig) } }
        rig.pass(500)
        let taken = rig.connections.memoryInUse
        #expect(taken > 6 << 20, "\(taken)")
        rig.answer(try rig.exchange(with: server))
        let left = rig.connections.memoryInUse
        #expect(left < taken - (2 << 20) && left > 2 << 20, "\(left) of \(taken)")
        rig.answer(try rig.exchange(with: server))
    }

    @Test("a newcomer who has had no time to speak is not thrown out for want of memory")
    func newcomersMaySpeak() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server, memory: 8 << 10))
        let newcomers = try (0..<8).map { _ in try rig.client() }
        rig.turn()
        let isFreedAtOnce = rig.connections.relieve()
        #expect(!isFreedAtOnce && newcomers.allSatisfy { $0.read() == "" })
        rig.pass(300)
        let isFreedLater = rig.connections.relieve()
        #expect(isFreedLater && newcomers.contains { $0.read() == nil })
    }

    @Test("a pipe is for those who read: not before a client has taken a part of its answer")
    func pipesAreForReaders() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let download = try rig.stuckReader(of: server)
        let whenStuck = rig.connections.clients[0].pipe
        var stream = Stream()
        for _ in 0..<50 {
            _ = download.client.take(1 << 18)
            _ = stream.flow(to: download.upstream, &rig)
        }
        let whenRead = rig.connections.clients[0].pipe
        #expect(whenStuck < 0 && whenRead >= 0)
    }

    @Test func whatTheKernelHoldsForThoseWhoDoNotReadCounts() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let reader = try rig.stuckReader(of: server)
        let stuck = rig.connections.memoryInUse
        #expect(stuck >= Socket.unsentMax, "\(stuck)")
        reader.client.end()
        rig.pass(130_000)
        rig.pass(130_000)
        let after = rig.connections.memoryInUse
        let isOver = rig.connections.isEmpty
        #expect(isOver && after < 16 * 1024, "\(after)")
    }

    @Test func anAnswerThatLiesInTheKernelUnreadEndsItsConnectionToo() throws {
        for isRead in [false, true] {
            let server = try PeerServer()
            var rig = try Rig(snapshot(server))
            let download = try rig.exchange(with: server)
            // More than the client's own buffer takes at first, less than the kernel takes of us without sending it.
            let size = 120_000
            download.upstream.write("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            var rest = ByteBuffer(capacity: size)
            while rest.writableCount > 0 { rest.append(UInt8(ascii: "x")) }
            for _ in 0..<20 {
                _ = download.upstream.fill(&rest)
                rig.turn()
            }
            let idle = rig.connections.idleClientCount
            #expect(rest.isEmpty && idle == 1, "all of it lies in the kernel")
            for _ in 0..<10 {
                if isRead { _ = download.client.take(1 << 20) }
                rig.pass(60_000)
            }
            let isOver = rig.connections.isEmpty
            #expect(isOver == !isRead, "\(isRead)")
        }
    }

    @Test func aRefusedHeadCanBeReadAfterwards() throws {
        let server = try PeerServer()
        var rig = try Rig(snapshot(server))
        let client = try rig.client()
        client.write("GET /x?token=abc HTTP/1.1\r\nHost: x y\r\nCookie: secret\r\n\r\n")
        rig.turn()
        _ = client.read()
        let heads = rig.connections.telemetry().refusedHeads
        #expect(heads.map(\.reason) == ["bad_host"])
        #expect(heads[0].lines == ["GET /x?token=* HTTP/1.1", "Host: x y", "Cookie: <7 bytes>"])
        #expect(heads[0].peer == IPAddress("127.0.0.1"))
    }
}
