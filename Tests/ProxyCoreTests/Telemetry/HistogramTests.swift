import Testing

@testable import ProxyCore

@Suite struct HistogramTests {
    /// Each bound is the last duration of its bucket, and stands where its text says.
    @Test func bucketsEndAtTheirBounds() throws {
        #expect(Histogram.bounds.count == Histogram().counts.count - 1)
        for (i, text) in Histogram.bounds.enumerated() {
            let nanoseconds = Int64((try #require(Double(text.description)) * 1e9).rounded())
            #expect(Histogram.bucket(nanoseconds) == i && Histogram.bucket(nanoseconds + 1) == i + 1, "\(text)")
        }
        #expect(Histogram.bucket(0) == 0 && Histogram.bucket(.max) == 16)
    }

    @Test func durationsAreCountedAndAddedUp() {
        var a = Histogram()
        for milliseconds: Int64 in [0, 1, 2, 400, 200_000] { a.record(.milliseconds(milliseconds)) }
        // A clock that seems to go backwards is no reason to count less than nothing.
        a.record(Instant.Span(nanoseconds: -5))
        #expect(a.count == 6 && a.counts[0] == 3 && a.counts[1] == 1 && a.counts[8] == 1 && a.counts[16] == 1)
        #expect(a.sumNanoseconds == 200_403_000_000)
        var b = a
        b.add(a)
        #expect(b.count == 12 && b.counts[0] == 6 && b.sumNanoseconds == 400_806_000_000)
    }
}

@Suite struct CodeCountsTests {
    @Test func methodsAndStatusesAreToldApart() {
        var counts = CodeCounts()
        for (method, code, times) in [(Method.get, 200, 3), (.get, 404, 1), (.post, 200, 2), (.other, 0, 1)] {
            for _ in 0..<times { counts.count(method, UInt16(code)) }
        }
        #expect(
            Set(counts.all()) == [
                RequestCount(method: .get, code: 200, count: 3), RequestCount(method: .get, code: 404, count: 1),
                RequestCount(method: .post, code: 200, count: 2), RequestCount(method: .other, code: 0, count: 1),
            ])
    }

    @Test func moreThanTheBoundIsCountedTogether() {
        var counts = CodeCounts()
        for _ in 0..<2 {
            for code in 0..<1000 { counts.count(.get, UInt16(code)) }
        }
        let all = counts.all()
        #expect(all.count == CodeCounts.pairsMax + 1 && all.reduce(0) { $0 + $1.count } == 2000)
        #expect(all.contains(RequestCount(method: .get, code: 511, count: 2)))
        #expect(all.contains(RequestCount(method: .other, code: 0, count: 2 * (1000 - 512))))
    }
}

@Suite struct RetentionTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    @Test func aNameThatComesBackGoesOnCounting() {
        var retention = Retention<String>()
        var made: Int32 = 0
        func make() -> SlotID? {
            made += 1
            return SlotID(index: made, generation: 0)
        }
        let first = retention.use("a", make: make)
        #expect(retention.use("a", make: make) == first, "two use it")
        retention.release("a", at: start)
        retention.release("a", at: start)
        #expect(retention.forget(at: start + .milliseconds(599_999)).isEmpty)
        #expect(retention.use("a", make: make) == first)
        #expect(retention.forget(at: start + .milliseconds(3_600_000)).isEmpty, "it is in use")
        retention.release("a", at: start + .milliseconds(3_600_000))
        #expect(retention.forget(at: start + .milliseconds(4_200_000)) == [first] && retention.entries.isEmpty)
        #expect(retention.use("a", make: make) != first)
    }

    @Test func ofTooManyTheOneThatWentFirstIsForgotten() {
        var retention = Retention<Int>()
        for i in 0..<5000 {
            _ = retention.use(i) { SlotID(index: Int32(i), generation: 0) }
            retention.release(i, at: start)
        }
        let forgotten = retention.forget(at: start)
        #expect(forgotten.map(\.index) == (0..<904).map(Int32.init) && retention.entries.count == 4096)
    }

    @Test func whoComesAndGoesAllTheTimeTakesNoMoreRoom() {
        var retention = Retention<Int>()
        for round in 0..<100_000 {
            _ = retention.use(round % 3) { SlotID(index: Int32(round), generation: 0) }
            retention.release(round % 3, at: start + .milliseconds(Int64(round)))
            _ = retention.forget(at: start + .milliseconds(Int64(round)))
        }
        #expect(retention.entries.count == 3 && retention.departuresCount < 20_000)
    }

    @Test func whatIsStillNeededIsKept() {
        var retention = Retention<String>()
        let slot = retention.use("a") { SlotID(index: 1, generation: 0) }
        retention.release("a", at: start)
        let later = start + .milliseconds(600_000)
        #expect(retention.forget(at: later, isNeeded: { $0 == slot }).isEmpty && retention.entries.count == 1)
        #expect(retention.forget(at: later + .milliseconds(600_000)) == [slot])
    }
}
