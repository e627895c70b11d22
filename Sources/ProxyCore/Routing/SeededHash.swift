// How do names become table slots? A keyed multiply-and-fold hash over single bytes, so that a caller can fold case or
// decode while it feeds them and no copy is made. The key is secret: nobody outside can choose names that collide.

/// A hash being made of bytes that come one at a time.
struct SeededHash {
    private var state: UInt64
    private var word: UInt64 = 0
    private var count: UInt64 = 0

    /// A hash under `seed`; `salt` keeps equal bytes apart where they mean different things.
    @inline(__always) init(seed: UInt64, salt: UInt32 = 0) {
        state = Self.fold(seed ^ Self.first, Self.second ^ UInt64(salt))
    }

    /// Takes the next byte.
    @inline(__always) mutating func append(_ byte: UInt8) {
        word = word << 8 | UInt64(byte)
        count &+= 1
        if count & 7 == 0 {
            state = Self.fold(state ^ word, Self.second)
            word = 0
        }
    }

    /// The hash of what was appended so far.
    @inline(__always) var value: UInt64 { Self.fold(state ^ word, Self.first ^ count) }

    /// The full product of both, its halves laid over each other: every bit of the input reaches every bit of the result.
    @inline(__always) private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    // Odd numbers with as many ones as zeros: digits of the golden ratio and of the square root of two.
    private static let first: UInt64 = 0x9E37_79B9_7F4A_7C15
    private static let second: UInt64 = 0x6A09_E667_F3BC_C909
}
