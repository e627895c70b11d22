// One connection of the load generator: plain values only, so that a slab of them costs no reference count.

/// What moving bytes came to.
enum LoadTransfer {
    /// So many were moved.
    case bytes(Int)
    /// The socket has none, or takes none, at the moment.
    case wouldBlock
    /// The other side said that no more come.
    case end
    /// The connection is of no use any more.
    case broken
}

/// A connection and the request in flight on it.
struct LoadConnection {
    /// What it waits for.
    enum Phase: UInt8 {
        /// There is no socket.
        case closed
        /// The connect is under way.
        case connecting
        /// TLS's handshake is under way.
        case securing
        /// Connected, nothing in flight.
        case idle
        /// The head of an answer.
        case head
        /// A body of known length.
        case body
        /// A chunked body.
        case chunks
        /// A body that ends with the connection.
        case untilClose
        /// The end of a connection whose answer is complete.
        case end
        /// The answer to a WebSocket handshake.
        case handshake
        /// A message that comes back.
        case echo
    }

    var fd: Int32 = -1
    var generation: UInt32 = 0
    var phase = Phase.closed
    /// A request waits for the connect.
    var hasRequest = false
    /// The answer said that the connection ends.
    var closes = false
    /// The end may have come.
    var isEnding = false
    /// Which target it belongs to, and which request of it is in flight.
    var target: Int32 = 0
    var request: Int32 = 0
    /// Bytes of the request, and of the body behind it, that are out.
    var sent = 0
    /// When the request was to be sent, and when it was.
    var intendedAt: UInt64 = 0
    var startedAt: UInt64 = 0
    /// Body bytes still to come, or bytes of an echo that have come.
    var remaining = 0
    var chunks = ChunkedBody()
    /// Half a head.
    var input = Stash()
}
