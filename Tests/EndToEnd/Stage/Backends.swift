// Many small HTTP servers on loopback addresses, as the pods of a cluster: each has a name, which it answers with, and a
// moment at which it goes. What reached whom, and when, is remembered.

import CLinux
import Foundation

/// Servers that are turned by one thread.
final class Backends: Sendable {
    /// What one server, known by its name, was asked.
    struct Record: Sendable {
        /// Requests that it answered.
        var requests = 0
        /// When the last of them had arrived.
        var last: Deadline?
    }

    private struct Server {
        var name: String
        var listener: Int32
        var answersAfter: Duration
        var isLeaving = false
        var manner = Manner()
    }

    /// How a server answers.
    struct Manner: Sendable {
        /// Status and reason.
        var status = "200 OK"
        /// Further field lines, each with its end of line.
        var fields = ""
        /// Whether it takes requests and never answers.
        var isSilent = false
    }

    private struct Connection {
        var fd: Int32
        /// Whose it is; it outlives the server's listener while that leaves.
        var address: LoopbackAddress
        var name: String
        var unread: [UInt8] = []
        /// When the answer to the request that was read is due.
        var due: Deadline?
    }

    private struct State {
        var servers: [LoopbackAddress: Server] = [:]
        var connections: [Int: Connection] = [:]
        var nextConnection = 0
        var records: [String: Record] = [:]
        /// Whose server has to go.
        var condemned: Set<LoopbackAddress> = []
        var isOver = false
    }

    private let state = Locked(State())
    /// Both ends of a pipe: a byte ends the wait of the thread.
    private let wakes: (reading: Int32, writing: Int32)

    init() throws {
        var ends: [Int32] = [-1, -1]
        // Safety: pipe2 fills exactly the two numbers of the array.
        guard unsafe pipe2(&ends, O_CLOEXEC | O_NONBLOCK) == 0 else { throw StageError("pipe: errno \(errno)") }
        wakes = (ends[0], ends[1])
        let state = state
        let wake = ends[0]
        Detached { Self.turn(state, wake: wake) }.start()
    }

    deinit { stop() }

    // MARK: Scenes

    /// A server called `name` listens at `address` from now on.
    func open(_ name: String, at address: LoopbackAddress, answersAfter: Duration = .zero) throws {
        let listener = try LoopbackListener(on: address, backlog: 512)
        // The descriptor is ours alone from here on: the listener must not close it.
        let fd = fcntl(listener.fd, F_DUPFD_CLOEXEC, 0)
        listener.close()
        guard fd >= 0 else { throw StageError("dup: errno \(errno)") }
        let isFree = state.withLock { state in
            guard state.servers[address] == nil else { return false }
            state.servers[address] = Server(name: name, listener: fd, answersAfter: answersAfter)
            return true
        }
        guard isFree else {
            Glibc.close(fd)
            throw StageError("\(address) is taken")
        }
        wake()
    }

    /// The server at `address` is gone when this returns, with all its connections.
    func kill(_ address: LoopbackAddress) {
        // The thread does it: a descriptor that it waits for would stay open for the kernel until the wait is over.
        state.withLock { _ = $0.condemned.insert(address) }
        wake()
        while state.withLock({ $0.condemned.contains(address) && !$0.isOver }) { usleep(50) }
    }

    private static func execute(_ state: inout State) {
        for address in state.condemned {
            if let server = state.servers.removeValue(forKey: address) { end(server.listener) }
            for (id, connection) in state.connections where connection.address == address {
                cut(connection.fd)
                state.connections[id] = nil
            }
        }
        state.condemned = []
    }

    /// What a well-behaved pod does at SIGTERM: it goes on, but asks each client to close, until ``kill(_:)``.
    func leave(_ address: LoopbackAddress) { state.withLock { $0.servers[address]?.isLeaving = true } }

    /// The server at `address` answers in this manner from now on.
    func behave(_ manner: Manner, at address: LoopbackAddress) {
        state.withLock { $0.servers[address]?.manner = manner }
    }

    /// What the servers called `name` were asked so far.
    func record(of name: String) -> Record { state.withLock { $0.records[name] ?? Record() } }

    /// How many connections the server at `address` has now.
    func connections(at address: LoopbackAddress) -> Int {
        state.withLock { state in state.connections.values.count { $0.address == address } }
    }

    /// Ends all of it.
    func stop() {
        state.withLock { $0.isOver = true }
        wake()
    }

    private func wake() {
        var byte: UInt8 = 0
        // Safety: one byte, a local that outlives the call.
        unsafe write(wakes.writing, &byte, 1)
    }

    // MARK: The thread

    private static func turn(_ state: Locked<State>, wake: Int32) {
        while true {
            let (entries, whose) = state.withLock { state in
                execute(&state)
                return waits(of: state, wake: wake)
            }
            guard !entries.isEmpty else { break }
            var ready = entries
            let timeout = state.withLock { state in
                state.connections.values.compactMap(\.due).min()?.millisecondsLeft ?? 1000
            }
            // Safety: the entries and their count belong to one array that outlives the call.
            unsafe poll(&ready, nfds_t(ready.count), timeout)
            var drop = [UInt8](repeating: 0, count: 64)
            // Safety: read writes at most as many bytes as the array has.
            if ready[0].revents != 0 { _ = unsafe read(wake, &drop, 64) }
            state.withLock { state in
                for (entry, who) in zip(ready.dropFirst(), whose) where entry.revents != 0 {
                    switch who {
                    case .server(let address): accept(&state, address)
                    case .connection(let id): receive(&state, id)
                    }
                }
                let now = Deadline.now
                for (id, connection) in state.connections where connection.due.map({ $0 <= now }) == true {
                    answer(&state, id)
                }
            }
        }
        state.withLock { state in
            for server in state.servers.values { end(server.listener) }
            for connection in state.connections.values { Glibc.close(connection.fd) }
            state = State(isOver: true)
        }
    }

    private enum Waiter: Sendable {
        case server(LoopbackAddress)
        case connection(Int)
    }

    /// What to wait for: the wake first. Nothing once it is over.
    private static func waits(of state: State, wake: Int32) -> (entries: [pollfd], whose: [Waiter]) {
        guard !state.isOver else { return ([], []) }
        var entries = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        var whose: [Waiter] = []
        for (address, server) in state.servers {
            entries.append(pollfd(fd: server.listener, events: Int16(POLLIN), revents: 0))
            whose.append(.server(address))
        }
        for (id, connection) in state.connections where connection.due == nil {
            entries.append(pollfd(fd: connection.fd, events: Int16(POLLIN), revents: 0))
            whose.append(.connection(id))
        }
        return (entries, whose)
    }

    private static func accept(_ state: inout State, _ address: LoopbackAddress) {
        guard let server = state.servers[address] else { return }
        let fd = accept4(server.listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue))
        guard fd >= 0 else { return }
        var on: Int32 = 1
        // Safety: the option is an Int32 that outlives the call.
        unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        state.connections[state.nextConnection] = Connection(fd: fd, address: address, name: server.name)
        state.nextConnection += 1
    }

    private static func receive(_ state: inout State, _ id: Int) {
        guard var connection = state.connections[id] else { return }
        var piece = [UInt8](repeating: 0, count: 4096)
        // Safety: recv writes at most as many bytes as the array has.
        let count = unsafe recv(connection.fd, &piece, piece.count, Int32(MSG_DONTWAIT))
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        guard count > 0 else {
            Glibc.close(connection.fd)
            state.connections[id] = nil
            return
        }
        connection.unread += piece[..<count]
        state.connections[id] = connection
        schedule(&state, id)
    }

    /// Takes the next whole request, of which only the head is looked at: the tests send no bodies.
    private static func schedule(_ state: inout State, _ id: Int) {
        guard let connection = state.connections[id], connection.due == nil,
            let end = connection.unread.firstIndex(of: [13, 10, 13, 10], from: 0)
        else { return }
        let now = Deadline.now
        state.connections[id]?.unread.removeFirst(end + 4)
        state.connections[id]?.due = now + (state.servers[connection.address]?.answersAfter ?? .zero)
        state.records[connection.name, default: Record()].requests += 1
        state.records[connection.name]?.last = now
        if state.servers[connection.address]?.answersAfter == .zero { answer(&state, id) }
    }

    private static func answer(_ state: inout State, _ id: Int) {
        guard let connection = state.connections[id] else { return }
        let isLast = state.servers[connection.address]?.isLeaving ?? true
        let manner = state.servers[connection.address]?.manner ?? Manner()
        if manner.isSilent {
            state.connections[id]?.due = nil
            return
        }
        let text =
            "HTTP/1.1 \(manner.status)\r\n\(manner.fields)Content-Length: \(connection.name.utf8.count)\r\n"
            + (isLast ? "Connection: close\r\n" : "") + "\r\n\(connection.name)"
        let bytes = Array(text.utf8)
        // Safety: the pointer and count are those of the array itself; so few bytes fit into an empty buffer.
        let sent = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(connection.fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        guard sent == bytes.count, !isLast else {
            Glibc.close(connection.fd)
            state.connections[id] = nil
            return
        }
        state.connections[id]?.due = nil
        schedule(&state, id)
    }

    /// Cuts a connection so that the peer sees a reset now, as when a pod's network goes. Closing alone would wait for
    /// children that other tests are just starting: until their exec they hold all that was open.
    private static func cut(_ fd: Int32) {
        var nobody = sockaddr()
        nobody.sa_family = sa_family_t(AF_UNSPEC)
        // Safety: the address is a local that outlives the call.
        _ = unsafe Foundation.connect(fd, &nobody, socklen_t(MemoryLayout<sockaddr>.size))
        Glibc.close(fd)
    }

    /// Ends a listener, for the same reason not by closing alone.
    private static func end(_ listener: Int32) {
        shutdown(listener, Int32(SHUT_RDWR))
        Glibc.close(listener)
    }
}
