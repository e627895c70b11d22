// What happens next? Everything that is left to chance in a simulation comes from here, so that a seed tells it all.

/// The one source of chance of a simulation. (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators".)
final class Dice {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x2545_F491_4F6C_DD1D &+ 0x9E37_79B9 }

    func bits() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z &>> 31)
    }

    /// A number below `bound`, which is positive.
    func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: ((bits() &>> 32) &* UInt64(bound)) &>> 32) }

    /// A number of `range`.
    func within(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }

    /// True in `percent` of a hundred cases.
    func chance(_ percent: Int) -> Bool { below(100) < percent }

    func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

    /// The length of a body: mostly short, often close to where buffers end, seldom so long that it is spliced.
    func bodyCount() -> Int {
        switch below(20) {
        case 0, 1: 0
        case 2...9: within(1...300)
        case 10...13: within(301...9000)
        case 14: 16 * 1024 + within(-3...3)
        case 15: 33 * 1024 + within(-1100...40)
        case 16: 64 * 1024 + within(-3...3)
        case 17: within(9000...64_000)
        default: within(65_000...400_000)
        }
    }

    /// How many bytes one call moves.
    func pieceCount() -> Int {
        switch below(8) {
        case 0: 1
        case 1: within(2...20)
        case 2, 3: within(20...2000)
        case 4: within(2000...40_000)
        default: 1 << 20
        }
    }
}

/// Bytes of bodies: those of each key lie elsewhere in one long random text, so that bytes which are lost, doubled or
/// a stranger's show.
enum Pattern {
    private static let period = 65_521
    private static let text: [UInt8] = {
        let dice = Dice(seed: 42)
        let once = (0..<period).map { _ in UInt8(truncatingIfNeeded: dice.bits()) }
        return once + once
    }()

    /// What a key's bytes are for.
    enum Part: Int {
        case request, response, tunnelUp, tunnelDown
    }

    private static func start(_ id: Int, _ part: Part, _ from: Int) -> Int {
        ((id * 4 + part.rawValue) * 7919 + from) % period
    }

    /// `count` bytes of the body, from position `from` on.
    static func bytes(_ id: Int, _ part: Part, from: Int = 0, count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let at = start(id, part, from + bytes.count)
            bytes += text[at..<at + min(period, count - bytes.count)]
        }
        return bytes
    }

    /// Whether `bytes` are those of the body from position `from` on.
    static func isRight(_ bytes: [UInt8], _ id: Int, _ part: Part, from: Int) -> Bool {
        bytes == Self.bytes(id, part, from: from, count: bytes.count)
    }
}
