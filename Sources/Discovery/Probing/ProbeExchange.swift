// One probe, from the connect to its answer: a non-blocking socket of its own, one deadline for all of it, bounded bytes
// and a bounded number of reads.

import ProxyCore

/// One probe of one endpoint.
@ControlThread
final class ProbeExchange {
    private let target: ProbeTarget
    private let deadline: Instant
    private var socket = Socket.none()
    // The session goes before its socket.
    private var session: TLSSession?
    private var buffer = ByteBuffer(capacity: 4096)
    private var reader: ProbeReader

    /// A probe that begins at `now`.
    init(_ target: ProbeTarget, now: Instant) {
        self.target = target
        deadline = now + Instant.Span(target.health.timeout)
        reader = ProbeReader(target.health.expectStatus, target.identity)
    }

    /// What it finds, at the latest when its time is over; nil where its task was cancelled before.
    func run(userAgent: String) async -> ProbeFinding? {
        if let finding = open(Socket.connecting(to: target.address)) { return finding }
        switch await ControlThread.writable(socket.number, until: deadline) {
        case .ready: break
        case .timedOut: return timedOut(.connectTimeout)
        case .cancelled: return nil
        }
        if let failure = socket.connectFailure() { return .failed(Self.finding(failure)) }
        // On loopback a socket may be given the very port that it connects to, and then meets nobody but itself.
        if socket.localAddress() == target.address {
            socket.resetOnClose()
            return .failed(.refused)
        }
        if let terms = target.terms {
            switch await shakeHands(terms) {
            case .done: break
            case .finding(let finding): return finding
            case .cancelled: return nil
            }
        }
        guard let path = target.health.path else {
            // Nothing was said, so nothing is lost by a reset, which leaves no port in TIME_WAIT.
            socket.resetOnClose()
            return .passed(status: nil)
        }
        return await ask(path, userAgent)
    }

    /// Takes the socket of a connect that has begun, or tells why none has.
    func open(_ connecting: consuming Socket.Connecting) -> ProbeFinding? {
        switch consume connecting {
        case .started(let started):
            socket = started
            return nil
        case .failed(let failure): return .failed(Self.finding(failure))
        // These say nothing about the endpoint, only about us.
        case .outOfPorts: return .inconclusive("no local port is left")
        case .exhausted(let code): return .inconclusive(SystemError.text(code))
        }
    }

    /// What became of TLS.
    private enum Handshake {
        case done
        case finding(ProbeFinding)
        case cancelled
    }

    private func shakeHands(_ terms: UpstreamTerms) async -> Handshake {
        do throws(TLSError) {
            session = try terms.session(descriptor: socket.number)
        } catch {
            return .finding(.inconclusive(error.description))
        }
        while true {
            let wakeup: Wakeup
            switch session!.handshake() {
            case .done: return .done
            case .failed(let error): return .finding(.failed(.insecure(error.reason)))
            case .wantRead: wakeup = await ControlThread.readable(socket.number, until: deadline)
            case .wantWrite: wakeup = await ControlThread.writable(socket.number, until: deadline)
            }
            switch wakeup {
            case .ready: continue
            case .timedOut: return .finding(timedOut(.connectTimeout))
            case .cancelled: return .cancelled
            }
        }
    }

    private func send() -> Transfer { session == nil ? socket.send(&buffer) : Transfer(session!.write(&buffer)) }

    private func receive() -> Transfer {
        session == nil ? socket.receive(into: &buffer) : Transfer(session!.read(into: &buffer))
    }

    private static func finding(_ failure: ConnectFailure) -> ProbeFailure {
        switch failure {
        case .refused: .refused
        case .timeout: .connectTimeout
        case .unreachable: .unreachable
        case .insecure: .insecure("TLS did not come about")
        }
    }

    private func ask(_ path: String, _ userAgent: String) async -> ProbeFinding? {
        let host = target.health.host ?? target.address.description
        buffer.append(
            utf8: """
                GET \(path) HTTP/1.1\r
                Host: \(host)\r
                User-Agent: \(userAgent)\r
                Accept: */*\r
                Connection: close\r
                \r

                """)
        while !buffer.isEmpty {
            switch send() {
            case .bytes: continue
            // Whoever takes no more may have answered all the same.
            case .end, .broken: buffer.clear()
            case .wouldBlock:
                switch await ControlThread.writable(socket.number, until: deadline) {
                case .ready: continue
                case .timedOut: return timedOut(.answerTimeout(bytes: 0))
                case .cancelled: return nil
                }
            }
        }
        buffer.clear()
        return await readAnswer()
    }

    private func readAnswer() async -> ProbeFinding? {
        for _ in 0..<Self.readsMax {
            guard makeRoom() else { return .failed(.malformed(.headerTooLarge)) }
            // What lies there is read before the clock is asked: it is not the endpoint's fault if we come late.
            switch receive() {
            case .bytes: if let finding = reader.read(&buffer) { return finding }
            case .end: return .failed(.closed(bytes: buffer.count))
            case .broken: return .failed(.reset)
            case .wouldBlock:
                guard Clock.now() < deadline else { return timedOut(.answerTimeout(bytes: buffer.count)) }
                switch await ControlThread.readable(socket.number, until: deadline) {
                case .ready: continue
                case .timedOut: return timedOut(.answerTimeout(bytes: buffer.count))
                case .cancelled: return nil
                }
            }
        }
        return .failed(.tooManyPieces)
    }

    /// What a deadline that has passed says: where we notice it much too late, the thread was busy with something else,
    /// and the endpoint may have waited for us.
    private func timedOut(_ failure: ProbeFailure) -> ProbeFinding {
        let late = Clock.now() - deadline
        return late > Self.latenessMax ? .inconclusive("the control thread was busy") : .failed(failure)
    }

    /// Makes some of the buffer writable; false where a head is larger than any may be.
    private func makeRoom() -> Bool {
        if buffer.writableCount > 0 { return true }
        buffer.compact()
        if buffer.writableCount == 0, Int(buffer.capacity) < ProbeReader.headBytesMax {
            var larger = ByteBuffer(capacity: ProbeReader.headBytesMax)
            _ = larger.append(from: buffer)
            buffer = larger
        }
        return buffer.writableCount > 0
    }

    /// Lets the peer finish and close first, for a moment and a few bytes: closing over unread bytes would be a reset,
    /// which many servers log as a client's failure.
    func close() async {
        let deadline = Clock.now() + .milliseconds(50)
        for _ in 0..<Self.farewellReadsMax where socket.isOpen {
            buffer.clear()
            switch socket.receive(into: &buffer) {
            case .bytes: continue
            case .end, .broken: socket = Socket.none()
            case .wouldBlock:
                if await ControlThread.readable(socket.number, until: deadline) != .ready { socket = Socket.none() }
            }
        }
        socket = Socket.none()
    }

    /// Tries to read one answer, each piece being two: enough for a server that sends each line by itself, too few to
    /// keep the parser busy.
    private static let readsMax = 512
    /// A deadline is noticed within two ticks of the thread's timers, and some.
    private static let latenessMax = Instant.Span.milliseconds(100)
    /// Reads of a body that nobody needs, some 64 KiB to 256 KiB.
    private static let farewellReadsMax = 16
}

extension Transfer {
    /// What TLS moved. A probe has one direction at a time, so it can wait for what it always waits for: a peer that
    /// makes us wait for the other one is out of time.
    fileprivate init(_ transfer: TLSTransfer) {
        switch transfer {
        case .bytes(let count): self = .bytes(count)
        case .wantRead, .wantWrite: self = .wouldBlock
        case .end: self = .end
        case .failed: self = .broken
        }
    }
}
