// What if answers are wrong, late, doubled or cut, and servers silent or broken?

import Glibc
import ProxyCore
import Testing

@testable import Discovery

extension ResolverTests {
    // MARK: Evil answers

    @Test("answers of strangers are dropped, and waiting goes on until the right one comes; doubles do no harm")
    @ControlThread
    func strangers() async throws {
        let server = try ScriptedDNS { asked in
            func evil(_ change: (inout MessageWriter) -> Void) -> Reply {
                var writer = asked.reply(answers: 1)
                writer.a(asked.name, "6.6.6.6")
                change(&writer)
                return .send(writer.bytes)
            }
            guard case .send(let right) = asked.addresses(["10.0.0.1"]) else { return [] }
            var elsewhere = asked.reply(answers: 1)
            elsewhere.a(asked.name, "6.6.6.7")
            return [
                evil { $0.bytes[0] ^= 0xFF },
                evil { $0.bytes[2] = 0x01 },
                evil { $0.bytes[13] = UInt8(ascii: "x") },
                evil { $0.put(28, at: MessageWriter.questionEnd($0.bytes) - 4) },
                evil { $0.bytes = Array($0.bytes.prefix(11)) },
                evil { $0.bytes = [] },
                .spoof(elsewhere.bytes),
                .pause(.milliseconds(50)), .send(right), .send(right), .spoof(right),
            ]
        }
        let resolver = try resolver([server])
        #expect(texts(await ask(resolver)) == ["10.0.0.1"])
        #expect(server.counts == [1, 0])
        await server.stop()
    }

    @Test("an answer that comes after its time is not taken for that of the next try")
    @ControlThread
    func late() async throws {
        let server = try ScriptedDNS { asked in
            guard asked.number == 0 else { return [.pause(.milliseconds(250)), asked.addresses(["10.0.0.1"])] }
            return [.pause(.milliseconds(800)), asked.addresses(["6.6.6.6"])]
        }
        let resolver = try resolver([server], tryLimit: .milliseconds(700))
        #expect(texts(await ask(resolver)) == ["10.0.0.1"])
        #expect(Set(server.asked.map(\.port)).count == server.asked.count)
        await server.stop()
    }

    @Test("many wrong answers are a guess in progress: the question goes on by TCP")
    @ControlThread
    func storm() async throws {
        let server = try ScriptedDNS { asked in
            if asked.isTCP { return [asked.addresses(["10.0.0.1"])] }
            return (0..<60).map { k in
                var writer = asked.reply(answers: 1)
                writer.a(asked.name, "6.6.6.6")
                writer.put(UInt16(k), at: 0)
                writer.bytes[0] = ~asked.bytes[0]
                return .send(writer.bytes)
            }
        }
        let resolver = try resolver([server])
        #expect(texts(await ask(resolver)) == ["10.0.0.1"])
        #expect(server.counts == [1, 1])
        await server.stop()
    }

    @Test("a cut answer is never the whole: TCP brings it, and without TCP there is none")
    @ControlThread
    func truncation() async throws {
        let server = try ScriptedDNS { asked in
            var part = asked.reply(0x8380, answers: 1)
            part.a(asked.name, "10.0.0.1")
            guard asked.isTCP else { return [.send(part.bytes)] }
            guard case .send(let whole) = asked.addresses((1...2000).map { "10.0.\($0 / 250).\($0 % 250)" }) else {
                return []
            }
            let framed = [UInt8(whole.count >> 8), UInt8(whole.count & 255)] + whole
            switch asked.name {
            case "whole.example": return framed.map { .raw([$0]) }.prefix(40) + [.raw(Array(framed.dropFirst(40)))]
            case "half.example": return [.raw(Array(framed.prefix(framed.count / 2)))]
            case "shut.example": return []
            case "still.example": return [.raw(Array(framed.prefix(500))), .pause(.seconds(20))]
            case "cut.example": return [.send(part.bytes)]
            case "stranger.example":
                part.bytes[0] ^= 1
                return [.send(part.bytes)]
            default: return [.raw([0, 0])]
            }
        }
        let patient = try self.resolver([server], tryLimit: .seconds(5))
        guard case .addresses(let addresses, _) = await ask(patient, "whole.example.") else {
            Issue.record("no addresses")
            return
        }
        #expect(addresses.count == 2000)
        let resolver = try self.resolver([server], tryLimit: .milliseconds(700))
        let reasons = [
            "half": "malformed", "shut": "unreachable", "still": "truncated", "cut": "truncated",
            "stranger": "malformed", "empty": "malformed",
        ]
        for (name, reason) in reasons {
            #expect(texts(await ask(resolver, "\(name).example.")) == [reason], "\(name)")
        }
        await server.stop()
    }

    @Test("a server that does not understand EDNS is asked without it, and so the next time")
    @ControlThread
    func formatError() async throws {
        for header in [false, true] {
            let server = try ScriptedDNS { asked in
                if !asked.hasEDNS { return [asked.addresses(["10.0.0.1"])] }
                var writer = asked.reply(0x8181)
                if header {
                    writer.bytes = Array(writer.bytes.prefix(12))
                    writer.put(0, at: 4)
                }
                return [.send(writer.bytes)]
            }
            let resolver = try resolver([server])
            #expect(texts(await ask(resolver)) == ["10.0.0.1"])
            #expect(texts(await ask(resolver, "other.example.")) == ["10.0.0.1"])
            #expect(server.asked.map(\.hasEDNS) == [true, false, false])
            await server.stop()
        }
    }

    @Test("a server that does not repeat the mix of cases is asked without it, and so the next time")
    @ControlThread
    func otherCase() async throws {
        let server = try ScriptedDNS { asked in
            var writer = asked.reply(answers: 1)
            writer.a(asked.name, "10.0.0.1")
            for k in 12..<MessageWriter.questionEnd(asked.bytes) { writer.bytes[k] = ASCII.lowercased(writer.bytes[k]) }
            return [.send(writer.bytes)]
        }
        let resolver = try resolver([server])
        let name = "a-long-name-that-has-many-letters-to-mix.example."
        #expect(texts(await ask(resolver, name)) == ["10.0.0.1"])
        #expect(server.asked.count == 2)
        #expect(texts(await ask(resolver, "another-\(name)")) == ["10.0.0.1"])
        #expect(server.asked.count == 3)
        await server.stop()
    }

    // MARK: Bad servers

    @Test("when the first server is silent the second one is asked, and first for the next name")
    @ControlThread
    func silence() async throws {
        let silent = try ScriptedDNS { _ in [] }
        let good = try ScriptedDNS { [$0.addresses(["10.0.0.1"])] }
        let resolver = try resolver([silent, good], tryLimit: .milliseconds(1000))
        #expect(texts(await ask(resolver)) == ["10.0.0.1"])
        #expect(silent.counts == [1, 0] && good.counts == [1, 0])
        #expect(texts(await ask(resolver, "other.example.")) == ["10.0.0.1"])
        #expect(silent.counts == [1, 0] && good.counts == [2, 0])
        await silent.stop()
        await good.stop()
    }

    @Test("a server that is silent by UDP is asked by TCP in the end, from a new port each time")
    @ControlThread
    func silentUDP() async throws {
        let server = try ScriptedDNS { $0.isTCP ? [$0.addresses(["10.0.0.1"])] : [] }
        let resolver = try resolver([server], tryLimit: .milliseconds(700))
        #expect(texts(await ask(resolver)) == ["10.0.0.1"])
        #expect(server.counts == [2, 1])
        #expect(server.asked[0].port != server.asked[1].port)
        await server.stop()
    }

    @Test("with several servers each one's refusal leads to the next, and only all together to a failure")
    @ControlThread
    func failures() async throws {
        let codes: [String: UInt16] = ["refused": 5, "servfail": 2, "notimp": 4, "rcode": 9, "formerr": 1]
        let bad = try ScriptedDNS { asked in
            let word = String(asked.name.prefix { $0 != "." && $0 != "-" })
            if word == "malformed" { return [.send(asked.reply(answers: 3).bytes)] }
            if word == "lame" {
                var writer = asked.reply(authorities: 1)
                writer.add([0], 2, MessageWriter.wire("ns.example"))
                return [.send(writer.bytes)]
            }
            return [.send(asked.reply(0x8180 | (codes[word] ?? 0)).bytes)]
        }
        let good = try ScriptedDNS { [$0.addresses(["10.0.0.1"])] }
        let two = try resolver([bad, good])
        let one = try resolver([bad])
        for word in codes.keys + ["malformed", "lame"] {
            #expect(texts(await ask(two, "\(word)-two.example.")) == ["10.0.0.1"], "\(word)")
            let answer = await ask(one, "\(word).example.")
            #expect(answer == .failed(LookupFailure(.init(rawValue: word)!, server: bad.address)))
        }
        await bad.stop()
        await good.stop()
    }

    @Test("a failure is remembered for about a second, also where fresh answers are wanted")
    @ControlThread
    func rememberedFailure() async throws {
        let server = try ScriptedDNS { [.send($0.reply(0x8182).bytes)] }
        let resolver = try resolver([server])
        for _ in 0..<5 { #expect(texts(await ask(resolver, freshly: true)) == ["servfail"]) }
        #expect(server.asked.count == 2)
        _ = await ControlThread.sleep(for: .milliseconds(1010))
        _ = await ask(resolver)
        #expect(server.asked.count == 4)
        await server.stop()
    }

    @Test("where nobody listens the failure comes at once")
    @ControlThread
    func unreachable() async throws {
        let server = try ScriptedDNS { _ in [] }
        let resolver = try resolver([server])
        await server.stop()
        let began = Clock.now()
        #expect(texts(await ask(resolver)) == ["unreachable"])
        #expect((Clock.now() - began).nanoseconds < 1_500_000_000)
    }
}
