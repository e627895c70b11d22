// What did the upstream answer before the body?

/// A parsed response head. One per worker, used again for each response.
public struct ResponseHead: ~Copyable {
    /// The status code, 100 to 599.
    public internal(set) var status = 0
    /// The reason phrase, which may be empty.
    public internal(set) var reason = ByteRange()
    /// Whether the version is 1.0 and not 1.1.
    public internal(set) var isHTTP10 = false
    /// The field lines.
    public internal(set) var fields: FieldSection
    /// What `Connection` says.
    public internal(set) var connection = ConnectionOptions()
    /// Where the body ends, for the request that it answers.
    public internal(set) var framing = BodyFraming.none
    /// The value of a valid Content-Length, also where there is no body (HEAD, 304).
    public internal(set) var contentLength: UInt64?
    /// Whether Transfer-Encoding says chunked, also where there is no body (HEAD).
    public internal(set) var isChunked = false
    /// The value of `Upgrade`.
    public internal(set) var upgrade = ByteRange()
    /// Whether there is a `Date`.
    public internal(set) var hasDate = false
    /// The seconds of `Keep-Alive: timeout=…`, where given.
    public internal(set) var keepAliveSeconds: UInt32?
    /// Bytes of the whole head, the empty line included.
    public internal(set) var byteCount = 0

    /// A head for at most `lines` field lines.
    public init(lines: Int) { fields = FieldSection(lines: lines) }

    /// Whether another response follows this one (RFC 9110 §15.2).
    public var isInterim: Bool { status < 200 }
}
