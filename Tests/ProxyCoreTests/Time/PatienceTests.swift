import Testing

@testable import ProxyCore

@Suite struct PatienceTests {
    private let terms = Patience.Terms(longest: .milliseconds(30_000), bytesPerSecond: 240)
    private let start = Instant(nanoseconds: 5_000_000_000)

    /// Milliseconds until a peer that sends `bytes` every `pause` milliseconds has used up our patience; nil: an hour passed.
    private func endures(_ terms: Patience.Terms, bytes: UInt64, every pause: Int64) -> Int64? {
        var patience = Patience()
        var now = start
        var total: UInt64 = 0
        while (now - start).nanoseconds < 3_600_000_000_000 {
            let due = patience.wait(terms, bytes: total, now: now)
            let next = now + .milliseconds(pause)
            if due <= next { return (due - start).nanoseconds / 1_000_000 }
            now = next
            total += bytes
        }
        return nil
    }

    @Test func silenceLastsForTheLongestWait() {
        #expect(endures(terms, bytes: 0, every: 1000) == 30_000)
    }

    @Test func whoIsSlowerThanTheRateIsGoneInBoundedTime() throws {
        for (bytes, pause) in [(1, 1000), (1, 100), (200, 1000), (1, 29_000), (100, 500)] as [(UInt64, Int64)] {
            let rate = Double(bytes) / Double(pause) * 1000
            let time = try #require(endures(terms, bytes: bytes, every: pause), "\(bytes) every \(pause) ms")
            // What is saved is used up at the pace at which too little is paid in.
            let bound = 30_000 / (1 - rate / 240) + Double(pause)
            #expect(Double(time) <= bound, "\(bytes) every \(pause) ms: \(time)")
        }
        #expect(try #require(endures(terms, bytes: 1, every: 1000)) <= 31_000, "1 byte a second")
    }

    @Test func whoIsFasterMayPauseForAsLongAsTheLongestWait() {
        for (bytes, pause) in [(240, 1000), (24, 100), (7200, 29_999), (1 << 31, 29_999)] as [(UInt64, Int64)] {
            #expect(endures(terms, bytes: bytes, every: pause) == nil, "\(bytes) every \(pause) ms")
        }
    }

    @Test func onlyWaitingCosts() {
        var patience = Patience()
        _ = patience.wait(terms, bytes: 0, now: start)
        patience.rest(terms, bytes: 0, now: start + .milliseconds(10_000))
        // An hour in which somebody else kept us waiting.
        let later = start + .milliseconds(3_610_000)
        #expect(patience.remaining(terms, now: later) == 20_000_000_000)
        #expect(patience.wait(terms, bytes: 0, now: later) == later + .milliseconds(20_000))
    }

    @Test func withoutARateAnyByteBeginsTheWaitAnew() {
        let free = Patience.Terms(longest: .milliseconds(30_000), bytesPerSecond: 0)
        #expect(endures(free, bytes: 1, every: 29_999) == nil)
        #expect(endures(free, bytes: 0, every: 1000) == 30_000)
    }
}
