// What did the client send before the body? Everything a decision needs, as small values and ranges; the bytes stay
// in the buffer they came in.

/// A parsed request head. One per worker, used again for each request.
public struct RequestHead: ~Copyable {
    /// The method, as far as we know it.
    public internal(set) var method = Method.get
    /// The method as spelled.
    public internal(set) var methodBytes = ByteRange()
    /// The target, taken apart.
    public internal(set) var target = RequestTarget()
    /// Whether the version is 1.0 and not 1.1.
    public internal(set) var isHTTP10 = false
    /// The host asked for, from `Host` or an absolute target; empty where HTTP/1.0 named none.
    public internal(set) var authority = Authority()
    /// The field lines.
    public internal(set) var fields: FieldSection
    /// What `Connection` says.
    public internal(set) var connection = ConnectionOptions()
    /// Where the body ends.
    public internal(set) var framing = BodyFraming.none
    /// Whether there is a Content-Length, if only of zero.
    public internal(set) var saysLength = false
    /// Whether `Expect: 100-continue` was sent (and only that).
    public internal(set) var expectsContinue = false
    /// Whether an upgrade is asked for that a gateway may pass on: GET, HTTP/1.1, no body, `Connection: upgrade`,
    /// and a protocol other than HTTP itself.
    public internal(set) var upgrade = ByteRange()
    /// Whether `TE: trailers` was sent with `Connection: TE` or without.
    public internal(set) var acceptsTrailers = false
    /// `Max-Forwards`, where it is a number.
    public internal(set) var maxForwards: UInt32?
    /// How often our own name stands in `Via`.
    public internal(set) var ownHops = 0
    /// Bytes of the whole head, the empty line included.
    public internal(set) var byteCount = 0
    /// Lines that the log or an answer looks at; -1 where absent.
    public internal(set) var noted = NotedLines()

    /// A head for at most `lines` field lines.
    public init(lines: Int) { fields = FieldSection(lines: lines) }

    /// Values that the log or an answer may want.
    public struct NotedLines: Sendable {
        /// The value of `Accept`.
        public var accept = ByteRange()
        /// The value of `User-Agent`.
        public var userAgent = ByteRange()
        /// The value of `CF-Ray`.
        public var cfRay = ByteRange()
        /// The value of `traceparent`.
        public var traceparent = ByteRange()
        /// The value of `CF-Connecting-IP`.
        public var cfConnectingIP = SingleValue()
        /// The value of `CF-Connecting-IPv6`.
        public var cfConnectingIPv6 = SingleValue()
        /// The value of `X-Forwarded-Proto`.
        public var xForwardedProto = SingleValue()
        /// The value of `X-Request-Id`.
        public var xRequestID = SingleValue()
        /// Whether there is an `X-Forwarded-For`.
        public var hasForwardedFor = false
    }

    /// The value of a field that should stand at most once.
    public struct SingleValue: BitwiseCopyable, Sendable {
        private var value = ByteRange()
        private var lines: UInt8 = 0

        /// None.
        public init() {}

        /// The value of the only line that says something; nil where there is none, or one too many: then nobody knows
        /// which one its sender meant.
        public var only: ByteRange? { lines == 1 && !value.isEmpty ? value : nil }

        /// Notes a line.
        @inline(__always)
        mutating func note(_ value: ByteRange) {
            self.value = value
            lines = lines < 2 ? lines &+ 1 : 2
        }
    }
}

/// Where a body ends (RFC 9112 §6).
public enum BodyFraming: Equatable, Sendable {
    /// There is none.
    case none
    /// After so many bytes, of which there is at least one.
    case length(UInt64)
    /// By chunks.
    case chunked
    /// When the connection closes: responses only.
    case untilClose
}
