// Who answers in `hdproxy demo`? Four small HTTP/1.1 servers in this process, on real loopback sockets, so that the
// proxy has something honest to talk to. They serve demonstrations and tests, not the world.

import ProxyCore
import Synchronization

/// The running backends of the demo: some that play `api`, one that plays `admin`.
struct DemoBackends: Sendable {
    /// Where the `api` backends listen, in the order asked for, with the ports that the system chose.
    let apiAddresses: [NetworkAddress]
    /// Where the `admin` backend listens.
    let adminAddress: NetworkAddress

    private let running: [RunningBackend]

    /// Starts one `api` backend on each address of `api` and an `admin` backend on `admin`; port 0 lets the system
    /// choose. When one cannot start, none is left behind and the error names its address.
    static func start(api: [NetworkAddress], admin: NetworkAddress) throws(DemoStartError) -> DemoBackends {
        var running: [RunningBackend] = []
        do {
            for (index, address) in api.enumerated() {
                running.append(try RunningBackend(name: "api-\(index + 1)", service: "honeydue-api", address: address))
            }
            running.append(try RunningBackend(name: "admin-1", service: "honeydue-admin", address: admin))
        } catch {
            for backend in running { backend.stop() }
            throw error
        }
        let addresses = running.map(\.backend.address)
        return DemoBackends(apiAddresses: addresses.dropLast(), adminAddress: addresses[api.count], running: running)
    }

    /// Ends every conversation and returns when no thread and no descriptor of the backends is left. Call it once.
    func stop() {
        for backend in running { backend.stop() }
    }
}

/// A backend and the thread that accepts for it.
struct RunningBackend: Sendable {
    fileprivate let backend: DemoBackend
    private let acceptor: DemoThread

    /// Starts a backend that calls itself `name` and plays `service`; port 0 lets the system choose.
    init(name: String, service: String, address: NetworkAddress) throws(DemoStartError) {
        let listener = try DemoSocket.listening(on: address)
        let actual = NetworkAddress(ip: address.ip, port: listener.localPort)
        let backend = DemoBackend(identity: DemoIdentity(name: name, service: service), address: actual, listener)
        guard let acceptor = DemoThread.start({ backend.acceptUntilStopped() }) else {
            listener.close()
            throw DemoStartError(address: address, code: DemoBackend.noThread)
        }
        self.backend = backend
        self.acceptor = acceptor
    }

    /// Ends every conversation and returns when nothing of the backend is left. Call it once.
    func stop() {
        backend.interruptAll()
        acceptor.join()
    }
}

/// What a backend says of itself in every answer.
struct DemoIdentity: Sendable {
    /// Which one it is, as in `api-2`: the field `X-Backend`.
    let name: String
    /// Which service it plays: the field `X-Service`.
    let service: String
}

/// One listening socket and the conversations that began there.
private final class DemoBackend: Sendable {
    let identity: DemoIdentity
    let address: NetworkAddress
    private let listener: DemoSocket
    private let conversations = Mutex(Conversations())

    /// What the acceptor, the conversations' own threads and `stop` share.
    private struct Conversations {
        var isStopping = false
        var open: Set<DemoSocket> = []
        var ended: [DemoThread] = []
    }

    init(identity: DemoIdentity, address: NetworkAddress, _ listener: DemoSocket) {
        self.identity = identity
        self.address = address
        self.listener = listener
    }

    /// The acceptor's whole life: a thread for each connection, all of them joined before it ends.
    func acceptUntilStopped() {
        var threads: Set<DemoThread> = []
        accepting: while true {
            let accepted = listener.accept()
            for thread in takeEnded() where threads.remove(thread) != nil { thread.join() }
            switch accepted {
            case .connection(let socket):
                if let thread = start(over: socket) { threads.insert(thread) }
            case .none: continue
            case .interrupted: break accepting
            }
        }
        for thread in threads { thread.join() }
        listener.close()
    }

    /// Wakes the acceptor and every conversation; from then on no new one begins.
    func interruptAll() {
        conversations.withLock { shared in
            shared.isStopping = true
            for socket in shared.open { socket.interrupt() }
        }
        listener.interrupt()
    }

    /// Gives the connection a thread; nil when it had to be closed, for lack of room or because we are stopping.
    private func start(over socket: DemoSocket) -> DemoThread? {
        guard enter(socket) else {
            socket.close()
            return nil
        }
        let thread = DemoThread.start { self.converse(over: socket) }
        if thread == nil { leave(socket) }
        return thread
    }

    private func converse(over socket: DemoSocket) {
        var connection = DemoConnection(socket: socket, identity: identity)
        connection.converse()
        leave(socket)
        conversations.withLock { $0.ended.append(.current) }
    }

    private func enter(_ socket: DemoSocket) -> Bool {
        conversations.withLock { shared in
            guard !shared.isStopping, shared.open.count < Self.connectionsMax else { return false }
            shared.open.insert(socket)
            return true
        }
    }

    /// Closes the socket, and forgets it first, so that `interruptAll` never meets a number that was given out again.
    private func leave(_ socket: DemoSocket) {
        conversations.withLock { shared in
            _ = shared.open.remove(socket)
        }
        socket.close()
    }

    private func takeEnded() -> [DemoThread] {
        conversations.withLock { shared in
            defer { shared.ended = [] }
            return shared.ended
        }
    }

    /// Conversations of one backend at a time; a further client is closed at once.
    private static let connectionsMax = 1024
    /// EAGAIN, which pthread_create gives when there are too many threads.
    static let noThread: Int32 = 11
}
