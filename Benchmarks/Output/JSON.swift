// Results as JSON (RFC 8259): written for others, read again for `--baseline`. Members keep their order.

/// A JSON value.
enum JSON: Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([Member])

    /// A name and its value.
    struct Member: Equatable {
        /// The name.
        let name: String
        /// The value.
        let value: JSON
    }

    /// An object of `members`, in order.
    static func members(_ members: (String, JSON)...) -> JSON {
        .object(members.map { Member(name: $0.0, value: $0.1) })
    }

    /// The member `name` of an object; nil where there is none.
    subscript(name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// The text of a string.
    var text: String? { if case .string(let text) = self { text } else { nil } }

    /// The value of a number.
    var double: Double? { if case .number(let value) = self { value } else { nil } }

    /// The elements of an array.
    var elements: [JSON] { if case .array(let elements) = self { elements } else { [] } }
}

extension JSON {
    /// The text, indented, with a line end.
    func formatted() -> String { written(indent: "") + "\n" }

    private func written(indent: String) -> String {
        let inner = indent + "  "
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .number(let value): return Self.written(value)
        case .string(let text): return Self.quoted(text)
        case .array(let elements):
            if elements.isEmpty { return "[]" }
            let isFlat = elements.allSatisfy { if case .number = $0 { true } else { false } }
            if isFlat { return "[" + elements.map { $0.written(indent: "") }.joined(separator: ", ") + "]" }
            return "[\n" + elements.map { inner + $0.written(indent: inner) }.joined(separator: ",\n") + "\n\(indent)]"
        case .object(let members):
            if members.isEmpty { return "{}" }
            let lines = members.map { "\(inner)\(Self.quoted($0.name)): \($0.value.written(indent: inner))" }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
        }
    }

    private static func written(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        if value == value.rounded(), abs(value) < 1e15 { return String(Int(value)) }
        return abs(value) < 1e-3 ? "\(value)" : fixed(value, 4)
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case let scalar where scalar.value < 0x20:
                result += "\\u" + String(repeating: "0", count: scalar.value < 16 ? 3 : 2)
                result += String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// A text that is not JSON, and where.
struct JSONError: Error, CustomStringConvertible {
    /// The byte at which reading stopped.
    let offset: Int
    /// For people.
    var description: String { "not JSON at byte \(offset)" }
}

extension JSON {
    /// Reads one JSON text.
    init(parsing text: String) throws(JSONError) {
        var reader = JSONReader(bytes: Array(text.utf8))
        self = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.at == reader.bytes.count else { throw JSONError(offset: reader.at) }
    }
}

private struct JSONReader {
    let bytes: [UInt8]
    var at = 0

    mutating func skipSpace() {
        while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    }

    private mutating func take(_ text: String) -> Bool {
        guard bytes[at...].starts(with: text.utf8) else { return false }
        at += text.utf8.count
        return true
    }

    mutating func value(depth: Int) throws(JSONError) -> JSON {
        skipSpace()
        guard at < bytes.count, depth < 64 else { throw JSONError(offset: at) }
        if take("null") { return .null }
        if take("true") { return .bool(true) }
        if take("false") { return .bool(false) }
        switch bytes[at] {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "["):
            return .array(try list("]") { reader throws(JSONError) in try reader.value(depth: depth + 1) })
        case UInt8(ascii: "{"):
            let members = try list("}") { reader throws(JSONError) in
                let name = try reader.string()
                reader.skipSpace()
                guard reader.take(":") else { throw JSONError(offset: reader.at) }
                return JSON.Member(name: name, value: try reader.value(depth: depth + 1))
            }
            return .object(members)
        default: return .number(try number())
        }
    }

    private mutating func list<T>(
        _ end: String, _ element: (inout JSONReader) throws(JSONError) -> T
    ) throws(JSONError) -> [T] {
        at += 1
        var result: [T] = []
        skipSpace()
        if take(end) { return result }
        while true {
            skipSpace()
            result.append(try element(&self))
            skipSpace()
            if take(end) { return result }
            guard take(",") else { throw JSONError(offset: at) }
        }
    }

    private mutating func number() throws(JSONError) -> Double {
        let start = at
        while at < bytes.count, "+-.eE0123456789".utf8.contains(bytes[at]) { at += 1 }
        guard let value = Double(String(decoding: bytes[start..<at], as: UTF8.self)) else {
            throw JSONError(offset: start)
        }
        return value
    }

    private mutating func string() throws(JSONError) -> String {
        guard take("\"") else { throw JSONError(offset: at) }
        var result: [UInt8] = []
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: result, as: UTF8.self) }
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                continue
            }
            guard at < bytes.count else { break }
            let escaped = bytes[at]
            at += 1
            switch escaped {
            case UInt8(ascii: "n"): result.append(0x0A)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "r"): result.append(0x0D)
            case UInt8(ascii: "u"):
                guard at + 4 <= bytes.count,
                    let code = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16),
                    let scalar = Unicode.Scalar(code)
                else { throw JSONError(offset: at) }
                result += Array(String(scalar).utf8)
                at += 4
            default: result.append(escaped)
            }
        }
        throw JSONError(offset: at)
    }
}
