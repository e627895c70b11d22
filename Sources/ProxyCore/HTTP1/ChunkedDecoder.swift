// Where does a chunked body go on and end? RFC 9112 §7.1, with every line end checked and every number bounded: each
// tolerance here has been somebody's smuggling hole.
//
//     size ──';'── extension ──CR── sizeLF ──n>0── data ── dataCR ── dataLF ── size
//                                      └────n=0── trailers ── complete

/// Reads a chunked body, wherever its bytes were cut.
public struct ChunkedDecoder: Sendable {
    /// Bytes of extensions that one body may have in all; they carry nothing and are not forwarded.
    static let extensionBytesMax = 16 * 1024
    /// Bytes of one chunk's extensions.
    static let chunkExtensionBytesMax = 1024
    /// Digits of a size.
    static let sizeDigitsMax = 16

    private enum State: UInt8 {
        /// At the first digit of a size.
        case size
        /// Behind a digit of it.
        case sizeDigits
        /// White space behind the size, which only an extension may follow.
        case beforeExtension
        /// In an extension, outside quotes.
        case chunkExtension
        /// In a quoted string of an extension.
        case quoted
        /// Behind a backslash in a quoted string.
        case quotedPair
        /// Behind the CR of the size line.
        case sizeLF
        /// In the data.
        case data
        /// Behind the data.
        case dataCR
        /// Behind the CR behind the data.
        case dataLF
        /// Behind the last chunk.
        case trailers
        /// Behind the empty line.
        case complete
    }

    private var remaining: UInt64 = 0
    private var chunkExtensionBytes: UInt16 = 0
    private var extensionBytes: UInt16 = 0
    private var state = State.size
    private var digits: UInt8 = 0

    /// A decoder at the beginning of a body.
    public init() {}

    /// What comes next in the body.
    public enum Step: Equatable, Sendable {
        /// Data, in this range.
        case data(ByteRange)
        /// The body is over; its trailer lines are in the section.
        case end
        /// It goes on behind the bytes at hand.
        case needMore
    }

    /// Whether the body is over.
    public var isComplete: Bool { state == .complete }

    /// Reads on from `at`, and moves it behind what was taken. Trailer lines are taken only when all are there, into
    /// `trailers`.
    ///
    /// - Throws: `badChunk`, or what is wrong with a trailer line.
    public mutating func next(
        _ bytes: Span<UInt8>, at: inout Int, trailers: inout FieldSection, limits: HeadLimits
    ) throws(Rejection) -> Step {
        while at < bytes.count {
            let byte = bytes[at]
            switch state {
            case .size, .sizeDigits:
                if let digit = ASCII.hexDigit(byte) {
                    digits &+= 1
                    guard digits <= Self.sizeDigitsMax, remaining >> 60 == 0 else { throw .badChunk }
                    remaining = remaining &<< 4 | UInt64(digit)
                    // Beyond Int64 some reader's number is negative.
                    guard remaining <= UInt64(Int64.max) else { throw .badChunk }
                    state = .sizeDigits
                } else {
                    guard state == .sizeDigits else { throw .badChunk }
                    try leaveSize(byte)
                }
                at &+= 1
            case .beforeExtension:
                guard byte == ASCII.semicolon || ASCII.isOWS(byte) else { throw .badChunk }
                try countExtension()
                if byte == ASCII.semicolon { state = .chunkExtension }
                at &+= 1
            case .chunkExtension:
                if byte == ASCII.cr {
                    state = .sizeLF
                } else {
                    try countExtension()
                    if byte == UInt8(ascii: "\"") {
                        state = .quoted
                    } else {
                        guard
                            ASCII.isToken(byte) || ASCII.isOWS(byte) || byte == ASCII.semicolon
                                || byte == UInt8(ascii: "=")
                        else { throw .badChunk }
                    }
                }
                at &+= 1
            case .quoted, .quotedPair:
                guard byte >= 0x20 || byte == ASCII.tab, byte != 0x7F else { throw .badChunk }
                try countExtension()
                if state == .quotedPair {
                    state = .quoted
                } else if byte == UInt8(ascii: "\\") {
                    state = .quotedPair
                } else if byte == UInt8(ascii: "\"") {
                    state = .chunkExtension
                }
                at &+= 1
            case .sizeLF:
                guard byte == ASCII.lf else { throw .badChunk }
                state = remaining == 0 ? .trailers : .data
                digits = 0
                chunkExtensionBytes = 0
                at &+= 1
            case .data:
                let taken = min(remaining, UInt64(bytes.count &- at))
                let range = ByteRange(at, at &+ Int(taken))
                at &+= Int(taken)
                remaining &-= taken
                if remaining == 0 { state = .dataCR }
                return .data(range)
            case .dataCR:
                guard byte == ASCII.cr else { throw .badChunk }
                state = .dataLF
                at &+= 1
            case .dataLF:
                guard byte == ASCII.lf else { throw .badChunk }
                state = .size
                at &+= 1
            case .trailers: return try readTrailers(bytes, &at, &trailers, limits)
            case .complete: return .end
            }
        }
        return state == .complete ? .end : .needMore
    }

    /// Whether what comes next is the trailer section.
    var isInTrailers: Bool { state == .trailers }

    /// Data bytes that are known to come before anything else does: what may be moved without looking at it.
    public var dataBytesAhead: UInt64 { state == .data ? remaining : 0 }

    /// Notes that `n` data bytes were moved past the decoder.
    public mutating func skipData(_ n: UInt64) {
        precondition(state == .data && n <= remaining, "only announced data can be skipped")
        remaining &-= n
        if remaining == 0 { state = .dataCR }
    }

    @inline(__always)
    private mutating func leaveSize(_ byte: UInt8) throws(Rejection) {
        switch byte {
        case ASCII.cr: state = .sizeLF
        case ASCII.semicolon:
            try countExtension()
            state = .chunkExtension
        case ASCII.space, ASCII.tab:
            try countExtension()
            state = .beforeExtension
        default: throw .badChunk
        }
    }

    private mutating func countExtension() throws(Rejection) {
        chunkExtensionBytes &+= 1
        extensionBytes &+= 1
        guard chunkExtensionBytes <= Self.chunkExtensionBytesMax, extensionBytes <= Self.extensionBytesMax else {
            throw .badChunk
        }
    }

    private mutating func readTrailers(
        _ bytes: Span<UInt8>, _ at: inout Int, _ trailers: inout FieldSection, _ limits: HeadLimits
    ) throws(Rejection) -> Step {
        trailers.removeAll()
        var end = at
        while true {
            switch try FieldLineParser.next(bytes, at: &end) {
            case .needMore:
                guard bytes.count &- at <= limits.headerBytes &+ 2 else { throw .headerTooLarge }
                return .needMore
            case .line(let line):
                guard end &- at <= limits.headerBytes else { throw .headerTooLarge }
                guard trailers.append(line) else { throw .tooManyHeaders }
            case .end:
                at = end
                state = .complete
                return .end
            }
        }
    }
}
