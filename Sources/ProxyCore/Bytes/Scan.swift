// Where is the next byte of interest? Sixteen at a time where runs are long.

/// Searches over bytes.
public enum Scan {
    /// The position of the first control byte other than HTAB (below 0x20, or 0x7F) from `from` on; `bytes.count`
    /// where there is none. In a field line that is its end, or what makes it malformed.
    @inline(__always)
    public static func firstControl(_ bytes: Span<UInt8>, from: Int) -> Int {
        var at = from
        let count = bytes.count
        // Constants are splatted once: comparing a vector with a literal costs many times as much.
        let space = SIMD16<UInt8>(repeating: 0x20)
        let delete = SIMD16<UInt8>(repeating: 0x7F)
        let tab = SIMD16<UInt8>(repeating: 0x09)
        // Safety: at + 16 <= count was checked.
        while at &+ 16 <= count {
            let v = unsafe bytes.bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: at, as: SIMD16<UInt8>.self)
            let hits = ((v .< space) .& (v .!= tab)) .| (v .== delete)
            let words = unsafe unsafeBitCast(hits, to: SIMD2<UInt64>.self)
            if words[0] != 0 { return at &+ words[0].trailingZeroBitCount &>> 3 }
            if words[1] != 0 { return at &+ 8 &+ words[1].trailingZeroBitCount &>> 3 }
            at &+= 16
        }
        while at < count {
            let byte = bytes[at]
            if (byte < 0x20 && byte != 0x09) || byte == 0x7F { return at }
            at &+= 1
        }
        return count
    }

    /// The position of the first byte that may not stand in a request target from `from` on: SP and controls, `#`,
    /// and what is not ASCII (RFC 9112 §3.2). `bytes.count` where there is none.
    @inline(__always)
    public static func endOfTarget(_ bytes: Span<UInt8>, from: Int) -> Int {
        var at = from
        let count = bytes.count
        let bang = SIMD16<UInt8>(repeating: 0x21)
        let delete = SIMD16<UInt8>(repeating: 0x7E)
        let hash = SIMD16<UInt8>(repeating: UInt8(ascii: "#"))
        // Safety: at + 16 <= count was checked.
        while at &+ 16 <= count {
            let v = unsafe bytes.bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: at, as: SIMD16<UInt8>.self)
            let hits = (v .< bang) .| (v .> delete) .| (v .== hash)
            let words = unsafe unsafeBitCast(hits, to: SIMD2<UInt64>.self)
            if words[0] != 0 { return at &+ words[0].trailingZeroBitCount &>> 3 }
            if words[1] != 0 { return at &+ 8 &+ words[1].trailingZeroBitCount &>> 3 }
            at &+= 16
        }
        while at < count {
            let byte = bytes[at]
            if byte < 0x21 || byte > 0x7E || byte == UInt8(ascii: "#") { return at }
            at &+= 1
        }
        return count
    }

    /// Whether the bytes of `range` are `text`, which is lower case, in any letter case.
    @inline(__always)
    public static func equals(_ bytes: Span<UInt8>, _ range: ByteRange, _ text: StaticString) -> Bool {
        let n = text.utf8CodeUnitCount
        guard Int(range.count) == n, range.end <= bytes.count else { return false }
        // Safety: a static string has n bytes.
        let expected = unsafe text.utf8Start
        var at = 0
        while at < n {
            if ASCII.lowercased(bytes[Int(range.start) &+ at]) != (unsafe expected[at]) { return false }
            at &+= 1
        }
        return true
    }

    /// Whether the bytes of `a` and of `b` are the same in any letter case.
    @inline(__always)
    public static func equalsIgnoringCase(_ bytes: Span<UInt8>, _ a: ByteRange, _ b: ByteRange) -> Bool {
        guard a.count == b.count else { return false }
        var at = 0
        while at < Int(a.count) {
            let x = ASCII.lowercased(bytes[Int(a.start) &+ at])
            let y = ASCII.lowercased(bytes[Int(b.start) &+ at])
            if x != y { return false }
            at &+= 1
        }
        return true
    }

    /// `range` without SP and HTAB at its ends (RFC 9110 §5.6.3).
    @inline(__always)
    public static func trimmed(_ bytes: Span<UInt8>, _ range: ByteRange) -> ByteRange {
        var start = Int(range.start)
        var end = range.end
        while start < end, ASCII.isOWS(bytes[start]) { start &+= 1 }
        while end > start, ASCII.isOWS(bytes[end &- 1]) { end &-= 1 }
        return ByteRange(start, end)
    }

    /// Calls `body` with each member of a comma-separated list (RFC 9110 §5.6.1), trimmed; empty ones are skipped.
    /// It stops, and returns false, where `body` does. Commas inside quoted strings are not understood: none of the
    /// lists that a proxy must read has them.
    @inline(__always)
    public static func forEachMember(
        _ bytes: Span<UInt8>, _ range: ByteRange, _ body: (ByteRange) -> Bool
    ) -> Bool {
        var start = Int(range.start)
        let end = range.end
        while start <= end {
            var comma = start
            while comma < end, bytes[comma] != ASCII.comma { comma &+= 1 }
            let member = trimmed(bytes, ByteRange(start, comma))
            if !member.isEmpty, !body(member) { return false }
            start = comma &+ 1
        }
        return true
    }
}
