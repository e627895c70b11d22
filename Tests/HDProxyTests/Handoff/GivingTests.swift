// The predecessor's side as a grid: each state meets each event, and a pair that is not listed fails.

import ProxyCore
import Testing

@testable import HDProxy

@Suite("Giving")
struct GivingTests {
    private static let start = Instant(nanoseconds: 0)
    private static let confirm = Instant.Span.milliseconds(10_000)

    /// The states, each reached by events as they come.
    enum State: String, CaseIterable {
        case serving, offered, stopping, watching, waiting, given, leaving, takenBack, toldAndTakenBack
        case wished, wishedAndGiven, toldWhileOffered, toldTakenBackAndOffered

        /// A machine in this state; peer 1 is the one that it deals with.
        var machine: Giving {
            var giving = Giving(confirm: GivingTests.confirm)
            let now = GivingTests.start
            func follow(_ steps: Int) {
                if steps > 0 { _ = giving.asked(1, 1, 1, at: now) }
                if steps > 1 { _ = giving.received(1, at: now) }
                if steps > 2 { _ = giving.stopped(at: now) }
            }
            switch self {
            case .serving: break
            case .offered: follow(1)
            case .stopping: follow(2)
            case .watching: follow(3)
            case .waiting:
                follow(3)
                _ = giving.passedOn(1, at: now)
            case .given:
                follow(3)
                _ = giving.time(now + GivingTests.confirm)
            case .leaving: _ = giving.toldToLeave()
            case .takenBack:
                follow(3)
                _ = giving.failed(1, .died, at: now)
            case .toldAndTakenBack:
                follow(3)
                _ = giving.toldToLeave()
                _ = giving.failed(1, .died, at: now)
            case .wished: _ = giving.toldToLeave(isSignal: false)
            case .wishedAndGiven:
                follow(3)
                _ = giving.toldToLeave(isSignal: false)
                _ = giving.time(now + GivingTests.confirm)
            case .toldWhileOffered:
                follow(1)
                _ = giving.toldToLeave()
            case .toldTakenBackAndOffered:
                follow(3)
                _ = giving.toldToLeave()
                _ = giving.failed(1, .died, at: now)
                follow(1)
            }
            return giving
        }
    }

    /// What can happen. Peer 1 is the one that the machine deals with, 2 another one.
    enum Event: String, CaseIterable {
        case asks, asksInOldVersion, asksInNewVersion, received, received2, stopped, passedOn, passedOn2, dies, dies2
        case timeUp, signal, wish

        func happen(to giving: inout Giving) -> [Giving.Action] {
            let now = GivingTests.start
            switch self {
            case .asks: return giving.asked(2, 1, 1, at: now)
            case .asksInOldVersion: return giving.asked(2, 0, 0, at: now)
            case .asksInNewVersion: return giving.asked(2, 2, 9, at: now)
            case .received: return giving.received(1, at: now)
            case .received2: return giving.received(2, at: now)
            case .stopped: return giving.stopped(at: now)
            case .passedOn: return giving.passedOn(1, at: now)
            case .passedOn2: return giving.passedOn(2, at: now)
            case .dies: return giving.failed(1, .died, at: now)
            case .dies2: return giving.failed(2, .died, at: now)
            case .timeUp: return giving.time(giving.deadline)
            case .signal: return giving.toldToLeave()
            case .wish: return giving.toldToLeave(isSignal: false)
            }
        }
    }

    private static let grid: [State: [Event: [Giving.Action]]] = [
        .serving: [
            .asks: [.offer(2, version: 1)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [.drain], .signal: [.drain],
            .wish: [.drain],
        ],
        .takenBack: [
            .asks: [.offer(2, version: 1)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [.drain], .signal: [.drain],
            .wish: [.drain],
        ],
        .offered: [
            .asks: [.refuse(2, .busy)], .received: [.stopAccepting], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [.drop(1)],
            .signal: [], .wish: [],
        ],
        .toldWhileOffered: [
            .asks: [.refuse(2, .busy)], .received: [.stopAccepting], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1), .drain], .passedOn2: [.drop(2)], .dies: [.drop(1), .drain],
            .timeUp: [.drop(1), .drain], .signal: [.exit], .wish: [],
        ],
        // It goes on serving until the time that it had when it took back.
        .toldTakenBackAndOffered: [
            .asks: [.refuse(2, .busy)], .received: [.stopAccepting], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [.drop(1)], .signal: [.exit],
            .wish: [],
        ],
        .stopping: [
            .asks: [.refuse(2, .busy)], .received: [.drop(1), .takeBack(.strange)], .received2: [.drop(2)],
            .stopped: [.confirm(1)], .passedOn: [.drop(1), .takeBack(.strange)], .passedOn2: [.drop(2)],
            .dies: [.drop(1), .takeBack(.died)], .timeUp: [.drop(1), .takeBack(.stuck)], .signal: [], .wish: [],
        ],
        .watching: [
            .asks: [.refuse(2, .handedOver)], .received: [.drop(1), .takeBack(.strange)], .received2: [.drop(2)],
            .stopped: [], .passedOn: [.drop(1), .closeCopies], .passedOn2: [.drop(2)],
            .dies: [.drop(1), .takeBack(.died)], .timeUp: [.closeCopies, .drop(1), .finish], .signal: [], .wish: [],
        ],
        .waiting: [
            .asks: [.refuse(2, .handedOver)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [.finish], .signal: [],
            .wish: [],
        ],
        .given: [
            .asks: [.refuse(2, .handedOver)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [], .signal: [.drain],
            .wish: [.drain],
        ],
        .leaving: [
            .asks: [.refuse(2, .leaving)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [], .signal: [.exit], .wish: [],
        ],
        // A wish is no signal, and the first signal behind it is no second one.
        .wished: [
            .asks: [.refuse(2, .leaving)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [], .signal: [], .wish: [],
        ],
        .wishedAndGiven: [
            .asks: [.refuse(2, .handedOver)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [], .signal: [], .wish: [],
        ],
        .toldAndTakenBack: [
            .asks: [.offer(2, version: 1)], .received: [.drop(1)], .received2: [.drop(2)], .stopped: [],
            .passedOn: [.drop(1)], .passedOn2: [.drop(2)], .dies: [.drop(1)], .timeUp: [.drain], .signal: [.exit],
            .wish: [],
        ],
    ]

    @Test("each state answers each event as the grid says")
    func answers() {
        for state in State.allCases {
            for event in Event.allCases {
                var giving = state.machine
                let expected: [Giving.Action]? =
                    switch event {
                    case .asksInOldVersion, .asksInNewVersion: [.refuse(2, .version)]
                    case .dies2: [.drop(2)]
                    default: Self.grid[state]?[event]
                    }
                // Only a machine that was told to leave has a time at which it does.
                if event == .timeUp, giving.deadline == .never, state == .serving || state == .takenBack { continue }
                #expect(event.happen(to: &giving) == expected, "\(state), \(event)")
            }
        }
    }

    @Test("a signal while it watches is its first: it acts when the time is over, and not before")
    func signalWhileWatching() {
        for (signals, expected) in [(1, Giving.Action.drain), (2, .exit), (5, .exit)] {
            var giving = State.watching.machine
            for _ in 0..<signals { #expect(giving.toldToLeave() == []) }
            #expect(giving.deadline == Self.start + Self.confirm)
            #expect(giving.time(giving.deadline) == [.closeCopies, .drop(1), .finish, expected])
            if signals == 1 { #expect(giving.toldToLeave() == [.exit]) }
        }
    }

    @Test("a wish is no signal: the first one behind it ends nothing, the second one does", arguments: State.allCases)
    func wishThenSignals(_ state: State) {
        let told: [State] = [.leaving, .toldAndTakenBack, .toldWhileOffered, .toldTakenBackAndOffered]
        guard !told.contains(state) else { return }
        var giving = state.machine
        _ = giving.toldToLeave(isSignal: false)
        #expect(!giving.toldToLeave().contains(.exit))
        let second = giving.toldToLeave()
        switch giving.phase {
        case .serving, .offered, .given, .leaving: #expect(second == [.exit])
        case .stopping: #expect(second == [])
        case .watching, .waiting:
            #expect(second == [])
            #expect(giving.time(giving.deadline).last == .exit)
        }
    }

    @Test("told to leave while it watched, it takes back, and leaves when that time is over unless somebody follows")
    func signalThenTakeBack() {
        var giving = State.toldAndTakenBack.machine
        #expect(giving.phase == .serving && giving.deadline == Self.start + Self.confirm)
        _ = giving.asked(2, 1, 1, at: Self.start)
        _ = giving.received(2, at: Self.start)
        #expect(giving.stopped(at: Self.start) == [.confirm(2)])
        #expect(giving.time(giving.deadline) == [.closeCopies, .drop(2), .finish, .drain])
    }

    @Test("nothing happens before its time")
    func early() {
        for state in State.allCases {
            var giving = state.machine
            let before = giving
            guard giving.deadline != .never else { continue }
            #expect(giving.time(Instant(nanoseconds: giving.deadline.nanoseconds - 1)) == [], "\(state)")
            #expect(giving == before, "\(state)")
        }
    }

    @Test("any events in any order leave at most one owner of the sockets, and never trap")
    func walks() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var giving = Giving(confirm: Self.confirm)
            var accepts = true
            for _ in 0..<30 {
                guard let event = Event.allCases.randomElement(using: &random) else { continue }
                for action in event.happen(to: &giving) {
                    switch action {
                    case .stopAccepting, .drain, .finish: accepts = false
                    case .takeBack: accepts = true
                    case .refuse, .offer, .confirm, .drop, .closeCopies, .exit: break
                    }
                }
                if giving.isHandedOver { #expect(!accepts) }
                if case .serving = giving.phase { #expect(accepts) }
            }
        }
    }
}
