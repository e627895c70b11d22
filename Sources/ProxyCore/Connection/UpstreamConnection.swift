// Who answers? A connection to an endpoint: opening, serving one client's exchange, or idle in the pool.

/// A connection to an endpoint.
struct UpstreamConnection: ~Copyable {
    /// What it is doing.
    enum State: UInt8 {
        /// The connection is being made.
        case connecting
        /// It serves an exchange.
        case active
        /// It waits in the pool.
        case idle
        /// It is kept, and never used again, to see when the other side closes it.
        case observed
    }

    var socket: Socket
    /// TLS over it, where the service wants that.
    var secure = SecureSocket.none()
    /// Bytes of the response that were not passed on yet.
    var input = ByteBuffer()
    /// The endpoint that it belongs to.
    var endpoint: Int32
    /// The client that it serves; -1 for none.
    var client: Int32 = -1
    /// Neighbours in the endpoint's pool, the one used last first.
    var previousIdle: Int32 = -1
    var nextIdle: Int32 = -1
    /// Bytes of an incomplete head that need not be looked at again by themselves.
    var scanned: Int32 = 0
    /// For how long the upstream says that it keeps idle connections; 0 where it does not say.
    var idleSeconds: UInt32 = 0
    /// When it became idle last.
    var idleSince = Instant.never
    var state = State.connecting
    /// Whether the socket may hold bytes that were not read, its end included.
    var isReadable = false
    /// Whether the socket takes bytes, as far as we know.
    var isWritable = false
    /// Whether the poller saw the connection broken, or ending.
    var isEnding = false
    /// Whether it came from the pool for the present exchange.
    var wasReused = false
    /// Whether a byte of the present response has come.
    var hasSpoken = false
    /// Whether a byte of the present request was taken by the socket.
    var wasSentTo = false
    /// Whether it takes no more bytes; what it said before can still be read.
    var refusesBytes = false
    /// Whether it must not be used again.
    var mustClose = false
    /// Whether sending met a reset, which reading then does not tell a second time.
    var wasReset = false
    /// Whether its end was read.
    var hasEnded = false

    init(socket: consuming Socket, endpoint: Int32) {
        self.socket = socket
        self.endpoint = endpoint
    }

    /// What an unused slot holds.
    static func vacant() -> UpstreamConnection { UpstreamConnection(socket: .none(), endpoint: -1) }
}
