// Which endpoint gets this request? Of two at random the one that is likely to answer sooner: nearly as even as asking
// all, without herds (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001); or one after the
// other. Near ones first, unless they are busy. What is out of the ordinary is left to `pickAmongAll`.

/// Endpoints that a request was already sent to or could not be connected to.
package struct TriedEndpoints: BitwiseCopyable {
    // With generations: the slot of one that is gone may be another's by now, who was not tried.
    private var slots = (SlotID.none, SlotID.none, SlotID.none, SlotID.none)
    private(set) var count: UInt8 = 0
    /// The place, from 1 on, of one that did nothing wrong; 0: there is none.
    private var excused: UInt8 = 0

    /// None.
    package init() {}

    /// Notes an endpoint. More than an exchange may try are not noted, and not asked for.
    mutating func insert(_ slot: SlotID) {
        switch count {
        case 0: slots.0 = slot
        case 1: slots.1 = slot
        case 2: slots.2 = slot
        case 3: slots.3 = slot
        default: return
        }
        count += 1
    }

    /// Notes that the latest one did nothing wrong: it closed what was idle.
    mutating func excuseLatest() { excused = count }

    /// Takes the one out that did nothing wrong, for when nobody else is left. Whether there is one.
    mutating func readmit() -> Bool {
        switch excused {
        case 1: slots.0 = .none
        case 2: slots.1 = .none
        case 3: slots.2 = .none
        case 4: slots.3 = .none
        default: return false
        }
        excused = 0
        return true
    }

    @inline(__always) func contains(_ slot: SlotID) -> Bool {
        count > 0 && (slots.0 == slot || slots.1 == slot || slots.2 == slot || slots.3 == slot)
    }
}

/// Random numbers for balancing and ids: fast, seeded once by the system. Not for secrets. (Steele, Lea and Flood,
/// "Fast Splittable Pseudorandom Number Generators", 2014.)
public struct RandomSource: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// A source that begins at `seed`.
    public init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    @inline(__always) public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z &>> 31)
    }

    /// A number below `bound`, which is positive. Its bias is below 2⁻³².
    @inline(__always) mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: ((next() &>> 32) &* UInt64(truncatingIfNeeded: bound)) &>> 32)
    }
}

extension ServiceDirectory {
    /// Picks an endpoint of a service that was not tried; nil where there is none, or none has room. Whoever sends a
    /// request there takes it with ``take(service:tried:now:random:)``.
    @inline(__always)
    package mutating func pick(
        service: Int32, tried: TriedEndpoints, now: Instant, random: inout RandomSource
    ) -> Int32? {
        let places = services[service].near.count
        guard places > 0, tried.count == 0 else { return pickAmongAll(service, tried, now, &random) }
        var picked: Int32
        if places == 1 {
            picked = services[service].near[0]
            guard isOpen(picked, service, now) else { return pickAmongAll(service, tried, now, &random) }
        } else {
            switch services[service].method {
            case .leastRequest: picked = pickOfTwo(service, places, now, &random)
            case .roundRobin: picked = pickNext(service, places, now, &random)
            }
            if picked < 0 { return pickAmongAll(service, tried, now, &random) }
        }
        if services[service].far.count > 0, mayBelongElsewhere(picked, service, now, &random) {
            return pickAmongAll(service, tried, now, &random)
        }
        return picked
    }

    /// Picks an endpoint as ``pick(service:tried:now:random:)`` does and counts the request there, until it is given
    /// back with ``giveBack(_:)``. Never more than the service's limit, from all workers together.
    @inline(__always)
    mutating func take(
        service: Int32, tried: TriedEndpoints, now: Instant, random: inout RandomSource
    ) -> Int32? {
        let limit = services[service].maxConcurrent
        // Another worker may have got the place first; but each time that happens one place fewer is left.
        for _ in 0..<Self.claimsMax {
            guard let picked = pick(service: service, tried: tried, now: now, random: &random) else { return nil }
            if endpoints[picked].claim(limit) { return picked }
        }
        return nil
    }

    /// A request that was counted at an endpoint is over there.
    @inline(__always)
    mutating func giveBack(_ endpoint: Int32) { endpoints[endpoint].giveBack() }

    /// How often a place is asked for that others turn out to have taken.
    private static var claimsMax: Int { 8 }

    /// Whether an endpoint is neither held by this worker nor full.
    @inline(__always)
    func isOpen(_ slot: Int32, _ service: Int32, _ now: Instant) -> Bool {
        !endpoints[slot].load.isHeld(now) && endpoints[slot].hasRoom(services[service].maxConcurrent)
    }

    /// Of two at random the better one; -1 where neither may be asked.
    @inline(__always)
    private func pickOfTwo(_ service: Int32, _ places: Int, _ now: Instant, _ random: inout RandomSource) -> Int32 {
        let i = random.below(places)
        var j = random.below(places &- 1)
        if j >= i { j &+= 1 }
        let a = services[service].near[i]
        let b = services[service].near[j]
        let isOpenA = isOpen(a, service, now)
        let isOpenB = isOpen(b, service, now)
        guard isOpenA, isOpenB else { return isOpenA ? a : isOpenB ? b : -1 }
        // A new one is passed by as often as its share says; two new ones are as good as each other.
        let isInA = isIn(a, now, &random)
        let isInB = isIn(b, now, &random)
        if isInA != isInB { return isInA ? a : b }
        return isBetter(b, than: a, now) ? b : a
    }

    /// The next one whose turn it is; -1 where a few in a row may not be asked.
    @inline(__always)
    private func pickNext(_ service: Int32, _ places: Int, _ now: Instant, _ random: inout RandomSource) -> Int32 {
        for _ in 0..<Self.turnsMax {
            let place = services[service].near.advance(&random)
            let slot = services[service].near[place]
            if isOpen(slot, service, now), !endpoints[slot].load.isFailing(now), isIn(slot, now, &random) {
                return slot
            }
        }
        return -1
    }

    /// How many that may not be asked are passed by before all are looked at.
    private static var turnsMax: Int { 16 }

    /// Whether an endpoint takes part, which a new one does as often as its share says.
    @inline(__always)
    private func isIn(_ slot: Int32, _ now: Instant, _ random: inout RandomSource) -> Bool {
        if !endpoints[slot].load.isRamping(now) { return true }
        return Float(random.below(1 << 20)) < endpoints[slot].load.rampShare(now) * Float(1 << 20)
    }

    /// Whether `a` is likely to answer sooner than `b`. One that has never answered is taken to be as fast as the other,
    /// so that it gets as much as others have, and no more.
    @inline(__always)
    func isBetter(_ a: Int32, than b: Int32, _ now: Instant) -> Bool {
        let countA = endpoints[a].inFlight
        let countB = endpoints[b].inFlight
        let burdenA = endpoints[a].load.burden(countA, now)
        let burdenB = endpoints[b].load.burden(countB, now)
        let latencyA = endpoints[a].load.expectedLatency(countA, now)
        let latencyB = endpoints[b].load.expectedLatency(countB, now)
        if latencyA < 0 || latencyB < 0 { return burdenA < burdenB }
        return burdenA * latencyA < burdenB * latencyB
    }

    /// Whether a near endpoint is so busy, in comparison with a far one at random, or so ill, that all are looked at.
    @inline(__always)
    private func mayBelongElsewhere(
        _ picked: Int32, _ service: Int32, _ now: Instant, _ random: inout RandomSource
    ) -> Bool {
        if endpoints[picked].load.isFailing(now) { return true }
        let far = services[service].far[random.below(services[service].far.count)]
        return spills(
            endpoints[picked].load.scaled(endpoints[picked].inFlight),
            to: endpoints[far].load.scaled(endpoints[far].inFlight))
    }

    /// Whether a near endpoint with so many requests is too busy in comparison with a far one: more than twice as many,
    /// and more than one.
    @inline(__always)
    func spills(_ near: Float, to far: Float) -> Bool { near > max(1, 2 * far) }
}
