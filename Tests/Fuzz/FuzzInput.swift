// How do bytes become a case? The first ones choose among a few settings, the rest is what a peer sends.

/// Takes an input apart, from its front.
struct FuzzInput {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    /// The next byte; 0 where there is none.
    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    /// One of `choices`.
    mutating func choice<T>(_ choices: [T]) -> T { choices[Int(byte()) % choices.count] }

    /// The bytes up to the next zero byte, at most `limit`; the zero is left out.
    mutating func text(limit: Int) -> [UInt8] {
        let text = Array(rest.prefix(limit).prefix { $0 != 0 })
        rest = rest.dropFirst(text.count)
        if rest.first == 0 { rest.removeFirst() }
        return text
    }

    /// All that is left.
    mutating func remainder() -> [UInt8] {
        defer { rest = [] }
        return Array(rest)
    }
}

/// Where to cut `count` bytes: everywhere when there are few, else at the ends and spread between them.
func cuts(_ count: Int) -> [Int] {
    if count <= 160 { return Array(0..<count) }
    let spread = stride(from: 40, to: count - 40, by: max(1, (count - 80) / 40))
    return Array(0..<40) + Array(spread) + Array((count - 40)..<count)
}

extension Sequence<UInt8> {
    /// As text that can be read and pasted into a corpus: `\r \n \t \0 \\ \xHH`.
    var escaped: String {
        var text = ""
        for byte in self {
            switch byte {
            case 13: text += "\\r"
            case 10: text += "\\n"
            case 9: text += "\\t"
            case 0: text += "\\0"
            case UInt8(ascii: "\\"): text += "\\\\"
            case 0x20..<0x7F: text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += (byte < 16 ? "\\x0" : "\\x") + String(byte, radix: 16)
            }
        }
        return text
    }
}
