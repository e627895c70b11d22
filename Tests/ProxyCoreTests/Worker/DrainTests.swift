import Testing

@testable import ProxyCore

@Suite struct DrainTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func afterTheDelayTheTimeIsSharedOut() {
        let drain = Drain(DrainSpec(delay: .seconds(2), timeout: .seconds(30)), now: at(1000))
        #expect(drain.isAccepting && drain.stopsAccepting == at(3000))
        #expect(drain.closesIdle == at(23_000), "two thirds of the time are for those who still send")
        #expect(drain.idleEnd == at(32_750) && drain.closesTunnels == at(30_000))
        #expect(drain.deadline == at(33_000) && drain.end == at(33_300), "within half a second")
    }

    @Test func silentConnectionsAndTunnelsGoSpreadOut() {
        var drain = Drain(DrainSpec(timeout: .seconds(30)), now: at(0))
        drain.idleAtStart = 100
        #expect(
            [20_000, 20_050, 24_875, 29_749, 29_750, 40_000].map { drain.idleAllowed(at: at($0)) } == [
                100, 100, 50, 1, 0, 0,
            ])
        #expect(
            [27_000, 28_500, 29_999, 30_000, 31_000].map { drain.tunnelsDue(10, at: at($0)) } == [0, 5, 9, 10, 10])
    }

    @Test func noTimeAtAllIsNoTrap() {
        let drain = Drain(DrainSpec(timeout: .zero), now: at(0))
        #expect(drain.deadline == at(0) && drain.idleAllowed(at: at(0)) == 0 && drain.tunnelsDue(3, at: at(0)) == 3)
    }

    @Test func withoutADeadlineNothingIsEverClosed() {
        let drain = Drain(.withoutDeadline, now: at(1000))
        #expect(drain.stopsAccepting == at(1000))
        #expect(
            [drain.closesIdle, drain.idleEnd, drain.closesTunnels, drain.deadline, drain.end]
                == .init(
                    repeating: .never, count: 5))
    }

    @Test func aSecondWordCanOnlyShortenIt() {
        var first = Drain(.withoutDeadline, now: at(0))
        first.isAccepting = false
        let second = Drain(DrainSpec(delay: .seconds(5), timeout: .seconds(30)), now: at(60_000), after: first)
        #expect(!second.isAccepting, "who has stopped accepting does not begin again")
        #expect(second.deadline == at(90_000) && second.closesIdle == at(80_000), "no delay is needed any more")
        let third = Drain(DrainSpec(timeout: .seconds(300)), now: at(61_000), after: second)
        #expect(third.deadline == at(90_000))
        let fourth = Drain(DrainSpec(timeout: .seconds(3)), now: at(61_000), after: second)
        #expect(fourth.deadline == at(64_000) && fourth.closesIdle == at(63_000))
        // While it still accepts, the delay can be shortened too, but not drawn out.
        let accepting = Drain(DrainSpec(delay: .seconds(5), timeout: .seconds(30)), now: at(0))
        #expect(Drain(DrainSpec(delay: .seconds(1)), now: at(1000), after: accepting).stopsAccepting == at(2000))
        #expect(Drain(DrainSpec(delay: .seconds(9)), now: at(1000), after: accepting).stopsAccepting == at(5000))
    }
}
