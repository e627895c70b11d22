import Testing

@testable import ProxyCore

@Suite struct ByteBufferTests {
    @Test func bytesAreWrittenAtOneEndAndReadAtTheOther() {
        var buffer = ByteBuffer(capacity: 16)
        #expect(buffer.hasMemory && buffer.isEmpty && buffer.writableCount == 16 && buffer.headroom == 0)
        buffer.append("hello")
        buffer.append(UInt8(ascii: " "))
        buffer.append(Array("world".utf8).span)
        #expect(buffer.text() == "hello world" && buffer.count == 11 && buffer.writableCount == 5)
        buffer.consume(6)
        #expect(buffer.text() == "world" && buffer.headroom == 6)
        buffer.truncate(to: 2)
        #expect(buffer.text() == "wo" && buffer.writableCount == 8)
        buffer.consume(0)
        buffer.consume(2)
        #expect(buffer.isEmpty && buffer.headroom == 8)
        buffer.clear()
        #expect(buffer.isEmpty && buffer.writableCount == 16)
    }

    @Test func aBufferWithoutMemoryIsEmptyInEveryRespect() {
        var buffer = ByteBuffer()
        #expect(!buffer.hasMemory && buffer.isEmpty && buffer.writableCount == 0 && buffer.headroom == 0)
        #expect(buffer.text() == "" && buffer.withReadable { $0.count } == 0)
        buffer.compact()
        buffer.clear()
        buffer.append(utf8: "nothing fits")
        #expect(buffer.count == 0)
    }

    @Test func aHeadIsPutRightBeforeTheBody() {
        var body = ByteBuffer(capacity: 32)
        body.clear(headroom: 10)
        body.append("body")
        var head = ByteBuffer(capacity: 16)
        head.append("xxhead:")
        head.consume(2)
        body.prepend(head)
        #expect(body.text() == "head:body" && body.headroom == 5)
        var five = ByteBuffer(capacity: 5)
        five.append("first")
        body.prepend(five)
        #expect(body.text() == "firsthead:body" && body.headroom == 0)
        body.prepend(ByteBuffer())
        #expect(body.text() == "firsthead:body")
    }

    @Test func whatWasReadCanBeSentAgain() {
        var buffer = ByteBuffer(capacity: 16)
        buffer.append("request")
        buffer.consume(3)
        #expect(buffer.text() == "uest")
        #expect(buffer.withAppended { $0.count } == 7)
        buffer.rewind()
        #expect(buffer.text() == "request")
        buffer.consume(7)
        buffer.rewind()
        #expect(buffer.text() == "request")
    }

    @Test func compactingMovesBytesThatOverlapThemselves() {
        for consumed in 0...16 {
            var buffer = ByteBuffer(capacity: 16)
            buffer.append("0123456789abcdef")
            buffer.consume(consumed)
            let text = buffer.text()
            buffer.compact()
            #expect(buffer.text() == text && buffer.headroom == 0 && buffer.writableCount == consumed)
        }
    }

    @Test func appendingFromAnotherBufferStopsWhereEitherEnds() {
        let cases: [(room: Int, limit: Int, text: String)] = [
            (10, .max, "hello"), (5, .max, "hello"), (3, .max, "hel"), (10, 2, "he"), (10, 0, ""), (0, .max, ""),
        ]
        for (room, limit, text) in cases {
            var source = ByteBuffer(capacity: 8)
            source.append("__hello")
            source.consume(2)
            var buffer = ByteBuffer(capacity: room)
            let taken = buffer.append(from: source, limit: limit)
            #expect(taken == text.utf8.count && buffer.text() == text && source.text() == "hello")
        }
    }

    @Test func numbersAreSpelled() {
        let cases: [(value: UInt64, decimal: String, hex: String, wide: String)] = [
            (0, "0", "0", "0000"), (7, "7", "7", "0007"), (10, "10", "a", "000a"), (255, "255", "ff", "00ff"),
            (256, "256", "100", "0100"), (65_535, "65535", "ffff", "ffff"), (65_536, "65536", "10000", "10000"),
            (1 << 60, "1152921504606846976", "1000000000000000", "1000000000000000"),
            (.max, "18446744073709551615", "ffffffffffffffff", "ffffffffffffffff"),
        ]
        for (value, decimal, hex, wide) in cases {
            var buffer = ByteBuffer(capacity: 64)
            buffer.append(decimal: value)
            buffer.append(" ")
            buffer.append(hex: value)
            buffer.append(" ")
            buffer.append(hex: value, width: 4)
            #expect(buffer.text() == "\(decimal) \(hex) \(wide)")
        }
    }

    @Test func rangesCountFromTheFirstReadableByte() {
        var buffer = ByteBuffer(capacity: 16)
        buffer.append("..abcdef")
        buffer.consume(2)
        let range = ByteRange(1, 4)
        #expect(range.end == 4 && range.count == 3 && range.range == 1..<4 && !range.isEmpty && ByteRange().isEmpty)
        var copy = ByteBuffer(capacity: 16)
        buffer.withReadable {
            copy.append($0, range)
            copy.append($0, from: 5, count: 1)
            copy.append($0, from: 6, count: 0)
        }
        #expect(copy.text() == "bcdf")
    }
}

@Suite struct BufferPoolTests {
    @Test func everySizeHasItsMemoryAndStreamsTheirHeadroom() {
        var pool = BufferPool(largeHeadBytes: 50_000)
        let cases: [(size: BufferPool.Size, capacity: Int, headroom: Int)] = [
            (.head, BufferPool.headCapacity, 0),
            (.stream, BufferPool.streamCapacity, BufferPool.streamHeadroom),
            (.largeHead, 50_000, 0),
        ]
        for (size, capacity, headroom) in cases {
            var buffer = ByteBuffer()
            pool.supply(&buffer, size)
            #expect(Int(buffer.capacity) == capacity && buffer.headroom == headroom && buffer.isEmpty)
            #expect(buffer.writableCount == capacity - headroom && pool.lent == 1)
            buffer.append("left behind")
            pool.reclaim(&buffer)
            #expect(!buffer.hasMemory && buffer.isEmpty && pool.lent == 0)
            pool.reclaim(&buffer)
            #expect(pool.lent == 0, "what has no memory is not taken back twice")
        }
    }

    @Test func memoryThatCameBackLastIsGivenFirstAndBeginsEmpty() {
        var pool = BufferPool()
        var first = ByteBuffer()
        var second = ByteBuffer()
        pool.supply(&first, .head)
        pool.supply(&second, .head)
        first.append("first")
        second.append("second")
        pool.reclaim(&first)
        pool.reclaim(&second)
        pool.supply(&first, .head)
        #expect(first.isEmpty && first.headroom == 0)
        // The bytes of whoever had it before are still there: nobody may see them by `rewind`.
        first.rewind()
        #expect(first.count == 0)
        let shown = unsafe first.withUnsafeWritable(limit: 6) { _ in 6 }
        #expect(shown == 6 && first.text() == "second")
        pool.reclaim(&first)
    }

    @Test func growingKeepsTheBytesAndLendsNoMore() {
        for (from, to) in [(BufferPool.Size.head, BufferPool.Size.stream), (.head, .largeHead), (.stream, .largeHead)] {
            var pool = BufferPool()
            var buffer = ByteBuffer()
            pool.supply(&buffer, from)
            buffer.append("__head")
            buffer.consume(2)
            let capacity = buffer.capacity
            pool.grow(&buffer, to: to)
            #expect(buffer.text() == "head" && buffer.headroom == 0 && buffer.capacity > capacity && pool.lent == 1)
            pool.reclaim(&buffer)
            #expect(pool.lent == 0)
        }
    }

    @Test func moreFreeMemoryThanIsKeptGoesBackToTheSystem() {
        var pool = BufferPool(kept: 2)
        for size in [BufferPool.Size.head, .stream] {
            var a = ByteBuffer()
            var b = ByteBuffer()
            var c = ByteBuffer()
            pool.supply(&a, size)
            pool.supply(&b, size)
            pool.supply(&c, size)
            #expect(pool.lent == 3)
            pool.reclaim(&a)
            pool.reclaim(&b)
            pool.reclaim(&c)
            #expect(pool.lent == 0 && !a.hasMemory && !b.hasMemory && !c.hasMemory)
            pool.trim()
            pool.supply(&a, size)
            #expect(a.hasMemory && pool.lent == 1)
            pool.reclaim(&a)
        }
    }
}
