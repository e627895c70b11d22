// Which hosts have rules? Names in lower case, found by the bytes of a Host field in whatever case they came.

/// Host names, each with a number.
struct HostIndex: ~Copyable, Sendable {
    private var table = ByteTable()
    private let seed: UInt64

    /// An empty index whose hash is keyed with `seed`.
    init(seed: UInt64) { self.seed = seed }

    /// The number of the name that `host` spells between `start` and `end`, any letter case.
    @inline(__always) func find(_ host: Span<UInt8>, from start: Int, to end: Int) -> Int32? {
        guard !table.isEmpty, end &- start <= table.lengthMax else { return nil }
        let hash = hash(host, from: start, to: end)
        var place = table.firstPlace(for: hash)
        while let slot = table.next(hash, salt: 0, from: &place) {
            if equal(host, from: start, to: end, slot) { return slot.value }
        }
        return nil
    }

    /// Adds `name`, which must not be in the index yet.
    mutating func insert(_ name: String, value: Int32) {
        let bytes = name.utf8.map(ASCII.lowercased)
        table.insert(bytes, hash: hash(bytes.span, from: 0, to: bytes.count), value: value)
    }

    @inline(__always) private func hash(_ host: Span<UInt8>, from start: Int, to end: Int) -> UInt64 {
        var hash = SeededHash(seed: seed)
        var at = start
        while at < end {
            hash.append(ASCII.lowercased(host[at]))
            at &+= 1
        }
        return hash.value
    }

    @inline(__always) private func equal(
        _ host: Span<UInt8>, from start: Int, to end: Int, _ slot: ByteTable.Slot
    ) -> Bool {
        guard end &- start == Int(slot.length) else { return false }
        var name = Int(slot.start)
        var at = start
        while at < end {
            if ASCII.lowercased(host[at]) != table.byte(at: name) { return false }
            at &+= 1
            name &+= 1
        }
        return true
    }
}
