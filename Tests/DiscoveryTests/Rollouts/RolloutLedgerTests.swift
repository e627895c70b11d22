import FoundationEssentials
import ProxyCore
import Testing

@testable import Discovery

@Suite struct RolloutLedgerTests {
    /// A ledger with a clock that is moved by hand.
    private struct Scribe {
        var ledger = RolloutLedger()
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var reports: [RolloutReport] = []
        static let wallOrigin: Int64 = 1_790_000_000_000_000
        var wall: Int64 { Self.wallOrigin + now.nanoseconds / 1000 }

        /// A service as it is from now on: `address=RST` for each endpoint, as recordings have it.
        mutating func observe(_ summary: String, service: String = "api") {
            let endpoints = summary.split(separator: " ").map { word in
                let (address, flags) = (word.prefix { $0 != "=" }, Array(word.suffix(3)))
                let isReady = flags[0] == "1"
                return EndpointView(
                    address: RolloutLedgerTests.address(String(address)), id: EndpointID("pod-\(address)"), uid: nil,
                    pod: "api-\(address)", node: nil, zone: nil, sources: ["kubernetes"], ready: isReady,
                    serving: flags[1] == "1", terminating: flags[2] == "1",
                    verdict: isReady ? .ready : flags[2] == "1" ? .terminating : .notReady, sinceMicroseconds: 0)
            }
            ledger.observe(
                [
                    ServiceView(
                        name: service, truth: .kubernetes, truthReason: "", problem: nil, endpoints: endpoints,
                        disagreements: [])
                ], now: now, wallMicroseconds: wall)
        }

        mutating func wait(_ seconds: Double) {
            now = now + Instant.Span(nanoseconds: Int64(seconds * 1e9))
            reports += ledger.settle(now: now, wallMicroseconds: wall)
        }

        mutating func note(_ endpoints: [EndpointFigures], unanswered: UInt64 = 0) {
            var figures = ServiceFigures()
            for endpoint in endpoints { figures.endpoints[endpoint.address] = endpoint }
            figures.unanswered = unanswered
            ledger.note(["api": figures], now: now)
        }

        func figures(_ ip: String) -> EndpointFigures {
            EndpointFigures(address: RolloutLedgerTests.address(ip), id: EndpointID("pod-\(ip)"))
        }
    }

    private static func address(_ ip: String) -> NetworkAddress {
        guard let ip = IPAddress(ip) else { preconditionFailure("a test names addresses") }
        return NetworkAddress(ip: ip, port: 8000)
    }

    @Test(
        "a recorded rolling update of three pods is one rollout, from the first that came to the last that went",
        arguments: ["watch-rollout", "watch-rollout-no-bookmarks"])
    func recorded(_ name: String) throws {
        var scribe = Scribe()
        scribe.observe("10.42.0.11=110 10.42.1.11=110 10.42.2.11=110")
        scribe.wait(1)
        #expect(!scribe.ledger.isRunning, "what is there at the beginning has not come")
        let begin = scribe.now
        let path = #filePath.replacing("DiscoveryTests/Rollouts/RolloutLedgerTests.swift", with: "Fixtures/kubernetes/")
        let table = try String(
            decoding: Data(contentsOf: URL(filePath: path + "endpointslices/\(name).events.tsv")), as: UTF8.self)
        var times: [Double] = []
        for line in table.split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard fields.count > 6, fields[3] == "api-b2pfs", fields[1] == "MODIFIED", let time = Double(fields[0])
            else { continue }
            scribe.wait(time / 1000 - Double((scribe.now - begin).nanoseconds) / 1e9)
            scribe.observe(String(fields[6]))
            times.append(time)
        }
        try #require(times.count > 10)
        #expect(scribe.reports.isEmpty && scribe.ledger.isRunning)
        scribe.wait(4)
        #expect(scribe.reports.isEmpty, "the last change of who is asked is 10 s ago only then")
        scribe.wait(6)
        let report = try #require(scribe.reports.first)
        #expect(scribe.reports.count == 1 && !scribe.ledger.isRunning && scribe.ledger.reports == scribe.reports)
        #expect(report.came.map(\.name) == ["api-10.42.1.12", "api-10.42.1.13", "api-10.42.2.12"])
        #expect(report.went.map(\.name) == ["api-10.42.1.11", "api-10.42.2.11", "api-10.42.0.11"])
        let milliseconds = (report.endedMicroseconds - report.beganMicroseconds) / 1000
        #expect((7000...8000).contains(milliseconds), "\(milliseconds)")
        #expect(report.came[0].atMicroseconds == report.beganMicroseconds)
        #expect(report.went[2].atMicroseconds == report.endedMicroseconds)
        #expect(report.latencyBefore == nil && report.moved == 0)
    }

    @Test func itTellsWhatWasCountedSinceItBeganAndHowFastAnswersWereAndAre() throws {
        var scribe = Scribe()
        scribe.observe("10.0.0.1=110 10.0.0.9=110")
        var old = scribe.figures("10.0.0.1"), stays = scribe.figures("10.0.0.9"), new = scribe.figures("10.0.0.2")
        (old.moved, old.retried, old.failed) = (1, 10, 100)
        stays.failed = 7
        for _ in 0..<100 { old.firstByte.record(.milliseconds(40)) }
        old.firstRequest = scribe.now
        scribe.note([old, stays], unanswered: 5)
        scribe.wait(3600)
        let begin = scribe.wall
        scribe.observe("10.0.0.9=110 10.0.0.2=110 10.0.0.1=011")
        (old.moved, old.retried, old.failed) = (3, 14, 101)
        old.lastRequest = scribe.now + .milliseconds(-3)
        stays.failed = 8
        new.firstRequest = scribe.now + .milliseconds(25)
        new.lastRequest = scribe.now + .milliseconds(9000)
        new.firstByte.record(.milliseconds(4))
        new.firstByte.record(.milliseconds(6))
        scribe.wait(9)
        scribe.note([old, stays, new], unanswered: 6)
        scribe.observe("10.0.0.9=110 10.0.0.2=110")
        scribe.wait(2)
        scribe.wait(1)
        let report = try #require(scribe.reports.first)
        #expect([report.moved, report.retried, report.failed] == [2, 4, 1 + 1 + 1])
        #expect(report.latencyBefore?.meanNanoseconds == 40_000_000)
        #expect(report.latencyNow?.meanNanoseconds == 5_000_000)
        #expect(report.came[0].firstRequestMicroseconds == begin + 25_000 && report.came[0].answered == 2)
        #expect(report.went[0].lastRequestMicroseconds == begin - 3000)
        #expect(report.beganMicroseconds == begin && report.endedMicroseconds == begin)
    }

    @Test func itWaitsForWhoIsStillAnsweringButNotForEver() throws {
        for isEndless in [false, true] {
            var scribe = Scribe()
            scribe.observe("10.0.0.1=110 10.0.0.2=110")
            scribe.observe("10.0.0.2=110")
            var old = scribe.figures("10.0.0.1")
            old.inFlight = 2
            for _ in 0..<20 {
                scribe.wait(1)
                scribe.note([old])
            }
            #expect(scribe.reports.isEmpty)
            if !isEndless { old.inFlight = 0 }
            for _ in 0..<3 {
                scribe.note([old])
                scribe.wait(1)
            }
            #expect(scribe.reports.isEmpty == isEndless)
            if isEndless { scribe.wait(97) }
            #expect(try #require(scribe.reports.first).stillInFlight == (isEndless ? 2 : 0))
        }
    }

    @Test func whoHasTheAddressNowIsNotTheOneWhoWent() throws {
        var scribe = Scribe()
        scribe.observe("10.0.0.1=110 10.0.0.2=110")
        scribe.observe("10.0.0.2=110")
        var other = EndpointFigures(address: Self.address("10.0.0.1"), id: EndpointID("another"))
        other.inFlight = 5
        other.firstByte.record(.milliseconds(1))
        scribe.note([other])
        scribe.wait(10)
        let report = try #require(scribe.reports.first)
        #expect(report.stillInFlight == 0 && report.went[0].answered == 0 && report.latencyBefore == nil)
    }

    @Test func aPodThatNeverBecomesReadyHoldsTheReportUpForTwoMinutesAtMost() {
        var scribe = Scribe()
        scribe.observe("10.0.0.1=110")
        scribe.observe("10.0.0.1=110 10.0.0.2=110 10.0.0.3=000")
        scribe.wait(119)
        #expect(scribe.reports.isEmpty)
        scribe.wait(1)
        #expect(scribe.reports.count == 1)
        scribe.wait(1000)
        #expect(scribe.reports.count == 1, "nobody came or went since")
    }

    @Test func whoWasAwayForAMomentHasNotChanged() {
        var scribe = Scribe()
        scribe.observe("10.0.0.1=110 10.0.0.2=110")
        scribe.observe("10.0.0.1=110 10.0.0.2=010")
        scribe.wait(5)
        scribe.observe("10.0.0.1=110 10.0.0.2=110")
        scribe.wait(10)
        #expect(scribe.reports.isEmpty && !scribe.ledger.isRunning)
    }

    @Test func aServiceThatTheConfigurationDropsIsForgottenAndReportsAreLimited() {
        var scribe = Scribe()
        for round in 0..<40 {
            scribe.observe("10.0.0.\(round + 1)=110")
            scribe.wait(11)
        }
        #expect(scribe.reports.count == 39 && scribe.ledger.reports.count == RolloutLedger.reportsMax)
        #expect(scribe.ledger.reports.first == scribe.reports.last)
        scribe.observe("10.0.1.1=110")
        #expect(scribe.ledger.isRunning)
        scribe.observe("", service: "another")
        #expect(!scribe.ledger.isRunning)
    }

    @Test func quantilesLieWithinTheirBucket() {
        var histogram = Histogram()
        #expect(RolloutReport.Latency(histogram) == nil)
        for _ in 0..<99 { histogram.record(.milliseconds(4)) }
        histogram.record(.milliseconds(200_000))
        let p50 = histogram.quantile(0.5), p99 = histogram.quantile(0.99)
        #expect((2_500_000...5_000_000).contains(p50) && (p50...5_000_000).contains(p99))
        #expect(histogram.quantile(1) == 120_000_000_000, "beyond the last bound nobody knows more")
    }
}
