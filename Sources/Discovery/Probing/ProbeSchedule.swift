// Which endpoint is probed next? Deadlines of all of them in one wheel, and a bounded number under way. Pure: the time
// comes as an argument.
//
//     planned ── its time has come ──► queued ── there is room ──► under way ── ended ──► planned
//
// Endpoints that are down have a queue of their own and may not fill the room: they are the ones that let a probe wait
// for its timeout, and ten thousand of them must not delay the probe that would see a healthy one die. Neither may the
// others take all of it, or nobody would see a dead one come back. Within a queue the earliest comes first, so nobody
// waits for ever.

import ProxyCore

/// Whose turn it is to be probed, among endpoints that are slots numbered from zero.
struct ProbeSchedule: ~Copyable {
    /// A slot and the ticket it had when it was queued.
    struct Entry {
        var slot: Int32
        var ticket: UInt32
    }

    private let atOnceMax: Int
    private var wheel: TimerWheel
    /// What makes entries of a queue stale: it changes whenever its slot is planned anew or forgotten.
    private var tickets: [UInt32] = []
    private var isDown: [Bool] = []
    private var isQueued: [Bool] = []
    private var queue = Queue()
    private var downQueue = Queue()
    private var runningCount = 0
    private var runningDownCount = 0

    /// A schedule with room for `atOnceMax` probes, at least 8.
    init(atOnceMax: Int, now: Instant) {
        precondition(atOnceMax >= 8, "there is room for probes of both kinds")
        self.atOnceMax = atOnceMax
        wheel = TimerWheel(now: now)
    }

    /// How many probes are under way.
    var underWay: Int { runningCount + runningDownCount }

    /// Makes room for slots below `count`.
    mutating func reserve(_ count: Int) {
        wheel.reserve(count)
        while tickets.count < count {
            tickets.append(0)
            isDown.append(false)
            isQueued.append(false)
        }
    }

    /// The next probe of `slot` is due at `due`, whatever was planned before. `isDown` tells which queue it will stand in.
    mutating func plan(_ slot: Int32, at due: Instant, isDown: Bool) {
        forget(slot)
        self.isDown[Int(slot)] = isDown
        wheel.arm(slot, at: due)
    }

    /// Nothing is planned for `slot` any more.
    mutating func forget(_ slot: Int32) {
        let index = Int(slot)
        wheel.disarm(slot)
        tickets[index] &+= 1
        guard isQueued[index] else { return }
        isQueued[index] = false
        let tickets = tickets
        if isDown[index] {
            downQueue.entryBecameStale { tickets[Int($0.slot)] != $0.ticket }
        } else {
            queue.entryBecameStale { tickets[Int($0.slot)] != $0.ticket }
        }
    }

    /// Who is to be probed now, which counts as under way until ``ended(isDown:)`` is told what is returned here; nil
    /// where nobody's time has come, or there is no room.
    mutating func next(at now: Instant) -> (slot: Int32, isDown: Bool)? {
        while let slot = wheel.nextDue(at: now) {
            let index = Int(slot)
            isQueued[index] = true
            let entry = Entry(slot: slot, ticket: tickets[index])
            if isDown[index] { downQueue.append(entry) } else { queue.append(entry) }
        }
        if hasRoom, let slot = Self.pop(&queue, tickets) {
            isQueued[Int(slot)] = false
            runningCount += 1
            return (slot, false)
        }
        if hasRoomForDown, let slot = Self.pop(&downQueue, tickets) {
            isQueued[Int(slot)] = false
            runningDownCount += 1
            return (slot, true)
        }
        return nil
    }

    private static func pop(_ queue: inout Queue, _ tickets: [UInt32]) -> Int32? {
        while let entry = queue.popFirst() {
            if tickets[Int(entry.slot)] == entry.ticket { return entry.slot }
        }
        return nil
    }

    /// A probe that was under way is not any more, and neither is its socket.
    mutating func ended(isDown: Bool) {
        if isDown { runningDownCount -= 1 } else { runningCount -= 1 }
    }

    /// When ``next(at:)`` is worth asking again if no probe ends before; `now` where somebody could go at once.
    func nextWake(now: Instant) -> Instant {
        if hasRoom && queue.mayHaveEntries || hasRoomForDown && downQueue.mayHaveEntries { return now }
        return wheel.nextWake()
    }

    private var hasRoom: Bool { underWay < atOnceMax && runningCount < atOnceMax - atOnceMax / 8 }
    private var hasRoomForDown: Bool { underWay < atOnceMax && runningDownCount < atOnceMax - atOnceMax / 4 }

    /// First in, first out; entries that were forgotten are swept out when they are the greater part.
    struct Queue {
        private var entries: [Entry] = []
        private var first = 0
        private var staleCount = 0

        var mayHaveEntries: Bool { first < entries.count }
        /// Entries in memory, stale and past ones included.
        var heldCount: Int { entries.count }

        mutating func append(_ entry: Entry) { entries.append(entry) }

        mutating func popFirst() -> Entry? {
            guard first < entries.count else { return nil }
            let entry = entries[first]
            first += 1
            if first == entries.count {
                entries.removeAll(keepingCapacity: true)
                (first, staleCount) = (0, 0)
            } else if first > 256 && first > entries.count / 2 {
                entries.removeFirst(first)
                first = 0
            }
            return entry
        }

        mutating func entryBecameStale(_ isStale: (Entry) -> Bool) {
            staleCount += 1
            guard staleCount > 64 && staleCount > (entries.count - first) / 2 else { return }
            entries.removeFirst(first)
            entries.removeAll(where: isStale)
            (first, staleCount) = (0, 0)
        }
    }
}
