import Testing

@testable import ProxyCore

@Suite struct TimerWheelTests {
    private static let tick: Int64 = 8_000_000

    private func instant(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// Runs a wheel beside plain numbers, and compares them at every step. Returns where a thread would have slept for
    /// too long.
    @discardableResult
    private func run(seed: UInt64, farthest: Int64, stepMax: Int64, steps: Int) -> [String] {
        var overslept: [String] = []
        var random = RandomSource(seed: seed)
        func upTo(_ bound: Int64) -> Int64 { Int64(random.next() % UInt64(bound)) }
        let owners = 50
        var now = Instant(nanoseconds: upTo(1 << 50))
        var wheel = TimerWheel(now: now)
        wheel.reserve(owners)
        var deadlines = [Instant](repeating: .never, count: owners)
        // When what is armed was armed: no thread can have been woken for it before that.
        var armedAt = [Instant](repeating: now, count: owners)

        for step in 0..<steps {
            let owner = random.below(owners)
            switch random.below(4) {
            case 0:
                wheel.disarm(Int32(owner))
                deadlines[owner] = .never
            default:
                // Near, far, put off, moved forward, and now and then in the past.
                let span = upTo(3) == 0 ? upTo(farthest) : upTo(min(farthest, 2_000_000_000))
                let deadline = Instant(nanoseconds: now.nanoseconds + span - 20_000_000)
                wheel.arm(Int32(owner), at: deadline)
                deadlines[owner] = deadline
                armedAt[owner] = now
            }
            #expect(wheel.deadline(Int32(owner)) == deadlines[owner])

            let first = deadlines.min() ?? .never
            let wake = wheel.nextWake()
            if first == .never {
                #expect(wake == .never, "seed \(seed), step \(step): nothing is armed")
            } else {
                let due = max(first.nanoseconds, now.nanoseconds)
                if wake.nanoseconds > due + Self.tick { overslept.append("seed \(seed), step \(step)") }
            }

            // Half of the time as a worker does, which sleeps until it is woken; else until something else happens.
            if random.below(2) == 0, wake != .never {
                now = max(now, wake)
            } else {
                now = Instant(nanoseconds: now.nanoseconds + upTo(stepMax))
            }
            var fired = Set<Int>()
            wheel.advance(to: now) { fired.insert(Int($0)) }
            for i in 0..<owners {
                let isOver = deadlines[i] <= now
                let isLate = max(deadlines[i], armedAt[i]).nanoseconds / Self.tick < now.nanoseconds / Self.tick
                if fired.contains(i) {
                    #expect(isOver, "seed \(seed), step \(step): \(i) fired early")
                    deadlines[i] = .never
                } else if deadlines[i] != .never {
                    #expect(!isLate, "seed \(seed), step \(step): \(i) did not fire")
                    #expect(wheel.deadline(Int32(i)) == deadlines[i])
                }
            }
        }
        return overslept
    }

    @Test func aThreadIsWokenInTime() {
        let day: Int64 = 86_400_000_000_000
        for seed in UInt64(40)..<44 {
            // A timer that lies a whole turn of its level away once hid those before it.
            for (farthest, step) in [(60_000_000_000, 1_000_000_000), (5 * day, 3_600_000_000_000)] {
                let overslept = run(seed: seed, farthest: farthest, stepMax: Int64(step), steps: 300)
                #expect(overslept.isEmpty)
            }
            let overslept = run(seed: seed, farthest: 400_000_000, stepMax: 20_000_000, steps: 1000)
            #expect(overslept.isEmpty)
        }
    }

    @Test func timersFireNeverEarlyAndAtMostATickLate() {
        let day: Int64 = 86_400_000_000_000
        run(seed: 1, farthest: 400_000_000, stepMax: 20_000_000, steps: 2000)
        run(seed: 2, farthest: 60_000_000_000, stepMax: 1_000_000_000, steps: 2000)
        run(seed: 3, farthest: 3_600_000_000_000, stepMax: 60_000_000_000, steps: 1000)
        run(seed: 4, farthest: 5 * day, stepMax: 3_600_000_000_000, steps: 200)
        for seed in UInt64(10)..<30 { run(seed: seed, farthest: 3_000_000_000, stepMax: 9_000_000, steps: 200) }
    }

    @Test func aDeadlineThatIsPutOffOrMovedForwardCountsAndNoOther() {
        let cases: [(name: String, arms: [Int64?], firesAt: Int64?)] = [
            ("armed", [100], 100), ("put off", [100, 500], 500), ("put off far", [100, 90_000_000], 90_000_000),
            ("moved forward", [500, 100], 100), ("from far to near", [90_000_000, 100], 100),
            ("to and fro", [100, 500, 200, 900, 300], 300), ("taken back", [100, nil], nil),
            ("taken back and armed again", [100, nil, 300], 300), ("not armed", [nil], nil),
            ("put off for ever", [100, .max / 1_000_000], .max / 1_000_000), ("now", [0], 0),
            ("days", [5 * 86_400_000], 5 * 86_400_000),
        ]
        for (name, arms, firesAt) in cases {
            var wheel = TimerWheel(now: instant(0))
            wheel.reserve(1)
            for arm in arms { if let arm { wheel.arm(0, at: instant(arm)) } else { wheel.disarm(0) } }
            #expect(wheel.deadline(0) == (firesAt.map(instant) ?? .never), "\(name)")
            // A worker's sleep and wake, until it fires or a week is over.
            var now = instant(0)
            var firedAt: Instant?
            var turns = 0
            while firedAt == nil, now < instant(7 * 86_400_000), turns < 1000 {
                now = min(max(now + Instant.Span(nanoseconds: 1), wheel.nextWake()), instant(7 * 86_400_000))
                if wheel.nextDue(at: now) != nil { firedAt = now }
                turns += 1
            }
            if let firesAt, firesAt < 7 * 86_400_000 {
                let late = (firedAt ?? .never).nanoseconds - firesAt * 1_000_000
                #expect(late >= 0 && late <= Self.tick, "\(name): \(late)")
                #expect(wheel.deadline(0) == .never)
            } else {
                #expect(firedAt == nil, "\(name)")
            }
            #expect(turns < 50, "\(name): woken \(turns) times")
        }
    }

    @Test func whatFiresMayArmAndDisarmOthers() {
        var wheel = TimerWheel(now: instant(0))
        wheel.reserve(3)
        wheel.arm(0, at: instant(50))
        wheel.arm(1, at: instant(50))
        wheel.arm(2, at: instant(51))
        guard let first = wheel.nextDue(at: instant(100)) else { return }
        // Both others are due as well, but one is taken back and the other put off.
        let rest = [Int32(0), 1, 2].filter { $0 != first }
        wheel.disarm(rest[0])
        wheel.arm(rest[1], at: instant(400))
        wheel.arm(first, at: instant(60))
        var fired: [Int32?] = []
        for moment: Int64 in [120, 399, 410, 100_000] { fired.append(wheel.nextDue(at: instant(moment))) }
        #expect(fired == [first, nil, rest[1], nil], "armed again in the past, it is due again")
        #expect(wheel.nextWake() == .never)
    }

    @Test func spansAndInstantsNeverWrapAround() {
        #expect(Instant.never + .milliseconds(1) == .never)
        #expect(Instant(nanoseconds: 5) + Instant.Span(nanoseconds: .max) == .never)
        #expect(Instant.Span(.seconds(Int64.max)).nanoseconds == .max)
        #expect(Instant.Span(.milliseconds(1500)).nanoseconds == 1_500_000_000)
        #expect(Instant.Span(.nanoseconds(1)) < .milliseconds(1))
        #expect(instant(5) - instant(2) == .milliseconds(3) && instant(2) < instant(5))
    }
}
