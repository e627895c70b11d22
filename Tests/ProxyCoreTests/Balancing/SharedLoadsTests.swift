import Synchronization
import Testing

@testable import ProxyCore

@Suite struct SharedLoadsTests {
    private let traits = EndpointTraits()

    private final class Seen: Sendable {
        let inside = Atomic<Int>(0)
        let most = Atomic<Int>(0)
    }

    @Test func workersCountTogether() {
        let loads = SharedLoads()
        do {
            var a = Picker([traits, traits], Picker.spec(.leastRequest, limit: 2), loads: loads)
            var b = Picker([traits, traits], Picker.spec(.roundRobin, limit: 2), loads: loads)
            #expect(loads.count == 3, "two endpoints and the queue")
            #expect(a.take() != nil && a.take() != nil && b.take() != nil && b.take() != nil)
            #expect(a.take() == nil && b.take() == nil)
            let mayWait = a.directory.hasOther(service: a.service, tried: TriedEndpoints(), now: a.now)
            #expect(mayWait, "it may wait")
            a.directory.giveBack(a.slot(a.directory.endpoints[a.slot(0)].inFlight > 0 ? 0 : 1))
            #expect(b.take() != nil && a.take() == nil)
        }
        #expect(loads.count == 0, "whoever goes leaves")
    }

    @Test func requestsCountOverReloadsAndChanges() {
        let loads = SharedLoads()
        let key = SharedLoads.Key(service: "s", endpoint: EndpointIdentity(Picker.endpoints([traits])[0]))
        let load = loads.join(key)
        var picker = Picker([traits], loads: loads)
        func reload(_ picker: inout Picker, limit: Int) {
            var service = Service(name: "s", endpoints: Picker.endpoints([traits]))
            service.balance.maxConcurrent = limit
            _ = picker.directory.adopt([service], now: picker.now) { _ in }
        }
        for _ in 0..<3 { #expect(picker.take() == 0) }
        let slot = picker.slot(0)
        #expect(load.count == 0)
        reload(&picker, limit: 2)
        #expect(load.count == 3 && picker.take() == nil, "those under way count")
        picker.directory.giveBack(slot)
        picker.directory.giveBack(slot)
        #expect(load.count == 1 && picker.take() == 0 && load.count == 2)
        reload(&picker, limit: 0)
        #expect(load.count == 0 && picker.take() == 0 && load.count == 0)
        reload(&picker, limit: 5)
        #expect(load.count == 3)
        // It goes, and comes back under its own name: what is under way there counts all the time.
        picker.change([])
        #expect(load.count == 3 && picker.pick() == nil)
        picker.change(Picker.endpoints([traits]))
        #expect(picker.take() == 0 && load.count == 4 && picker.slot(0) != slot)
        picker.directory.giveBack(slot)
        picker.directory.giveBack(slot)
        picker.directory.giveBack(slot)
        picker.directory.releaseEndpointIfUnused(slot)
        #expect(load.count == 1)
    }

    @Test func ofThoseWhoAskForTheLastPlaceOneGetsIt() async {
        let load = SharedLoad(SharedLoads.Key(service: "s"))
        let seen = Seen()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<20_000 where load.claim(2) {
                        let now = seen.inside.add(1, ordering: .relaxed).newValue
                        seen.most.max(now, ordering: .relaxed)
                        seen.inside.subtract(1, ordering: .relaxed)
                        load.giveBack()
                    }
                }
            }
        }
        #expect(load.count == 0 && seen.most.load(ordering: .relaxed) <= 2)
    }
}
