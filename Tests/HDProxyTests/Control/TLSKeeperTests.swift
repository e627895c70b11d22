import Discovery
import ProxyCore
import Testing

@testable import HDProxy

/// The keys of session tickets over time.
@Suite struct TLSKeeperTests {
    @Test func keysComeAndGo() async {
        ControlThread.start()
        await Self.comeAndGo()
    }

    @ControlThread private static func comeAndGo() {
        let keeper = TLSKeeper()
        let first = keeper.ticketKeys
        #expect(first.count == 1 && keeper.provision.ticketKeys == first)
        keeper.rotate()
        // Another key seals, the one before still opens.
        #expect(keeper.ticketKeys.count == 2 && keeper.ticketKeys[1] == first[0] && keeper.ticketKeys[0] != first[0])
        #expect(keeper.provision.ticketKeys == keeper.ticketKeys)
        for _ in 0..<5 { keeper.rotate() }
        #expect(keeper.ticketKeys.count == 3 && !keeper.ticketKeys.contains(first[0]))
        #expect(Set(keeper.ticketKeys.map(\.bytes)).count == 3)
        // A ticket lives no longer than its key is kept.
        #expect(TLSKeeper.rotation == .milliseconds(6 * 3600 * 1000))
    }

    @Test func aSuccessorSealsWithTheKeysOfTheProcessBeforeIt() async {
        ControlThread.start()
        await Self.succeed()
    }

    @ControlThread private static func succeed() {
        let keeper = TLSKeeper()
        let own = keeper.ticketKeys
        keeper.inherit([])
        #expect(keeper.ticketKeys == own)
        let theirs = [TicketKey.random(), .random()]
        keeper.inherit(theirs)
        #expect(keeper.ticketKeys == theirs + own)
    }
}
