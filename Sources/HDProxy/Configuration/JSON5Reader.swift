// Bytes become a JSON5 tree (https://spec.json5.org), or one syntax error that says where. Ours, because Foundation's
// decoder tells neither line nor column and lets a name that stands twice pass.
//
// Everything that a file may do wrong is an answer, nothing is a trap: text that is not UTF-8, nesting without end,
// numbers of any length. A name that stands twice in one object is reported and reading goes on; anything else that is
// wrong ends it, since what follows a broken token is guesswork.

import ProxyCore

/// Something wrong with the text, at a byte of it.
struct JSON5Problem: Error, Equatable {
    /// The byte that it is about.
    var offset: Int
    /// The keys that lead there, as in `listeners[0].address`; empty at the top.
    var path: String
    /// What is wrong.
    var wrong: String
    /// What would be right.
    var allowed: String
}

/// Reads one JSON5 text.
struct JSON5Reader {
    /// A larger text is refused unread.
    static let bytesMax = 4 * 1024 * 1024
    /// Objects and lists may stand in one another this deep.
    static let depthMax = 64

    private let bytes: [UInt8]
    private var at = 0
    private var depth = 0
    private var path: [String] = []
    private var problems: [JSON5Problem] = []

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The value that `bytes` spell. Without a problem there always is one.
    static func read(_ bytes: [UInt8]) -> (root: JSON5Node?, problems: [JSON5Problem]) {
        var reader = JSON5Reader(bytes)
        do throws(JSON5Problem) {
            let root = try reader.text()
            return (root, reader.problems)
        } catch {
            return (nil, reader.problems + [error])
        }
    }

    private mutating func text() throws(JSON5Problem) -> JSON5Node {
        if bytes.count > Self.bytesMax {
            throw problem(at: 0, "the text has \(bytes.count) bytes", "at most \(Self.bytesMax) (4 MiB)")
        }
        if let offset = UTF8Check.firstInvalid(in: bytes) {
            throw problem(at: offset, "byte 0x\(hex(bytes[offset])) is not UTF-8 here", "text in UTF-8")
        }
        try skipSpace()
        if at == bytes.count { throw problem(at: at, "there is nothing in it", "a JSON5 object, { … }") }
        let root = try value()
        try skipSpace()
        if at < bytes.count {
            throw problem(at: at, "\(found) after the end of the value", "one value, comments and white space")
        }
        return root
    }

    // MARK: Values

    private mutating func value() throws(JSON5Problem) -> JSON5Node {
        let start = at
        guard let byte = peek else { throw problem(at: at, "the text ends where a value should be", Self.valueKinds) }
        switch byte {
        case UInt8(ascii: "{"): return JSON5Node(value: try object(), offset: start)
        case UInt8(ascii: "["): return JSON5Node(value: try list(), offset: start)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return JSON5Node(value: .string(try string()), offset: start)
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            return JSON5Node(value: .number(try number()), offset: start)
        default: return JSON5Node(value: try word(), offset: start)
        }
    }

    /// `null`, `true`, `false`, `Infinity` and `NaN`.
    private mutating func word() throws(JSON5Problem) -> JSON5Value {
        let start = at
        guard let name = try identifier() else {
            throw problem(at: start, "\(found) where a value should be", Self.valueKinds)
        }
        switch name {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        case "Infinity", "NaN": return .number(name)
        default:
            throw problem(
                at: start, "`\(shortened(name))` is not a value", "quotes around a text, or true, false, null")
        }
    }

    private mutating func object() throws(JSON5Problem) -> JSON5Value {
        let start = at
        try enter()
        var members: [JSON5Member] = []
        var names: Set<String> = []
        while true {
            try skipSpace()
            if take("}") { break }
            if at == bytes.count { throw unclosed(start, "object", "}") }
            let offset = at
            let name = try memberName()
            path.append(JSON5Path.step(to: name, isFirst: path.isEmpty))
            if !names.insert(name).inserted {
                problems.append(problem(at: offset, "stands twice in the same object", "each key once"))
            }
            try skipSpace()
            guard take(":") else { throw problem(at: at, "\(found) after the key", "a colon, then the value") }
            try skipSpace()
            members.append(JSON5Member(name: name, offset: offset, node: try value()))
            path.removeLast()
            try skipSpace()
            if take(",") { continue }
            if take("}") { break }
            if at == bytes.count { throw unclosed(start, "object", "}") }
            throw problem(at: at, "\(found) after the value of \(JSON5Writer.quoted(shortened(name)))", "a comma or }")
        }
        depth -= 1
        return .object(members)
    }

    private mutating func memberName() throws(JSON5Problem) -> String {
        if peek == UInt8(ascii: "\"") || peek == UInt8(ascii: "'") { return try string() }
        if let name = try identifier() { return name }
        throw problem(at: at, "\(found) where a key should be", "a name, or a text in quotes, then a colon")
    }

    private mutating func list() throws(JSON5Problem) -> JSON5Value {
        let start = at
        try enter()
        var nodes: [JSON5Node] = []
        while true {
            try skipSpace()
            if take("]") { break }
            if at == bytes.count { throw unclosed(start, "list", "]") }
            path.append("[\(nodes.count)]")
            nodes.append(try value())
            path.removeLast()
            try skipSpace()
            if take(",") { continue }
            if take("]") { break }
            if at == bytes.count { throw unclosed(start, "list", "]") }
            throw problem(at: at, "\(found) after element \(nodes.count) of the list", "a comma or ]")
        }
        depth -= 1
        return .array(nodes)
    }

    /// Steps over the opening bracket.
    private mutating func enter() throws(JSON5Problem) {
        depth += 1
        if depth > Self.depthMax {
            throw problem(at: at, "objects and lists stand in one another too deep", "at most \(Self.depthMax) levels")
        }
        at += 1
    }

    // MARK: Numbers

    private mutating func number() throws(JSON5Problem) -> String {
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

    private func notANumber(_ start: Int) -> JSON5Problem {
        problem(
            at: start, "this is not a number",
            "digits, perhaps with a sign, a fraction and an exponent, or 0x…; "
                + "a value with a unit stands in quotes, as in \"10s\"")
    }

    private mutating func takeDigits(isHex: Bool = false) -> Int {
        let start = at
        while let byte = peek, digit(byte).map({ isHex || $0 < 10 }) ?? false { at += 1 }
        return at - start
    }

    private mutating func takeWord(_ word: String) throws(JSON5Problem) -> Bool {
        let before = at
        if try identifier() == word { return true }
        at = before
        return false
    }

    // MARK: Strings

    private mutating func string() throws(JSON5Problem) -> String {
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
                    "its quote again; \\ at the end of a line "
                        + "goes on on the next one")
            default:
                text.append(byte)
                at += 1
            }
        }
        throw problem(at: start, "the text is not closed", "its quote again")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSON5Problem) {
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
    private mutating func unicodeEscape(_ start: Int) throws(JSON5Problem) -> Unicode.Scalar {
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

    private mutating func takeHex(_ count: Int) -> UInt32? {
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
    private mutating func identifier() throws(JSON5Problem) -> String? {
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

    private func isNamePart(_ scalar: Unicode.Scalar, isFirst: Bool) -> Bool {
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

    // MARK: White space and comments

    private mutating func skipSpace() throws(JSON5Problem) {
        while let byte = peek {
            if byte == UInt8(ascii: "/") {
                try skipComment()
                continue
            }
            let (scalar, length) = scalar(at: at)
            switch scalar {
            case " ", "\t", "\n", "\r", "\u{0B}", "\u{0C}", "\u{A0}", "\u{FEFF}", "\u{2028}", "\u{2029}": at += length
            case _ where !scalar.isASCII && scalar.properties.generalCategory == .spaceSeparator: at += length
            default: return
            }
        }
    }

    private mutating func skipComment() throws(JSON5Problem) {
        let start = at
        if peek(1) == UInt8(ascii: "/") {
            while let byte = peek, byte != Self.lf, byte != Self.cr, !isLineOrParagraphSeparator(at) { at += 1 }
        } else if peek(1) == UInt8(ascii: "*") {
            at += 2
            while !(peek == UInt8(ascii: "*") && peek(1) == UInt8(ascii: "/")) {
                if at >= bytes.count { throw problem(at: start, "the comment is not closed", "*/ at its end") }
                at += 1
            }
            at += 2
        } else {
            throw problem(at: start, "a slash that begins no comment", "// or /*")
        }
    }

    // MARK: Bytes

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private func peek(_ ahead: Int) -> UInt8? { at + ahead < bytes.count ? bytes[at + ahead] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool { take(UInt8(ascii: character)) }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        at += 1
        return true
    }

    /// The value of a digit, hexadecimal ones included.
    private func digit(_ byte: UInt8) -> UInt8? { ASCII.hexDigit(byte) }

    /// The scalar at `offset` and its length. The text was checked before, so it is one.
    private func scalar(at offset: Int) -> (Unicode.Scalar, Int) {
        let first = bytes[offset]
        if first < 0x80 { return (Unicode.Scalar(first), 1) }
        let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        var value = UInt32(first) & (0x7F >> UInt32(length))
        for byte in bytes[offset...].dropFirst().prefix(length - 1) { value = value << 6 | UInt32(byte & 0x3F) }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
    }

    /// U+2028 or U+2029, which end a line in JSON5.
    private func isLineOrParagraphSeparator(_ offset: Int) -> Bool {
        offset + 2 < bytes.count && bytes[offset] == 0xE2 && bytes[offset + 1] == 0x80
            && bytes[offset + 2] & 0xFE == 0xA8
    }

    private func ascii(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    // MARK: Messages

    private func problem(at offset: Int, _ wrong: String, _ allowed: String) -> JSON5Problem {
        JSON5Problem(offset: offset, path: path.joined(), wrong: wrong, allowed: allowed)
    }

    private func unclosed(_ start: Int, _ kind: String, _ bracket: String) -> JSON5Problem {
        problem(at: start, "the \(kind) that begins here is not closed", "\(bracket) at its end")
    }

    /// What stands here, for messages.
    private var found: String {
        guard at < bytes.count else { return "the text ends" }
        let (scalar, _) = scalar(at: at)
        return scalar.value < 0x20 || scalar.value == 0x7F
            ? "control character 0x\(hex(UInt8(scalar.value)))" : "`\(scalar)`"
    }

    private func shortened(_ text: String) -> String { text.count <= 40 ? text : text.prefix(40) + "…" }

    private func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.utf8.count == 1 ? "0" + digits : digits
    }

    private static let lf: UInt8 = 10
    private static let cr: UInt8 = 13
    private static let valueKinds = "an object, a list, a text in quotes, a number, true, false or null"
}

/// Whether bytes are UTF-8 (RFC 3629 §4).
enum UTF8Check {
    /// The offset of the first byte that is not part of well-formed UTF-8, or nil.
    static func firstInvalid(in bytes: [UInt8]) -> Int? {
        var at = 0
        while at < bytes.count {
            let first = bytes[at]
            var second: ClosedRange<UInt8> = 0x80...0xBF
            let length: Int
            switch first {
            case 0x00...0x7F: length = 1
            case 0xC2...0xDF: length = 2
            case 0xE0: (length, second) = (3, 0xA0...0xBF)
            case 0xED: (length, second) = (3, 0x80...0x9F)
            case 0xE1...0xEF: length = 3
            case 0xF0: (length, second) = (4, 0x90...0xBF)
            case 0xF1...0xF3: length = 4
            case 0xF4: (length, second) = (4, 0x80...0x8F)
            default: return at
            }
            guard at + length <= bytes.count else { return at }
            for i in 1..<max(length, 1) where !(i == 1 ? second : 0x80...0xBF).contains(bytes[at + i]) { return at }
            at += length
        }
        return nil
    }
}
