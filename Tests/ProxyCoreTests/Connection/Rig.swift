// The connections of one worker with real sockets on loopback, turned by hand: what the kernel has seen of one call it
// tells at the next turn, so nothing has to be waited for.

import Synchronization
import Testing

@testable import ProxyCore

/// Lines of the access log.
final class LogLines: Sendable {
    private let bytes = Mutex<[UInt8]>([])
    func add(_ more: [UInt8]) { bytes.withLock { $0 += more } }
    var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }
}

/// A peer's end of a connection.
final class Peer {
    private let socket: Socket

    init(_ socket: consuming Socket) { self.socket = socket }

    func write(_ text: String) {
        var bytes = ByteBuffer(capacity: max(1, text.utf8.count))
        bytes.append(utf8: text)
        #expect(socket.send(&bytes) == .bytes(text.utf8.count))
    }

    /// Sends as much as is taken.
    func fill(_ bytes: inout ByteBuffer) -> Transfer { socket.send(&bytes) }

    /// Takes at most `count` bytes of what has come.
    func take(_ count: Int) -> Transfer {
        var bytes = ByteBuffer(capacity: count)
        return socket.receive(into: &bytes)
    }

    /// Sends no more.
    func end() { socket.shutdownSending() }

    /// Takes what has come. Whether that is not the end.
    func read(into bytes: inout ByteBuffer) -> Bool {
        switch socket.receive(into: &bytes) {
        case .bytes, .wouldBlock: true
        case .end, .broken: false
        }
    }

    /// What has come; nil where that is the end.
    func read() -> String? {
        var bytes = ByteBuffer(capacity: 64 * 1024)
        switch socket.receive(into: &bytes) {
        case .bytes:
            return bytes.withReadable { span in String(decoding: span.indices.map { span[$0] }, as: UTF8.self) }
        case .wouldBlock: return ""
        case .end, .broken: return nil
        }
    }
}

/// A server that listens.
final class PeerServer {
    let socket: Socket
    let address: NetworkAddress

    init() throws {
        socket = try Socket.listening(on: loopback)
        guard let address = socket.localAddress() else { throw SystemError("getsockname", code: 0, doing: "a test") }
        self.address = address
    }

    /// The next connection; nil where nobody has come.
    func accept() -> Peer? {
        switch socket.accept() {
        case .connection(let socket, _): return Peer(socket)
        case .wouldBlock: return nil
        case .gone: return nil
        case .exhausted: return nil
        }
    }

    func endpoint(_ id: String) -> Endpoint { Endpoint(id: EndpointID(id), address: address) }
}

/// A client's end of a connection to `address`.
func connected(to address: NetworkAddress) throws -> Peer {
    let failed = SystemError("connect", code: 0, doing: "a test")
    switch Socket.connecting(to: address) {
    case .started(let socket): return Peer(socket)
    case .failed: throw failed
    case .outOfPorts: throw failed
    case .exhausted: throw failed
    }
}

/// A worker's connections and the listener they come from.
struct Rig: ~Copyable {
    var connections: Connections
    let front: PeerServer
    let log: LogLines
    let outbox: Outbox
    var now = Instant(nanoseconds: 1_000_000_000)

    init(_ snapshot: Snapshot, loads: SharedLoads = SharedLoads()) throws {
        let front = try PeerServer()
        let log = LogLines()
        let outbox = try Outbox()
        let connections = try Connections(
            snapshot, now: now, seed: 7, connectionsMax: 64, outbox: outbox, loads: loads,
            log: AccessLog { bytes in
                log.add(bytes)
                return true
            })
        self.connections = connections
        self.front = front
        self.log = log
        self.outbox = outbox
    }

    /// A service `s` with these endpoints, for every host.
    static func snapshot(_ endpoints: [Endpoint], services: [Service] = []) -> Snapshot {
        Snapshot(
            services: [Service(name: "s", endpoints: endpoints)] + services,
            routes: [Route(host: .any, action: .forward([WeightedService(service: 0)]))])
    }

    mutating func client(needsProxyHeader: Bool = false) throws -> Peer {
        let peer = try connected(to: front.address)
        guard case .connection(let socket, let address) = front.socket.accept() else {
            throw SystemError("accept", code: 0, doing: "a test")
        }
        connections.accepted(socket, from: address, listener: .none, needsProxyHeader: needsProxyHeader)
        return peer
    }

    /// A client asks, and an endpoint hears it on a connection of its own.
    mutating func exchange(with server: PeerServer, asking request: String = getRequest) throws -> Conversation {
        let client = try client()
        client.write(request)
        return try heard(from: client, by: server)
    }

    /// What a client has just asked on its way to an endpoint, which it comes to on a new connection.
    mutating func heard(from client: Peer, by server: PeerServer) throws -> Conversation {
        turn()
        turn()
        let upstream = try #require(server.accept())
        turn()
        return Conversation(client: client, upstream: upstream, request: upstream.read() ?? "")
    }

    /// The rest of it: the answer comes, and its client has it.
    mutating func answer(_ conversation: Conversation) {
        conversation.upstream.write(okResponse)
        turn()
        #expect(conversation.client.read()?.hasPrefix("HTTP/1.1 200 ") == true)
    }

    /// A client that takes nothing of an answer of 64 MiB, of which as much has come as anybody takes.
    mutating func stuckReader(of server: PeerServer) throws -> Conversation {
        let conversation = try exchange(with: server)
        conversation.upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
        var stream = Stream()
        for _ in 0..<100 { if !stream.flow(to: conversation.upstream, &self) { break } }
        return conversation
    }

    /// Lets time pass, and what is due with it.
    mutating func pass(_ milliseconds: Int64) {
        now = now + .milliseconds(milliseconds)
        turn()
    }

    /// One turn, of what the kernel has seen by now.
    mutating func turn() {
        let count = connections.poller.wait(milliseconds: 0)
        connections.turnBegins(now)
        _ = connections.lookOver(count)
        for i in 0..<count {
            let (token, readiness) = connections.poller.event(i)
            switch token.kind {
            case .client: connections.clientReady(token.slot, readiness)
            case .upstream: connections.upstreamReady(token.slot, readiness)
            case .listener, .wake: break
            }
        }
        connections.servePending()
        connections.fireTimers()
    }

    /// Whether another turn has something to do at once.
    var hasMore: Bool { mutating get { connections.hasPending || connections.nextTimer <= now } }

    /// What was told of endpoints that are ill since it was last asked.
    func told() -> [Sighting] { outbox.take() }

    /// Lines of the access log so far.
    mutating func logged() -> String {
        connections.log.flush()
        return log.text
    }
}

/// A request that is under way: both ends of what is between them.
struct Conversation {
    let client: Peer
    let upstream: Peer
    /// What the upstream heard.
    let request: String
}

/// A body that has no end.
struct Stream: ~Copyable {
    private var piece = ByteBuffer(capacity: 1 << 18)

    init() { while piece.writableCount > 0 { piece.append(UInt8(ascii: "x")) } }

    /// Lets a peer say as much as is taken, and the rig take a turn. Whether something was taken.
    mutating func flow(to peer: Peer, _ rig: inout Rig) -> Bool {
        piece.rewind()
        let transfer = peer.fill(&piece)
        rig.turn()
        if case .bytes = transfer { return true }
        return false
    }
}

/// Any free port.
let loopback = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0)
let getRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
let okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
