import Testing

@testable import ProxyCore

/// Tells a counter when it is destroyed.
private struct Counted: ~Copyable {
    final class Counter { var alive = 0 }
    let counter: Counter
    var value: Int

    init(_ counter: Counter, _ value: Int) {
        self.counter = counter
        self.value = value
        counter.alive += 1
    }

    deinit { counter.alive -= 1 }
}

@Suite struct SlabTests {
    @Test func aNameThatOutlivedItsElementIsRecognised() throws {
        let slab = Slab<Int>(capacity: 10) { 0 }
        defer { slab.destroy() }
        let first = try #require(slab.insert(1))
        #expect(slab.contains(first) && slab[first.index] == 1 && slab.count == 1 && slab.isUsed(first.index))
        slab.remove(first.index)
        #expect(!slab.contains(first) && slab.count == 0 && !slab.isUsed(first.index))
        let second = try #require(slab.insert(2))
        #expect(second.index == first.index && second.generation != first.generation, "the slot is used again at once")
        #expect(slab.contains(second) && !slab.contains(first) && slab.id(second.index) == second)
        #expect(!slab.contains(.none) && SlotID.none.isNone)
        #expect(!slab.contains(SlotID(index: 1 << 20, generation: 0)), "a slot that never was")
        #expect(!slab.contains(SlotID(index: second.index + 1, generation: 0)), "a slot that was never used")
    }

    @Test func slotsGrowByChunksUpToTheirBound() {
        let slab = Slab<Int>(capacity: 300) { 0 }
        defer { slab.destroy() }
        #expect(slab.slotCount == 0)
        var names = Set<SlotID>()
        while let id = slab.insert(names.count) { names.insert(id) }
        // The bound is rounded up to whole chunks.
        #expect(names.count == 512 && slab.count == 512 && slab.slotCount == 512)
        for name in names { slab[name.index] *= 2 }
        let sum = names.reduce(0) { $0 + slab[$1.index] }
        #expect(sum == 512 * 511, "no two elements share a slot")
        slab.remove(17)
        let again = slab.insert(0)
        #expect(again?.index == 17 && slab.insert(0) == nil)
    }

    @Test func elementsStayWhereTheyAreWhileOthersCome() throws {
        let slab = Slab<Int>(capacity: 1000) { 0 }
        defer { slab.destroy() }
        let first = try #require(slab.insert(7))
        for i in 0..<600 { _ = slab.insert(i) }
        #expect(slab.contains(first) && slab[first.index] == 7)
    }

    @Test func elementsAreDestroyedOnce() {
        let counter = Counted.Counter()
        let slab = Slab<Counted>(capacity: 256) { Counted(counter, 0) }
        guard let id = slab.insert(Counted(counter, 1)) else { return }
        #expect(counter.alive == 256, "an unused slot holds a vacant one")
        slab.remove(id.index)
        #expect(counter.alive == 256)
        for i in 0..<256 { _ = slab.insert(Counted(counter, i)) }
        let oneMore = slab.insert(Counted(counter, 0))
        #expect(oneMore == nil)
        #expect(counter.alive == 256)
        slab.destroy()
        #expect(counter.alive == 0)
    }

    @Test func namesStayTrueOverManyRandomSteps() {
        let slab = Slab<Int>(capacity: 512) { -1 }
        defer { slab.destroy() }
        var random = RandomSource(seed: 99)
        var alive: [(id: SlotID, value: Int)] = []
        var gone: [SlotID] = []
        for step in 0..<5000 {
            if alive.isEmpty || random.below(100) < 55, let id = slab.insert(step) {
                alive.append((id, step))
            } else if !alive.isEmpty {
                let (id, value) = alive.remove(at: random.below(alive.count))
                #expect(slab.contains(id) && slab[id.index] == value)
                slab.remove(id.index)
                gone.append(id)
            }
        }
        #expect(slab.count == alive.count)
        #expect(alive.allSatisfy { slab.contains($0.id) && slab[$0.id.index] == $0.value })
        #expect(!gone.contains { slab.contains($0) })
    }
}

@Suite struct TableTests {
    @Test(arguments: [0, 1, 3]) func aTableTakesAsManyAsItHoldsAndNoMore(_ capacity: Int) {
        var table = Table<Int>(capacity: capacity)
        let nothing = table.popLast()
        #expect(table.count == 0 && table.capacity == capacity && nothing == nil)
        var taken = 0
        while table.append(taken * 10) { taken += 1 }
        #expect(taken == capacity && table.count == capacity)
        for i in 0..<capacity { table[i] += i }
        for i in (0..<capacity).reversed() {
            #expect(table[i] == 11 * i)
            let last = table.popLast()
            #expect(last == 11 * i && table.count == i)
        }
        let fits = table.append(7)
        #expect(fits == (capacity > 0))
        table.removeAll()
        #expect(table.count == 0)
    }
}
