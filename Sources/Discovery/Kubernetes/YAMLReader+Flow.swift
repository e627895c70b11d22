// Values in brackets, as JSON writes them, over as many lines as they like.

extension YAMLReader {
    /// The value at `at`, which may be in brackets and go on over lines; both are then behind it.
    mutating func flow(_ at: inout Int, _ line: inout Int) throws(YAMLProblem) -> YAMLNode {
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
}
