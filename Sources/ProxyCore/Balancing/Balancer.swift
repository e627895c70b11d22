// Which endpoint gets this request? Of two at random the one with fewer requests under way: nearly as even as asking
// all, without herds (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).

/// Endpoints that a request was already sent to or could not be connected to.
package struct TriedEndpoints: BitwiseCopyable {
    // With generations: the slot of one that is gone may be another's by now, who was not tried.
    private var slots = (SlotID.none, SlotID.none, SlotID.none, SlotID.none)
    private(set) var count = 0

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
    /// Picks an endpoint of a service that was not tried; nil where there is none.
    @inline(__always)
    package mutating func pick(service: Int32, tried: TriedEndpoints, random: inout RandomSource) -> Int32? {
        let count = services[service].members.count
        if count == 0 { return nil }
        if tried.count > 0 { return pickUntried(service, tried, &random) }
        if count == 1 { return services[service].members[0] }
        let i = random.below(count)
        var j = random.below(count &- 1)
        if j >= i { j &+= 1 }
        let a = services[service].members[i]
        let b = services[service].members[j]
        return endpoints[a].inFlight <= endpoints[b].inFlight ? a : b
    }

    private func pickUntried(_ service: Int32, _ tried: TriedEndpoints, _ random: inout RandomSource) -> Int32? {
        let count = services[service].members.count
        let start = random.below(count)
        var best: Int32?
        for k in 0..<count {
            let slot = services[service].members[(start + k) % count]
            if tried.contains(endpoints.id(slot)) { continue }
            if let other = best, endpoints[other].inFlight <= endpoints[slot].inFlight { continue }
            best = slot
        }
        return best
    }
}
