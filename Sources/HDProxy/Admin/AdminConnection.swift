// How is one operator served? HTTP/1.1 as straight-line code: read a request, answer it, and again until somebody has
// enough. Each wait has an end, and nothing that comes is kept without bound.

import Discovery
import ProxyCore

/// How much a client of the admin listener may send, and how long it may take.
struct AdminBounds: Sendable {
    /// Connections to the address, and as many to the socket.
    var connections = 64
    /// A request's body.
    var bodyBytes = 64 * 1024
    /// Between two requests.
    var idle = Duration.seconds(60)
    /// From a request's first byte, or the connection's beginning, to the end of its head; the same for a body.
    var reading = Duration.seconds(10)
    /// Without a byte taken of an answer.
    var writing = Duration.seconds(10)
    /// For a whole answer.
    var answer = Duration.seconds(60)
    /// For what a peer still sends after its last answer.
    var lingering = Duration.seconds(1)
}

/// A connection to the admin listener.
@ControlThread
final class AdminConnection {
    /// Limits of a head.
    private static let headLimits = HeadLimits(headerBytes: 8192, requestTargetBytes: 4096)
    private static let headLinesMax = 64
    /// Bytes that are sent before others have their turn.
    private static let turnBytes = 128 * 1024

    /// What reading came to.
    private enum Reading {
        case request(AdminRequest, keepsOpen: Bool, expectsContinue: Bool)
        /// It broke a rule; the answer says which.
        case refused(AdminResponse)
        /// Nobody is there any more, or for too long without a word.
        case over
    }

    /// Since when it has no request; nil while one is answered.
    private(set) var idleSince: Instant? = Clock.now()
    private let socket: Socket
    private let pages: AdminPages
    private let bounds: AdminBounds
    private let isLocal: Bool
    private let isUnix: Bool
    private var input = ByteBuffer(capacity: 16 * 1024)
    private var head = RequestHead(lines: AdminConnection.headLinesMax)
    private var trailers = FieldSection(lines: AdminConnection.headLinesMax)
    private var task: Task<Void, Never>?

    /// The connection `socket`, from this machine where `isLocal`.
    init(_ socket: consuming Socket, _ pages: AdminPages, _ bounds: AdminBounds, isLocal: Bool, isUnix: Bool) {
        self.socket = socket
        self.pages = pages
        self.bounds = bounds
        self.isLocal = isLocal
        self.isUnix = isUnix
    }

    /// Serves it, then calls `end`.
    func start(_ end: @escaping @ControlThread () -> Void) {
        task = ControlThread.spawn { [self] in
            await serve()
            end()
        }
    }

    /// Ends it at once.
    func cancel() { task?.cancel() }

    private func after(_ time: Duration) -> Instant { Clock.now() + Instant.Span(time) }

    private func serve() async {
        var deadline = after(bounds.reading)
        while !Task.isCancelled {
            switch await readRequest(until: deadline) {
            case .over: return
            case .refused(let response):
                _ = await send(response, isHead: false, closes: true)
                return await linger()
            case .request(let request, let keepsOpen, let expectsContinue):
                idleSince = nil
                if let refusal = await readBody(expectsContinue) {
                    _ = await send(refusal, isHead: false, closes: true)
                    return await linger()
                }
                let response = await pages.answer(request)
                let closes = response.closes || !keepsOpen
                guard await send(response, isHead: request.method == .head, closes: closes) else { return }
                if closes { return await linger() }
                idleSince = Clock.now()
                deadline = after(bounds.idle)
            }
        }
    }

    // MARK: Reading

    /// Reads a head. `deadline` is for its first byte; from there on it has ``AdminBounds/reading``.
    private func readRequest(until first: Instant) async -> Reading {
        var deadline = input.isEmpty ? first : after(bounds.reading)
        while true {
            if !input.isEmpty {
                switch parse() {
                case .some(let reading): return reading
                case .none: break
                }
            }
            let wasEmpty = input.isEmpty
            switch await receive(until: deadline) {
            case .ready: if wasEmpty { deadline = min(deadline, after(bounds.reading)) }
            case .timedOut:
                if input.isEmpty { return .over }
                var response = AdminResponse.text("the request did not arrive in time", status: 408)
                response.closes = true
                return .refused(response)
            case .cancelled: return .over
            }
        }
    }

    /// The request in ``input``, or nil where more of it is to come.
    private func parse() -> Reading? {
        let isLocal = isLocal
        let isUnix = isUnix
        var head = RequestHead(lines: 0)
        swap(&head, &self.head)
        defer { swap(&head, &self.head) }
        let reading = input.withReadable { bytes -> Reading? in
            do throws(Rejection) {
                guard try RequestParser.parse(bytes, into: &head, limits: Self.headLimits) == .complete else {
                    return nil
                }
                let request = AdminRequest(head, bytes, isLocal: isLocal, isUnix: isUnix)
                let keepsOpen = !head.isHTTP10 && !head.connection.close
                return .request(request, keepsOpen: keepsOpen, expectsContinue: head.expectsContinue)
            } catch {
                return .refused(.rejected(error))
            }
        }
        if case .some(.request) = reading { input.consume(head.byteCount) }
        if reading == nil, input.writableCount == 0, input.headroom == 0 { return .refused(.rejected(.headerTooLarge)) }
        return reading
    }

    /// Reads the body and forgets it: no page asks for one. What is wrong with it, or nil.
    private func readBody(_ expectsContinue: Bool) async -> AdminResponse? {
        if head.framing == .none { return nil }
        if case .length(let count) = head.framing, count > UInt64(bounds.bodyBytes) { return .rejected(.bodyTooLarge) }
        if expectsContinue, !(await sendContinue()) { return .rejected(.badChunk) }
        var body = AdminBody(head.framing, bytesMax: bounds.bodyBytes)
        let deadline = after(bounds.reading)
        while true {
            do throws(Rejection) {
                if try body.take(from: &input, trailers: &trailers) { return nil }
            } catch {
                return .rejected(error)
            }
            guard await receive(until: deadline) == .ready else {
                var response = AdminResponse.text("the request did not arrive in time", status: 408)
                response.closes = true
                return response
            }
        }
    }

    /// Waits for bytes and takes them; `.cancelled` also where none will come any more.
    private func receive(until deadline: Instant) async -> Wakeup {
        while true {
            input.compact()
            switch socket.receive(into: &input) {
            case .bytes: return .ready
            case .end, .broken: return .cancelled
            case .wouldBlock: break
            }
            let wakeup = await ControlThread.readable(socket.number, until: deadline)
            if wakeup != .ready { return wakeup }
        }
    }

    // MARK: Writing

    /// Sends an answer. Whether all of it was taken in time.
    private func send(_ response: AdminResponse, isHead: Bool, closes: Bool) async -> Bool {
        let date = HTTPDate(unixSeconds: Clock.wallMicroseconds() / 1_000_000)
        return await send(response.message(isHead: isHead, closes: closes, date: date))
    }

    private func sendContinue() async -> Bool {
        var message = ByteBuffer(capacity: 32)
        message.append("HTTP/1.1 100 Continue\r\n\r\n")
        return await send(message)
    }

    private func send(_ message: consuming ByteBuffer) async -> Bool {
        let end = after(bounds.answer)
        while !message.isEmpty {
            switch socket.send(&message, limit: Self.turnBytes) {
            case .bytes: if message.isEmpty { return true }
            case .wouldBlock: break
            case .end, .broken: return false
            }
            // A large answer leaves in pieces; others have their turn between them.
            let deadline = min(end, after(bounds.writing))
            if await ControlThread.writable(socket.number, until: deadline) != .ready { return false }
        }
        return true
    }

    /// Lets the peer read the last answer: closing with its bytes unread would make the kernel reset the connection.
    private func linger() async {
        socket.shutdownSending()
        let deadline = after(bounds.lingering)
        var taken = 0
        while taken < bounds.bodyBytes {
            input.clear()
            guard await receive(until: deadline) == .ready else { return }
            taken += input.count
        }
    }
}

/// A body that is read and forgotten.
struct AdminBody {
    private let bytesMax: Int
    private var remaining: UInt64 = 0
    private var decoder: ChunkedDecoder?
    private var taken = 0

    /// A body that `framing` ends, of at most `bytesMax` bytes.
    init(_ framing: BodyFraming, bytesMax: Int) {
        self.bytesMax = bytesMax
        switch framing {
        case .none, .untilClose: break
        case .length(let count): remaining = count
        case .chunked: decoder = ChunkedDecoder()
        }
    }

    /// Takes what is there. Whether that was all of the body.
    ///
    /// - Throws: what is wrong with the chunks, or that there are too many bytes.
    mutating func take(from input: inout ByteBuffer, trailers: inout FieldSection) throws(Rejection) -> Bool {
        guard var decoder else {
            let n = Int(min(remaining, UInt64(input.count)))
            input.consume(n)
            remaining -= UInt64(n)
            return remaining == 0
        }
        defer { self.decoder = decoder }
        var at = 0
        var count = taken
        let bytesMax = bytesMax
        let limits = HeadLimits(headerBytes: 4096, requestTargetBytes: 0)
        let isOver = try input.withReadable { bytes throws(Rejection) -> Bool in
            while true {
                switch try decoder.next(bytes, at: &at, trailers: &trailers, limits: limits) {
                case .data(let range):
                    count += Int(range.count)
                    if count > bytesMax { throw .bodyTooLarge }
                case .end: return true
                case .needMore: return false
                }
            }
        }
        taken = count
        input.consume(at)
        return isOver
    }
}
