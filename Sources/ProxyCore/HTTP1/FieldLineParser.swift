// How is a field line spelled? `field-name ":" OWS field-value OWS CRLF` (RFC 9112 §5), strictly: no folded lines, no
// space before the colon, no bare CR or LF, no control bytes.

/// What a parser says of bytes that broke no rule.
public enum ParseStep: Sendable, Equatable {
    /// All of it is there.
    case complete
    /// It goes on behind the bytes at hand.
    case needMore
}

/// Reads field lines, one at a time.
enum FieldLineParser {
    enum Step {
        case line(FieldLine)
        /// The empty line that ends a section.
        case end
        case needMore
    }

    /// Reads the line that begins at `at`, and moves `at` behind it.
    ///
    /// - Throws: `badFieldLine` or `bareLineEnd`, as soon as the bytes at hand cannot become a line.
    @inline(__always)
    static func next(_ bytes: Span<UInt8>, at: inout Int) throws(Rejection) -> Step {
        let count = bytes.count
        let start = at
        guard start < count else { return .needMore }
        let first = bytes[start]
        if first == ASCII.cr {
            guard start &+ 1 < count else { return .needMore }
            guard bytes[start &+ 1] == ASCII.lf else { throw .bareLineEnd }
            at = start &+ 2
            return .end
        }
        if first == ASCII.lf { throw .bareLineEnd }

        var colon = start
        var hasOddSeparator = false
        while colon < count {
            let byte = bytes[colon]
            if !ASCII.isToken(byte) { break }
            if byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") { hasOddSeparator = true }
            colon &+= 1
        }
        guard colon < count else { return .needMore }
        // A space before the colon and a folded line both end here (RFC 9112 §5.1, §5.2).
        guard bytes[colon] == ASCII.colon, colon > start else { throw .badFieldLine }

        let end = Scan.firstControl(bytes, from: colon &+ 1)
        guard end < count else { return .needMore }
        guard bytes[end] == ASCII.cr else { throw bytes[end] == ASCII.lf ? .bareLineEnd : .badFieldLine }
        guard end &+ 1 < count else { return .needMore }
        guard bytes[end &+ 1] == ASCII.lf else { throw .bareLineEnd }
        at = end &+ 2

        let name = ByteRange(start, colon)
        let value = Scan.trimmed(bytes, ByteRange(colon &+ 1, end))
        let isCanonical =
            Int(value.start) == colon &+ 2 && value.end == end && bytes[colon &+ 1] == ASCII.space && !value.isEmpty
        let known =
            hasOddSeparator ? FieldName.recognizeFolded(bytes, name) : FieldName.recognize(bytes, name)
        return .line(FieldLine(name: name, value: value, known: known, isCanonical: isCanonical))
    }
}
