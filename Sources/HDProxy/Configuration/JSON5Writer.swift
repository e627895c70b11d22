// A tree becomes text again: plain JSON, so that every tool reads it, indented for people.

/// Writes a tree as JSON.
enum JSON5Writer {
    /// The text of `value`, with a line feed at its end. Short lists and objects without inner ones stand on one line.
    static func write(_ value: JSON5Value) -> String {
        var text = ""
        write(value, indent: "", into: &text)
        return text + "\n"
    }

    private static func write(_ value: JSON5Value, indent: String, into text: inout String) {
        switch value {
        case .null: text += "null"
        case .bool(let bool): text += bool ? "true" : "false"
        case .number(let number): text += number
        case .string(let string): text += quoted(string)
        case .array(let nodes):
            let parts = nodes.map { (prefix: "", value: $0.value) }
            write(parts, brackets: ("[", "]"), indent: indent, into: &text)
        case .object(let members):
            let parts = members.map { (prefix: quoted($0.name) + ": ", value: $0.node.value) }
            write(parts, brackets: ("{", "}"), indent: indent, into: &text)
        }
    }

    private static func write(
        _ parts: [(prefix: String, value: JSON5Value)], brackets: (open: String, close: String), indent: String,
        into text: inout String
    ) {
        guard !parts.isEmpty else { return text += brackets.open + brackets.close }
        if let line = oneLine(parts), indent.count + line.count <= lineLength {
            return text += brackets.open + " " + line + " " + brackets.close
        }
        let inner = indent + "  "
        text += brackets.open + "\n"
        for (index, part) in parts.enumerated() {
            text += inner + part.prefix
            write(part.value, indent: inner, into: &text)
            text += index == parts.count - 1 ? "\n" : ",\n"
        }
        text += indent + brackets.close
    }

    /// The parts side by side, or nil where one of them holds others.
    private static func oneLine(_ parts: [(prefix: String, value: JSON5Value)]) -> String? {
        var line = ""
        for (index, part) in parts.enumerated() {
            switch part.value {
            case .array(let nodes) where !nodes.isEmpty: return nil
            case .object(let members) where !members.isEmpty: return nil
            default: break
            }
            line += (index == 0 ? "" : ", ") + part.prefix
            write(part.value, indent: "", into: &line)
        }
        return line
    }

    /// `string` in quotes (RFC 8259 §7).
    static func quoted(_ string: String) -> String {
        var text = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }

    private static let lineLength = 100
}
