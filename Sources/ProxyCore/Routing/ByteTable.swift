// Where is this name? An open-addressing table from byte strings to numbers, flat in memory: one array of slots, one
// arena with all names. A lookup touches a slot or two and the name itself, whether the table holds ten names or ten
// thousand, and it neither allocates nor counts references.

/// A table of byte strings, each with a number. It grows while it is compiled and is only read afterwards.
struct ByteTable: ~Copyable, Sendable {
    /// A place in the table.
    struct Slot {
        /// The hash of salt and name; compared before the name is.
        var hash: UInt64 = 0
        /// What the name belongs to, where one table holds names of several owners.
        var salt: UInt32 = 0
        /// Where the name stands in the arena.
        var start: UInt32 = 0
        /// How many bytes it has.
        var length: UInt32 = 0
        /// Its number; negative: the slot is free.
        var value: Int32 = -1
    }

    private var slots: [Slot] = []
    private var arena: [UInt8] = []
    private var count = 0
    /// The longest name; a longer one need not be looked for.
    private(set) var lengthMax = 0

    /// An empty table.
    init() {}

    /// Whether there is nothing to find.
    @inline(__always) var isEmpty: Bool { count == 0 }

    /// The place where a search for `hash` begins.
    @inline(__always) func firstPlace(for hash: UInt64) -> Int {
        Int(truncatingIfNeeded: hash) & (slots.count &- 1)
    }

    /// The next slot from `place` on whose hash and salt are these, or nil at the first free one. At least half of the
    /// slots are free, so a search is short.
    @inline(__always) func next(_ hash: UInt64, salt: UInt32, from place: inout Int) -> Slot? {
        let slots = slots.span
        guard !slots.isEmpty else { return nil }
        while true {
            let slot = slots[place]
            if slot.value < 0 { return nil }
            place = (place &+ 1) & (slots.count &- 1)
            if slot.hash == hash && slot.salt == salt { return slot }
        }
    }

    /// The byte at `offset` of the arena.
    @inline(__always) func byte(at offset: Int) -> UInt8 { arena.span[offset] }

    /// Adds a name that is not in the table yet.
    mutating func insert(_ name: [UInt8], hash: UInt64, salt: UInt32 = 0, value: Int32) {
        precondition(value >= 0, "negative values mark free slots")
        if slots.count < 2 * (count + 1) { grow() }
        let slot = Slot(
            hash: hash, salt: salt, start: UInt32(arena.count), length: UInt32(name.count), value: value)
        arena.append(contentsOf: name)
        place(slot)
        count += 1
        lengthMax = max(lengthMax, name.count)
    }

    private mutating func place(_ slot: Slot) {
        var at = firstPlace(for: slot.hash)
        while slots[at].value >= 0 { at = (at + 1) & (slots.count - 1) }
        slots[at] = slot
    }

    private mutating func grow() {
        let old = slots
        slots = [Slot](repeating: Slot(), count: max(4, 2 * old.count))
        for slot in old where slot.value >= 0 { place(slot) }
    }
}
