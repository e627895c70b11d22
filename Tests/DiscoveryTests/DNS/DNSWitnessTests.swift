import ProxyCore
import Testing

@testable import Discovery

@Suite struct DNSWitnessTests {
    private let now = Instant(nanoseconds: 1_000_000_000_000)
    private let four = NetworkAddress("10.0.0.1:80")!
    private let other = NetworkAddress("10.0.0.2:80")!
    private let six = NetworkAddress("[fd00::1]:80")!

    private func later(_ seconds: Int64) -> Instant { now + .milliseconds(seconds * 1000) }

    @Test("nothing is said before there is something to say")
    func tooEarly() {
        var witness = DNSWitness([.v4, .v6])
        #expect(witness.answer(now) == nil)
        witness.heard([], for: .v6, until: later(5))
        #expect(witness.answer(now) == nil)
        witness.heard([four], for: .v4, until: later(3))
        #expect(witness.answer(now) == .addresses([four], timeToLive: .seconds(3)))
    }

    @Test("that there are none needs both families")
    func none() {
        var witness = DNSWitness([.v4, .v6])
        witness.heard([], for: .v4, until: later(5))
        #expect(witness.answer(now) == nil)
        witness.failed("timeout", for: .v6)
        #expect(witness.answer(now) == .failed(reason: "timeout"))
        witness.heard([], for: .v6, until: later(7))
        #expect(witness.answer(now) == .none(timeToLive: .seconds(5)))
    }

    @Test("a family that fails takes nothing away, and makes no news of what it said before")
    func failing() {
        var witness = DNSWitness([.v4, .v6])
        witness.heard([other, four], for: .v4, until: later(5))
        witness.heard([six], for: .v6, until: later(2))
        #expect(witness.answer(now) == .addresses([four, other, six], timeToLive: .seconds(2)))
        witness.failed("servfail", for: .v6)
        #expect(witness.answer(now) == .addresses([four, other, six], timeToLive: .seconds(5)))
        // The other family changes meanwhile.
        witness.heard([four], for: .v4, until: later(65))
        #expect(witness.answer(later(61)) == .addresses([four, six], timeToLive: .seconds(4)))
        // A minute after its end the old word counts no more.
        #expect(witness.answer(later(63)) == .addresses([four], timeToLive: .seconds(2)))
        witness.failed("timeout", for: .v4)
        #expect(witness.answer(now) == .failed(reason: "servfail"))
        witness.heard([], for: .v6, until: later(5))
        #expect(witness.answer(now) == .failed(reason: "timeout"))
    }

    @Test("a service of SRV records has one part")
    func services() {
        var witness = DNSWitness([.services])
        witness.failed("refused", for: .services)
        #expect(witness.answer(now) == .failed(reason: "refused"))
        witness.heard([four], for: .services, until: later(1))
        #expect(witness.answer(later(2)) == .addresses([four], timeToLive: .zero))
        witness.heard([], for: .services, until: later(1))
        #expect(witness.answer(now) == .none(timeToLive: .seconds(1)))
    }

    @Test("the pace: at the answer's end, at least every five seconds, not all at once; failures back off to five")
    func pace() {
        var pace = AskingPace()
        func answered(_ seconds: Double, took: Int64 = 0, _ chance: Double) -> Double {
            Double(
                pace.answered(.seconds(seconds), took: .milliseconds(took), chance: chance).nanoseconds) / 1e9
        }
        #expect(answered(3, 0) == 3 && answered(3, 1) == 3.375)
        #expect(answered(0, 0) == 1 && answered(30, 0) == 5 && answered(30, 1) == 4.375 && answered(5, 0.5) <= 5)
        #expect(answered(30, took: 2000, 0) == 3 && answered(30, took: 60_000, 0) == 0.5)
        let failures = (0..<6).map { _ in Double(pace.failed(chance: 0).nanoseconds) / 1e9 }
        #expect(failures == [0.5, 1, 2, 4, 5, 5])
        for _ in 0..<100 { #expect(pace.failed(chance: 1).nanoseconds == 3_750_000_000) }
        _ = answered(5, 0)
        #expect(pace.failed(chance: 1).nanoseconds == 375_000_000)
    }

    @Test("what no host can be called is no endpoint")
    func hosts() {
        for text in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "fe80::1", "febf::1"] {
            #expect(!DNSSource.isHost(IPAddress(text)!), "\(text)")
        }
        for text in ["10.0.0.1", "127.0.0.1", "223.255.255.255", "::1", "fd00::1", "2001:db8::1", "fec0::1"] {
            #expect(DNSSource.isHost(IPAddress(text)!), "\(text)")
        }
    }

    @Test("the cache keeps findings until their end, and never more than it may")
    func cache() {
        var cache = AnswerCache(countMax: 100)
        func question(_ k: Int) -> Message.Question {
            Message.Question(name: DomainName("n\(k).example")!, type: .a)
        }
        let finding = Finding(content: .addresses([four.ip]), expires: later(5))
        cache.keep(finding, for: question(0), now)
        #expect(cache.finding(for: question(0), later(4)) == finding)
        #expect(cache.finding(for: question(0), later(5)) == nil)
        #expect(cache.finding(for: question(1), now) == nil)
        for k in 0..<1000 {
            cache.keep(Finding(content: .absent(.name), expires: later(Int64(k % 30 + 1))), for: question(k), now)
            #expect(cache.count <= 100)
            #expect(cache.finding(for: question(k), now) != nil)
        }
        cache.clear()
        #expect(cache.count == 0)
    }

    @Test("lives have bounds: one second and thirty")
    func bounds() {
        for (seconds, expected) in [(0, 1), (1, 1), (5, 5), (30, 30), (31, 30), (UInt32.max, 30)] as [(UInt32, Int64)] {
            #expect(Finding.end(seconds, from: now) == later(expected))
        }
    }
}
