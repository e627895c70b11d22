// Could another party read this path differently? On a host that has rules by path, two readings are two rules: one
// that we apply and one that the upstream serves. Such paths are refused, not repaired, since repairing picks a reading.

/// Why a path can be read in two ways.
public enum PathAmbiguity: Sendable, Equatable, CustomStringConvertible {
    /// `%2f`: a slash to those who decode before they divide.
    case encodedSlash
    /// `%5c` or a raw backslash: a slash to some servers.
    case backslash
    /// `%00`, or the raw byte: the end of the path to some servers.
    case nul
    /// `.` or `..` as an element, plain, encoded or mixed (`.%2e`), also before parameters (`..;x`), which some servers
    /// cut off before they resolve the dots.
    case dotSegment
    /// Nothing between two slashes, or nothing but parameters (`/;x/`): some servers merge the slashes.
    case emptyElement
    /// A percent sign without two hexadecimal digits behind it.
    case invalidEscape

    /// What stands in the path, for `explain` and the log.
    public var description: String {
        switch self {
        case .encodedSlash: "an encoded slash (%2f)"
        case .backslash: "a backslash"
        case .nul: "an encoded NUL (%00)"
        case .dotSegment: "a dot segment"
        case .emptyElement: "an empty element (//)"
        case .invalidEscape: "an invalid escape (% without two hexadecimal digits)"
        }
    }

    /// The first ambiguity in `path` (a request target up to its `?`), or nil. Parameters (`;x`) of an element that has
    /// a name are opaque, and `%252f` is decoded once only: neither is ambiguous.
    public static func first(in path: Span<UInt8>) -> PathAmbiguity? {
        var element = Element()
        var at = !path.isEmpty && path[0] == ASCII.slash ? 1 : 0
        while at < path.count {
            if path[at] == ASCII.slash {
                if let found = element.ambiguity(isLast: false) { return found }
                element = Element()
                at &+= 1
                continue
            }
            if path[at] == ASCII.percent, PercentCoding.digits(path, at &+ 1) == nil { return .invalidEscape }
            let byte = PercentCoding.next(path, &at)
            switch byte {
            case ASCII.slash: return .encodedSlash
            case UInt8(ascii: "\\"): return .backslash
            case 0: return .nul
            default: element.append(byte)
            }
        }
        return element.ambiguity(isLast: true)
    }

    /// What must be known of an element to tell dots and emptiness: the shape of its name, that is of all before `;`.
    private struct Element {
        private var length = 0
        private var hasOnlyDots = true
        private var hasParameters = false

        @inline(__always) mutating func append(_ byte: UInt8) {
            if byte == ASCII.semicolon { hasParameters = true }
            if hasParameters { return }
            length &+= 1
            if byte != UInt8(ascii: ".") { hasOnlyDots = false }
        }

        /// The last element may be empty: that is just a slash at the end.
        @inline(__always) func ambiguity(isLast: Bool) -> PathAmbiguity? {
            if length == 0 { return isLast && !hasParameters ? nil : .emptyElement }
            return hasOnlyDots && length <= 2 ? .dotSegment : nil
        }
    }
}
