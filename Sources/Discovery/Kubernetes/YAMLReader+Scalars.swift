// Values that are one text, with quotes around it or without.

extension YAMLReader {
    /// A quoted scalar, which ends in the line where it begins.
    func quoted(_ at: inout Int, _ line: Int) throws(YAMLProblem) -> String {
        let quote = bytes[at]
        at += 1
        var value: [UInt8] = []
        while at < bytes.count, bytes[at] != 0x0A {
            let byte = bytes[at]
            at += 1
            if byte == quote {
                guard quote == UInt8(ascii: "'"), at < bytes.count, bytes[at] == quote else {
                    return String(decoding: value, as: UTF8.self)
                }
                at += 1
                value.append(quote)
            } else if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                value += try escape(&at, line)
            } else {
                value.append(byte)
            }
        }
        throw YAMLProblem(line: line, text: "the quotation mark is not closed in its line")
    }

    private func escape(_ at: inout Int, _ line: Int) throws(YAMLProblem) -> [UInt8] {
        let bad = YAMLProblem(line: line, text: "an escape sequence that is not known")
        guard at < bytes.count else { throw bad }
        defer { at += 1 }
        switch bytes[at] {
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [bytes[at]]
        case UInt8(ascii: "x"): return try codePoint(&at, digits: 2, bad)
        case UInt8(ascii: "u"): return try codePoint(&at, digits: 4, bad)
        default: throw bad
        }
    }

    private func codePoint(_ at: inout Int, digits: Int, _ bad: YAMLProblem) throws(YAMLProblem) -> [UInt8] {
        var value: UInt32 = 0
        for _ in 0..<digits {
            at += 1
            guard at < bytes.count, let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue else { throw bad }
            value = value << 4 | UInt32(digit)
        }
        guard let scalar = Unicode.Scalar(value) else { throw bad }
        return Array(String(Character(scalar)).utf8)
    }

    /// The bytes from `start` to `end` without spaces at their end.
    func text(_ start: Int, _ end: Int) -> String {
        var end = end
        while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    /// What a text without quotes stands for.
    static func plain(_ text: String) -> YAMLNode.Value {
        switch text {
        case "", "~", "null", "Null", "NULL": .null
        default: .scalar(text)
        }
    }
}
