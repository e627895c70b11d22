// What does request number N look like, and what its answer? Both ends work it out from the number alone, so that the
// client knows every byte that must come back, and a pod tells in eight digits what it received.

/// The form of one request and of its answer, by its number.
struct RequestShape {
    /// POST; otherwise GET.
    let isPost: Bool
    /// Bytes of the request's body; 0 for a GET.
    let bodyBytes: Int
    /// Whether the body goes up in chunks.
    let isChunked: Bool
    /// Bytes of the answer's body.
    let answerBytes: Int
    /// Where in the pattern the two bodies begin.
    let bodyStart: Int
    let answerStart: Int

    /// The shape of request `id`: every second one is a POST, most bodies are small, a few too long for any buffer of
    /// the proxy's.
    init(_ id: Int) {
        let mix = scrambled(UInt64(id))
        isPost = mix & 1 == 1
        let size = Int(mix >> 8 & 0xFFF)
        bodyBytes =
            !isPost ? 0 : mix >> 20 & 63 == 0 ? 120_000 + size * 8 : mix >> 20 & 15 == 1 ? 20_000 + size : 16 + size
        isChunked = isPost && mix >> 26 & 7 == 0
        let answer = Int(mix >> 32 & 0xFFF)
        answerBytes = mix >> 44 & 63 == 0 ? 100_000 + answer * 8 : mix >> 44 & 15 == 1 ? 16_000 + answer : 64 + answer
        bodyStart = Int(mix >> 50 & 0x3FF)
        answerStart = Int(mix >> 54 & 0x3FF)
    }

    /// The longest body of either direction, and the furthest start.
    static let patternBytes = 200_000
}

/// The bytes that bodies are cut from.
func makePattern() -> [UInt8] {
    // A simple rule, because a pod in another language has to follow it, too; its period is longer than it.
    (0..<RequestShape.patternBytes).map { UInt8(truncatingIfNeeded: $0 * 31 + ($0 >> 8) * 7 + ($0 >> 16) * 13) }
}

/// A number that looks random and is always the same for `value` (splitmix64).
func scrambled(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}

/// The hash of a body, in whatever pieces it comes (FNV-1a, 32 bits).
struct BodyDigest {
    /// The hash so far.
    private(set) var value: UInt32 = 0x811C_9DC5

    /// Takes in `bytes` from `range`.
    mutating func add(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        var value = value
        for at in range { value = (value ^ UInt32(bytes[at])) &* 0x0100_0193 }
        self.value = value
    }

    /// As it is written: eight digits.
    var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

/// The number in a target such as `/r/17`; nil for any other target.
func requestNumber(_ bytes: Span<UInt8>, _ start: Int) -> Int? {
    guard matches(bytes, start, "/r/") else { return nil }
    var value = 0
    var at = start + 3
    while at < bytes.count, bytes[at] &- UInt8(ascii: "0") < 10, value < 1 << 50 {
        value = value * 10 + Int(bytes[at] - UInt8(ascii: "0"))
        at += 1
    }
    return at > start + 3 ? value : nil
}
