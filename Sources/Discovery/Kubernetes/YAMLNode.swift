// What does a YAML document hold? Values, and where they stand.

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
