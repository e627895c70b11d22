// How do bytes get to an API server and back? One TCP connection, TLS over it, one request after another (RFC 9112),
// each wait with a deadline.

import ProxyCore

/// One connection to an API server.
@ControlThread
final class APIConnection {
    /// How long what may take.
    struct Timing: Sendable {
        /// One address to be connected to.
        var connect = Duration.seconds(3)
        var handshake = Duration.seconds(5)
        /// From the request to the answer's head. A server under load lets requests queue for a while.
        var head = Duration.seconds(20)
        /// Silence within the body of a list.
        var silence = Duration.seconds(15)
        /// A whole body of a list; API servers themselves give up after as long.
        var body = Duration.seconds(60)
    }

    private static let bufferBytes = 64 * 1024

    // The session goes before its socket.
    private var session: TLSSession?
    private let socket: Socket
    private var reader = AnswerReader()
    private var inbound = ByteBuffer(capacity: bufferBytes)
    private var hasEnded = false
    private(set) var isReusable = true

    private init(_ socket: consuming Socket) { self.socket = socket }

    // MARK: Beginning

    /// A connection to `address`, over TLS where there is a context: then the peer is `name`.
    static func open(
        to address: NetworkAddress, _ context: TLSContext?, verifying name: TLSPeerName, _ timing: Timing
    ) async throws(APIFailure) -> APIConnection {
        let connection: APIConnection
        switch Socket.connecting(to: address) {
        case .started(let socket):
            socket.noticeDeadPeer(idleSeconds: 15, intervalSeconds: 5, probes: 3)
            connection = APIConnection(socket)
        case .failed(let failure): throw APIFailure(.connect, "\(address): \(failure.words)")
        case .outOfPorts: throw APIFailure(.connect, "\(address): no local port is left")
        case .exhausted(let code): throw APIFailure(.connect, "\(address): \(SystemError.text(code))")
        }
        let deadline = Clock.now() + Instant.Span(timing.connect)
        guard try await connection.writable(until: deadline) else {
            throw APIFailure(.connect, "\(address): no answer in \(timing.connect)")
        }
        if let failure = connection.socket.connectFailure() {
            throw APIFailure(.connect, "\(address): \(failure.words)")
        }
        if let context { try await connection.shakeHands(context, name, timing) }
        return connection
    }

    private func shakeHands(_ context: TLSContext, _ name: TLSPeerName, _ timing: Timing) async throws(APIFailure) {
        let deadline = Clock.now() + Instant.Span(timing.handshake)
        do throws(TLSError) {
            session = try TLSSession(client: context, descriptor: socket.number, verifying: name)
        } catch {
            throw APIFailure(.tls, error.description)
        }
        while true {
            let isInTime: Bool
            switch session!.handshake() {
            case .done: return
            case .wantRead: isInTime = try await readable(until: deadline)
            case .wantWrite: isInTime = try await writable(until: deadline)
            case .failed(let error):
                throw APIFailure(error.isVerification ? .tls : error.failureReason, error.description)
            }
            guard isInTime else { throw APIFailure(.timeout, "TLS handshake with \(name): no answer in time") }
        }
    }

    // MARK: Asking

    /// Sends a request and waits for the head of its answer.
    func ask(_ request: String, until deadline: Instant) async throws(APIFailure) -> APIAnswer {
        precondition(isReusable, "one request at a time")
        isReusable = false
        var out = ByteBuffer(capacity: request.utf8.count)
        out.append(utf8: request)
        try await send(&out, until: deadline)
        while true {
            switch try next({ _ in }) {
            case .head(let answer):
                closes = answer.closes
                return answer
            case .needMore:
                // Interim answers may come without an end, and without a moment in which anything has to be waited for.
                guard Clock.now() < deadline else { throw APIFailure(.timeout, "no answer in time") }
                try await fill(until: deadline)
            case .body, .end: throw APIFailure(.malformed, "a body without a head")
            }
        }
    }

    /// Hands over what is there of the body, and waits for it where there is nothing. Whether more may come.
    func moreBody(until deadline: Instant, _ take: (Span<UInt8>) -> Void) async throws(APIFailure) -> Bool {
        var tookAny = false
        while true {
            let step: AnswerReader.Step
            do throws(APIFailure) { step = try next(take) } catch {
                // What came before is used first; the failure shows again.
                if tookAny { return true }
                throw error
            }
            switch step {
            case .body: tookAny = true
            case .end:
                isReusable = !closes && inbound.isEmpty && !hasEnded
                return false
            case .needMore:
                if tookAny { return true }
                try await fill(until: deadline)
            case .head: throw APIFailure(.malformed, "a head within a body")
            }
        }
    }

    private var closes = false

    /// Ends the connection under whoever waits for it.
    func abort() { socket.shutdown() }

    /// Reads one piece of what has arrived; bytes of a body go to `take`.
    private func next(_ take: (Span<UInt8>) -> Void) throws(APIFailure) -> AnswerReader.Step {
        var at = 0
        let step: AnswerReader.Step
        do throws(Rejection) {
            step = try inbound.withReadable { bytes throws(Rejection) in
                let step = try reader.next(bytes, at: &at)
                if case .body(let range) = step { take(bytes.extracting(range.range)) }
                return step
            }
        } catch {
            throw APIFailure(.malformed, "not HTTP: \(error)")
        }
        inbound.consume(at)
        if step == .needMore, hasEnded {
            if reader.endsWithConnection { return .end }
            throw APIFailure(.closed, "the connection ended before the answer did")
        }
        return step
    }

    // MARK: Moving bytes

    /// Waits for bytes, and takes all that are there.
    private func fill(until deadline: Instant) async throws(APIFailure) {
        inbound.compact()
        guard inbound.writableCount > 0 else { throw APIFailure(.malformed, "a head or a trailer that is too long") }
        var hasBytes = false
        while inbound.writableCount > 0 {
            let isInTime: Bool
            switch receive() {
            case .bytes:
                hasBytes = true
                continue
            case .end:
                hasEnded = true
                return
            case .failed(let error):
                // What came before is whole and is used; the failure shows again.
                if hasBytes { return }
                throw APIFailure(.closed, error.description)
            case .wantRead:
                if hasBytes { return }
                isInTime = try await readable(until: deadline)
            case .wantWrite:
                if hasBytes { return }
                isInTime = try await writable(until: deadline)
            }
            guard isInTime else { throw APIFailure(.timeout, "no answer in time") }
        }
        // More may be there. Whoever sends without a pause must not keep the control thread from everybody else: this
        // wait is over at the thread's next turn.
        _ = try await writable(until: deadline)
    }

    private func receive() -> TLSTransfer {
        if session != nil { return session!.read(into: &inbound) }
        return switch socket.receive(into: &inbound) {
        case .bytes(let n): .bytes(n)
        case .end: .end
        case .wouldBlock: .wantRead
        case .broken: .failed(Self.broken)
        }
    }

    private func send(_ out: inout ByteBuffer, until deadline: Instant) async throws(APIFailure) {
        while !out.isEmpty {
            let isInTime: Bool
            switch transmit(&out) {
            case .bytes: continue
            case .wantRead: isInTime = try await readable(until: deadline)
            case .wantWrite: isInTime = try await writable(until: deadline)
            case .end: throw APIFailure(.closed, "the server takes no more requests on this connection")
            case .failed(let error): throw APIFailure(.closed, error.description)
            }
            guard isInTime else { throw APIFailure(.timeout, "the request was not taken in time") }
        }
    }

    private func transmit(_ out: inout ByteBuffer) -> TLSTransfer {
        if session != nil { return session!.write(&out) }
        return switch socket.send(&out) {
        case .bytes(let n): .bytes(n)
        case .end: .end
        case .wouldBlock: .wantWrite
        case .broken: .failed(Self.broken)
        }
    }

    private func readable(until deadline: Instant) async throws(APIFailure) -> Bool {
        try Self.inTime(await ControlThread.readable(socket.number, until: deadline))
    }

    private func writable(until deadline: Instant) async throws(APIFailure) -> Bool {
        try Self.inTime(await ControlThread.writable(socket.number, until: deadline))
    }

    private static func inTime(_ wakeup: Wakeup) throws(APIFailure) -> Bool {
        switch wakeup {
        case .ready: return true
        case .timedOut: return false
        case .cancelled: throw APIFailure(.cancelled, "cancelled")
        }
    }

    private static let broken = TLSError(.unexpectedEnd, reason: "the connection is broken", doing: "API server")
}

extension TLSError {
    /// What a failed handshake counts as.
    fileprivate var failureReason: APIFailure.Reason {
        switch kind {
        case .unexpectedEnd, .system: .closed
        case .verification, .protocol: .tls
        case .material: .credentials
        }
    }
}

extension ConnectFailure {
    /// For people.
    fileprivate var words: String {
        switch self {
        case .refused: "connection refused"
        case .timeout: "no answer"
        default: "not reachable"
        }
    }
}
