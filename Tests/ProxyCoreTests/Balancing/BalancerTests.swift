import Testing

@testable import ProxyCore

@Suite struct BalancerTests {
    private func service(_ name: String, _ count: Int) -> Service {
        Service(
            name: name,
            endpoints: (0..<count).map {
                Endpoint(id: EndpointID("\(name)/\($0)"), address: NetworkAddress("127.0.0.1:\(1000 + $0)")!)
            })
    }

    @Test func theLessLoadedOfTwoIsChosen() {
        var directory = ServiceDirectory()
        let slot = directory.adopt([service("s", 2)]) { _ in }[0]
        var random = RandomSource(seed: 5)
        let members = (directory.services[slot].members[0], directory.services[slot].members[1])
        for (a, b, expected) in [(1, 0, members.1), (0, 1, members.0), (7, 3, members.1), (99, 100, members.0)] {
            directory.endpoints[members.0].inFlight = Int32(a)
            directory.endpoints[members.1].inFlight = Int32(b)
            for _ in 0..<50 {
                let picked = directory.pick(service: slot, tried: TriedEndpoints(), random: &random)
                #expect(picked == expected)
            }
        }
    }

    @Test func equallyLoadedEndpointsAreChosenEquallyOften() {
        for count in [2, 3, 5, 10] {
            var directory = ServiceDirectory()
            let slot = directory.adopt([service("s", count)]) { _ in }[0]
            var random = RandomSource(seed: 42)
            var hits = [Int32: Int]()
            let rounds = 2000 * count
            for _ in 0..<rounds {
                guard let picked = directory.pick(service: slot, tried: TriedEndpoints(), random: &random) else {
                    Issue.record("nobody was picked")
                    return
                }
                hits[picked, default: 0] += 1
            }
            #expect(hits.count == count)
            #expect(hits.values.allSatisfy { abs($0 - 2000) < 250 }, "\(hits)")
        }
    }

    @Test func aLoadThatStaysIsSpreadEvenly() {
        var directory = ServiceDirectory()
        let slot = directory.adopt([service("s", 10)]) { _ in }[0]
        var random = RandomSource(seed: 1)
        for _ in 0..<1000 {
            guard let picked = directory.pick(service: slot, tried: TriedEndpoints(), random: &random) else { return }
            directory.endpoints[picked].inFlight += 1
        }
        for i in 0..<10 {
            let inFlight = directory.endpoints[directory.services[slot].members[i]].inFlight
            #expect(inFlight > 90 && inFlight < 110, "two choices differ by a few, one choice by dozens")
        }
    }

    @Test func whatWasTriedIsNotChosenAgain() {
        var directory = ServiceDirectory()
        let slots = directory.adopt([service("none", 0), service("one", 1), service("many", 4)]) { _ in }
        var random = RandomSource(seed: 3)
        let cases: [(service: Int32, count: Int)] = [(slots[0], 0), (slots[1], 1), (slots[2], 4)]
        for (service, count) in cases {
            var tried = TriedEndpoints()
            var order: [Int32] = []
            while let picked = directory.pick(service: service, tried: tried, random: &random) {
                let id = directory.endpoints.id(picked)
                #expect(!tried.contains(id))
                tried.insert(id)
                #expect(tried.contains(id))
                order.append(picked)
                if order.count > 4 { break }
            }
            #expect(order.count == count && Set(order).count == count)
        }
        // Of those left the least loaded is next.
        let many = slots[2]
        for i in 0..<4 { directory.endpoints[directory.services[many].members[i]].inFlight = Int32(10 - i) }
        var tried = TriedEndpoints()
        tried.insert(directory.endpoints.id(directory.services[many].members[3]))
        for _ in 0..<20 {
            let picked = directory.pick(service: many, tried: tried, random: &random)
            #expect(picked == directory.services[many].members[2])
        }
    }

    @Test func moreThanCanBeTriedIsNotNoted() {
        var tried = TriedEndpoints()
        func id(_ index: Int32, generation: UInt32 = 0) -> SlotID { SlotID(index: index, generation: generation) }
        for index in Int32(0)..<6 { tried.insert(id(index)) }
        #expect(tried.count == 4 && tried.contains(id(3)) && !tried.contains(id(4)))
        #expect(!tried.contains(id(3, generation: 1)), "whoever has the slot now was not tried")
        #expect(tried.count >= Exchange.attemptsMax, "all attempts of an exchange have room")
    }

    @Test func randomNumbersStayBelowTheirBoundAndRepeatWithTheirSeed() {
        var a = RandomSource(seed: 8)
        var b = RandomSource(seed: 8)
        for bound in [1, 2, 3, 7, 1000, 1 << 31] {
            for _ in 0..<200 {
                let value = a.below(bound)
                #expect(value >= 0 && value < bound)
                #expect(value == b.below(bound))
            }
        }
    }
}

@Suite struct ServiceDirectoryTests {
    private func endpoint(_ id: String, _ port: UInt16 = 80) -> Endpoint {
        Endpoint(id: EndpointID(id), address: NetworkAddress("127.0.0.1:\(port)")!)
    }

    private func members(_ directory: borrowing ServiceDirectory, _ service: Int32) -> [String] {
        (0..<directory.services[service].members.count).map {
            directory.endpoints[directory.services[service].members[$0]].id.description
        }
    }

    @Test func endpointsAreKeptByTheirIdentityOverGenerations() {
        var directory = ServiceDirectory()
        var left: [Int32] = []
        let first = directory.adopt([Service(name: "s", endpoints: [endpoint("a"), endpoint("b")])]) { left.append($0) }
        let a = directory.services[first[0]].members[0]
        let b = directory.services[first[0]].members[1]
        directory.endpoints[a].inFlight = 3
        directory.endpoints[b].connections = 1
        // Another order, one that is gone, one that is new; the same address under another identity is new too.
        let second = directory.adopt([Service(name: "s", endpoints: [endpoint("c"), endpoint("a")])]) {
            left.append($0)
        }
        #expect(second == first && members(directory, second[0]) == ["c", "a"] && left == [b])
        #expect(directory.services[second[0]].members[1] == a && directory.endpoints[a].inFlight == 3)
        #expect(directory.endpoints[directory.services[second[0]].members[0]].inFlight == 0)
        #expect(directory.endpoints.count == 3 && !directory.endpoints[b].isCurrent, "a connection keeps its ledger")
        // It comes back: the old one is another.
        left = []
        _ = directory.adopt([Service(name: "s", endpoints: [endpoint("b")])]) { left.append($0) }
        #expect(directory.services[first[0]].members[0] != b && left.count == 2)
        directory.releaseEndpointIfUnused(b)
        #expect(directory.endpoints.isUsed(b), "it still has a connection")
        directory.endpoints[b].connections = 0
        directory.releaseEndpointIfUnused(b)
        #expect(!directory.endpoints.isUsed(b))
        // `a` has requests under way, `c` had nothing; whoever was told releases them.
        for slot in left { directory.releaseEndpointIfUnused(slot) }
        #expect(directory.endpoints.isUsed(a) && directory.endpoints.count == 2)
        directory.endpoints[a].inFlight = 0
        directory.releaseEndpointIfUnused(a)
        #expect(directory.endpoints.count == 1)
        directory.releaseEndpointIfUnused(directory.services[first[0]].members[0])
        #expect(directory.endpoints.count == 1, "what is current is not released")
    }

    @Test func aServiceThatIsGoneLeadsNowhereThoughARequestIsStillUnderWay() {
        var directory = ServiceDirectory()
        var random = RandomSource(seed: 1)
        let slot = directory.adopt([Service(name: "x", endpoints: [endpoint("a"), endpoint("b")])]) { _ in }[0]
        directory.services[slot].inFlight = 1
        #expect(directory.pick(service: slot, tried: TriedEndpoints(), random: &random) != nil)
        _ = directory.adopt([]) { _ in }
        // The slots of its endpoints may be another service's by now.
        #expect(directory.pick(service: slot, tried: TriedEndpoints(), random: &random) == nil)
    }

    @Test func servicesAreKeptByNameAndReleasedWhenUnused() {
        var directory = ServiceDirectory()
        let first = directory.adopt([Service(name: "x", endpoints: []), Service(name: "y", endpoints: [])]) { _ in }
        directory.services[first[0]].inFlight = 1
        let second = directory.adopt([Service(name: "z", endpoints: []), Service(name: "y", endpoints: [])]) { _ in }
        #expect(second[1] == first[1] && second[0] != first[0], "a request is under way at x")
        #expect(directory.services.count == 3 && !directory.services[first[0]].isCurrent)
        directory.services[first[0]].inFlight = 0
        directory.releaseServiceIfUnused(first[0])
        directory.releaseServiceIfUnused(first[1])
        #expect(directory.services.count == 2)
        let third = directory.adopt([]) { _ in }
        #expect(third.isEmpty && directory.services.count == 0)
    }

    @Test func timesOfAServiceAreThoseOfTheLatestSnapshot() {
        var directory = ServiceDirectory()
        var service = Service(name: "s", endpoints: [endpoint("a")])
        _ = directory.adopt([service]) { _ in }
        service.connectTimeout = .milliseconds(250)
        service.responseTimeout = .seconds(7)
        service.idleTimeout = .seconds(8)
        let slot = directory.adopt([service]) { _ in }[0]
        #expect(directory.services[slot].connectTimeout == .milliseconds(250))
        #expect(directory.services[slot].responseTimeout == .milliseconds(7000))
        #expect(directory.services[slot].idleTimeout == .milliseconds(8000) && directory.services[slot].name == "s")
    }

    @Test func theSamePodInTwoServicesHasTwoLedgers() {
        var directory = ServiceDirectory()
        var left: [Int32] = []
        let shared = endpoint("a")
        let slots = directory.adopt([
            Service(name: "s", endpoints: [shared]), Service(name: "t", endpoints: [shared]),
        ]) { left.append($0) }
        let ofS = directory.services[slots[0]].members[0]
        let ofT = directory.services[slots[1]].members[0]
        #expect(directory.endpoints.count == 2 && ofS != ofT)
        directory.endpoints[ofT].inFlight = 3
        directory.adopt(EndpointsChange(service: "s", endpoints: [])) { left.append($0) }
        #expect(left == [ofS] && directory.endpoints[ofS].standing == .gone)
        #expect(directory.endpoints[ofT].isCurrent && directory.endpoints[ofT].inFlight == 3)
    }

    @Test func aChangeTouchesNobodyButWhoComesOrGoes() {
        var directory = ServiceDirectory()
        var left: [Int32] = []
        let slots = directory.adopt([
            Service(name: "s", endpoints: [endpoint("a"), endpoint("b"), endpoint("c")]),
            Service(name: "t", endpoints: [endpoint("x")]),
        ]) { left.append($0) }
        let before = (0..<3).map { directory.services[slots[0]].members[$0] }
        for member in before { directory.endpoints[member].inFlight = 7 }
        directory.adopt(EndpointsChange(service: "s", endpoints: [endpoint("d"), endpoint("c"), endpoint("a")])) {
            left.append($0)
        }
        #expect(members(directory, slots[0]) == ["d", "c", "a"] && left == [before[1]])
        #expect(directory.services[slots[0]].members[1] == before[2] && directory.endpoints[before[2]].inFlight == 7)
        #expect(directory.services[slots[0]].members[2] == before[0] && directory.endpoints[before[0]].inFlight == 7)
        #expect(directory.endpoints[directory.services[slots[0]].members[0]].inFlight == 0)
        #expect(members(directory, slots[1]) == ["x"])
        // A service that the snapshot does not have was there when this was sent.
        directory.adopt(EndpointsChange(service: "z", endpoints: [endpoint("a")])) { left.append($0) }
        #expect(left.count == 1 && directory.services.count == 2)
    }

    @Test func theSameAddressUnderAnotherIdentityStartsEmptyAndSoDoesTheSameIdentityElsewhere() {
        for (was, becomes) in [(endpoint("a"), endpoint("b")), (endpoint("a", 80), endpoint("a", 81))] {
            var directory = ServiceDirectory()
            var left: [Int32] = []
            let slot = directory.adopt([Service(name: "s", endpoints: [was])]) { left.append($0) }[0]
            let old = directory.services[slot].members[0]
            directory.endpoints[old].inFlight = 1
            directory.adopt(EndpointsChange(service: "s", endpoints: [becomes])) { left.append($0) }
            let new = directory.services[slot].members[0]
            #expect(left == [old] && new != old && directory.endpoints[new].endpoint == becomes)
            #expect(directory.endpoints[new].inFlight == 0 && directory.endpoints[new].isCurrent)
            #expect(directory.endpoints[old].inFlight == 1 && !directory.endpoints[old].isCurrent)
        }
    }

    @Test func oneThatIsNamedTwiceIsThereOnce() {
        var directory = ServiceDirectory()
        var left: [Int32] = []
        let twice = [endpoint("a"), endpoint("b"), endpoint("a")]
        let slot = directory.adopt([Service(name: "s", endpoints: twice)]) { left.append($0) }[0]
        #expect(members(directory, slot) == ["a", "b"])
        let before = (directory.services[slot].members[0], directory.services[slot].members[1])
        directory.adopt(EndpointsChange(service: "s", endpoints: [endpoint("b")] + twice)) { left.append($0) }
        #expect(members(directory, slot) == ["b", "a"] && left.isEmpty && directory.endpoints.count == 2)
        #expect(directory.services[slot].members[0] == before.1 && directory.services[slot].members[1] == before.0)
    }

    @Test func whoseServiceIsGoneIsToldFromWhoIsGoneFromIt() {
        var directory = ServiceDirectory()
        var left: [Int32] = []
        let slots = directory.adopt([
            Service(name: "s", endpoints: [endpoint("a")]), Service(name: "t", endpoints: [endpoint("b")]),
        ]) { left.append($0) }
        let a = directory.services[slots[0]].members[0]
        let b = directory.services[slots[1]].members[0]
        _ = directory.adopt([Service(name: "t", endpoints: [])]) { left.append($0) }
        #expect(Set(left) == [a, b])
        #expect(directory.endpoints[a].standing == .withoutService && directory.endpoints[b].standing == .gone)
    }

    /// A cost that grew with the product of both lists would take minutes.
    @Test(.timeLimit(.minutes(1))) func aServiceOfManyEndpointsChangesAtTheCostOfItsList() {
        var directory = ServiceDirectory()
        let many = (0..<20_000).map { endpoint("e\($0)", UInt16(1 + $0)) }
        let slot = directory.adopt([Service(name: "s", endpoints: many)]) { _ in }[0]
        var left = 0
        for round in 0..<10 {
            let some = many.dropFirst(round).reversed() + [endpoint("new\(round)")]
            directory.adopt(EndpointsChange(service: "s", endpoints: some)) { _ in left += 1 }
        }
        #expect(left == 9 + 9 && directory.services[slot].members.count == 19_992)
    }
}
