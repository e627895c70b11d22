import Testing

@testable import ProxyCore

/// A worker's requests over time: they come as they come, and each takes what its endpoint takes.
@Suite struct SlowEndpointTests {
    private struct Answer {
        var at: Instant
        var place: Int
        var span: Instant.Span
    }

    /// Latencies, sorted, in nanoseconds, of so many requests at endpoints that take `factors` times some 5 ms.
    private func play(_ factors: [Int64], perSecond: Int, count: Int, seed: UInt64) -> [Int64] {
        var picker = Picker(Array(repeating: EndpointTraits(), count: factors.count), seed: seed)
        var dice = RandomSource(seed: seed &* 77)
        var underWay: [Answer] = []
        var latencies: [Int64] = []
        let gap = 2_000_000_000 / perSecond
        for _ in 0..<count {
            picker.now = picker.now + Instant.Span(nanoseconds: Int64(dice.below(gap)))
            for answer in underWay.filter({ $0.at <= picker.now }).sorted(by: { $0.at < $1.at }) {
                picker.directory.noteLatency(picker.slot(answer.place), answer.span, now: answer.at)
                picker.directory.giveBack(picker.slot(answer.place))
                latencies.append(answer.span.nanoseconds)
            }
            underWay.removeAll { $0.at <= picker.now }
            guard let place = picker.take() else { continue }
            let span = Instant.Span(nanoseconds: factors[place] * Int64(2_500_000 + dice.below(5_000_000)))
            underWay.append(Answer(at: picker.now + span, place: place, span: span))
        }
        latencies += underWay.map(\.span.nanoseconds)
        return latencies.sorted()
    }

    @Test("one of ten that is twenty times slower is hardly felt", arguments: [200, 2000])
    func oneSlow(_ perSecond: Int) {
        for seed in UInt64(1)...3 {
            let healthy = play(Array(repeating: 1, count: 9), perSecond: perSecond, count: 20_000, seed: seed)
            let mixed = play(
                Array(repeating: 1, count: 4) + [20] + Array(repeating: 1, count: 5), perSecond: perSecond,
                count: 20_000, seed: seed)
            #expect(mixed.count == 20_000 && healthy.count == 20_000, "nobody was lost")
            let p99 = mixed.count * 99 / 100
            #expect(mixed[p99] * 2 <= healthy[p99] * 3, "\(mixed[p99]) against \(healthy[p99])")
            let slow = mixed.count { $0 > 7_500_000 }
            #expect(slow > 0 && slow < 200, "it is tried now and then: \(slow)")
        }
    }
}
