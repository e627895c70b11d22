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

    let bytes: [UInt8]
    var at = 0
    var depth = 0
    var path: [String] = []
    var problems: [JSON5Problem] = []

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

    mutating func text() throws(JSON5Problem) -> JSON5Node {
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

    // MARK: Objects and lists

    mutating func value() throws(JSON5Problem) -> JSON5Node {
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
    mutating func word() throws(JSON5Problem) -> JSON5Value {
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

    mutating func object() throws(JSON5Problem) -> JSON5Value {
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

    mutating func memberName() throws(JSON5Problem) -> String {
        if peek == UInt8(ascii: "\"") || peek == UInt8(ascii: "'") { return try string() }
        if let name = try identifier() { return name }
        throw problem(at: at, "\(found) where a key should be", "a name, or a text in quotes, then a colon")
    }

    mutating func list() throws(JSON5Problem) -> JSON5Value {
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
    mutating func enter() throws(JSON5Problem) {
        depth += 1
        if depth > Self.depthMax {
            throw problem(at: at, "objects and lists stand in one another too deep", "at most \(Self.depthMax) levels")
        }
        at += 1
    }

    // MARK: White space and comments

    mutating func skipSpace() throws(JSON5Problem) {
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

    mutating func skipComment() throws(JSON5Problem) {
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

    var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    func peek(_ ahead: Int) -> UInt8? { at + ahead < bytes.count ? bytes[at + ahead] : nil }

    mutating func take(_ character: Unicode.Scalar) -> Bool { take(UInt8(ascii: character)) }

    mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        at += 1
        return true
    }

    /// The value of a digit, hexadecimal ones included.
    func digit(_ byte: UInt8) -> UInt8? { ASCII.hexDigit(byte) }

    /// The scalar at `offset` and its length. The text was checked before, so it is one.
    func scalar(at offset: Int) -> (Unicode.Scalar, Int) {
        let first = bytes[offset]
        if first < 0x80 { return (Unicode.Scalar(first), 1) }
        let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        var value = UInt32(first) & (0x7F >> UInt32(length))
        for byte in bytes[offset...].dropFirst().prefix(length - 1) { value = value << 6 | UInt32(byte & 0x3F) }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
    }

    /// U+2028 or U+2029, which end a line in JSON5.
    func isLineOrParagraphSeparator(_ offset: Int) -> Bool {
        offset + 2 < bytes.count && bytes[offset] == 0xE2 && bytes[offset + 1] == 0x80
            && bytes[offset + 2] & 0xFE == 0xA8
    }

    func ascii(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    // MARK: Messages

    func problem(at offset: Int, _ wrong: String, _ allowed: String) -> JSON5Problem {
        JSON5Problem(offset: offset, path: path.joined(), wrong: wrong, allowed: allowed)
    }

    func unclosed(_ start: Int, _ kind: String, _ bracket: String) -> JSON5Problem {
        problem(at: start, "the \(kind) that begins here is not closed", "\(bracket) at its end")
    }

    /// What stands here, for messages.
    var found: String {
        guard at < bytes.count else { return "the text ends" }
        let (scalar, _) = scalar(at: at)
        return scalar.value < 0x20 || scalar.value == 0x7F
            ? "control character 0x\(hex(UInt8(scalar.value)))" : "`\(scalar)`"
    }

    func shortened(_ text: String) -> String { text.count <= 40 ? text : text.prefix(40) + "…" }

    func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.utf8.count == 1 ? "0" + digits : digits
    }

    static let lf: UInt8 = 10
    static let cr: UInt8 = 13
    static let valueKinds = "an object, a list, a text in quotes, a number, true, false or null"
}
