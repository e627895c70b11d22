import ProxyCore
import Testing

@testable import Discovery

@Suite struct ProbeScheduleTests {
    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 0) + .milliseconds(milliseconds) }

    private static func schedule(_ count: Int, atOnceMax: Int = 8) -> ProbeSchedule {
        var schedule = ProbeSchedule(atOnceMax: atOnceMax, now: at(0))
        schedule.reserve(count)
        return schedule
    }

    /// All who may go at `now`.
    private static func all(_ schedule: inout ProbeSchedule, at now: Instant) -> [Int32] {
        var slots: [Int32] = []
        while let (slot, _) = schedule.next(at: now) { slots.append(slot) }
        return slots
    }

    @Test("nobody goes before his time, and everybody within two ticks after it")
    func times() {
        var schedule = Self.schedule(3)
        for (slot, time) in [(0, 100), (1, 50), (2, 5000)] as [(Int32, Int64)] {
            schedule.plan(slot, at: Self.at(time), isDown: false)
        }
        #expect(Self.all(&schedule, at: Self.at(49)) == [])
        #expect(Self.all(&schedule, at: Self.at(66)) == [1])
        #expect(Self.all(&schedule, at: Self.at(116)) == [0])
        #expect(Self.all(&schedule, at: Self.at(4999)) == [])
        let wake = schedule.nextWake(now: Self.at(4999))
        #expect(wake <= Self.at(5016))
        #expect(Self.all(&schedule, at: Self.at(5016)) == [2])
        #expect(schedule.nextWake(now: Self.at(5016)) == .never)
        #expect(schedule.underWay == 3)
    }

    @Test("so many are under way at once and no more; who ends makes room for the one who waits longest")
    func bounded() {
        var schedule = Self.schedule(20)
        for slot in 0..<20 as Range<Int32> { schedule.plan(slot, at: Self.at(Int64(slot) * 20), isDown: false) }
        // Of eight places one is kept for those that are down.
        #expect(Self.all(&schedule, at: Self.at(1000)) == [0, 1, 2, 3, 4, 5, 6])
        #expect(schedule.nextWake(now: Self.at(1000)) == .never)
        schedule.ended(isDown: false)
        #expect(schedule.nextWake(now: Self.at(1000)) == Self.at(1000))
        #expect(Self.all(&schedule, at: Self.at(1000)) == [7])
        schedule.ended(isDown: false)
        schedule.ended(isDown: false)
        #expect(Self.all(&schedule, at: Self.at(1000)) == [8, 9])
    }

    @Test("those that are down cannot fill the room, nor can the others keep them out")
    func shares() {
        var schedule = Self.schedule(40)
        for slot in 0..<20 as Range<Int32> { schedule.plan(slot, at: Self.at(0), isDown: true) }
        #expect(Self.all(&schedule, at: Self.at(100)).count == 6)
        for slot in 20..<40 as Range<Int32> { schedule.plan(slot, at: Self.at(100), isDown: false) }
        #expect(Self.all(&schedule, at: Self.at(200)).allSatisfy { $0 >= 20 })
        #expect(schedule.underWay == 8)
        for _ in 0..<6 { schedule.ended(isDown: true) }
        // The others come first, and still leave a place.
        #expect(Self.all(&schedule, at: Self.at(200)).count { $0 < 20 } == 1)
        #expect(schedule.underWay == 8)
    }

    @Test("who is forgotten or planned anew while he stands in a queue does not go by the old plan")
    func stale() {
        var schedule = Self.schedule(300)
        for slot in 0..<300 as Range<Int32> { schedule.plan(slot, at: Self.at(0), isDown: slot < 150) }
        let first = Self.all(&schedule, at: Self.at(100))
        #expect(first.count == 8)
        // All but two of those who wait are forgotten, and one of them is planned anew.
        let waiting = (0..<300 as Range<Int32>).filter { !first.contains($0) }
        let (down, others) = (waiting.filter { $0 < 150 }, waiting.filter { $0 >= 150 })
        for slot in waiting where slot != down.last && slot != others.last { schedule.forget(slot) }
        schedule.plan(down[0], at: Self.at(500), isDown: false)
        for slot in first { schedule.ended(isDown: slot < 150) }
        #expect(Self.all(&schedule, at: Self.at(400)) == [others.last, down.last])
        #expect(Self.all(&schedule, at: Self.at(600)) == [down[0]])
        #expect(schedule.nextWake(now: Self.at(600)) == .never)
    }

    @Test("a queue whose entries are forgotten again and again does not grow")
    func bounds() {
        var queue = ProbeSchedule.Queue()
        for round in 0..<100_000 as Range<UInt32> {
            queue.append(ProbeSchedule.Entry(slot: 0, ticket: round))
            queue.entryBecameStale { _ in true }
            #expect(queue.heldCount <= 256)
        }
        for round in 0..<100_000 as Range<UInt32> {
            queue.append(ProbeSchedule.Entry(slot: 0, ticket: round))
            queue.append(ProbeSchedule.Entry(slot: 1, ticket: round))
            if round % 2 == 0 { continue }
            for _ in 0..<4 { _ = queue.popFirst() }
            #expect(queue.heldCount <= 1024)
        }
    }

    @Test("ten thousand endpoints, half of which hang: the healthy ones are probed in time, the others in turn")
    func crowd() {
        // A probe of a healthy one takes 2 ms, of another one 2 s. All are due every 5 s.
        let count = 10_000
        var schedule = Self.schedule(count, atOnceMax: 512)
        var due = [Instant](repeating: Self.at(0), count: count)
        var probes = [Int](repeating: 0, count: count)
        func hangs(_ slot: Int) -> Bool { slot % 2 == 0 }
        for slot in 0..<count {
            due[slot] = Self.at(Int64(slot) / 2)
            schedule.plan(Int32(slot), at: due[slot], isDown: hangs(slot))
        }
        var ends: [(at: Instant, slot: Int32, isDown: Bool)] = []
        var latestHealthy: Int64 = 0
        for step in 0..<15_000 as Range<Int64> {  // 60 s in steps of 4 ms
            let now = Self.at(step * 4)
            ends.removeAll { end in
                guard end.at <= now else { return false }
                schedule.ended(isDown: end.isDown)
                return true
            }
            while let (slot, isDown) = schedule.next(at: now) {
                let late = (now - due[Int(slot)]).nanoseconds / 1_000_000
                if !isDown { latestHealthy = max(latestHealthy, late) }
                probes[Int(slot)] += 1
                ends.append((now + .milliseconds(isDown ? 2000 : 2), slot, isDown))
                due[Int(slot)] = now + .milliseconds(5000)
                schedule.plan(slot, at: due[Int(slot)], isDown: isDown)
            }
            #expect(schedule.underWay <= 512)
        }
        #expect(latestHealthy <= 24)
        #expect((0..<count).allSatisfy { hangs($0) || probes[$0] >= 11 })
        let hanging = (0..<count).filter(hangs).map { probes[$0] }
        // 384 places, 2 s each: 192 a second for 5,000.
        #expect((hanging.min() ?? 0) >= 1 && (hanging.max() ?? 0) - (hanging.min() ?? 0) <= 1)
    }
}
