// Who asks? A client's connection: its socket, the bytes on their way, and the exchange that is under way on it. A
// plain value in a slot; while nothing is in flight it holds no buffer.

/// A client's connection.
struct ClientConnection: ~Copyable {
    /// What it is waiting for.
    enum Phase: UInt8 {
        /// The end of TLS's handshake; it stands among the silent ones.
        case handshake
        /// The first byte of a request.
        case idle
        /// The rest of a request's head.
        case head
        /// An exchange is under way.
        case exchange
        /// The last answer is out, and the client was told so; what it still sends is thrown away (RFC 9112 §9.6).
        case lingering
    }

    /// What its deadline means.
    enum Waiting: UInt8 {
        case firstByte, head, nextRequest, requestBody, upstreamReads, responseHead, responseBody, clientReads, tunnel
        case end, upstream, room, handshake
    }

    /// With what it keeps us waiting.
    enum Slowness: UInt8 {
        /// With nothing.
        case none
        /// What it sends comes slowly.
        case sender
        /// It does not take its answer.
        case reader
    }

    // Numbers of four bytes fill what a buffer leaves of its last eight: thousands of these lie about, idle.

    /// TLS over its socket, where the listener speaks that.
    var secure = SecureSocket.none()
    /// Bytes from the client that were not looked at yet.
    var input = ByteBuffer()
    var socket: Socket
    /// Bytes for the upstream. Kept until the response begins, so that the request can be sent again.
    var requestOut = ByteBuffer()
    /// The slot of the upstream connection that serves the exchange; -1 for none.
    var upstream: Int32 = -1
    /// Bytes for the client.
    var responseOut = ByteBuffer()
    /// The service of the exchange; -1 for none.
    var service: Int32 = -1
    /// The access log's line, begun.
    var record = ByteBuffer()
    /// The slot of the terms of TLS that it began with; -1: none.
    var site: Int32 = -1

    /// The id that we made for the exchange.
    var ownID = RandomID(high: 0, low: 0)
    var openedAt = Instant.never
    var sentAt = Instant.never
    var answeredAt = Instant.never
    /// When the response must have begun, whoever is asked.
    var responseDue = Instant.never
    /// Until when it may wait for an endpoint with room; `.never` before it does.
    var queueDeadline = Instant.never
    var bytesOut: UInt64 = 0
    /// Bytes that it had taken when its patience was last found used up.
    var takenThen: UInt64 = 0
    var requestBody = BodyProgress()
    /// Where its frames begin, if it is a WebSocket; -1 for none.
    var webSocket: Int32 = -1
    var responseBody = BodyProgress()
    /// A pipe that holds bytes on their way; -1 for none.
    var pipe: Int32 = -1
    /// What patience is left with it while its body comes, and while it reads.
    var sending = Patience()
    var reading = Patience()

    /// Neighbours among the idle connections, the longest idle one first; or in the queue of the service; or among those
    /// that keep us waiting.
    var previousIdle: Int32 = -1
    var nextIdle: Int32 = -1
    /// Bytes of an incomplete head that need not be looked at again by themselves.
    var scanned: Int32 = 0
    /// Where the id is that a trusted proxy gave the exchange; -1: it gave none.
    var givenID: Int32 = -1
    /// The endpoint of the latest attempt, which may be gone since.
    var endpoint = SlotID.none
    /// The slot that counts for its listener.
    var listener: SlotID
    /// The slot that counts for the exchange's rule and service.
    var totals = SlotID.none
    /// The slot that counts for the latest attempt, as long as its end was not counted.
    var endpointTotals = SlotID.none
    var peer: NetworkAddress
    var exchange = Exchange(Exchange.Opening())
    /// Where the latest attempt went: the log names it also when it is gone.
    var endpointAddress: NetworkAddress?
    /// Why tries before the latest one failed.
    var retried = RetryReasons()
    var tried = TriedEndpoints()

    var phase = Phase.idle
    var waiting = Waiting.firstByte
    var method = Method.get
    var outcome = Outcome.ok
    var status: UInt16 = 0
    /// Empty lines that were dropped before the next request.
    var emptyLines: UInt8 = 0
    /// Whether it stands among those who never said a word.
    var isNewcomer = true
    /// Whether the socket may hold bytes that were not read, its end included.
    var isReadable = false
    /// Whether the socket takes bytes, as far as we know.
    var isWritable = true
    /// Whether the client will send nothing more.
    var hasEnded = false
    /// Whether the poller saw its end, which a short read then does not prove to be far.
    var isEnding = false
    /// Whether it stands in the list of those to go on with in the next turn.
    var isPending = false
    var isHTTP10 = false
    var prefersJSON = false
    /// Whether the request is still whole in `requestOut`.
    var canReplay = false
    /// Whether it stands among those that keep us waiting, and with what.
    var slowness = Slowness.none
    /// Whether it is watched in the waiting room.
    var isParked = false
    /// Whether it stands in the queue of its service.
    var isQueued = false
    /// Whether the next attempt must open a connection of its own.
    var avoidsPool = false
    /// Whether the client itself asked for the end of the connection.
    var clientCloses = false
    /// Whether bytes moved since the deadline was last set.
    var moved = false
    /// Whether the response's head lies unsent in `responseOut`.
    var headIsUnsent = false
    /// Whether `Connection: close` went out with the response.
    var toldClose = false
    /// Whether the peer has yet to say for whom it speaks.
    var awaitsProxyHeader = false
    /// Whether it is counted among its client's.
    var isCounted = false
    /// Whether its peer speaks for a client whose address it does not know: then nothing that is said of it is believed.
    var isStranger = false
    /// Whether it is a tunnel that was told to end.
    var isDismissed = false

    /// Whether it stands among those that keep us waiting.
    var isSlow: Bool { slowness != .none }
    /// Whether bytes pass both ways, not looked at.
    var isTunnel: Bool { phase == .exchange && exchange.response == .tunnel }

    init(socket: consuming Socket, peer: NetworkAddress, listener: SlotID) {
        self.socket = socket
        self.peer = peer
        self.listener = listener
    }

    /// What an unused slot holds.
    static func vacant() -> ClientConnection {
        ClientConnection(
            socket: .none(), peer: NetworkAddress(ip: IPAddress(high: 0, low: 0), port: 0), listener: .none)
    }
}
