// What does a kubeconfig say? The part of YAML in which kubectl and its kin write: block mappings and sequences, flow
// collections (so JSON too), plain and quoted scalars on one line, block scalars. Whatever else YAML has (anchors, tags,
// scalars that run over lines, several documents) is refused by name and line, and never guessed.

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

    let bytes: [UInt8]
    private var lines: [Line] = []
    private var index = 0
    var depth = 0

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

    /// Refuses what a plain text does not begin with.
    func refuseIndicator(_ byte: UInt8, _ line: Int) throws(YAMLProblem) {
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
}
