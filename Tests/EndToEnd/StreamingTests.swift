// Large bodies and slow peers: memory stays flat, and whoever sends too fast is made to wait.

import Foundation
import Testing

@Suite("Streaming")
struct StreamingTests {
    /// How large the bodies are; HDPROXY_BODY_MIB makes them larger than a quick run wants.
    private static let blocks =
        (ProcessInfo.processInfo.environment["HDPROXY_BODY_MIB"].flatMap { Int($0) } ?? 512) << 20 / Block.size

    /// What may be added to the memory of the process's own while they pass. Pages of the program's file are not looked
    /// at: a process gives them back when it has started, and they return one by one as they are used.
    private static let addedKilobytes = 4 * 1024

    /// 64 KiB whose first bytes say which of them it is.
    private struct Block {
        static let size = 65_536
        var bytes = [UInt8](repeating: 0x2E, count: Block.size)

        mutating func number(_ index: Int) {
            for position in 0..<8 { bytes[position] = UInt8(index >> (8 * position) & 0xFF) }
        }

        func isPrefix(of other: [UInt8]) -> Bool {
            // Safety: both pointers are valid for as many bytes as are compared. A loop would take minutes here.
            unsafe bytes.withUnsafeBytes { mine in
                unsafe other.withUnsafeBytes {
                    unsafe $0.count >= Block.size && memcmp($0.baseAddress!, mine.baseAddress!, Block.size) == 0
                }
            }
        }
    }

    enum Direction: String, CaseIterable, Sendable {
        case answer = "an answer with a length"
        case chunkedAnswer = "a chunked answer"
        case endedAnswer = "an answer that ends with its connection"
        case upload = "an upload with a length"
        case chunkedUpload = "a chunked upload"
    }

    private static func send(chunked: Bool, to socket: LoopbackSocket) -> Bool {
        var block = Block()
        for index in 0..<blocks {
            block.number(index)
            let piece = chunked ? Array("10000\r\n".utf8) + block.bytes + [13, 10] : block.bytes
            guard socket.send(piece, within: .seconds(60)) else { return false }
        }
        return !chunked || socket.send(Array("0\r\n\r\n".utf8))
    }

    /// Reads a whole body and checks each block of it.
    private static func receive(from reader: MessageReader) -> String? {
        var block = Block()
        var waiting: [UInt8] = []
        for index in 0..<blocks {
            while waiting.count < Block.size {
                let next = reader.body(atLeast: Block.size - waiting.count, until: .after(.seconds(30)))
                waiting += next.bytes
                if next.bytes.isEmpty { return "block \(index) of \(blocks) did not come" }
            }
            block.number(index)
            guard block.isPrefix(of: waiting) else { return "block \(index) is another" }
            waiting.removeFirst(Block.size)
        }
        let rest = reader.rest(until: .after(.seconds(10)))
        return waiting.isEmpty && rest.bytes.isEmpty && rest.isComplete ? nil : "the end is not where it should be"
    }

    @Test("a large body passes whole with flat memory", .serialized, arguments: Direction.allCases)
    func large(_ direction: Direction) async throws {
        let port = try freePort()
        let upstream = Locked(try LoopbackListener())
        let text = configuration(
            listeners: [port], services: ["a": upstream.withLock { endpoint($0) }], more: "limits: { bodyBytes: 0 }")
        let proxy = try await onThread { try ProxyProcess(configuration: text, awaiting: [port]) }
        let isChunked = direction == .chunkedAnswer || direction == .chunkedUpload
        let isUpload = direction == .upload || direction == .chunkedUpload
        let framing =
            isChunked
            ? "Transfer-Encoding: chunked\r\n"
            : direction == .endedAnswer ? "X: y\r\n" : "Content-Length: \(Self.blocks * Block.size)\r\n"

        async let server: String? = onThread {
            let peer = try upstream.withLock { try $0.accepts() }
            _ = peer.reader.head(answering: nil, until: .after(.seconds(5)))
            if isUpload {
                let fault = Self.receive(from: peer.reader)
                peer.says(answer())
                // The client must have its answer before this connection's end.
                _ = peer.hearsEnd(within: .seconds(1))
                return fault
            }
            peer.says("HTTP/1.1 200 OK\r\n\(framing)\r\n")
            let fault = Self.send(chunked: isChunked, to: peer.socket) ? nil : "the proxy takes no more"
            peer.socket.finish()
            return fault
        }
        async let client: String? = onThread {
            let peer = try Peer(connectedTo: port)
            if isUpload {
                peer.says(request(method: "PUT", fields: framing))
                guard Self.send(chunked: isChunked, to: peer.socket) else { return "the proxy takes no more" }
                return try peer.hearsAnswer(to: "PUT").head.status == 200 ? nil : "no 200"
            }
            peer.says(request())
            _ = peer.reader.head(answering: "GET", until: .after(.seconds(5)))
            return Self.receive(from: peer.reader)
        }
        let before = try #require(proxy.kilobytes("RssAnon"))
        let hasPassed = Locked(false)
        async let peak = onThread {
            var peak = before
            while !hasPassed.withLock({ $0 }) {
                peak = max(peak, proxy.kilobytes("RssAnon") ?? .max)
                usleep(2_000)
            }
            return peak
        }
        do {
            defer { hasPassed.withLock { $0 = true } }
            #expect(try await client == nil)
            #expect(try await server == nil)
        }
        let most = try await peak
        #expect(most - before < Self.addedKilobytes, "memory grew from \(before) to \(most) kB")
    }

    @Test("a reader that does not read stops the writer, and gets all of it in the end", arguments: [false, true])
    func backPressure(isUpload: Bool) async throws {
        try await onThread {
            let port = try freePort()
            let upstream = try LoopbackListener()
            let proxy = try ProxyProcess(
                configuration: configuration(listeners: [port], services: ["a": endpoint(upstream)]), awaiting: [port])
            let client = try Peer(connectedTo: port, receiveBuffer: 32_768)
            let total = 256 << 20
            let length = "Content-Length: \(total)\r\n"
            client.says(isUpload ? request(method: "PUT", fields: length) : request())
            let server = try upstream.accepts()
            _ = server.reader.head(answering: nil, until: .after(.seconds(5)))
            if !isUpload { server.says("HTTP/1.1 200 OK\r\n\(length)\r\n") }
            let (writer, reader) = isUpload ? (client, server) : (server, client)
            let before = try #require(proxy.kilobytes("RssAnon"))

            // What the kernel's buffers and ours hold; then nothing moves for a while.
            let piece = [UInt8](repeating: 0x61, count: 65_536)
            var taken = 0
            var lastMove = ContinuousClock.now
            while ContinuousClock.now - lastMove < .milliseconds(400), taken < total {
                guard let count = writer.socket.sendWithoutWaiting(piece) else { break }
                taken += count
                if count > 0 { lastMove = .now } else { usleep(5_000) }
            }
            #expect(taken < 64 << 20, "the writer was let go on: \(taken) bytes")
            let stalled = try #require(proxy.kilobytes("RssAnon"))
            #expect(stalled - before < Self.addedKilobytes, "memory grew from \(before) to \(stalled) kB")

            // And now it reads: everything taken so far arrives.
            if !isUpload { _ = reader.reader.head(answering: "GET", until: .after(.seconds(5))) }
            var read = 0
            while read < taken {
                let next = reader.reader.body(atLeast: 1, until: .after(.seconds(10))).bytes
                if next.isEmpty { break }
                read += next.count
            }
            #expect(read == taken)
        }
    }
}
