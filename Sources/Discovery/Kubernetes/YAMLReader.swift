// What does a kubeconfig say? The part of YAML in which kubectl and its kin write: block mappings and sequences, flow
// collections (so JSON too), plain and quoted scalars on one line, block scalars. Whatever else YAML has (anchors, tags,
// scalars that run over lines, several documents) is refused by name and line, and never guessed.

/// A value of a YAML document, and the line where it stands.
struct YAMLNode: Equatable, Sendable {
    enum Value: Equatable, Sendable {
        case null
        case scalar(String)
        case sequence([YAMLNode])
        case mapping([YAMLEntry])
    }

    var line: Int
    var value: Value

    /// The value under `key` of a mapping; nil where there is none, or null.
    subscript(key: String) -> YAMLNode? {
        guard case .mapping(let entries) = value, let entry = entries.first(where: { $0.key == key }),
            entry.node.value != .null
        else { return nil }
        return entry.node
    }
}

/// One line of a mapping.
struct YAMLEntry: Equatable, Sendable {
    var key: String
    var node: YAMLNode
}

/// Why a text is not read.
struct YAMLProblem: Error, Equatable, Sendable {
    var line: Int
    var text: String
}

/// Reads one document.
struct YAMLReader {
    /// Levels of nesting.
    static let depthMax = 32

    private struct Line {
        var number: Int
        var start: Int
        var end: Int
        var indent: Int
    }

    private let bytes: [UInt8]
    private var lines: [Line] = []
    private var index = 0
    private var depth = 0

    /// - Throws: the first thing that cannot be read.
    static func read(_ bytes: [UInt8]) throws(YAMLProblem) -> YAMLNode {
        var reader = try YAMLReader(bytes)
        guard let first = try reader.current() else { return YAMLNode(line: 1, value: .null) }
        let node = try reader.block(first.indent)
        if let rest = try reader.current() {
            throw YAMLProblem(line: rest.number, text: "this is indented less than what it follows")
        }
        return node
    }

    private init(_ bytes: [UInt8]) throws(YAMLProblem) {
        // A byte order mark is none of YAML's business, and Windows writes it.
        self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        var at = 0
        var number = 1
        var hasContent = false
        lines: while at < self.bytes.count {
            let end = self.bytes[at...].firstIndex(of: 0x0A) ?? self.bytes.count
            var last = end
            while last > at,
                self.bytes[last - 1] == 0x20 || self.bytes[last - 1] == 0x09 || self.bytes[last - 1] == 0x0D
            {
                last -= 1
            }
            var start = at
            while start < last, self.bytes[start] == 0x20 { start += 1 }
            let line = Line(number: number, start: start, end: last, indent: start - at)
            if line.indent == 0, last > start {
                switch self.bytes[start..<last] {
                case let text where text.starts(with: "---".utf8) && (text.count == 3 || text[start + 3] == 0x20):
                    guard !hasContent else {
                        throw YAMLProblem(line: number, text: "only one document is read, and here a second one begins")
                    }
                    guard text.count == 3 else {
                        throw YAMLProblem(line: number, text: "nothing may stand behind ---")
                    }
                    at = end + 1
                    number += 1
                    continue
                case let text where text.elementsEqual("...".utf8): break lines
                case let text where text.first == UInt8(ascii: "%"):
                    throw YAMLProblem(line: number, text: "directives are not read")
                default: break
                }
            }
            hasContent = hasContent || (last > start && self.bytes[start] != UInt8(ascii: "#"))
            lines.append(line)
            at = end + 1
            number += 1
        }
    }

    // MARK: Blocks

    /// The next line with something on it.
    private mutating func current() throws(YAMLProblem) -> Line? {
        while index < lines.count {
            let line = lines[index]
            if line.start < line.end, bytes[line.start] != UInt8(ascii: "#") {
                guard bytes[line.start] != 0x09 else {
                    throw YAMLProblem(line: line.number, text: "a tab cannot indent; use spaces")
                }
                return line
            }
            index += 1
        }
        return nil
    }

    private mutating func block(_ indent: Int) throws(YAMLProblem) -> YAMLNode {
        guard let line = try current(), line.indent >= indent else {
            return YAMLNode(line: lines.last?.number ?? 1, value: .null)
        }
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { throw YAMLProblem(line: line.number, text: "nested too deeply") }
        if isItem(line) { return try sequence(line.indent) }
        if try key(of: line) != nil { return try mapping(line.indent) }
        return try inline(line.start, line, parentIndent: indent - 1)
    }

    private func isItem(_ line: Line) -> Bool {
        bytes[line.start] == UInt8(ascii: "-") && (line.start + 1 == line.end || bytes[line.start + 1] == 0x20)
    }

    private mutating func sequence(_ indent: Int) throws(YAMLProblem) -> YAMLNode {
        let first = lines[index].number
        var items: [YAMLNode] = []
        while let line = try current(), line.indent == indent, isItem(line) {
            // What follows the dash stands as if it had a line of its own.
            var start = line.start + 1
            while start < line.end, bytes[start] == 0x20 { start += 1 }
            if start == line.end || bytes[start] == UInt8(ascii: "#") {
                index += 1
                if let next = try current(), next.indent > indent {
                    items.append(try block(indent + 1))
                } else {
                    items.append(YAMLNode(line: line.number, value: .null))
                }
                continue
            }
            lines[index].indent = indent + start - line.start
            lines[index].start = start
            items.append(try block(indent + 1))
        }
        if let line = try current(), line.indent > indent {
            throw YAMLProblem(line: line.number, text: "this is indented more than what it follows")
        }
        return YAMLNode(line: first, value: .sequence(items))
    }

    private mutating func mapping(_ indent: Int) throws(YAMLProblem) -> YAMLNode {
        let first = lines[index].number
        var entries: [YAMLEntry] = []
        while let line = try current(), line.indent >= indent {
            guard line.indent == indent else {
                throw YAMLProblem(line: line.number, text: "this is indented more than what it follows")
            }
            guard !isItem(line), let (name, after) = try key(of: line) else {
                throw YAMLProblem(line: line.number, text: "a key and a colon are expected")
            }
            guard !entries.contains(where: { $0.key == name }) else {
                throw YAMLProblem(line: line.number, text: "\"\(name)\" stands here a second time")
            }
            var start = after
            while start < line.end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
            if start < line.end, bytes[start] != UInt8(ascii: "#") {
                entries.append(YAMLEntry(key: name, node: try inline(start, line, parentIndent: indent)))
                continue
            }
            index += 1
            if let next = try current(), next.indent > indent {
                entries.append(YAMLEntry(key: name, node: try block(indent + 1)))
            } else if let next = try current(), next.indent == indent, isItem(next) {
                entries.append(YAMLEntry(key: name, node: try sequence(indent)))
            } else {
                entries.append(YAMLEntry(key: name, node: YAMLNode(line: line.number, value: .null)))
            }
        }
        return YAMLNode(line: first, value: .mapping(entries))
    }

    /// The key that a line begins with, and what follows its colon; nil where it has none.
    private func key(of line: Line) throws(YAMLProblem) -> (String, after: Int)? {
        let first = bytes[line.start]
        if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") {
            var at = line.start
            let name = try quoted(&at, line.number)
            while at < line.end, bytes[at] == 0x20 { at += 1 }
            return at < line.end && bytes[at] == UInt8(ascii: ":") ? (name, at + 1) : nil
        }
        if first == UInt8(ascii: "{") || first == UInt8(ascii: "[") { return nil }
        if first == UInt8(ascii: "?") {
            throw YAMLProblem(line: line.number, text: "keys of several lines are not read")
        }
        var at = line.start
        while at < line.end {
            if bytes[at] == UInt8(ascii: ":"), at + 1 == line.end || bytes[at + 1] == 0x20 || bytes[at + 1] == 0x09 {
                try refuseIndicator(first, line.number)
                return (text(line.start, at), at + 1)
            }
            if bytes[at] == UInt8(ascii: "#"), at > line.start, bytes[at - 1] == 0x20 { return nil }
            at += 1
        }
        return nil
    }

    // MARK: Values

    /// A value that begins in the line; afterwards the next line is the present one.
    private mutating func inline(_ start: Int, _ line: Line, parentIndent: Int) throws(YAMLProblem) -> YAMLNode {
        let first = bytes[start]
        switch first {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            var at = start
            var number = line.number
            let node = try flow(&at, &number)
            while index < lines.count, lines[index].number < number { index += 1 }
            try expectEnd(at, lines[index])
            index += 1
            return node
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            var at = start
            let value = try quoted(&at, line.number)
            try expectEnd(at, line)
            index += 1
            return YAMLNode(line: line.number, value: .scalar(value))
        case UInt8(ascii: "|"), UInt8(ascii: ">"):
            return try blockScalar(start, line, parentIndent)
        default:
            try refuseIndicator(first, line.number)
            var end = line.end
            for at in start..<line.end where bytes[at] == UInt8(ascii: "#") && bytes[at - 1] == 0x20 {
                end = at
                break
            }
            while end > start, bytes[end - 1] == 0x20 { end -= 1 }
            for at in start..<end where bytes[at] == UInt8(ascii: ":") && (at + 1 == end || bytes[at + 1] == 0x20) {
                throw YAMLProblem(line: line.number, text: "a second colon: quote the value")
            }
            index += 1
            if let next = try current(), next.indent > max(parentIndent, -1), parentIndent >= 0 {
                throw YAMLProblem(
                    line: next.number, text: "values that run over several lines are not read; quote it in one")
            }
            return YAMLNode(line: line.number, value: Self.plain(text(start, end)))
        }
    }

    private static func plain(_ text: String) -> YAMLNode.Value {
        switch text {
        case "", "~", "null", "Null", "NULL": .null
        default: .scalar(text)
        }
    }

    private func refuseIndicator(_ byte: UInt8, _ line: Int) throws(YAMLProblem) {
        let what: String
        switch byte {
        case UInt8(ascii: "&"): what = "anchors are not read"
        case UInt8(ascii: "*"): what = "aliases are not read"
        case UInt8(ascii: "!"): what = "tags are not read"
        case UInt8(ascii: "@"), UInt8(ascii: "`"), UInt8(ascii: "%"), UInt8(ascii: ","), UInt8(ascii: "]"),
            UInt8(ascii: "}"):
            what = "a value cannot begin with this; quote it"
        default: return
        }
        throw YAMLProblem(line: line, text: what)
    }

    private func expectEnd(_ position: Int, _ line: Line) throws(YAMLProblem) {
        var at = position
        while at < line.end, bytes[at] == 0x20 || bytes[at] == 0x09 { at += 1 }
        guard at >= line.end || (bytes[at] == UInt8(ascii: "#") && at > position) else {
            throw YAMLProblem(line: line.number, text: "something stands behind the value")
        }
    }

    /// `|` keeps line ends, `>` makes them spaces; `-` and `+` say what becomes of the last ones.
    private mutating func blockScalar(_ start: Int, _ line: Line, _ parentIndent: Int) throws(YAMLProblem) -> YAMLNode {
        let isFolded = bytes[start] == UInt8(ascii: ">")
        var at = start + 1
        var chomping: UInt8 = 0
        if at < line.end, bytes[at] == UInt8(ascii: "-") || bytes[at] == UInt8(ascii: "+") {
            chomping = bytes[at]
            at += 1
        }
        guard at >= line.end || bytes[at] == 0x20 else {
            throw YAMLProblem(line: line.number, text: "block scalars with a given indent are not read")
        }
        try expectEnd(at, line)
        index += 1
        var rows: [String] = []
        var indent: Int?
        while index < lines.count {
            let row = lines[index]
            if row.start == row.end {
                rows.append("")
            } else {
                if indent == nil, row.indent > parentIndent { indent = row.indent }
                guard let indent, row.indent >= indent else { break }
                rows.append(String(repeating: " ", count: row.indent - indent) + text(row.start, row.end))
            }
            index += 1
        }
        var trailing = 0
        while rows.last == "" {
            rows.removeLast()
            trailing += 1
        }
        var value = rows.joined(separator: isFolded ? " " : "\n")
        if !rows.isEmpty, chomping != UInt8(ascii: "-") { value += "\n" }
        if chomping == UInt8(ascii: "+") { value += String(repeating: "\n", count: trailing) }
        return YAMLNode(line: line.number, value: .scalar(value))
    }

    // MARK: Flow collections

    private mutating func flow(_ at: inout Int, _ line: inout Int) throws(YAMLProblem) -> YAMLNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { throw YAMLProblem(line: line, text: "nested too deeply") }
        skip(&at, &line)
        guard at < bytes.count else { throw YAMLProblem(line: line, text: "the file ends inside brackets") }
        let first = line
        switch bytes[at] {
        case UInt8(ascii: "{"):
            at += 1
            var entries: [YAMLEntry] = []
            while try !closes(UInt8(ascii: "}"), &at, &line, isFirst: entries.isEmpty) {
                let name = try flowKey(&at, line)
                guard !entries.contains(where: { $0.key == name }) else {
                    throw YAMLProblem(line: line, text: "\"\(name)\" stands here a second time")
                }
                skip(&at, &line)
                guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else {
                    throw YAMLProblem(line: line, text: "a colon is expected behind \"\(name)\"")
                }
                at += 1
                entries.append(YAMLEntry(key: name, node: try flow(&at, &line)))
            }
            return YAMLNode(line: first, value: .mapping(entries))
        case UInt8(ascii: "["):
            at += 1
            var items: [YAMLNode] = []
            while try !closes(UInt8(ascii: "]"), &at, &line, isFirst: items.isEmpty) {
                items.append(try flow(&at, &line))
            }
            return YAMLNode(line: first, value: .sequence(items))
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            return YAMLNode(line: first, value: .scalar(try quoted(&at, line)))
        case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"): return YAMLNode(line: first, value: .null)
        default:
            try refuseIndicator(bytes[at], line)
            return YAMLNode(line: first, value: Self.plain(flowPlain(&at)))
        }
    }

    /// Whether the collection ends here; takes the comma before what goes on.
    private func closes(
        _ bracket: UInt8, _ at: inout Int, _ line: inout Int, isFirst: Bool
    ) throws(YAMLProblem) -> Bool {
        skip(&at, &line)
        guard at < bytes.count else { throw YAMLProblem(line: line, text: "the file ends inside brackets") }
        if !isFirst, bytes[at] == UInt8(ascii: ",") {
            at += 1
            skip(&at, &line)
            guard at < bytes.count else { throw YAMLProblem(line: line, text: "the file ends inside brackets") }
        } else if !isFirst, bytes[at] != bracket {
            throw YAMLProblem(line: line, text: "a comma or the closing bracket is expected")
        }
        guard bytes[at] == bracket else { return false }
        at += 1
        return true
    }

    private func flowKey(_ at: inout Int, _ line: Int) throws(YAMLProblem) -> String {
        if bytes[at] == UInt8(ascii: "\"") || bytes[at] == UInt8(ascii: "'") { return try quoted(&at, line) }
        try refuseIndicator(bytes[at], line)
        let key = flowPlain(&at)
        guard !key.isEmpty else { throw YAMLProblem(line: line, text: "a key is expected") }
        return key
    }

    private func flowPlain(_ at: inout Int) -> String {
        let start = at
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: "{"), UInt8(ascii: "["), 0x0A,
                0x0D:
                return text(start, at)
            case UInt8(ascii: ":") where at + 1 == bytes.count || bytes[at + 1] <= 0x20: return text(start, at)
            case UInt8(ascii: "#") where at > start && bytes[at - 1] == 0x20: return text(start, at)
            default: at += 1
            }
        }
        return text(start, at)
    }

    private func skip(_ at: inout Int, _ line: inout Int) {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x09, 0x0D: at += 1
            case 0x0A:
                at += 1
                line += 1
            case UInt8(ascii: "#") where at == 0 || bytes[at - 1] <= 0x20:
                while at < bytes.count, bytes[at] != 0x0A { at += 1 }
            default: return
            }
        }
    }

    // MARK: Scalars

    /// A quoted scalar, which ends in the line where it begins.
    private func quoted(_ at: inout Int, _ line: Int) throws(YAMLProblem) -> String {
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

    private func text(_ start: Int, _ end: Int) -> String {
        var end = end
        while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }
}
