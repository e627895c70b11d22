// How does one question reach one server, and its answer us? By UDP from a socket, and so a port, of its own for each
// try: whoever wants to slip us an answer has to guess that too (RFC 5452 §9.2), and a kernel's memory of a server that
// is gone does not stick to it. By TCP where the answer does not fit (RFC 7766).

import ProxyCore

/// One try at one server.
@ControlThread
enum ServerExchange {
    /// What a try came to.
    enum Reply: Sendable {
        /// An answer to the question, as it came.
        case answer([UInt8])
        /// It came to something else.
        case outcome(LookupPlan.Outcome)
        /// The task was cancelled.
        case cancelled
    }

    /// Asks by UDP and waits for the answer until `deadline`. Whatever is no answer to this question is dropped, and
    /// waiting goes on.
    static func byUDP(_ query: Message.Query, _ server: NetworkAddress, until deadline: Instant) async -> Reply {
        let socket: DatagramSocket
        do throws(SystemError) {
            socket = try DatagramSocket.connected(to: server)
        } catch {
            return .outcome(.failed(error.call.description == "socket" ? .noSocket : .unreachable))
        }
        guard case .bytes = socket.send(query.bytes) else { return .outcome(.failed(.unreachable)) }

        var deadline = deadline
        var message: [UInt8] = []
        var strangers = 0
        var sawOtherCase = false
        while true {
            switch socket.receive(&message, limit: Self.datagramBytesMax) {
            case .bytes(let count):
                switch query.match(message) {
                case .answer:
                    let isWhole = count <= Self.datagramBytesMax && message[2] & 0x02 == 0
                    return isWhole ? .answer(message) : .outcome(.cut)
                case .notUnderstood:
                    return .outcome(.notUnderstood)
                case .otherCase:
                    // If this one was guessed, the right one comes soon.
                    sawOtherCase = true
                    deadline = min(deadline, Clock.now() + otherCasePatience)
                    // Without an end there would never be a moment in which anything has to be waited for.
                    strangers += 1
                    if strangers >= strangersMax { return .outcome(.otherCase) }
                case .stranger:
                    strangers += 1
                    if strangers >= strangersMax { return .outcome(.cut) }
                }
            case .wouldBlock:
                switch await ControlThread.readable(socket.number, until: deadline) {
                case .ready: break
                case .timedOut: return .outcome(sawOtherCase ? .otherCase : .silent)
                case .cancelled: return .cancelled
                }
            case .end, .broken:
                return .outcome(.failed(.unreachable))
            }
        }
    }

    /// Asks by TCP and reads the whole answer until `deadline`.
    static func byTCP(_ query: Message.Query, _ server: NetworkAddress, until deadline: Instant) async -> Reply {
        let socket: Socket
        switch Socket.connecting(to: server) {
        case .started(let started): socket = started
        case .failed: return .outcome(.failed(.unreachable))
        case .outOfPorts: return .outcome(.failed(.noSocket))
        case .exhausted: return .outcome(.failed(.noSocket))
        }
        switch await ControlThread.writable(socket.number, until: deadline) {
        case .ready: break
        case .timedOut: return .outcome(.silent)
        case .cancelled: return .cancelled
        }
        if socket.connectFailure() != nil { return .outcome(.failed(.unreachable)) }

        var outgoing = ByteBuffer(capacity: query.bytes.count + 2)
        outgoing.append(UInt8(query.bytes.count >> 8))
        outgoing.append(UInt8(truncatingIfNeeded: query.bytes.count))
        outgoing.append(query.bytes.span)
        while !outgoing.isEmpty {
            switch socket.send(&outgoing) {
            case .bytes: break
            case .wouldBlock:
                switch await ControlThread.writable(socket.number, until: deadline) {
                case .ready: break
                case .timedOut: return .outcome(.silent)
                case .cancelled: return .cancelled
                }
            case .end, .broken: return .outcome(.failed(.unreachable))
            }
        }

        // Two bytes of length, then so many bytes: what a server can send is bounded by that number.
        var incoming = ByteBuffer(capacity: 2 + Self.streamBytesFirst)
        while true {
            if let length = announced(incoming), incoming.count >= 2 + length {
                incoming.consume(2)
                return judge(query, bytes(of: incoming, length))
            }
            if incoming.writableCount == 0 {
                var larger = ByteBuffer(capacity: 2 + Int(UInt16.max))
                _ = larger.append(from: incoming)
                incoming = larger
            }
            switch socket.receive(into: &incoming) {
            case .bytes: break
            case .wouldBlock:
                switch await ControlThread.readable(socket.number, until: deadline) {
                case .ready: break
                case .timedOut: return .outcome(.silent)
                case .cancelled: return .cancelled
                }
            // Half an answer is none.
            case .end, .broken: return .outcome(.failed(incoming.isEmpty ? .unreachable : .malformed))
            }
        }
    }

    /// Nobody but the server can speak on this connection, so its mix of cases matters no more, and what does not
    /// answer the one question that was sent is its mistake.
    private static func judge(_ query: Message.Query, _ message: [UInt8]) -> Reply {
        switch query.match(message) {
        case .answer, .otherCase: message[2] & 0x02 == 0 ? .answer(message) : .outcome(.failed(.truncated))
        case .notUnderstood: .outcome(.notUnderstood)
        case .stranger: .outcome(.failed(.malformed))
        }
    }

    private static func announced(_ buffer: borrowing ByteBuffer) -> Int? {
        buffer.withReadable { bytes in bytes.count < 2 ? nil : Int(bytes[0]) << 8 | Int(bytes[1]) }
    }

    private static func bytes(of buffer: borrowing ByteBuffer, _ count: Int) -> [UInt8] {
        buffer.withReadable { bytes in (0..<count).map { bytes[$0] } }
    }

    /// Room for an answer over UDP. We offer 1232 bytes; a server that sends more than this is asked by TCP.
    private static let datagramBytesMax = 4096
    /// First room for an answer over TCP.
    private static let streamBytesFirst = 8192
    /// So many wrong answers are no accident: somebody guesses, and cannot do so over TCP.
    private static let strangersMax = 32
    private static let otherCasePatience = Instant.Span.milliseconds(100)
}
