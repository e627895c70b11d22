import Testing

@testable import Discovery

@Suite struct QueryTests {
    private let question = Message.Question(name: DomainName("api.honeydue.svc.cluster.local")!, type: .a)

    private func query(seed: UInt64 = 1, usesEDNS: Bool = true, mixesCase: Bool = true) -> Message.Query {
        var random = Seeded(state: seed)
        return Message.Query(question, usesEDNS: usesEDNS, mixesCase: mixesCase, random: &random)
    }

    @Test("a query without mixed case is, but for its number, what the recorded client sent")
    func recorded() {
        for (name, usesEDNS) in [("a-service", true), ("a-service-no-edns", false)] {
            let sent = RecordedDNS.named(name).query
            let ours = query(usesEDNS: usesEDNS, mixesCase: false).bytes
            #expect(Array(ours.dropFirst(12)) == Array(sent.dropFirst(12)))
            #expect(Array(ours[2..<12]) == Array(sent[2..<12]))
        }
    }

    @Test("a query is a message that we could read ourselves")
    func reading() throws {
        let message = try Message(query().bytes)
        #expect(message.question == question)
        #expect(message.additionals.map(\.type) == [.opt])
        #expect(!message.isResponse && message.flags == 0x0100)
    }

    @Test("number and mix of cases differ from query to query")
    func randomness() {
        var ids: Set<[UInt8]> = []
        var cases: Set<[UInt8]> = []
        var system = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let bytes = Message.Query(question, random: &system).bytes
            ids.insert(Array(bytes[..<2]))
            cases.insert(Array(bytes[12..<42]))
        }
        #expect(ids.count > 190 && cases.count > 190)
    }

    @Test("the mix of cases of a name that is as long as a name can be uses new coins for each letter")
    func longNames() {
        let label = String(repeating: "a", count: 61)
        let name = DomainName([label, label, label, label].joined(separator: "."))!
        var random = Seeded(state: 7)
        let bytes = Message.Query(Message.Question(name: name, type: .a), random: &random).bytes
        let upper = bytes[12...].split(separator: 61).prefix(4).map { $0.count { $0 == 0x41 } }
        #expect(upper.count == 4 && upper.allSatisfy { $0 > 10 && $0 < 50 })
    }

    @Test("an answer is taken if number, kind and question are those of the query")
    func matching() {
        let query = query()
        var good = MessageWriter(answering: query.bytes, answers: 1)
        good.a("api.honeydue.svc.cluster.local", "10.0.0.1")
        #expect(query.match(good.bytes) == .answer)

        func changed(_ change: (inout [UInt8]) -> Void) -> Message.Query.Match {
            var bytes = good.bytes
            change(&bytes)
            return query.match(bytes)
        }
        let end = MessageWriter.questionEnd(query.bytes)
        #expect(changed { $0[0] ^= 1 } == .stranger, "another number")
        #expect(changed { $0[1] ^= 0x80 } == .stranger, "another number")
        #expect(changed { $0[2] &= 0x7F } == .stranger, "a question")
        #expect(changed { $0[2] |= 0x20 } == .stranger, "another operation")
        #expect(changed { $0[5] = 2 } == .stranger, "two questions")
        #expect(changed { $0[4] = 1 } == .stranger, "257 questions")
        #expect(changed { $0[13] = 0x78 } == .stranger, "another name")
        #expect(changed { $0[12] = 4 } == .stranger, "other labels")
        #expect(changed { $0[end - 3] = 28 } == .stranger, "another type")
        #expect(changed { $0[end - 1] = 3 } == .stranger, "another class")
        #expect(changed { $0[13] ^= 0x20 } == .otherCase)
        #expect(changed { $0 = Array($0[..<(end - 1)]) } == .stranger, "cut within the question")
        for length in 0..<12 { #expect(changed { $0 = Array($0[..<length]) } == .stranger) }
        // Without its question: believed only where the server says that it did not understand it.
        for (code, match) in [(0, .stranger), (1, .notUnderstood), (2, .stranger), (3, .stranger), (4, .notUnderstood)]
            as [(UInt8, Message.Query.Match)]
        {
            #expect(
                changed {
                    $0 = Array($0[..<12])
                    $0[3] = code
                    $0[5] = 0
                } == match)
        }
    }

    @Test("the recorded answer with mixed case matches its own query, and a lower-case one only by another case")
    func recordedCase() {
        let recorded = RecordedDNS.named("a-headless-mixed-case")
        for seed in UInt64(0)..<50 {
            var random = Seeded(state: seed)
            let query = Message.Query(recorded.question, random: &random)
            var answer = recorded.answer
            answer[0] = query.bytes[0]
            answer[1] = query.bytes[1]
            #expect(query.match(answer) == .otherCase)
            answer.replaceSubrange(
                12..<MessageWriter.questionEnd(answer), with: query.bytes[12..<MessageWriter.questionEnd(answer)])
            #expect(query.match(answer) == .answer)
        }
    }
}
