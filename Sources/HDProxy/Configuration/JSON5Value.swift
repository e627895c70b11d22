// What does a JSON5 text say? A tree that remembers where each part stands, so that whoever finds something wrong with
// a value can point at it.

/// A value and where it stands.
struct JSON5Node: Equatable {
    /// What it is.
    var value: JSON5Value
    /// The offset of its first byte in the text; 0 for a value that we made ourselves.
    var offset = 0
}

/// A JSON5 value.
indirect enum JSON5Value: Equatable {
    case null
    case bool(Bool)
    /// A number, as it is spelled: what range and precision it needs is known only to its reader.
    case number(String)
    case string(String)
    case array([JSON5Node])
    /// Members in the order of the text; no name twice.
    case object([JSON5Member])

    /// The kind with its article, for messages.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

/// A member of an object.
struct JSON5Member: Equatable {
    /// Its name, quotes and escapes resolved.
    var name: String
    /// Where the name stands.
    var offset = 0
    /// Its value.
    var node: JSON5Node
}

extension JSON5Value {
    /// The number as a whole one; nil where it has a fraction, is infinite or not a number, or does not fit.
    static func integer(_ text: String) -> Int? {
        var digits = text[...]
        var isNegative = false
        if let sign = digits.first, sign == "-" || sign == "+" {
            isNegative = sign == "-"
            digits.removeFirst()
        }
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
            return Int((isNegative ? "-" : "") + digits.dropFirst(2), radix: 16)
        }
        if digits.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) {
            return Int((isNegative ? "-" : "") + digits)
        }
        // "5.0" and "1e3" are whole, too. Beyond 2^53 a Double no longer tells neighbours apart.
        guard let value = Double(text), value.magnitude <= 9_007_199_254_740_992 else { return nil }
        return Int(exactly: value)
    }
}

/// How a place in a tree is spelled: `services.api.timeouts`, `listeners[0]`, `services["a b"]`.
enum JSON5Path {
    /// What the member `name` adds to the path of its object, which is empty where `isFirst`.
    static func step(to name: String, isFirst: Bool) -> String {
        let isPlain =
            !name.isEmpty
            && name.unicodeScalars.allSatisfy { scalar in
                switch scalar {
                case "a"..."z", "A"..."Z", "0"..."9", "_", "-", "$": true
                default: false
                }
            }
        return isPlain ? (isFirst ? name : "." + name) : "[" + JSON5Writer.quoted(name) + "]"
    }
}
