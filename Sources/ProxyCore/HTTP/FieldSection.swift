// What do the field lines say? Lines in their order, as ranges into the buffer they came in; nothing is copied and
// no two lines are folded into one, so a second Host or Content-Length cannot vanish. RFC 9110 §5.

/// One field line, as positions in the buffer that holds its message.
public struct FieldLine: BitwiseCopyable, Sendable {
    /// Its name, as spelled.
    public var name: ByteRange
    /// Its value, without the white space around it.
    public var value: ByteRange
    /// What the name means to us.
    public var known: FieldName
    /// Whether the line is spelled just as we would: one space behind the colon, none at the end. Such lines are
    /// copied together, in one piece.
    public var isCanonical: Bool
}

/// The field lines of one message.
public struct FieldSection: ~Copyable {
    /// The lines, in the order they came.
    public private(set) var lines: Table<FieldLine>

    /// An empty section for at most `lines` lines.
    public init(lines: Int) { self.lines = Table(capacity: lines) }

    /// Forgets all lines.
    @inline(__always) mutating func removeAll() { lines.removeAll() }

    /// Appends a line; false where the section is full.
    @inline(__always) mutating func append(_ line: FieldLine) -> Bool { lines.append(line) }
}

/// What the `Connection` lines of a message ask for (RFC 9110 §7.6.1).
public struct ConnectionOptions: Equatable, Sendable {
    /// `close`: the connection ends after this exchange.
    public var close = false
    /// `keep-alive`, which only HTTP/1.0 needs.
    public var keepAlive = false
    /// `upgrade`: the `Upgrade` field is meant for us.
    public var upgrade = false
    /// `te`: the `TE` field is meant for us.
    public var te = false
    /// Some other field is nominated, and goes no further.
    public var nominatesFields = false
    /// Bytes of its lines.
    private var bytes: UInt32 = 0

    /// Bytes that the lines may have in all. Every other line is held against each of their options, so that without a
    /// limit a head would cost its square.
    static let bytesMax = 512

    /// Whether there is more of it than anybody needs.
    var isTooLong: Bool { bytes > Self.bytesMax }

    /// No options.
    public init() {}

    /// Adds what one `Connection` line says.
    mutating func add(_ bytes: Span<UInt8>, _ value: ByteRange) {
        self.bytes = self.bytes &+ value.count
        _ = Scan.forEachMember(bytes, value) { option in
            if Scan.equals(bytes, option, "close") {
                close = true
            } else if Scan.equals(bytes, option, "keep-alive") {
                keepAlive = true
            } else if Scan.equals(bytes, option, "upgrade") {
                upgrade = true
            } else if Scan.equals(bytes, option, "te") {
                te = true
            } else {
                nominatesFields = true
            }
            return true
        }
    }
}
