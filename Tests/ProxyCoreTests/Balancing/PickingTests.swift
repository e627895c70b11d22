import Testing

@testable import ProxyCore

@Suite struct PickingTests {
    private static let rounds = 20_000

    @Test("weights are honoured while all are idle", arguments: BalanceSpec.Method.allCases)
    func weightsAtRest(_ method: BalanceSpec.Method) {
        for weights in [[1, 3], [1, 1, 2], [100, 50, 25, 25], [1, 4095], [10, 0, 10], [7]] as [[UInt16]] {
            var picker = Picker(weights.map { EndpointTraits(weight: $0) }, Picker.spec(method))
            let hits = picker.hits(Self.rounds)
            let total = weights.reduce(0.0) { $0 + Double($1) }
            for (hits, weight) in zip(hits, weights) {
                let share = Double(weight) / total
                #expect(isNear(hits, share, of: Self.rounds), "\(weights): \(hits)")
            }
        }
    }

    @Test func underLoadRequestsUnderWayAreAsTheWeights() {
        var picker = Picker([1, 3, 6].map { EndpointTraits(weight: $0) })
        for _ in 0..<1000 { _ = picker.take() }
        for (i, expected) in [100, 300, 600].enumerated() {
            let inFlight = Int(picker.directory.endpoints[picker.slot(i)].inFlight)
            // Two choices leave a difference of some requests, not of a part.
            #expect(abs(inFlight - expected) < 30, "\(inFlight) for \(expected)")
        }
    }

    @Test func inTurnMeansEachOnceARoundFromSomewhere() {
        var starts = Set<Int>()
        for seed in UInt64(1)...20 {
            var picker = Picker(
                Array(repeating: EndpointTraits(), count: 5), Picker.spec(.roundRobin), seed: seed)
            let first = (0..<5).map { _ in picker.pick() ?? -1 }
            #expect(Set(first) == [0, 1, 2, 3, 4])
            #expect((0..<5).map { _ in picker.pick() ?? -1 } == first)
            starts.insert(first[0])
        }
        #expect(starts.count > 2, "workers do not march in step")
        var picker = Picker([5, 1, 1].map { EndpointTraits(weight: $0) }, Picker.spec(.roundRobin))
        let round = (0..<14).map { _ in picker.pick() ?? -1 }
        #expect(round[0..<7].count { $0 == 0 } == 5 && round[0..<7] == round[7..<14])
        #expect(!round.indices.dropLast(4).contains { round[$0..<$0 + 5].allSatisfy { $0 == 0 } }, "spread: \(round)")
    }

    @Test func theOneThatIsLikelyToAnswerSoonerIsPicked() {
        // Latencies in milliseconds, requests under way, who is picked.
        let cases: [(latency: [Int64], inFlight: [Int32], expected: Int)] = [
            ([10, 20], [0, 0], 0), ([10, 20], [0, 1], 0), ([10, 20], [3, 0], 1), ([100, 1], [0, 50], 1),
            ([100, 1], [0, 200], 0),
            // Nobody knows of one: it counts as fast as the other.
            ([-1, 1], [1, 0], 1), ([-1, 100], [0, 1], 0), ([-1, 1], [0, 1], 0), ([-1, -1], [2, 1], 1),
        ]
        for (latency, inFlight, expected) in cases {
            var picker = Picker([EndpointTraits(), EndpointTraits()])
            for i in 0..<2 {
                picker.directory.endpoints[picker.slot(i)].inFlight = inFlight[i]
                if latency[i] < 0 { continue }
                picker.directory.noteLatency(picker.slot(i), .milliseconds(latency[i]), now: picker.now)
            }
            for _ in 0..<20 { #expect(picker.pick() == expected, "\(latency) \(inFlight)") }
        }
    }

    @Test func whoFailsIsAvoidedForAWhileAndNotForEver() {
        var picker = Picker([EndpointTraits(), EndpointTraits()])
        for i in 0..<2 { picker.directory.noteLatency(picker.slot(i), .milliseconds(5), now: picker.now) }
        for _ in 0..<3 { picker.directory.noteFailure(picker.slot(0), now: picker.now) }
        #expect(picker.hits(100) == [0, 100], "a refusal is quick, and no reason to be asked more")
        picker.directory.endpoints[picker.slot(1)].inFlight = 30
        #expect(picker.pick() == 0, "it is asked when the others have that much more to do")
        picker.directory.endpoints[picker.slot(1)].inFlight = 0
        picker.advance(milliseconds: 30_000)
        for i in 0..<2 { picker.directory.noteLatency(picker.slot(i), .milliseconds(5), now: picker.now) }
        picker.advance(milliseconds: 30_000)
        #expect(isNear(picker.hits(1000)[0], 0.5, of: 1000))
    }

    @Test(
        "near ones first, and far ones when those have more than twice as much", arguments: BalanceSpec.Method.allCases)
    func spillOver(_ method: BalanceSpec.Method) {
        let cases: [(near: [Int32], far: Int32, isFar: Bool)] = [
            ([0, 0], 0, false), ([1, 1], 0, false), ([2, 2], 0, true), ([2, 1], 0, false), ([100, 0], 0, false),
            ([2, 2], 1, false), ([3, 3], 1, true), ([5, 4], 2, false), ([5, 5], 2, true), ([50, 50], 25, false),
            ([51, 51], 25, true),
        ]
        for (near, far, isFar) in cases {
            var picker = Picker(
                [EndpointTraits(), EndpointTraits(isNear: false), EndpointTraits()], Picker.spec(method))
            for (place, count) in [(0, near[0]), (1, far), (2, near[1])] {
                picker.directory.endpoints[picker.slot(place)].inFlight = count
            }
            for _ in 0..<20 { #expect((picker.pick() == 1) == isFar, "\(near) \(far)") }
        }
        var picker = Picker([EndpointTraits(), EndpointTraits(isNear: false)], Picker.spec(method))
        #expect(picker.hits(20) == [20, 0])
        for _ in 0..<2 { picker.directory.noteFailure(picker.slot(0), now: picker.now) }
        #expect(picker.hits(20) == [0, 20], "every near one fails")
        for _ in 0..<2 { picker.directory.noteFailure(picker.slot(1), now: picker.now) }
        #expect(picker.hits(20) == [20, 0], "all fail: near ones first")
    }

    @Test("a new endpoint begins with a tenth of its share", arguments: BalanceSpec.Method.allCases)
    func slowStart(_ method: BalanceSpec.Method) {
        // How the endpoint at place 2 comes, or comes back.
        let ways: [(String, (inout Picker) -> Void)] = [
            ("new", { $0.change(Picker.endpoints(Array(repeating: EndpointTraits(), count: 3))) }),
            (
                "held and let go",
                {
                    $0.change(Picker.endpoints([EndpointTraits(), EndpointTraits(), EndpointTraits(isHeldBack: true)]))
                    $0.advance(milliseconds: 60_000)
                    $0.change(Picker.endpoints(Array(repeating: EndpointTraits(), count: 3)))
                }
            ),
            (
                "held by this worker",
                {
                    $0.change(Picker.endpoints(Array(repeating: EndpointTraits(), count: 3)))
                    $0.advance(milliseconds: 60_000)
                    $0.directory.hold($0.slot(2), until: $0.now + .milliseconds(1000))
                    #expect($0.hits(200)[2] == 0)
                    $0.advance(milliseconds: 1000)
                }
            ),
        ]
        for (way, come) in ways {
            var picker = Picker([EndpointTraits(), EndpointTraits()], Picker.spec(method))
            come(&picker)
            for share in [0.1, 0.5, 1] {
                let expected = method == .leastRequest ? share / 3 : share / (2 + share)
                let hits = picker.hits(Self.rounds)
                #expect(isNear(hits[2], expected, of: Self.rounds), "\(way): \(share) \(hits)")
                picker.advance(milliseconds: 5000)
            }
        }
        var picker = Picker([EndpointTraits(), EndpointTraits(), EndpointTraits()], Picker.spec(method))
        #expect(isNear(picker.hits(Self.rounds)[2], 1 / 3, of: Self.rounds), "at the start nobody is new")
        picker.change(Picker.endpoints([EndpointTraits()], from: 7))
        #expect(picker.hits(10) == [10], "a lone one gets everything at once")
        picker.change([])
        picker.change(Picker.endpoints([EndpointTraits(), EndpointTraits()]))
        #expect(picker.hits(100).allSatisfy { $0 > 20 })
    }

    /// Everything that can be wrong with an endpoint.
    private struct Ills: OptionSet {
        let rawValue: Int
        static let heldByTraits = Ills(rawValue: 1), heldHere = Ills(rawValue: 2), ghost = Ills(rawValue: 4)
        static let tried = Ills(rawValue: 8), weightless = Ills(rawValue: 16), far = Ills(rawValue: 32)

        /// Who is asked first; nil: not at all.
        var rank: Int? {
            if !isDisjoint(with: [.tried, .ghost]) { return nil }
            let ill = isDisjoint(with: [.heldByTraits, .heldHere]) ? contains(.weightless) ? 2 : 0 : 4
            return ill + (contains(.far) ? 1 : 0)
        }
    }

    @Test("whoever may be asked is asked, the best one first", arguments: BalanceSpec.Method.allCases)
    func lastResort(_ method: BalanceSpec.Method) {
        for a in 0..<64 {
            for b in 0..<64 {
                let ills = [Ills(rawValue: a), Ills(rawValue: b)]
                var picker = Picker(
                    ills.map {
                        EndpointTraits(
                            weight: $0.contains(.weightless) ? 0 : 1, isNear: !$0.contains(.far),
                            isHeldBack: $0.contains(.heldByTraits))
                    }, Picker.spec(method), seed: UInt64(a * 64 + b))
                var tried = TriedEndpoints()
                let until = picker.now + .milliseconds(1000)
                for (i, ills) in ills.enumerated() {
                    let slot = picker.slot(i)
                    if ills.contains(.heldHere) { picker.directory.hold(slot, until: until) }
                    if ills.contains(.ghost) { picker.directory.holdAsGhost(slot, until: until) }
                    if ills.contains(.tried) { tried.insert(picker.directory.endpoints.id(slot)) }
                }
                let best = ills.compactMap(\.rank).min()
                let picked = picker.pick(tried)
                let isRight = best == picked.flatMap { ills[$0].rank } && (best == nil) == (picked == nil)
                let mayWait = picker.directory.hasOther(service: picker.service, tried: tried, now: picker.now)
                if !isRight || mayWait != (best != nil) {
                    Issue.record("\(a) and \(b): \(picked.map(String.init) ?? "nobody")")
                }
            }
        }
    }

    @Test func aGhostIsAskedAgainOnlyWhenItsTimeIsOverOrTheControlPlaneLetsItGo() {
        var picker = Picker([EndpointTraits()])
        picker.directory.holdAsGhost(picker.slot(0), until: picker.now + .milliseconds(1000))
        #expect(picker.pick() == nil)
        picker.change(Picker.endpoints([EndpointTraits(isHeldBack: true)]))
        picker.advance(milliseconds: 5000)
        #expect(picker.pick() == nil, "the control plane agrees")
        picker.change(Picker.endpoints([EndpointTraits()]))
        #expect(picker.pick() == 0)
        picker.directory.holdAsGhost(picker.slot(0), until: picker.now + .milliseconds(1000))
        picker.advance(milliseconds: 1000)
        #expect(picker.pick() == 0, "nobody has said more")
        picker.change(Picker.endpoints([EndpointTraits(isHeldBack: true)]))
        #expect(picker.pick() == 0, "held for another reason, and the only one")
    }

    @Test func whereAllAreHeldBackAStrangerIsAskedNothing() {
        var picker = Picker([EndpointTraits(), EndpointTraits()])
        let ghost = EndpointTraits(isHeldBack: true, isGhost: true)
        picker.change(Picker.endpoints([ghost, EndpointTraits(isHeldBack: true)]))
        #expect(Set((0..<50).map { _ in picker.pick() }) == [1])
        picker.change(Picker.endpoints([ghost, ghost]))
        #expect(picker.pick() == nil)
    }
}

@Suite struct EndpointLoadTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func latencyRisesAtOnceAndFallsSlowly() {
        var load = EndpointLoad()
        #expect(load.latencyNanoseconds == -1 && load.expectedLatency(0, at(0)) < 0)
        load.noteLatency(.milliseconds(5), at(1000))
        #expect(load.latencyNanoseconds == 5_000_000)
        load.noteLatency(.milliseconds(100), at(1001))
        #expect(load.latencyNanoseconds == 100_000_000)
        load.noteLatency(.milliseconds(5), at(1011))
        #expect(load.latencyNanoseconds > 98_000_000)
        load.noteLatency(.milliseconds(5), at(31_000))
        #expect((5_000_000..<7_000_000).contains(load.latencyNanoseconds))
        // One that owes an answer does not look faster for that.
        #expect(load.expectedLatency(1, at(60_000)) == Float(load.latencyNanoseconds))
        #expect(load.expectedLatency(0, at(60_000)) < Float(load.latencyNanoseconds) / 20)
    }

    @Test func nothingThatAClockOrAPeerDoesTraps() {
        let spans: [Int64] = [.min, -1, 0, 1, 1_000_000, .max]
        for span in spans {
            for first in spans {
                for second in spans {
                    var load = EndpointLoad()
                    load.noteLatency(Instant.Span(nanoseconds: span), Instant(nanoseconds: first))
                    load.noteFailure(Instant(nanoseconds: second))
                    load.ramp(from: Instant(nanoseconds: first), Instant.Span(nanoseconds: span))
                    load.noteLatency(Instant.Span(nanoseconds: first), Instant(nanoseconds: second))
                    load.hold(until: Instant(nanoseconds: second), slowStart: Instant.Span(nanoseconds: span))
                    let now = Instant(nanoseconds: first)
                    #expect(load.burden(.max, now) > 0 && load.burden(.max, now).isFinite)
                    #expect(load.expectedLatency(0, now).isFinite && load.latencyNanoseconds >= 0)
                }
            }
        }
    }

    @Test func anAnswerHalvesThePenaltyOfFailures() {
        var load = EndpointLoad()
        load.noteFailure(at(0))
        #expect(!load.isFailing(at(0)))
        load.noteFailure(at(0))
        #expect(load.isFailing(at(0)) && !load.isFailing(at(5000)))
        load.noteLatency(.milliseconds(1), at(0))
        #expect(!load.isFailing(at(0)))
        for _ in 0..<1000 { load.noteFailure(at(1)) }
        #expect(load.burden(0, at(1)) <= 1 + EndpointLoad.penaltyMax && !load.isFailing(at(30_000)))
    }
}

@Suite struct TierTests {
    @Test func placesAreAsTheWeightsAndTheTableIsBounded() {
        func order(_ weights: [UInt16]) -> [Int32] { Tier.order(weights.enumerated().map { (Int32($0), $1) }) }
        #expect(order([]) == [] && order([9]) == [0] && order([5, 5, 5]) == [0, 1, 2])
        #expect(order([2, 4]).count == 3 && order([1, 3]).count { $0 == 1 } == 3)
        let many = order((0..<300).map { 65_535 - UInt16($0) })
        #expect(many.count <= Tier.placesMax + 300 && Set(many).count == 300)
        #expect(order([1, 65_535]).count { $0 == 0 } == 1)
    }
}
