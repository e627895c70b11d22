import ProxyCore
import Testing

@testable import Discovery

@Suite struct WatchProgressTests {
    private static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }
    private static func failure(_ reason: APIFailure.Reason, after: Int? = nil) -> APIFailure {
        APIFailure(reason, "", retryAfterSeconds: after)
    }

    private static var watching: WatchProgress {
        var progress = WatchProgress()
        progress.listed("100")
        progress.passed("105")
        return progress
    }

    @Test("first whatever is at hand, then a watch from where the list was, and on from each event") func order() {
        var progress = WatchProgress()
        #expect(progress.step == .list(version: "0"))
        progress.listed("100")
        #expect(progress.step == .watch(version: "100"))
        progress.passed("105")
        progress.passed("")
        #expect(progress.step == .watch(version: "105"))
    }

    @Test("a clean end goes on from the last version, without a list; unless nothing at all was heard for a minute")
    func cleanEnd() {
        var progress = Self.watching
        #expect(Self.end(&progress, after: 300, heardAnything: true) == nil)
        #expect(progress.step == .watch(version: "105"))
        #expect(Self.end(&progress, after: 3, heardAnything: false) == nil)
        #expect(progress.step == .watch(version: "105"))
        #expect(Self.end(&progress, after: 300, heardAnything: false) == nil)
        #expect(progress.step == .list(version: "105"), "the version may be one that the server never reaches")
        progress = Self.watching
        #expect(Self.end(&progress, after: 0.999, heardAnything: false)?.reason == .closed)
        #expect(progress.step == .list(version: "105"))
        progress = Self.watching
        #expect(Self.end(&progress, at: 0, after: 0.5, heardAnything: true) == nil)
        #expect(Self.end(&progress, at: 20, after: 0.5, heardAnything: true)?.reason == .closed)
        #expect(Self.end(&progress, at: 60, after: 0.5, heardAnything: true) == nil)
    }

    private static func end(
        _ progress: inout WatchProgress, at begin: Double = 0, after seconds: Double, heardAnything: Bool
    ) -> APIFailure? {
        progress.watching(since: at(begin))
        return progress.ended(now: at(begin + seconds), heardAnything: heardAnything)
    }

    @Test(
        "what follows each failure of a watch",
        arguments: [
            (.expired, .list(version: "105"), 0), (.behind, .list(version: nil), 0),
            (.unauthorized, .watch(version: "105"), 0), (.throttled, .watch(version: "105"), 0.8),
            (.connect, .list(version: "105"), 0.8), (.closed, .list(version: "105"), 0.8),
            (.timeout, .list(version: "105"), 0.8), (.malformed, .list(version: "105"), 0.8),
            (.serverError, .list(version: "105"), 0.8), (.refused, .list(version: "105"), 0.8),
            (.forbidden, .list(version: "105"), 0.8), (.notFound, .list(version: "105"), 0.8),
        ] as [(APIFailure.Reason, WatchProgress.Step, Double)])
    func watchFailures(_ reason: APIFailure.Reason, _ step: WatchProgress.Step, _ pause: Double) {
        var progress = Self.watching
        let waited = progress.failed(Self.failure(reason), now: Self.at(1), chance: 0)
        #expect(waited == Instant.Span(nanoseconds: Int64(pause * 1e9)))
        #expect(progress.step == step)
        // The second time nothing is tried without a pause.
        #expect(progress.failed(Self.failure(reason), now: Self.at(2), chance: 0).nanoseconds > 0)
    }

    @Test(
        "a list from the last version that is refused is asked for the newest",
        arguments: [
            APIFailure.Reason.expired, .behind, .refused, .serverError, .malformed,
        ])
    func listFailures(_ reason: APIFailure.Reason) {
        var progress = Self.watching
        _ = progress.failed(Self.failure(.closed), now: Self.at(1), chance: 0)
        #expect(progress.step == .list(version: "105"))
        _ = progress.failed(Self.failure(reason), now: Self.at(2), chance: 0)
        #expect(progress.step == .list(version: nil))
        progress.listed("7")
        #expect(progress.step == .watch(version: "7"))
        _ = progress.failed(Self.failure(.closed), now: Self.at(3), chance: 0)
        #expect(progress.step == .list(version: "7"))
    }

    @Test(
        "pauses double from 0.8 s to 5 s, are up to twice as long by chance, and start again after a watch that lived")
    func backoff() {
        var backoff = Backoff()
        let pauses = (0..<5).map { _ in backoff.pause(chance: 0).nanoseconds / 1_000_000 }
        #expect(pauses == [800, 1600, 3200, 5000, 5000])
        #expect(backoff.pause(chance: 1).nanoseconds / 1_000_000 == 10_000)

        var progress = Self.watching
        func pause(_ seconds: Double) -> Int64 {
            progress.failed(Self.failure(.closed), now: Self.at(seconds), chance: 0).nanoseconds / 1_000_000
        }
        #expect([pause(0), pause(1), pause(2)] == [800, 1600, 3200])
        progress.watching(since: Self.at(10))
        #expect(pause(19) == 5000, "it did not live for as long as a pause may be")
        #expect(pause(40) == 5000, "nothing went well meanwhile")
        progress.watching(since: Self.at(50))
        #expect(pause(60) == 800)
        progress.watching(since: Self.at(70))
        #expect(progress.ended(now: Self.at(400), heardAnything: true) == nil)
        #expect(pause(401) == 800)
    }

    @Test("the server's wish for a pause is respected, within reason", arguments: [(5, 5.0), (0, 0.8), (100_000, 120)])
    func retryAfter(_ asked: Int, _ waited: Double) {
        var progress = Self.watching
        let pause = progress.failed(Self.failure(.throttled, after: asked), now: Self.at(1), chance: 0)
        #expect(pause.nanoseconds == Int64(waited * 1e9))
    }

    @Test(
        "every recorded failure has its word",
        arguments: [
            ("401-bad-token", .unauthorized), ("401-watch-bad-token", .unauthorized), ("403-anonymous", .forbidden),
            ("403-unknown-resource", .forbidden), ("404-unknown-path", .notFound), ("404-unknown-resource", .notFound),
            ("400-bad-continue", .refused), ("422-watch-send-initial-events-without-match", .refused),
            ("405-method", .refused), ("406-accept-html", .refused), ("410-list-exact-old-rv", .expired),
            ("410-continue-page2-after-compaction", .expired), ("429-list", .throttled), ("429-watch", .throttled),
            ("500-watch-bad-rv", .serverError), ("504-list-rv-in-the-future", .behind),
        ] as [(String, APIFailure.Reason)])
    func words(_ name: String, _ reason: APIFailure.Reason) throws {
        let answer = ReadAnswer([try Recording("errors/" + name).response[...]])
        let failure = APIFailure.of(try #require(answer.heads.first), answer.body)
        #expect(failure.reason == reason)
        #expect(failure.retryAfterSeconds == (name.hasPrefix("429") || name.hasPrefix("504") ? 1 : nil))
    }
}
