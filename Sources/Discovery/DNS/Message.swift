// What does a DNS message say? Reading it (RFC 1035 §4): every length, pointer and count is checked against the bytes
// that are there, as RFC 9267 asks, and nothing that a server sends can trap. What it means is `Message+Conclusion`,
// asking is `Message+Query`.

import ProxyCore

/// A DNS message that was received.
struct Message: Equatable, Sendable {
    /// What a record is about.
    struct RecordType: RawRepresentable, Hashable, Sendable {
        var rawValue: UInt16

        static let a = RecordType(rawValue: 1)
        static let ns = RecordType(rawValue: 2)
        static let cname = RecordType(rawValue: 5)
        static let soa = RecordType(rawValue: 6)
        static let aaaa = RecordType(rawValue: 28)
        static let srv = RecordType(rawValue: 33)
        static let opt = RecordType(rawValue: 41)
    }

    /// What is asked: always in class IN.
    struct Question: Hashable, Sendable {
        var name: DomainName
        var type: RecordType
    }

    /// What a record says.
    enum RecordData: Hashable, Sendable {
        /// A or AAAA.
        case address(IPAddress)
        /// CNAME: the name's real name.
        case alias(DomainName)
        /// SRV (RFC 2782).
        case service(ServiceRecord)
        /// SOA: for how long an absence is good, in seconds (RFC 2308 §4).
        case authority(minimum: UInt32)
        /// A type or class that we do not read.
        case other
    }

    /// An SRV record (RFC 2782).
    struct ServiceRecord: Hashable, Sendable {
        var priority: UInt16
        var weight: UInt16
        var port: UInt16
        var target: DomainName
    }

    /// A resource record.
    struct Record: Hashable, Sendable {
        var owner: DomainName
        var type: RecordType
        /// In seconds; a value with the top bit set is read as 0 (RFC 2181 §8).
        var timeToLive: UInt32
        var data: RecordData
    }

    /// What is wrong with a message that cannot be read.
    enum Fault: Error, Equatable {
        /// It ends before what it promises.
        case tooShort
        /// A label or a name is too long, or of a kind that does not exist.
        case badName
        /// A compression pointer does not point strictly backwards, or there are too many of them.
        case badPointer
        /// The length of a record's data is not that of its type.
        case badLength
        /// It does not have exactly one question.
        case notOneQuestion
    }

    var id: UInt16
    var flags: UInt16
    var question: Question
    var answers: [Record] = []
    var authorities: [Record] = []
    var additionals: [Record] = []
    /// The upper eight bits of the response code, from the OPT record (RFC 6891 §6.1.3).
    private var extendedCode: UInt16 = 0

    /// Whether it is a response.
    var isResponse: Bool { flags & 0x8000 != 0 }
    /// Whether it was cut: what it holds may be a part (RFC 2181 §9).
    var isTruncated: Bool { flags & 0x0200 != 0 }
    /// The response code, twelve bits where EDNS gives the upper ones.
    var code: UInt16 { extendedCode << 4 | flags & 0x000F }

    static let headerBytes = 12
    /// The shortest record: the root as its name, type, class, TTL and length.
    static let recordBytesMin = 11

    /// Reads a whole message. Bytes behind its last record are ignored.
    init(_ bytes: [UInt8]) throws(Fault) {
        var reader = Reader(bytes)
        id = try reader.uint16()
        flags = try reader.uint16()
        let questionCount = try reader.uint16()
        var counts = [3 of Int](repeating: 0)
        for section in 0..<3 { counts[section] = Int(try reader.uint16()) }
        guard questionCount == 1 else { throw .notOneQuestion }
        guard (counts[0] + counts[1] + counts[2]) * Self.recordBytesMin <= bytes.count else { throw .tooShort }
        question = Question(name: try reader.name(), type: RecordType(rawValue: try reader.uint16()))
        _ = try reader.uint16()
        for _ in 0..<counts[0] { answers.append(try record(&reader)) }
        for _ in 0..<counts[1] { authorities.append(try record(&reader)) }
        for _ in 0..<counts[2] { additionals.append(try record(&reader)) }
    }

    private mutating func record(_ reader: inout Reader) throws(Fault) -> Record {
        let owner = try reader.name()
        let type = RecordType(rawValue: try reader.uint16())
        let recordClass = try reader.uint16()
        let life = try reader.uint32()
        let length = Int(try reader.uint16())
        let end = reader.at + length
        guard end <= reader.bytes.count else { throw .tooShort }
        defer { reader.at = end }
        if type == .opt {
            extendedCode = UInt16(truncatingIfNeeded: life >> 24)
            return Record(owner: owner, type: type, timeToLive: 0, data: .other)
        }
        var data = RecordData.other
        if recordClass == Self.classIN {
            data = try reader.data(of: type, length)
            if data != .other, reader.at != end { throw .badLength }
        }
        return Record(owner: owner, type: type, timeToLive: life >> 31 == 0 ? life : 0, data: data)
    }

    /// The Internet, the only class that is asked for.
    static let classIN: UInt16 = 1
}

/// A place in a message's bytes that moves forward as they are read.
private struct Reader {
    let bytes: [UInt8]
    var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func uint8() throws(Message.Fault) -> UInt8 {
        guard at < bytes.count else { throw .tooShort }
        defer { at += 1 }
        return bytes[at]
    }

    mutating func uint16() throws(Message.Fault) -> UInt16 {
        UInt16(try uint8()) << 8 | UInt16(try uint8())
    }

    mutating func uint32() throws(Message.Fault) -> UInt32 {
        UInt32(try uint16()) << 16 | UInt32(try uint16())
    }

    /// Reads a name, which may end in a pointer to an earlier one (RFC 1035 §4.1.4). Each pointer has to lead before
    /// the place where the last part began, so that no chain of them can be a circle.
    mutating func name() throws(Message.Fault) -> DomainName {
        var wire: [UInt8] = []
        var position = at
        var limit = at
        var end: Int?
        var hops = 0
        while true {
            guard position < bytes.count else { throw .tooShort }
            let length = Int(bytes[position])
            switch length >> 6 {
            case 0:
                let next = position + 1 + length
                guard next <= bytes.count else { throw .tooShort }
                guard wire.count + 1 + length <= DomainName.wireBytesMax else { throw .badName }
                wire.append(UInt8(length))
                for byte in bytes[(position + 1)..<next] { wire.append(ASCII.lowercased(byte)) }
                position = next
                if length == 0 {
                    at = end ?? next
                    return DomainName(lowercasedWire: wire)
                }
            case 3:
                guard position + 1 < bytes.count else { throw .tooShort }
                let target = (length & 0x3F) << 8 | Int(bytes[position + 1])
                hops += 1
                guard target < limit, hops <= Self.pointersMax else { throw .badPointer }
                if end == nil { end = position + 2 }
                limit = target
                position = target
            default:
                throw .badName
            }
        }
    }

    /// Reads the data of a record of `type` that has `length` bytes. `.other` moves nothing.
    mutating func data(of type: Message.RecordType, _ length: Int) throws(Message.Fault) -> Message.RecordData {
        switch type {
        case .a:
            guard length == 4 else { throw .badLength }
            return .address(IPAddress(v4: try uint32()))
        case .aaaa:
            guard length == 16 else { throw .badLength }
            return .address(IPAddress(high: try uint64(), low: try uint64()))
        case .cname:
            return .alias(try name())
        case .srv:
            return .service(
                Message.ServiceRecord(
                    priority: try uint16(), weight: try uint16(), port: try uint16(), target: try name()))
        case .soa:
            _ = try name()
            _ = try name()
            for _ in 0..<4 { _ = try uint32() }
            return .authority(minimum: try uint32())
        default:
            return .other
        }
    }

    private mutating func uint64() throws(Message.Fault) -> UInt64 {
        UInt64(try uint32()) << 32 | UInt64(try uint32())
    }

    /// A name has at most 127 labels; real servers need one or two pointers.
    private static let pointersMax = 32
}
