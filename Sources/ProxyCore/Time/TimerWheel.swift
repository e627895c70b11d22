// When is it time? Deadlines of connections in a hierarchical wheel (Varghese and Lauck, 1987): arming, moving and
// disarming cost a few nanoseconds whatever their number.
//
// Four levels of 64 slots, a tick of 8 ms: 0.5 s, 33 s, 35 min and 37 h. Most deadlines are put off before they
// come (each request moves them), so a later deadline is only noted, and the entry is moved when its old time comes.

/// What a timer holds in its owner: links to its neighbours, and when it is due.
public struct TimerNode: BitwiseCopyable, Sendable {
    fileprivate var next: Int32 = -1
    fileprivate var previous: Int32 = -1
    /// The list it stands in, level × 64 + slot; -1 for none.
    fileprivate var list: Int16 = -1
    /// When it is due.
    public fileprivate(set) var deadline: Instant = .never

    /// A timer that is not armed.
    public init() {}

    /// Whether it is armed.
    public var isArmed: Bool { deadline != .never }
}

/// Deadlines of numbered owners. The owner's nodes live in the wheel, by number.
public struct TimerWheel: ~Copyable {
    private static var levels: Int { 4 }
    private static var slotBits: Int64 { 6 }
    private static var tickNanoseconds: Int64 { 8_000_000 }

    private var nodes: [TimerNode] = []
    private var heads: [Int32]
    /// A bit for each slot of a level that is not empty.
    private var occupied = [4 of UInt64](repeating: 0)
    /// The tick up to which all timers have been looked at.
    private var currentTick: Int64

    /// A wheel that begins at `now`.
    public init(now: Instant) {
        heads = Array(repeating: -1, count: Self.levels * 64)
        currentTick = now.nanoseconds / Self.tickNanoseconds
    }

    /// Makes room for owners numbered below `count`.
    public mutating func reserve(_ count: Int) {
        while nodes.count < count { nodes.append(TimerNode()) }
    }

    /// When `owner` is due; `.never` where it is not armed.
    @inline(__always) public func deadline(_ owner: Int32) -> Instant { nodes[Int(owner)].deadline }

    /// Sets the deadline of `owner`; the one it had is gone. It fires at most a tick late, never early.
    @inline(__always)
    public mutating func arm(_ owner: Int32, at deadline: Instant) {
        let i = Int(owner)
        let earlier = deadline < nodes[i].deadline
        nodes[i].deadline = deadline
        if nodes[i].list >= 0 {
            // Put off: it stays where it is, and is moved on when that slot comes up.
            if !earlier { return }
            unlink(owner)
        }
        link(owner)
    }

    /// Takes the deadline of `owner` back.
    @inline(__always)
    public mutating func disarm(_ owner: Int32) {
        if nodes[Int(owner)].list >= 0 { unlink(owner) }
        nodes[Int(owner)].deadline = .never
    }

    /// Calls `due` for each owner whose deadline is over at `now`. It is disarmed before the call, which may arm and
    /// disarm any owner.
    public mutating func advance(to now: Instant, _ due: (Int32) -> Void) {
        while let owner = nextDue(at: now) { due(owner) }
    }

    /// The next owner whose deadline is over at `now`, disarmed; nil when there is none left.
    public mutating func nextDue(at now: Instant) -> Int32? {
        // The tick that `now` lies in is not over, so nothing fires early.
        let target = now.nanoseconds / Self.tickNanoseconds
        while currentTick < target {
            let slot = Int(currentTick & 63)
            while heads[slot] >= 0 {
                let owner = heads[slot]
                unlink(owner)
                let deadline = nodes[Int(owner)].deadline
                if deadline.nanoseconds / Self.tickNanoseconds < target {
                    nodes[Int(owner)].deadline = .never
                    return owner
                }
                link(owner)
            }
            step(towards: target)
        }
        return nil
    }

    /// The moment up to which a thread may sleep without being late; `.never` with no timer armed.
    public func nextWake() -> Instant {
        var best = Int64.max
        for level in 0..<Self.levels where occupied[level] != 0 {
            let shift = Self.slotBits * Int64(level)
            let position = currentTick >> shift
            let at = Int(position & 63)
            let bits = occupied[level]
            let rotated = bits >> UInt64(at) | (at == 0 ? 0 : bits << UInt64(64 - at))
            // On a higher level the slot at hand was already spread downwards; what lies in it is a whole turn away,
            // behind all others.
            let ahead = level > 0 ? rotated & ~1 : rotated
            let steps = Int64(ahead.trailingZeroBitCount)
            best = min(best, max((position + steps) << shift, currentTick))
        }
        if best == .max { return .never }
        return Instant(nanoseconds: (best + 1) * Self.tickNanoseconds)
    }

    /// Goes one tick on, or to the next one where something can happen, and spreads higher slots downwards.
    private mutating func step(towards target: Int64) {
        if occupied[0] == 0 {
            // Nothing on the finest level: jump to where the next level is spread, or to the end.
            let boundary = (currentTick | 63) + 1
            currentTick = min(boundary, target)
        } else {
            currentTick += 1
        }
        guard currentTick & 63 == 0 else { return }
        for level in 1..<Self.levels {
            let shift = Self.slotBits * Int64(level)
            let slot = Int(currentTick >> shift & 63)
            spread(level * 64 + slot)
            if slot != 0 { break }
        }
    }

    private mutating func spread(_ list: Int) {
        var owner = heads[list]
        heads[list] = -1
        occupied[list / 64] &= ~(1 << UInt64(list & 63))
        while owner >= 0 {
            let next = nodes[Int(owner)].next
            nodes[Int(owner)].list = -1
            link(owner)
            owner = next
        }
    }

    private mutating func link(_ owner: Int32) {
        let i = Int(owner)
        let tick = max(nodes[i].deadline.nanoseconds / Self.tickNanoseconds, currentTick)
        let distance = tick - currentTick
        var level = 0
        while level < Self.levels - 1, distance >= 1 << (Self.slotBits * Int64(level + 1)) { level += 1 }
        // Further away than the wheel reaches: it waits in the farthest slot and is looked at again there.
        let reach = (Int64(1) << (Self.slotBits * Int64(Self.levels))) - 1
        let placed = distance > reach ? currentTick + reach : tick
        let slot = Int(placed >> (Self.slotBits * Int64(level)) & 63)
        let list = level * 64 + slot
        nodes[i].list = Int16(list)
        nodes[i].previous = -1
        nodes[i].next = heads[list]
        if heads[list] >= 0 { nodes[Int(heads[list])].previous = owner }
        heads[list] = owner
        occupied[level] |= 1 << UInt64(slot)
    }

    private mutating func unlink(_ owner: Int32) {
        let node = nodes[Int(owner)]
        let list = Int(node.list)
        if node.previous >= 0 {
            nodes[Int(node.previous)].next = node.next
        } else {
            heads[list] = node.next
            if node.next < 0 { occupied[list / 64] &= ~(1 << UInt64(list & 63)) }
        }
        if node.next >= 0 { nodes[Int(node.next)].previous = node.previous }
        nodes[Int(owner)].list = -1
    }
}
