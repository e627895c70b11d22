// Every limit and timeout that a client meets, with unit and default. Zero means unlimited where a line says so.

/// Limits and times on the client's side of an exchange.
public struct Limits: Sendable, Hashable {
    /// The field section of a request or of a response, in bytes, the start line not counted. More is a 431 (a 502
    /// from an upstream).
    public var headerBytes = 128 * 1024
    /// Field lines in one section.
    public var headers = 200
    /// The request target, in bytes. More is a 414.
    public var requestTargetBytes = 32 * 1024
    /// The request body, in bytes; 0: unlimited. More is a 413.
    public var bodyBytes: UInt64 = 0
    /// Client connections of the whole process; 0: as many as there are descriptors for.
    public var connections = 0
    /// Client connections of one address, or of one IPv6 network of 64 bits, that is no trusted proxy; 0: unlimited. One
    /// more is closed at once.
    public var connectionsPerClient = 0

    /// From the connection's start to the end of TLS's handshake. Past it: a silent close.
    public var handshake: Duration = .seconds(10)
    /// From the connection's start, or that of TLS behind its handshake, or a request's first byte to the end of its head. Past it: 408, or a silent close
    /// where nothing had come.
    public var requestHeader: Duration = .seconds(10)
    /// Between two reads of a request's body. Past it: 408.
    public var requestBodyIdle: Duration = .seconds(30)
    /// Between two requests. Longer than the 900 s for which Cloudflare reuses a connection.
    public var keepAlive: Duration = .seconds(960)
    /// For how long a client may leave its answer unread. Past it: the connection is cut.
    public var responseIdle: Duration = .seconds(60)
    /// Bytes a second at which a request's body comes, at the least, counted while we wait for it; 0: as slowly as
    /// ``requestBodyIdle`` allows. Below it: 408.
    public var minRequestRate = 240
    /// Bytes a second at which a client reads its answer, at the least, counted while we wait for it; 0: as slowly as
    /// ``responseIdle`` allows. Below it: the connection is cut.
    public var minResponseRate = 240
    /// Without a byte either way in a tunnel.
    public var tunnelIdle: Duration = .seconds(3600)

    /// The defaults of the contract.
    public init() {}
}
