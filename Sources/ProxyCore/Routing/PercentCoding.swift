// What does a path's byte stand for? RFC 3986 §2.1, decoded once and never written back.

/// Percent-encoded bytes of a path.
enum PercentCoding {
    /// The byte that `path` spells at `at`, which moves behind it. A percent sign without two hexadecimal digits stands
    /// for itself.
    @inline(__always) static func next(_ path: Span<UInt8>, _ at: inout Int) -> UInt8 {
        let byte = path[at]
        at &+= 1
        guard byte == ASCII.percent, let decoded = digits(path, at) else { return byte }
        at &+= 2
        return decoded
    }

    /// The byte spelled by the two hexadecimal digits at `at`, or nil where there are none.
    @inline(__always) static func digits(_ path: Span<UInt8>, _ at: Int) -> UInt8? {
        guard at &+ 1 < path.count, let high = ASCII.hexDigit(path[at]), let low = ASCII.hexDigit(path[at &+ 1])
        else { return nil }
        return high << 4 | low
    }
}
