// In what order do endpoints come that compete with each other? Compiled when endpoints change, so that a request looks
// one up and computes nothing.

/// Endpoints of one service that compete: as near as each other, and none of them held back by the control plane. Each
/// has as many places in the order as its weight says, evenly spread. So going through it is a smooth weighted round
/// robin, and a place at random is a weighted random choice.
struct Tier: ~Copyable {
    /// Places that the order has at most, unless there are more endpoints.
    static let placesMax = 4096

    /// Slots, in order.
    private var order = Table<Int32>(capacity: 0)
    /// The next one's place; -1 before the first, which is at random, so that workers do not march in step.
    private var next = -1

    /// Nobody.
    init() {}

    /// Places.
    @inline(__always) var count: Int { order.count }

    /// Who has a place.
    @inline(__always) subscript(place: Int) -> Int32 { order[place] }

    /// The place whose turn it is.
    @inline(__always) mutating func advance(_ random: inout RandomSource) -> Int {
        let place = next < 0 ? random.below(order.count) : next < order.count ? next : 0
        next = place &+ 1
        return place
    }

    /// Takes these over, with their weights, which are positive. Whose turn it is stays as it is, as well as it can.
    mutating func arrange(_ members: [(slot: Int32, weight: UInt16)]) {
        let slots = Self.order(members)
        order = Table(capacity: slots.count)
        for slot in slots { _ = order.append(slot) }
    }

    static func order(_ members: [(slot: Int32, weight: UInt16)]) -> [Int32] {
        let divisor = members.reduce(0) { greatestCommonDivisor($0, Int($1.weight)) }
        var weights = members.map { Int($0.weight) / max(1, divisor) }
        let total = weights.reduce(0, +)
        if total == members.count { return members.map(\.slot) }
        // Shares that differ by more than the table is fine are rounded; nobody's becomes nothing.
        if total > placesMax { weights = weights.map { max(1, $0 * placesMax / total) } }
        var places: [(at: Double, slot: Int32)] = []
        places.reserveCapacity(weights.reduce(0, +))
        for (i, (member, weight)) in zip(members, weights).enumerated() {
            // Each begins elsewhere, so that those of little weight do not come one behind the other.
            let phase = (Double(i) + 0.5) / Double(members.count)
            for k in 0..<weight { places.append(((Double(k) + phase) / Double(weight), member.slot)) }
        }
        places.sort { ($0.at, $0.slot) < ($1.at, $1.slot) }
        return places.map(\.slot)
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
