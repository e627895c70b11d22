import Foundation
import Testing

@testable import Discovery

/// A recorded question and its answer, and what the list of recordings says of it.
struct RecordedDNS: CustomTestStringConvertible {
    var name: String
    var isTCP: Bool
    var type: Message.RecordType
    var questionName: String
    var query: [UInt8]
    var answer: [UInt8]
    var code: UInt16
    var isTruncated: Bool
    var counts: [Int]
    var timeToLive: UInt32?

    var testDescription: String { name }

    var question: Message.Question { Message.Question(name: DomainName(questionName)!, type: type) }

    static let all: [RecordedDNS] = read()

    static func named(_ name: String) -> RecordedDNS { all.first { $0.name == name }! }

    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Fixtures/dns").standardized

    private static func read() -> [RecordedDNS] {
        let types: [String: Message.RecordType] = ["A": .a, "AAAA": .aaaa, "SRV": .srv, "SOA": .soa]
        let index = try! String(contentsOf: folder.appending(path: "index.tsv"), encoding: .utf8)
        return index.split(separator: "\n").dropFirst().map { line in
            let field = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            let isTCP = field[1] == "tcp"
            func message(_ kind: String) -> [UInt8] {
                let bytes = [UInt8](try! Data(contentsOf: folder.appending(path: "\(field[0]).\(kind).bin")))
                return isTCP ? Array(bytes.dropFirst(2)) : bytes
            }
            return RecordedDNS(
                name: field[0], isTCP: isTCP, type: types[field[3]]!, questionName: field[2], query: message("query"),
                answer: message("answer"), code: UInt16(field[5])!, isTruncated: field[7] == "1",
                counts: field[8...10].map { Int($0)! }, timeToLive: UInt32(field[11]))
        }
    }
}

/// Random numbers that a seed repeats (SplitMix64).
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Writes messages as a server would, right ones and wrong ones.
struct MessageWriter {
    var bytes: [UInt8]

    /// An answer that repeats header and question of `query`.
    init(answering query: [UInt8], flags: UInt16 = 0x8180, answers: Int = 0, authorities: Int = 0, additionals: Int = 0)
    {
        let end = MessageWriter.questionEnd(query)
        bytes = Array(query[..<end])
        put(flags, at: 2)
        put(UInt16(answers), at: 6)
        put(UInt16(authorities), at: 8)
        put(UInt16(additionals), at: 10)
    }

    /// A message with the question `name` of type `type`.
    init(
        asking name: String, _ type: Message.RecordType, flags: UInt16 = 0x8180, answers: Int = 0, authorities: Int = 0,
        additionals: Int = 0
    ) {
        var query = [UInt8](repeating: 0, count: 12)
        query[5] = 1
        query += MessageWriter.wire(name) + [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 255), 0, 1]
        self.init(
            answering: query, flags: flags, answers: answers, authorities: authorities, additionals: additionals)
    }

    static func questionEnd(_ query: [UInt8]) -> Int {
        var at = 12
        while query[at] != 0 { at += 1 + Int(query[at]) }
        return at + 5
    }

    static func wire(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    mutating func put(_ value: UInt16, at position: Int) {
        bytes[position] = UInt8(value >> 8)
        bytes[position + 1] = UInt8(truncatingIfNeeded: value)
    }

    /// Appends a record with any data.
    mutating func add(
        _ owner: [UInt8], _ type: UInt16, class recordClass: UInt16 = 1, life: UInt32 = 60, _ data: [UInt8]
    ) {
        bytes += owner
        for value in [type, recordClass, UInt16(life >> 16), UInt16(truncatingIfNeeded: life), UInt16(data.count)] {
            bytes += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)]
        }
        bytes += data
    }

    mutating func a(_ owner: String, _ address: String, life: UInt32 = 60) {
        add(Self.wire(owner), 1, life: life, address.split(separator: ".").map { UInt8($0)! })
    }

    mutating func aaaa(_ owner: String, last byte: UInt8, life: UInt32 = 60) {
        add(Self.wire(owner), 28, life: life, [0xFD] + [UInt8](repeating: 0, count: 14) + [byte])
    }

    mutating func alias(_ owner: String, _ target: String, life: UInt32 = 60) {
        add(Self.wire(owner), 5, life: life, Self.wire(target))
    }

    mutating func service(_ owner: String, _ target: String, port: UInt16, priority: UInt8 = 0, life: UInt32 = 60) {
        add(
            Self.wire(owner), 33, life: life,
            [0, priority, 0, 1, UInt8(port >> 8), UInt8(truncatingIfNeeded: port)] + Self.wire(target))
    }

    mutating func authority(_ zone: String, minimum: UInt32, life: UInt32 = 60) {
        let tail = [UInt8](repeating: 0, count: 16) + (0..<4).map { UInt8(minimum >> (24 - 8 * $0) & 255) }
        add(Self.wire(zone), 6, life: life, Self.wire("ns.\(zone)") + Self.wire("root.\(zone)") + tail)
    }
}
