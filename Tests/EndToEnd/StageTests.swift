// Can the stage be trusted? What tests of discovery rest on: pods that come and go, load, a real DNS server.

import Foundation
import Testing

@Suite("The stage")
struct StageTests {
    @Test("pods answer with their names, ask to be left, and are gone at once; another may have their address")
    func backends() async throws {
        try await onThread {
            let backends = try Backends()
            let address = LoopbackAddress(number: 0x3FFF, port: try freePort())
            func ask(_ client: Peer) throws -> WireMessage {
                client.says(request())
                return try client.hearsAnswer()
            }
            try backends.open("first", at: address)
            #expect(throws: StageError.self) { try backends.open("second", at: address) }
            let client = Peer(try LoopbackSocket.connect(to: address))
            for _ in 0..<3 { #expect(try ask(client).body == Array("first".utf8)) }
            #expect(backends.record(of: "first").requests == 3)
            backends.leave(address)
            #expect(try ask(client).head.members("Connection") == ["close"])
            #expect(client.hearsEnd())

            let other = Peer(try LoopbackSocket.connect(to: address))
            _ = try ask(other)
            backends.kill(address)
            #expect(throws: StageError.self) { try LoopbackSocket.connect(to: address) }
            try backends.open("second", at: address, answersAfter: .milliseconds(20))
            let third = Peer(try LoopbackSocket.connect(to: address))
            let asked = Deadline.now
            #expect(try ask(third).body == Array("second".utf8))
            #expect(asked.duration(to: .now) >= .milliseconds(20))
            #expect(backends.record(of: "first").requests == 5 && backends.record(of: "second").requests == 1)
        }
    }

    @Test("load counts answers by who gave them, and says what failed")
    func load() async throws {
        try await onThread {
            let backends = try Backends()
            let address = LoopbackAddress(port: try freePort())
            try backends.open("a", at: address)
            let load = Load(on: address.port, host: "a.test", clients: 2)
            try load.awaitAnswers(20)
            #expect(load.report.failures.isEmpty)
            backends.kill(address)
            let deadline = Deadline.after(.seconds(10))
            while load.report.failures.isEmpty && deadline > .now { usleep(1000) }
            try backends.open("b", at: address)
            try load.awaitAnswers(20)
            let report = load.stop()
            #expect(report.answers.keys.sorted() == ["a", "b"] && !report.failures.isEmpty)
        }
    }

    @Test("dnsmasq answers with the addresses that it was told, and with others when it is told others")
    func dnsmasq() async throws {
        try await onThread {
            func answers(_ dns: Dnsmasq) throws -> Set<String> {
                let question: [UInt8] =
                    [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3] + Array("api".utf8) + [7] + Array("cluster".utf8)
                    + [5] + Array("local".utf8) + [0, 0, 1, 0, 1]
                let socket = try LoopbackSocket.connect(to: LoopbackAddress(port: dns.port))
                socket.send([0, UInt8(question.count)] + question)
                while socket.receive(until: .after(.seconds(5))) == .bytes {
                    guard socket.unread.count >= 2 + Int(socket.unread[1]) else { continue }
                    // Each record ends with four bytes of address, sixteen in all.
                    let records = socket.unread.dropFirst(2 + question.count)
                    return Set(
                        stride(from: records.startIndex + 12, to: records.endIndex, by: 16).map { start in
                            records[start..<start + 4].map(String.init).joined(separator: ".")
                        })
                }
                throw StageError("no answer, but \(socket.unread)")
            }
            let dns = try Dnsmasq(["api.cluster.local": ["127.64.0.1", "127.64.0.2"]])
            #expect(try answers(dns) == ["127.64.0.1", "127.64.0.2"])
            try dns.tell(["api.cluster.local": ["127.64.0.3"]])
            let deadline = Deadline.after(.seconds(10))
            while try answers(dns) != ["127.64.0.3"] && deadline > .now { usleep(5000) }
            #expect(try answers(dns) == ["127.64.0.3"])
            dns.stop()
            #expect(throws: StageError.self) { try answers(dns) }
        }
    }
}
