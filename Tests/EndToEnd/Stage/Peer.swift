// One end of a connection, for tests that are written in Swift: what it says and what it hears.

import Glibc

/// A client or an upstream.
final class Peer {
    let socket: LoopbackSocket
    let reader: MessageReader

    init(_ socket: LoopbackSocket) {
        self.socket = socket
        reader = MessageReader(socket)
    }

    /// A client of whoever listens on `port`.
    convenience init(connectedTo port: UInt16, receiveBuffer: Int32? = nil) throws {
        self.init(try LoopbackSocket.connect(to: LoopbackAddress(port: port), receiveBuffer: receiveBuffer))
    }

    /// Sends `text`, whose lines end as they stand.
    func says(_ text: String) { socket.send(Array(text.utf8)) }

    /// Sends `bytes` on a thread of its own, so that the test can go on; what the peer does not take in time is not sent.
    func saysMeanwhile(_ bytes: [UInt8]) {
        // The socket outlives the thread: an own copy of the descriptor.
        let fd = fcntl(socket.fd, F_DUPFD_CLOEXEC, 0)
        Detached {
            let copy = LoopbackSocket(adopting: fd)
            copy.send(bytes, within: .seconds(30))
        }.start()
    }

    /// The next whole request; for an upstream.
    func hearsRequest(within patience: Duration = .seconds(5)) throws -> WireMessage {
        try reader.message(answering: nil, until: .after(patience)).orStageError("a request")
    }

    /// The next whole answer to a request with `method`; for a client.
    func hearsAnswer(to method: String = "GET", within patience: Duration = .seconds(5)) throws -> WireMessage {
        try reader.message(answering: method, until: .after(patience)).orStageError("an answer")
    }

    /// The next `count` bytes, whatever they mean; fewer where no more come in time.
    func hears(_ count: Int, within patience: Duration = .seconds(5)) -> [UInt8] {
        let deadline = Deadline.after(patience)
        while socket.unread.count < count, socket.receive(until: deadline) == .bytes {}
        let heard = Array(socket.unread.prefix(count))
        socket.unread.removeFirst(heard.count)
        return heard
    }

    /// Whether the connection's end comes in time, and nothing before it.
    func hearsEnd(within patience: Duration = .seconds(5)) -> Bool {
        let arrival = socket.unread.isEmpty ? socket.receive(until: .after(patience)) : .bytes
        return arrival == .end || arrival == .reset
    }
}

extension LoopbackListener {
    /// The next connection.
    func accepts(within patience: Duration = .seconds(5)) throws -> Peer {
        guard let socket = accept(until: .after(patience)) else { throw StageError("nobody connected to \(address)") }
        return Peer(socket)
    }
}

extension Result where Success == WireMessage, Failure == MessageReader.HeadFailure {
    fileprivate func orStageError(_ what: String) throws -> WireMessage {
        switch self {
        case .success(let message): return message
        case .failure(let failure): throw StageError("waiting for \(what): \(failure)")
        }
    }
}

/// A request without a body, as most tests need it.
func request(_ target: String = "/", host: String = "a.test", method: String = "GET", fields: String = "") -> String {
    "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n\(fields)\r\n"
}

/// An answer with a length.
func answer(_ body: String = "ok", status: String = "200 OK", fields: String = "") -> String {
    "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)"
}

/// A configuration with one listener per port, and services by name; each service is reached as `NAME.test`.
func configuration(
    listeners: [UInt16], services: [String: String], routes: [String] = [], more: String = ""
) -> String {
    let listenerLines = listeners.map { "{ name: \"l\($0)\", address: \"127.0.0.1:\($0)\" }" }
    let serviceLines = services.sorted { $0.key < $1.key }.map { "\($0.key): { \($0.value) }" }
    let ownRoutes = services.keys.sorted().map { "{ host: \"\($0).test\", service: \"\($0)\" }" }
    return """
        {
          workers: 1,
          listeners: [ \(listenerLines.joined(separator: ", ")) ],
          services: { \(serviceLines.joined(separator: ", ")) },
          routes: [ \((routes.isEmpty ? ownRoutes : routes).joined(separator: ",\n    ")) ],
          log: { access: false },
          \(more.contains("admin:") ? "" : "admin: { address: \"\", socket: \"\" },")
          \(more)
        }
        """
}

/// What a service says that has this one endpoint.
func endpoint(_ listener: LoopbackListener) -> String { "endpoints: [ \"\(listener.address)\" ]" }
