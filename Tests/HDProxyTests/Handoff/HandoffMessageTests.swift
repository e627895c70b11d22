// Messages as bytes: whole, byte by byte, several at once, and what is none.

import ProxyCore
import Testing

@testable import HDProxy

@Suite("Handoff messages")
struct HandoffMessageTests {
    private static let messages: [HandoffMessage] = [
        .ask(oldest: 1, newest: 3, version: "0.1.0", process: 12),
        .refuse(reason: "busy", version: "0.1.0"),
        .offer(protocol: 1, version: "0.1.0", process: 3, confirmMilliseconds: 10_000, descriptors: 4),
        .descriptors(places: [
            HandoffPlace(kind: .listener, name: "http", configured: "[::]:80", address: "[::]:80"),
            HandoffPlace(kind: .admin), HandoffPlace(kind: .handoff),
        ]),
        .received(dropped: ["127.0.0.1:80"]),
        .stopped(
            counters: InheritedCounters(families: ["f_total": [.init(series: "f_total{a=\"\\\"é\"}", value: .max)]]),
            sessionTicketKeys: "AAAA"),
        .passedOn,
    ]

    private func frame(_ text: String) -> [UInt8] {
        let count = text.utf8.count
        return HandoffFrame.magic + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + Array(text.utf8)
    }

    @Test("what is written is read again, however the bytes come")
    func thereAndBack() throws {
        let bytes = Self.messages.flatMap(HandoffFrame.write)
        for piece in [1, 2, 7, bytes.count] {
            var reader = HandoffReader(bytesMax: 4096)
            var read: [HandoffMessage] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                reader.append(Array(rest.prefix(piece)))
                rest = rest.dropFirst(piece)
                while let message = try reader.next() { read.append(message) }
            }
            #expect(read == Self.messages, "in pieces of \(piece)")
        }
    }

    @Test("keys of session tickets travel as they are, and what is no such text brings none")
    func ticketKeys() {
        let keys = (0..<3).map { _ in TicketKey.random() }
        #expect(TicketKeysText.read(TicketKeysText.write(keys)) == keys)
        #expect(TicketKeysText.read(TicketKeysText.write(keys + keys)).count == TicketKeysText.keysMax)
        for text in ["", "AAAA", "%", TicketKeysText.write(keys) + "AAAA"] {
            #expect(TicketKeysText.read(text).isEmpty, "\(text)")
        }
    }

    @Test("what is no message is told apart, with the first byte that shows it")
    func faults() {
        let cases: [(bytes: [UInt8], fault: HandoffFault)] = [
            (Array("G".utf8), .garbage), (Array("HDHX".utf8), .garbage), (Array("HD\0".utf8), .garbage),
            (HandoffFrame.magic + [0, 0, 16, 1], .tooLong(4097)),
            (HandoffFrame.magic + [255, 255, 255, 255], .tooLong(4_294_967_295)),
            (frame(""), .unreadable), (frame("{}"), .unreadable), (frame("{\"dance\":{}}"), .unreadable),
            (frame("{\"ask\":{\"oldest\":1}}"), .unreadable),
            (frame("{\"ask\":{\"oldest\":1e99,\"newest\":1,\"version\":\"\",\"process\":1}}"), .unreadable),
            (frame(String(repeating: "[", count: 4000)), .unreadable),
        ]
        for (bytes, fault) in cases {
            var reader = HandoffReader(bytesMax: 4096)
            reader.append(bytes)
            #expect(throws: fault) { try reader.next() }
        }
    }

    @Test("a field that a newer version adds does no harm")
    func newerFields() throws {
        var reader = HandoffReader(bytesMax: 4096)
        reader.append(frame("{\"ask\":{\"oldest\":1,\"newest\":2,\"version\":\"9\",\"process\":5,\"more\":[{}]}}"))
        #expect(try reader.next() == .ask(oldest: 1, newest: 2, version: "9", process: 5))
    }

    @Test("counters that do not fit one message stay behind, and never the handoff", arguments: [1, 100, 1000])
    func countersFit(_ length: Int) {
        let name = "f_total{a=\"" + String(repeating: "\"", count: length) + "\"}"
        let samples = [InheritedCounters.Sample](repeating: .init(series: name, value: .max), count: 50_000)
        let counters = InheritedCounters(families: ["f_total": samples]).bounded
        let frame = HandoffFrame.write(.stopped(counters: counters, sessionTicketKeys: ""))
        #expect(frame.count <= HandoffFrame.answerBytesMax && counters.isEmpty == (length > 100))
    }

    @Test("each socket has a worker and each worker a socket, whatever the numbers")
    func shares() {
        for sockets in 1...9 {
            for workers in 1...9 {
                let shares = ListeningStock.share(sockets: sockets, among: workers)
                #expect(Set(shares.map(\.socket)) == Set(0..<sockets))
                #expect(Set(shares.map(\.worker)) == Set(0..<workers))
                #expect(shares.count == max(sockets, workers))
            }
        }
        #expect(ListeningStock.share(sockets: 0, among: 3).isEmpty)
    }
}
