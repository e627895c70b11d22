// The tokens of a JSON5 text: numbers, texts in quotes, and names. Each function begins at the first byte of its token and
// ends behind the last one.

extension JSON5Reader {
    // MARK: Numbers

    mutating func number() throws(JSON5Problem) -> String {
        let start = at
        if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { at += 1 }
        let body = at
        for word in ["Infinity", "NaN"] where try takeWord(word) { return ascii(start..<at) }
        if peek == UInt8(ascii: "0"), peek(1) == UInt8(ascii: "x") || peek(1) == UInt8(ascii: "X") {
            at += 2
            if takeDigits(isHex: true) == 0 { throw notANumber(start) }
        } else {
            let whole = takeDigits()
            if whole > 1, bytes[body] == UInt8(ascii: "0") {
                throw problem(at: start, "a number must not begin with 0", "decimal without leading zeros, or 0x…")
            }
            var fraction = 0
            if take(".") { fraction = takeDigits() }
            if whole + fraction == 0 { throw notANumber(start) }
            if take("e") || take("E") {
                if !take("+") { _ = take("-") }
                if takeDigits() == 0 { throw notANumber(start) }
            }
        }
        let end = at
        if try identifier() != nil || takeDigits() > 0 { throw notANumber(start) }
        return ascii(start..<end)
    }

    func notANumber(_ start: Int) -> JSON5Problem {
        problem(
            at: start, "this is not a number",
            "digits, perhaps with a sign, a fraction and an exponent, or 0x…; "
                + "a value with a unit stands in quotes, as in \"10s\"")
    }

    mutating func takeDigits(isHex: Bool = false) -> Int {
        let start = at
        while let byte = peek, digit(byte).map({ isHex || $0 < 10 }) ?? false { at += 1 }
        return at - start
    }

    mutating func takeWord(_ word: String) throws(JSON5Problem) -> Bool {
        let before = at
        if try identifier() == word { return true }
        at = before
        return false
    }

    // MARK: Texts

    mutating func string() throws(JSON5Problem) -> String {
        let start = at
        let quote = bytes[at]
        at += 1
        var text: [UInt8] = []
        while let byte = peek {
            switch byte {
            case quote:
                at += 1
                // Every part was checked or made by us, so nothing is repaired here.
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case Self.lf, Self.cr:
                throw problem(
                    at: start, "the text is not closed on its line",
                    "its quote again; \\ at the end of a line goes on on the next one")
            default:
                text.append(byte)
                at += 1
            }
        }
        throw problem(at: start, "the text is not closed", "its quote again")
    }

    mutating func escape(into text: inout [UInt8]) throws(JSON5Problem) {
        let start = at
        at += 1
        guard let byte = peek else { throw problem(at: start, "the text ends in an escape", "a character behind \\") }
        at += 1
        switch byte {
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(Self.lf)
        case UInt8(ascii: "r"): text.append(Self.cr)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "v"): text.append(11)
        case UInt8(ascii: "0") where peek.map({ digit($0).map { $0 >= 10 } ?? true }) ?? true: text.append(0)
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            throw problem(at: start, "a digit cannot be escaped", "\\0, \\xHH or \\uHHHH")
        case UInt8(ascii: "x"):
            guard let value = takeHex(2), let scalar = Unicode.Scalar(value) else {
                throw problem(at: start, "\\x without two hexadecimal digits", "as in \\x41")
            }
            text.append(contentsOf: String(Character(scalar)).utf8)
        case UInt8(ascii: "u"): text.append(contentsOf: String(Character(try unicodeEscape(start))).utf8)
        case Self.lf: break
        case Self.cr: _ = take(Self.lf)
        case 0xE2 where isLineOrParagraphSeparator(at - 1): at += 2
        default:
            // Any other character stands for itself; of a longer one the rest follows by itself.
            text.append(byte)
        }
    }

    /// The scalar of `\uHHHH`, or of two of them that form a surrogate pair; the first `\u` is read.
    mutating func unicodeEscape(_ start: Int) throws(JSON5Problem) -> Unicode.Scalar {
        guard let first = takeHex(4) else {
            throw problem(at: start, "\\u without four hexadecimal digits", "as in \\u00e4")
        }
        if let scalar = Unicode.Scalar(first) { return scalar }
        if first < 0xDC00, take("\\"), take("u"), let second = takeHex(4), 0xDC00..<0xE000 ~= second,
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        {
            return scalar
        }
        throw problem(at: start, "half of a surrogate pair", "both halves, as in \\ud83d\\ude00")
    }

    mutating func takeHex(_ count: Int) -> UInt32? {
        var value: UInt32 = 0
        for i in 0..<count {
            guard let byte = peek(i), let digit = digit(byte) else { return nil }
            value = value << 4 | UInt32(digit)
        }
        at += count
        return value
    }

    // MARK: Names

    /// The ES5.1 IdentifierName that stands here, or nil and nothing is read.
    mutating func identifier() throws(JSON5Problem) -> String? {
        var name = String.UnicodeScalarView()
        while at < bytes.count {
            let start = at
            var (scalar, length) = scalar(at: at)
            if scalar == "\\" {
                guard peek(1) == UInt8(ascii: "u") else { break }
                at += 2
                scalar = try unicodeEscape(start)
                length = 0
                guard isNamePart(scalar, isFirst: name.isEmpty) else {
                    throw problem(at: start, "the escape stands for nothing that a name may hold", "a letter")
                }
            }
            guard isNamePart(scalar, isFirst: name.isEmpty) else { break }
            at += length
            name.append(scalar)
        }
        return name.isEmpty ? nil : String(name)
    }

    func isNamePart(_ scalar: Unicode.Scalar, isFirst: Bool) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "_", "$": return true
        case "0"..."9": return !isFirst
        case _ where scalar.isASCII: return false
        default: break
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .letterNumber:
            return true
        case .nonspacingMark, .spacingMark, .decimalNumber, .connectorPunctuation: return !isFirst
        default: return !isFirst && (scalar == "\u{200C}" || scalar == "\u{200D}")
        }
    }
}
