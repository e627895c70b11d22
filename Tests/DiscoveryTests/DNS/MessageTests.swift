import ProxyCore
import Testing

@testable import Discovery

@Suite struct MessageTests {
    // MARK: Recorded answers

    @Test("each recorded answer has the sections and codes that the list says", arguments: RecordedDNS.all)
    func recorded(_ recorded: RecordedDNS) throws {
        let message = try Message(recorded.answer)
        #expect(message.isResponse)
        #expect(message.question == recorded.question)
        #expect(message.code == recorded.code)
        #expect(message.isTruncated == recorded.isTruncated)
        #expect(
            [message.answers.count, message.authorities.count, message.additionals.count] == recorded.counts)
        if let life = recorded.timeToLive, !message.answers.isEmpty {
            #expect(message.answers.map(\.timeToLive).min() == life)
        }
    }

    private static let api = ["10.42.1.12", "10.42.1.13", "10.42.2.12"]
    @Test(
        "recorded answers come to the right addresses",
        arguments: [
            ("a-service", ["10.43.172.45"], 5), ("a-service-no-edns", ["10.43.172.45"], 5),
            ("a-service-tcp", ["10.43.172.45"], 5), ("a-headless", api, 5), ("a-headless-mixed-case", api, 5),
            ("a-endpoint", ["10.42.1.12"], 5), ("a-headless-ttl-counts-down-1", api, 5),
            ("a-headless-ttl-counts-down-2", api, 3),
        ] as [(String, [String], UInt32)])
    func addresses(name: String, expected: [String], life: UInt32) throws {
        let recorded = RecordedDNS.named(name)
        let conclusion = try Message(recorded.answer).conclusion(for: recorded.question)
        guard case .records(let data, let seconds) = conclusion else {
            Issue.record("\(conclusion)")
            return
        }
        #expect(texts(data) == expected)
        #expect(seconds == life)
    }

    private func texts(_ data: [Message.RecordData]) -> [String] {
        data.compactMap { data -> IPAddress? in
            guard case .address(let address) = data else { return nil }
            return address
        }.sorted { ($0.high, $0.low) < ($1.high, $1.low) }.map(\.description)
    }

    @Test("59 addresses are the same by UDP, with and without cache, and by TCP")
    func manyAddresses() throws {
        var all: Set<[String]> = []
        for name in ["many-a-udp-1232", "many-a-udp-4096", "many-a-udp-1232-cache", "many-a-tcp"] {
            let recorded = RecordedDNS.named(name)
            guard case .records(let data, 5) = try Message(recorded.answer).conclusion(for: recorded.question) else {
                Issue.record("\(name) has no records")
                continue
            }
            all.insert(texts(data))
        }
        #expect(all.count == 1)
        #expect(all.first?.count == 59)
        #expect(all.first?.allSatisfy { $0.hasPrefix("10.42.") } == true)
    }

    @Test("recorded SRV answers bring ports, targets and their addresses")
    func services() throws {
        for name in ["srv-headless", "srv-headless-no-edns", "srv-any-port"] {
            let recorded = RecordedDNS.named(name)
            let message = try Message(recorded.answer)
            guard case .records(let data, 5) = message.conclusion(for: recorded.question) else {
                Issue.record("\(name) has no records")
                continue
            }
            let services = data.compactMap { data -> Message.ServiceRecord? in
                guard case .service(let service) = data else { return nil }
                return service
            }
            #expect(services.map(\.port) == [8000, 8000, 8000])
            #expect(services.map(\.weight) == [33, 33, 33] && services.allSatisfy { $0.priority == 0 })
            let added = services.flatMap { message.addedAddresses()[$0.target]?.addresses ?? [] }
            #expect(texts(added.map { .address($0) }) == Self.api)
            #expect(!message.targetsMayBeCut(data, byteCount: recorded.answer.count, room: 1232))
        }
        let recorded = RecordedDNS.named("srv-service")
        let message = try Message(recorded.answer)
        let target = DomainName("api.honeydue.svc.cluster.local")!
        #expect(
            message.conclusion(for: recorded.question)
                == .records(
                    [.service(Message.ServiceRecord(priority: 0, weight: 100, port: 80, target: target))], timeToLive: 5
                ))
        #expect(message.addedAddresses()[target]?.addresses == [IPAddress("10.43.172.45")!])
    }

    @Test(
        "recorded absences and failures are told apart",
        arguments: [
            ("aaaa-nodata", .absent(.data, timeToLive: 5)), ("aaaa-headless-nodata", .absent(.data, timeToLive: 5)),
            ("nxdomain-service", .absent(.name, timeToLive: 5)),
            ("nxdomain-namespace", .absent(.name, timeToLive: 5)),
            ("nxdomain-cached", .absent(.name, timeToLive: 5)), ("srv-no-such-port", .absent(.name, timeToLive: 5)),
            ("outside-zone", .failure(.servfail)),
        ] as [(String, Message.Conclusion)])
    func absences(name: String, expected: Message.Conclusion) throws {
        let recorded = RecordedDNS.named(name)
        #expect(try Message(recorded.answer).conclusion(for: recorded.question) == expected)
    }

    // MARK: Broken messages

    @Test("an answer that ends early is refused wherever it ends", arguments: RecordedDNS.all)
    func truncations(_ recorded: RecordedDNS) async {
        var taken: [Int] = []
        for length in places(recorded.answer) {
            if (try? Message(Array(recorded.answer[..<length]))) != nil { taken.append(length) }
            // Tests that wait for deadlines run beside this one.
            await Task.yield()
        }
        #expect(taken.isEmpty)
    }

    @Test(
        "no changed byte of an answer traps, and none outside the question changes what it answers",
        arguments: RecordedDNS.all)
    func mutations(_ recorded: RecordedDNS) async {
        var random = Seeded(state: UInt64(recorded.answer.count))
        let questionEnd = MessageWriter.questionEnd(recorded.answer)
        var changed: [Int] = []
        for position in places(recorded.answer) {
            await Task.yield()
            for value in values(recorded.answer, position, &random) {
                var bytes = recorded.answer
                bytes[position] = value
                guard let message = try? Message(bytes) else { continue }
                _ = message.conclusion(for: recorded.question)
                if position >= questionEnd && message.question != recorded.question { changed.append(position) }
            }
        }
        #expect(changed.isEmpty)
    }

    /// Every place of a message, but of the tail of very long ones, which only repeats itself.
    private func places(_ bytes: [UInt8]) -> [Int] { bytes.indices.filter { $0 < 1300 || $0 % 7 == 0 } }

    /// Each single bit, and what is a pointer or a length; in the longest messages one random value. Every
    /// value at every place would take minutes in a debug build.
    private func values(_ bytes: [UInt8], _ position: Int, _ random: inout Seeded) -> [UInt8] {
        let old = bytes[position]
        if bytes.count > 700 { return [old ^ UInt8.random(in: 1...255, using: &random)] }
        return (0..<8).map { old ^ 1 << $0 } + [0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF].filter { $0 != old }
    }

    @Test("random bytes never trap, behind a good header or without")
    func randomBytes() async {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(state: seed)
        let header = Array(RecordedDNS.named("a-headless").answer.prefix(62))
        let question = RecordedDNS.named("a-headless").question
        for round in 0..<5_000 {
            if round % 100 == 0 { await Task.yield() }
            let tail = (0..<Int.random(in: 0...80, using: &random)).map { _ in
                // Pointers and small numbers are what matters.
                Bool.random(using: &random)
                    ? UInt8.random(in: 0...255, using: &random) : [0, 0, 1, 4, 12, 0xC0][round % 6]
            }
            guard let message = try? Message(round.isMultiple(of: 2) ? header + tail : tail) else { continue }
            // Only what a parser accepts gets here, and it concludes without a trap.
            _ = message.conclusion(for: question)
        }
        print("DNS: random bytes with seed \(seed)")
    }

    @Test("compression pointers lead strictly backwards, and not too often")
    func pointers() {
        func answer(_ owner: [UInt8], before: [[UInt8]] = []) -> [UInt8] {
            var writer = MessageWriter(asking: "a.example", .a, answers: before.count + 1)
            for name in before { writer.add(name, 99, []) }
            writer.add(owner, 1, [10, 0, 0, 1])
            return writer.bytes
        }
        let here = UInt8(MessageWriter(asking: "a.example", .a).bytes.count)
        #expect((try? Message(answer([0xC0, 12])))?.answers.first?.owner == DomainName("a.example"))
        // To itself, forwards, to a label before itself that leads to itself again, into the header.
        #expect(throws: Message.Fault.badPointer) { try Message(answer([0xC0, here])) }
        #expect(throws: Message.Fault.badPointer) { try Message(answer([0xC0, here + 4])) }
        #expect(throws: Message.Fault.badPointer) { try Message(answer([1, 0x61, 0xC0, here])) }
        #expect(throws: Message.Fault.badPointer) { try Message(answer([0xFF, 0xFF])) }
        for kind: UInt8 in [0x40, 0x80] {
            #expect(throws: Message.Fault.badName) { try Message(answer([kind | 1, 0x61, 0])) }
        }
        // A chain of pointers, each to the one before it: as many as are allowed, and one more.
        for (count, isGood) in [(31, true), (32, false), (60, false)] {
            var at = Int(here)
            var chain: [[UInt8]] = []
            var target = 12
            for _ in 0..<count {
                chain.append([0xC0 | UInt8(target >> 8), UInt8(target & 255)])
                target = at
                at += 12
            }
            let message = try? Message(answer([0xC0 | UInt8(target >> 8), UInt8(target & 255)], before: chain))
            #expect((message != nil) == isGood, "\(count) pointers")
        }
    }

    @Test("names of more than 255 bytes are refused, by labels or by pointers")
    func longNames() {
        let label = [UInt8(63)] + [UInt8](repeating: 0x61, count: 63)
        var writer = MessageWriter(asking: "example", .a, answers: 2)
        let at = writer.bytes.count
        writer.add(label + label + label + [0], 99, [])
        // 192 bytes there and 64 here, and the zero: 257.
        writer.add(label + [0xC0 | UInt8(at >> 8), UInt8(at & 255)], 99, [])
        #expect(throws: Message.Fault.badName) { try Message(writer.bytes) }
    }

    @Test("data of the wrong length and counts without records are refused")
    func lengths() {
        for (type, length) in [(1, 3), (1, 5), (1, 0), (28, 15), (28, 17), (5, 0), (33, 6), (6, 10)] as [(UInt16, Int)]
        {
            var writer = MessageWriter(asking: "a.example", .a, answers: 1)
            writer.add([0], type, [UInt8](repeating: 0, count: length))
            // Bytes behind, so that the end of the message is not what refuses it.
            #expect(throws: Message.Fault.badLength, "type \(type), \(length) bytes") {
                try Message(writer.bytes + [UInt8](repeating: 0, count: 40))
            }
        }
        let empty = MessageWriter(asking: "a.example", .a, answers: 0xFFFF, authorities: 0xFFFF, additionals: 0xFFFF)
        #expect(throws: Message.Fault.tooShort) { try Message(empty.bytes) }
        for count: UInt16 in [0, 2, 0xFFFF] {
            var writer = MessageWriter(asking: "a.example", .a)
            writer.put(count, at: 4)
            #expect(throws: Message.Fault.notOneQuestion) { try Message(writer.bytes) }
        }
    }

    @Test("types and classes that we do not read are passed over by their length")
    func unknownTypes() throws {
        var writer = MessageWriter(asking: "a.example", .a, answers: 4)
        writer.add(MessageWriter.wire("a.example"), 0xFF01, [0xC0, 0xFF, 0xFF])
        writer.add(MessageWriter.wire("a.example"), 1, class: 3, [1, 2])
        writer.add(MessageWriter.wire("a.example"), 46, [UInt8](repeating: 0xC0, count: 70))
        writer.a("a.example", "10.0.0.1")
        #expect(conclude(writer, "a.example") == .records([.address(IPAddress("10.0.0.1")!)], timeToLive: 60))
    }

    // MARK: Conclusions

    private func conclude(_ writer: MessageWriter, _ name: String, _ type: Message.RecordType = .a) -> Message
        .Conclusion?
    {
        try? Message(writer.bytes).conclusion(for: Message.Question(name: DomainName(name)!, type: type))
    }

    @Test("only records of the name, or of the chain that leads from it, count")
    func strangers() {
        var writer = MessageWriter(asking: "a.example", .a, answers: 5, authorities: 1, additionals: 1)
        writer.a("victim.example", "6.6.6.6")
        writer.a("C.example", "10.0.0.2", life: 7)
        writer.alias("b.example", "c.Example", life: 50)
        writer.alias("A.example", "b.example", life: 9)
        writer.a("c.example", "10.0.0.3", life: 20)
        writer.add(MessageWriter.wire("c.example"), 1, [6, 6, 6, 7])
        writer.a("c.example", "6.6.6.8")
        #expect(
            conclude(writer, "a.example")
                == .records([.address(IPAddress("10.0.0.2")!), .address(IPAddress("10.0.0.3")!)], timeToLive: 7))
    }

    @Test("lives: the shortest of the set, zero with the top bit set, and doubles count once")
    func lives() {
        var writer = MessageWriter(asking: "a.example", .a, answers: 3)
        writer.a("a.example", "10.0.0.1", life: 300)
        writer.a("a.example", "10.0.0.1", life: 20)
        writer.a("a.example", "10.0.0.2", life: 40)
        #expect(
            conclude(writer, "a.example")
                == .records([.address(IPAddress("10.0.0.1")!), .address(IPAddress("10.0.0.2")!)], timeToLive: 20))
        var top = MessageWriter(asking: "a.example", .a, answers: 1)
        top.a("a.example", "10.0.0.1", life: 0x8000_0001)
        #expect(conclude(top, "a.example") == .records([.address(IPAddress("10.0.0.1")!)], timeToLive: 0))
    }

    @Test("aliases: circles and long chains fail, a chain that leads out is asked on")
    func aliases() {
        var circle = MessageWriter(asking: "a.example", .a, answers: 2)
        circle.alias("a.example", "b.example")
        circle.alias("b.example", "a.example")
        #expect(conclude(circle, "a.example") == .failure(.aliasLoop))

        var own = MessageWriter(asking: "a.example", .a, answers: 1)
        own.alias("a.example", "a.example")
        #expect(conclude(own, "a.example") == .failure(.aliasLoop))

        for length in [8, 9] {
            var chain = MessageWriter(asking: "n0.example", .a, answers: length + 1)
            for k in 0..<length { chain.alias("n\(k).example", "n\(k + 1).example") }
            chain.a("n\(length).example", "10.0.0.1")
            let expected: Message.Conclusion =
                length == 8 ? .records([.address(IPAddress("10.0.0.1")!)], timeToLive: 60) : .failure(.aliasLoop)
            #expect(conclude(chain, "n0.example") == expected)
        }

        var out = MessageWriter(asking: "a.example", .a, answers: 1)
        out.alias("a.example", "b.other", life: 9)
        #expect(conclude(out, "a.example") == .alias(DomainName("b.other")!, timeToLive: 9))

        // The end of the chain is there but has no such records, or is not there (RFC 6604).
        var none = MessageWriter(asking: "a.example", .a, answers: 1, authorities: 1)
        none.alias("a.example", "b.other")
        none.authority("other", minimum: 7)
        #expect(conclude(none, "a.example") == .absent(.data, timeToLive: 7))
        none.put(0x8183, at: 2)
        #expect(conclude(none, "a.example") == .absent(.name, timeToLive: 7))
    }

    @Test("absences: their life is the shorter one of the SOA's two, if the SOA is one of the name's zones")
    func negativeLives() {
        func absence(_ zone: String, minimum: UInt32, life: UInt32) -> Message.Conclusion? {
            var writer = MessageWriter(asking: "a.example", .a, flags: 0x8183, authorities: 1)
            writer.authority(zone, minimum: minimum, life: life)
            return conclude(writer, "a.example")
        }
        #expect(absence("example", minimum: 5, life: 60) == .absent(.name, timeToLive: 5))
        #expect(absence("example", minimum: 60, life: 4) == .absent(.name, timeToLive: 4))
        #expect(absence("example", minimum: 0x8000_0000, life: 4) == .absent(.name, timeToLive: 0))
        #expect(absence("", minimum: 5, life: 60) == .absent(.name, timeToLive: 5))
        #expect(absence("other", minimum: 5, life: 60) == .absent(.name, timeToLive: nil))
        #expect(conclude(MessageWriter(asking: "a.example", .a), "a.example") == .absent(.data, timeToLive: nil))
    }

    @Test("codes: only NOERROR and NXDOMAIN tell anything, and a referral tells nothing")
    func codes() {
        let expected: [(UInt16, Message.Conclusion)] = [
            (1, .failure(.formerr)), (2, .failure(.servfail)), (3, .absent(.name, timeToLive: nil)),
            (4, .failure(.notimp)), (5, .failure(.refused)), (6, .failure(.rcode)), (9, .failure(.rcode)),
            (15, .failure(.rcode)),
        ]
        for (code, conclusion) in expected {
            #expect(conclude(MessageWriter(asking: "a.example", .a, flags: 0x8180 | code), "a.example") == conclusion)
        }
        var referral = MessageWriter(asking: "a.example", .a, authorities: 1)
        referral.add(MessageWriter.wire("example"), 2, MessageWriter.wire("ns.example"))
        #expect(conclude(referral, "a.example") == .failure(.lame))

        // BADVERS needs the upper bits, which are in the OPT record.
        var version = MessageWriter(asking: "a.example", .a, additionals: 1)
        version.add([0], 41, class: 1232, life: 0x0100_0000, [])
        #expect(conclude(version, "a.example") == .failure(.formerr))

        // A name cannot be absent and have an address.
        var both = MessageWriter(asking: "a.example", .a, flags: 0x8183, answers: 1)
        both.a("a.example", "10.0.0.1")
        #expect(conclude(both, "a.example") == .failure(.malformed))
    }

    @Test("addresses of SRV targets may have been cut where one has none, or there was no room for one more")
    func cutTargets() throws {
        func message(_ known: Int) throws -> (Message, [Message.RecordData]) {
            var writer = MessageWriter(asking: "s.example", .srv, answers: 2, additionals: known)
            writer.service("s.example", "t1.example", port: 80)
            writer.service("s.example", "t2.example", port: 80)
            for k in 1..<(known + 1) { writer.a("t\(k).example", "10.0.0.\(k)") }
            let message = try Message(writer.bytes)
            return (message, message.answers.map(\.data))
        }
        for (known, byteCount, expected) in [(0, 1200, false), (1, 300, true), (2, 300, false), (2, 1200, true)] {
            let (message, data) = try message(known)
            #expect(message.targetsMayBeCut(data, byteCount: byteCount, room: 1232) == expected)
        }
    }
}
