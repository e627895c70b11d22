// The successor's side as a grid: each state meets each event, and a pair that is not listed fails.

import Glibc
import ProxyCore
import Testing

@testable import HDProxy

@Suite("Taking")
struct TakingTests {
    private static let start = Instant(nanoseconds: 0)
    private static let offer = HandoffMessage.offer(
        protocol: 1, version: "1", process: 2, confirmMilliseconds: 3, descriptors: 2)
    private static let one = HandoffMessage.descriptors(places: [HandoffPlace(kind: .handoff)])
    private static let two = HandoffMessage.descriptors(places: [.init(kind: .admin), .init(kind: .handoff)])
    private static let stopped = HandoffMessage.stopped(counters: InheritedCounters(), sessionTicketKeys: "")

    /// The states, each reached by events as they come.
    enum State: String, CaseIterable {
        case asking, receiving, preparing, confirming, serving, over

        var machine: Taking {
            var taking = Taking(at: TakingTests.start)
            let now = TakingTests.start
            _ = taking.connected(to: 7, own: 7, at: now)
            if self == .asking { return taking }
            if self == .over {
                _ = taking.heardGarbage()
                return taking
            }
            _ = taking.heard(TakingTests.offer, descriptors: 0, at: now)
            if self == .receiving { return taking }
            _ = taking.heard(TakingTests.two, descriptors: 2, at: now)
            if self == .preparing { return taking }
            _ = taking.prepared(true, at: now)
            if self == .confirming { return taking }
            _ = taking.heard(TakingTests.stopped, descriptors: 0, at: now)
            return taking
        }
    }

    /// What can happen.
    enum Event: String, CaseIterable {
        case offer, one, two, fewer, stopped, busy, version, question, garbage, ready, notReady, end, timeUp

        func happen(to taking: inout Taking) -> [Taking.Action] {
            let now = TakingTests.start
            switch self {
            case .offer: return taking.heard(TakingTests.offer, descriptors: 0, at: now)
            case .one: return taking.heard(TakingTests.one, descriptors: 1, at: now)
            case .two: return taking.heard(TakingTests.two, descriptors: 2, at: now)
            case .fewer: return taking.heard(TakingTests.two, descriptors: 1, at: now)
            case .stopped: return taking.heard(TakingTests.stopped, descriptors: 0, at: now)
            case .busy: return taking.heard(.refuse(reason: "busy", version: "9"), descriptors: 0, at: now)
            case .version: return taking.heard(.refuse(reason: "version", version: "9"), descriptors: 0, at: now)
            case .question: return taking.heard(.passedOn, descriptors: 0, at: now)
            case .garbage: return taking.heardGarbage()
            case .ready: return taking.prepared(true, at: now)
            case .notReady: return taking.prepared(false, at: now)
            case .end: return taking.closed(at: now)
            case .timeUp: return taking.time(taking.deadline)
            }
        }
    }

    private static let strange: [Taking.Action] = [.giveUp(.strange)]

    private static let grid: [State: [Event: [Taking.Action]]] = [
        .asking: [
            .offer: [], .one: strange, .two: strange, .fewer: strange, .stopped: strange, .busy: [.again],
            .version: [.giveUp(.refused("version"))], .question: strange, .garbage: strange, .ready: [],
            .notReady: [], .end: [.again], .timeUp: [.giveUp(.silent)],
        ],
        .receiving: [
            .offer: strange, .one: [], .two: [.prepare], .fewer: strange, .stopped: strange, .busy: strange,
            .version: strange, .question: strange, .garbage: strange, .ready: [], .notReady: [], .end: [.again],
            .timeUp: [.giveUp(.silent)],
        ],
        .preparing: [
            .offer: strange, .one: strange, .two: strange, .fewer: strange, .stopped: strange, .busy: strange,
            .version: strange, .question: strange, .garbage: strange, .ready: [.received],
            .notReady: [.giveUp(.unprepared)], .end: [.again], .timeUp: [],
        ],
        .confirming: [
            .offer: strange, .one: strange, .two: strange, .fewer: strange, .stopped: [.serve], .busy: strange,
            .version: strange, .question: strange, .garbage: strange, .ready: [], .notReady: [], .end: [.again],
            .timeUp: [.giveUp(.silent)],
        ],
        .serving: [
            .offer: [], .one: [], .two: [], .fewer: [], .stopped: [], .busy: [], .version: [], .question: [],
            .garbage: [], .ready: [], .notReady: [], .end: [], .timeUp: [],
        ],
        .over: [
            .offer: [], .one: [], .two: [], .fewer: [], .stopped: [], .busy: [], .version: [], .question: [],
            .garbage: [], .ready: [], .notReady: [], .end: [], .timeUp: [],
        ],
    ]

    @Test("each state answers each event as the grid says")
    func answers() {
        for state in State.allCases {
            for event in Event.allCases {
                var taking = state.machine
                #expect(event.happen(to: &taking) == Self.grid[state]?[event], "\(state), \(event)")
            }
        }
    }

    @Test("who listens there decides whether there is anybody to ask")
    func beginnings() {
        var taking = Taking(at: Self.start)
        #expect(taking.connected(to: 8, own: 7, at: Self.start) == [.giveUp(.stranger)])
        taking = Taking(at: Self.start)
        #expect(taking.connected(to: nil, own: 7, at: Self.start) == [.giveUp(.stranger)])
        for (code, expected) in [
            (ECONNREFUSED, Taking.Action.giveUp(.nobody)), (ENOENT, .giveUp(.nobody)), (EACCES, .giveUp(.stranger)),
            (EAGAIN, .again),
        ] {
            var taking = Taking(at: Self.start)
            #expect(taking.notConnected(code, at: Self.start) == [expected])
        }
    }

    @Test("it asks again for as long as its patience lasts")
    func patience() {
        for (late, expected) in [(-1, Taking.Action.again), (0, .giveUp(.refused("busy")))] {
            var taking = State.asking.machine
            let now = Instant(nanoseconds: taking.givesUp.nanoseconds + Int64(late))
            #expect(taking.heard(.refuse(reason: "busy", version: ""), descriptors: 0, at: now) == [expected])
        }
    }

    @Test("an offer of no descriptors, of too many, or in another version is strange")
    func offers() {
        for (version, count) in [(1, 0), (1, -1), (1, 4097), (2, 1), (0, 1), (Int.max, Int.min)] {
            var taking = State.asking.machine
            let offer = HandoffMessage.offer(
                protocol: version, version: "", process: .min, confirmMilliseconds: .max, descriptors: count)
            #expect(taking.heard(offer, descriptors: 0, at: Self.start) == Self.strange)
        }
    }
}
