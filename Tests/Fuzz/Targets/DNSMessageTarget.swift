// What a DNS server sends: answers that are cut, circular or lying cost little and are never more than they say.

@testable import Discovery
@testable import ProxyCore

enum DNSMessageTarget {
    static func check(_ bytes: [UInt8]) throws {
        let message: Message
        do throws(Message.Fault) {
            message = try inMessageProportion(bytes)
        } catch {
            return
        }
        let records = message.answers + message.authorities + message.additionals
        try expect(
            records.count * Message.recordBytesMin <= bytes.count, "\(records.count) records in \(bytes.count) bytes")
        for record in records { try expectName(record.owner) }
        try expectName(message.question.name)

        let conclusion = try inProportion(to: 16 * bytes.count, "what it means") {
            message.conclusion(for: message.question)
        }
        if case .records(let data, _) = conclusion {
            try expect(!data.isEmpty && Set(data).count == data.count, "no records, or doubles")
            for item in data { try expectKind(item, message.question.type) }
        }
        let added = try inProportion(to: 16 * bytes.count, "addresses that it adds") { message.addedAddresses() }
        try expect(added.values.reduce(0) { $0 + $1.addresses.count } <= records.count, "more addresses than records")
        try expectQuery(message.question, reply: bytes)

        // What is behind the last record changes nothing.
        let longer = try? Message(bytes + [0, 1, 2, 3])
        if records.count * Message.recordBytesMin <= bytes.count {
            try expect(longer == message, "bytes behind it count")
        }
    }

    private static func inMessageProportion(_ bytes: [UInt8]) throws(Message.Fault) -> Message {
        do {
            return try inProportion(to: 16 * bytes.count, "a message") { try Message(bytes) }
        } catch let fault as Message.Fault {
            throw fault
        } catch {
            // Not a fault of the message: its cost is a finding.
            fatalError("\(error)")
        }
    }

    private static func expectName(_ name: DomainName) throws {
        try expect((1...DomainName.wireBytesMax).contains(name.wire.count) && name.wire.last == 0, "a name without end")
        let text = name.description
        try expect(text.utf8.allSatisfy { (0x21...0x7E).contains($0) }, "\(Array(text.utf8).escaped) in a log line")
        if let again = DomainName(text) { try expect(again == name, "\(text) is read as another name") }
        try expect(name.isWithin(.root) && name.isWithin(name), "not within itself")
    }

    private static func expectKind(_ data: Message.RecordData, _ type: Message.RecordType) throws {
        switch (data, type) {
        case (.address, .a), (.address, .aaaa), (.alias, .cname), (.service, .srv), (.authority, .soa): break
        default: throw Finding("\(data) answers \(type)")
        }
    }

    /// A question that we ask is read as that question, and only what repeats it answers it.
    private static func expectQuery(_ question: Message.Question, reply: [UInt8]) throws {
        struct Fixed: RandomNumberGenerator {
            mutating func next() -> UInt64 { 0x5555_5555_5555_1234 }
        }
        var random = Fixed()
        let query = Message.Query(question, random: &random)
        let read = try? Message(query.bytes)
        try expect(read?.question == question, "our own question reads otherwise")
        try expect(query.match(query.bytes) == .stranger, "a question answers itself")
        var answer = query.bytes
        answer[2] = 0x80
        try expect(query.match(answer) == .answer, "its echo is no answer")
        if query.match(reply) == .answer {
            try expect(reply.starts(with: query.bytes.prefix(2)), "another number answers")
        }
    }
}
