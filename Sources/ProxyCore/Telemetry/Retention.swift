// For how long is remembered what is gone? Totals belong to names: a route, service or endpoint that comes back under
// its name goes on counting, and one that is gone can still be read for a while, so that no scrape misses its last count.

/// Which totals belong to which names, and since when nobody uses them. Only the control plane's changes come here.
struct Retention<Key: Hashable> {
    /// For how long totals are kept that nobody uses any more.
    static var time: Instant.Span { .milliseconds(600_000) }
    /// Names of that kind that are kept; beyond it the one that went first is forgotten.
    static var departedMax: Int { 4096 }

    struct Entry {
        var slot: SlotID
        var uses = 1
        var leftAt = Instant.never
    }

    /// All names that are known.
    private(set) var entries: [Key: Entry] = [:]
    /// Departures in their order; one that has come back since is passed over.
    private var departures: [(key: Key, at: Instant)] = []
    private var first = 0
    /// Departures that are remembered, those that came back included.
    var departuresCount: Int { departures.count }
    private var departedCount = 0

    /// The totals of `key`, which `make` makes where there are none; ``release(_:at:)`` gives them back.
    mutating func use(_ key: Key, make: () -> SlotID?) -> SlotID {
        if var entry = entries[key] {
            if entry.uses == 0 { departedCount -= 1 }
            entry.uses += 1
            entry.leftAt = .never
            entries[key] = entry
            return entry.slot
        }
        guard let slot = make() else { return .none }
        entries[key] = Entry(slot: slot)
        return slot
    }

    /// One of those that use the totals of `key` is gone.
    mutating func release(_ key: Key, at now: Instant) {
        guard var entry = entries[key], entry.uses > 0 else { return }
        entry.uses -= 1
        if entry.uses == 0 {
            entry.leftAt = now
            departures.append((key, now))
            departedCount += 1
        }
        entries[key] = entry
    }

    /// Forgets names whose time is over, and those that are too many; returns their slots, which the caller frees.
    /// What `isNeeded` still is kept for as long again.
    mutating func forget(at now: Instant, isNeeded: (SlotID) -> Bool = { _ in false }) -> [SlotID] {
        var freed: [SlotID] = []
        let end = departures.count
        while first < end {
            let (key, at) = departures[first]
            if let entry = entries[key], entry.uses == 0, entry.leftAt == at {
                guard departedCount > Self.departedMax || at + Self.time <= now else { break }
                first += 1
                if isNeeded(entry.slot) {
                    entries[key]?.leftAt = now
                    departures.append((key, now))
                    continue
                }
                freed.append(entry.slot)
                entries[key] = nil
                departedCount -= 1
            } else {
                first += 1
            }
        }
        // Who comes and goes all the time leaves many old departures behind.
        if departures.count > 4 * Self.departedMax || first == departures.count {
            departures = departures[first...].filter { departure in
                entries[departure.key].map { $0.uses == 0 && $0.leftAt == departure.at } ?? false
            }
            first = 0
        }
        return freed
    }
}
