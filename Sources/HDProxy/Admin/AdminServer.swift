// Who listens for operators? A TCP address and a Unix socket, both served on the control thread: every connection is a
// task that waits for its peer, so that a slow one keeps nobody waiting. At most a few dozen may be open at each; the
// one that has been idle for longest makes room.

import Discovery
import Glibc
import ProxyCore

/// The admin listener and socket of this process.
@ControlThread
final class AdminServer {
    private let pages: AdminPages
    private let bounds: AdminBounds
    private let report: @ControlThread (Notice) -> Void
    private var settings = AdminSettings(address: nil, socket: nil)
    private var tcp: AdminListener?
    private var unix: AdminListener?
    private var retry: Task<Void, Never>?
    private var socketRetry: Task<Void, Never>?

    /// A server that shows `state`, and says in the log through `report` where it listens. It serves nothing before
    /// ``adopt(_:)``, and keeps `state` until ``stop()``.
    init(
        state: any AdminState, bounds: AdminBounds = AdminBounds(), report: @escaping @ControlThread (Notice) -> Void
    ) {
        self.bounds = bounds
        pages = AdminPages(state)
        self.report = report
    }

    /// The address that is listened on; nil: none.
    var address: NetworkAddress? { tcp?.address }
    /// The path of the Unix socket; nil: none.
    var socketPath: String? { unix?.path }

    /// Serves where `new` says from now on, and only there: at the start, and when the configuration changes. What
    /// stays the same is not touched. What another process has is tried again every second, since that process may be the
    /// one that we replace; what the file does not name may be missing.
    ///
    /// - Throws: why something that the file names cannot be had; then nothing has changed.
    func adopt(_ new: AdminSettings) throws(Refusal) {
        var addedTCP: AdminListener?
        var addedUnix: AdminListener?
        var isTaken = false
        if let address = new.address, new.address != settings.address || (tcp == nil && retry == nil) {
            do throws(SystemError) {
                addedTCP = try AdminListener(address: address, pages, bounds)
            } catch {
                isTaken = error.code == EADDRINUSE
                if !isTaken, new.isAddressWritten { throw Refusal(stringLiteral: "admin.address: \(error)") }
                reportMissing(address.description, isTaken ? "another process listens there; trying again" : "\(error)")
            }
        }
        let path = new.socketPath(process: getpid())
        var isPathTaken = false
        if let path, path != unix?.path {
            do throws(SystemError) {
                addedUnix = try AdminListener(path: path, pages, bounds)
            } catch {
                let reason = Self.reason(error, path)
                if new.isSocketWritten { throw Refusal(stringLiteral: "admin.socket: \(reason)") }
                isPathTaken = error.code == EADDRINUSE
                reportMissing(path, reason)
            }
        }
        replace(new, tcp: addedTCP, unix: addedUnix, isTaken: isTaken, path: path)
        if isPathTaken { socketRetry = ControlThread.spawn { [weak self] in await Self.trySocketAgain { self } } }
    }

    private func replace(
        _ new: AdminSettings, tcp addedTCP: AdminListener?, unix addedUnix: AdminListener?, isTaken: Bool, path: String?
    ) {
        if new.address != settings.address || addedTCP != nil || isTaken {
            retry?.cancel()
            retry = nil
            tcp?.stop()
            tcp = addedTCP
        }
        if path != unix?.path {
            socketRetry?.cancel()
            socketRetry = nil
            unix?.stop()
            unix = addedUnix
        }
        settings = new
        for listener in [addedTCP, addedUnix] {
            guard let listener else { continue }
            listener.start()
            report(Notice(.info, "admin_listening", ["address": listener.name]))
        }
        if isTaken { retry = ControlThread.spawn { [weak self] in await Self.tryAgain { self } } }
    }

    // MARK: Handing over

    /// The descriptor of the TCP listener, which stays ours; nil where there is none.
    var number: Int32? { tcp?.number }

    /// Leaves those who come to the address to another process, which has the same socket.
    func pauseAddress() { tcp?.pause() }

    /// Serves those who come to the address again.
    func resumeAddress() { tcp?.start() }

    /// Lets go of the address, for good.
    func closeAddress() {
        retry?.cancel()
        retry = nil
        tcp?.stop()
        tcp = nil
    }

    /// Serves at the configured address by a socket that a predecessor gave.
    func take(_ descriptor: consuming FileDescriptor) {
        closeAddress()
        let listener = AdminListener(Socket(owning: descriptor.release()), pages, bounds)
        tcp = listener
        listener.start()
        report(Notice(.info, "admin_listening", ["address": listener.name]))
    }

    /// Closes everything; afterwards the socket's file is gone.
    func stop() async {
        retry?.cancel()
        retry = nil
        socketRetry?.cancel()
        socketRetry = nil
        let listeners = [tcp, unix]
        (tcp, unix) = (nil, nil)
        for listener in listeners { listener?.stop() }
        for listener in listeners { await listener?.ended() }
    }

    private static func tryAgain(_ server: @ControlThread () -> AdminServer?) async {
        while await ControlThread.sleep(for: .seconds(1)) == .timedOut {
            guard let server = server() else { return }
            if server.openAddress() { return }
        }
    }

    /// Whether there is nothing more to try.
    private func openAddress() -> Bool {
        guard let address = settings.address, tcp == nil else { return true }
        guard let listener = try? AdminListener(address: address, pages, bounds) else { return false }
        tcp = listener
        retry = nil
        listener.start()
        report(Notice(.info, "admin_listening", ["address": listener.name]))
        return true
    }

    private static func trySocketAgain(_ server: @ControlThread () -> AdminServer?) async {
        while await ControlThread.sleep(for: .seconds(1)) == .timedOut {
            guard let server = server(), !Task.isCancelled else { return }
            if server.openSocket() { return }
        }
    }

    /// Whether there is nothing more to try.
    private func openSocket() -> Bool {
        guard let path = settings.socketPath(process: getpid()), unix == nil else { return true }
        guard let listener = try? AdminListener(path: path, pages, bounds) else { return false }
        unix = listener
        socketRetry = nil
        listener.start()
        report(Notice(.info, "admin_listening", ["address": listener.name]))
        return true
    }

    private static func reason(_ error: SystemError, _ path: String) -> String {
        switch error.code {
        case EADDRINUSE: "another process listens on \(path); with %p in it each process has a socket of its own"
        case EEXIST: "\(path) is there already, and is no socket"
        case ENOENT: "\(path): the folder for it does not exist"
        default: error.description
        }
    }

    private func reportMissing(_ name: String, _ reason: String) {
        report(Notice(.warn, "admin_unavailable", ["address": name, "reason": reason]))
    }
}

/// One of the two, with its connections.
@ControlThread
final class AdminListener {
    /// Where it listens: the address, or the path.
    nonisolated let name: String
    /// The address, for TCP.
    nonisolated let address: NetworkAddress?
    /// The path, for a Unix socket.
    nonisolated let path: String?
    private var socket: Socket
    private var unix: UnixListener?
    private let pages: AdminPages
    private let bounds: AdminBounds
    private var connections: [AdminConnection] = []
    private var accepting: Task<Void, Never>?
    private var isPaused = false

    /// Listens on `address`, which no other process may share: it would answer for us.
    convenience init(address: NetworkAddress, _ pages: AdminPages, _ bounds: AdminBounds) throws(SystemError) {
        self.init(try Socket.listening(on: address, sharesPort: false), pages, bounds)
    }

    /// Serves who comes to `socket`, which listens on an address.
    init(_ socket: consuming Socket, _ pages: AdminPages, _ bounds: AdminBounds) {
        let address = socket.localAddress() ?? AdminSettings.defaultAddress
        self.address = address
        name = address.description
        path = nil
        self.socket = socket
        self.pages = pages
        self.bounds = bounds
    }

    /// Listens at `path`.
    init(path: String, _ pages: AdminPages, _ bounds: AdminBounds) throws(SystemError) {
        let unix = try UnixListener(path: path)
        address = nil
        name = path
        self.path = path
        socket = .none()
        self.unix = consume unix
        self.pages = pages
        self.bounds = bounds
    }

    /// Accepts from now on.
    func start() {
        let former = accepting
        isPaused = false
        accepting = ControlThread.spawn { [self] in
            // One task at a time waits for a descriptor.
            await former?.value
            await accept()
        }
    }

    /// Accepts no more until ``start()``, and says good-bye to those who wait between two requests: what they ask next is
    /// another process's to answer.
    func pause() {
        isPaused = true
        accepting?.cancel()
        for connection in connections where connection.idleSince != nil { connection.cancel() }
    }

    /// Ends it, and the connections with it. Its socket is closed by the task that waits for it: a descriptor must not
    /// become another's while somebody still waits.
    func stop() {
        accepting?.cancel()
        if isPaused {
            isPaused = false
            let former = accepting
            accepting = ControlThread.spawn { [self] in
                await former?.value
                close()
            }
        }
        for connection in connections { connection.cancel() }
    }

    /// Returns when it has ended.
    func ended() async {
        await accepting?.value
        accepting = nil
    }

    /// Its descriptor.
    var number: Int32 {
        if socket.isOpen { return socket.number }
        return unix?.number ?? -1
    }

    private func accept() async {
        while !Task.isCancelled, await ControlThread.readable(number) == .ready {
            while let connection = next() { admit(connection) }
            // No descriptor is left, most likely; whoever waits goes on waiting.
            if isExhausted { _ = await ControlThread.sleep(for: .milliseconds(100)) }
        }
        if !isPaused { close() }
    }

    private func close() {
        socket = .none()
        unix = nil
    }

    private var isExhausted = false

    /// The next one who waits.
    private func next() -> AdminConnection? {
        isExhausted = false
        guard let address else {
            guard let accepted = unix?.accept() else { return nil }
            switch consume accepted {
            case .connection(let socket): return AdminConnection(socket, pages, bounds, isLocal: true, isUnix: true)
            case .none: return nil
            case .exhausted:
                isExhausted = true
                return nil
            }
        }
        _ = address
        switch socket.accept() {
        case .connection(let socket, let peer):
            return AdminConnection(socket, pages, bounds, isLocal: peer.ip.isLoopback, isUnix: false)
        case .wouldBlock: return nil
        case .gone: return nil
        case .exhausted:
            isExhausted = true
            return nil
        }
    }

    /// Serves `connection`; where there are too many, the one goes that has been without a request for longest. Where
    /// all are busy, the newcomer does.
    private func admit(_ connection: AdminConnection) {
        if connections.count >= bounds.connections {
            let idle = connections.filter { $0.idleSince != nil }.min {
                ($0.idleSince ?? .never) < ($1.idleSince ?? .never)
            }
            guard let idle else { return }
            idle.cancel()
            connections.removeAll { $0 === idle }
        }
        connections.append(connection)
        connection.start { [weak self] in self?.connections.removeAll { $0 === connection } }
    }
}
