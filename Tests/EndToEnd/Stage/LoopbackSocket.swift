// Real sockets for the tests: plain, blocking in the caller's eyes, and never without a deadline.
//
// A play is told by one thread that holds both ends of the proxy in its hands, so nothing here is shared.

import CLinux
import Glibc

/// What went wrong on the stage itself, as opposed to in the proxy.
struct StageError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// An IPv4 loopback address and a port.
struct LoopbackAddress: Sendable, Hashable, CustomStringConvertible {
    /// Which house of 127.0.0.0/8: each play gets its own, so that all can have the same port. 0 is 127.0.0.1.
    var number: UInt16
    var port: UInt16

    /// The address 127.H.L.1, H and L being the bytes of `number`.
    init(number: UInt16 = 0, port: UInt16) {
        self.number = number
        self.port = port
    }

    var host: String { "127.\(number >> 8).\(number & 0xFF).1" }
    var description: String { "\(host):\(port)" }
    /// Another address of the same house, where nobody listens.
    var neighbour: String { "127.\(number >> 8).\(number & 0xFF).2:\(port)" }

    fileprivate var socketAddress: sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = (127 << 24 | UInt32(number) << 8 | 1).bigEndian
        return address
    }
}

/// A moment after which a wait has failed.
typealias Deadline = ContinuousClock.Instant

extension Deadline {
    /// The moment `duration` from now.
    static func after(_ duration: Duration) -> Deadline { .now + duration }

    /// What `poll` takes: the milliseconds left, rounded up.
    var millisecondsLeft: Int32 {
        let left = Deadline.now.duration(to: self)
        guard left > .zero else { return 0 }
        return Int32(left / .milliseconds(1)) + 1
    }
}

/// What a read brought.
enum Arrival: Equatable {
    case bytes
    /// The peer said that it sends no more.
    case end
    case reset
    case nothingInTime
}

/// A connected TCP socket and the bytes that have come in but have not been looked at.
final class LoopbackSocket {
    let fd: Int32
    /// Bytes received and not yet consumed.
    var unread: [UInt8] = []
    /// Set once the peer's end or a reset has been read.
    private(set) var ending: Arrival?
    private var isClosed = false

    /// Takes over a connected descriptor.
    init(adopting fd: Int32) {
        self.fd = fd
        var on: Int32 = 1
        // Safety: the option is an Int32 that outlives the call.
        unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close() }

    /// Connects to `address`; `receiveBuffer` bounds what the kernel takes in for a slow reader.
    static func connect(to address: LoopbackAddress, receiveBuffer: Int32? = nil) throws -> LoopbackSocket {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw StageError("socket: errno \(errno)") }
        let made = LoopbackSocket(adopting: fd)
        if var receiveBuffer {
            // Safety: the option is an Int32 that outlives the call.
            unsafe setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size))
        }
        guard made.startConnect(to: address) == 0 else { throw StageError("connect to \(address): errno \(errno)") }
        return made
    }

    /// Begins to connect to `address` and does not wait for an answer.
    static func connectWithoutWaiting(to address: LoopbackAddress) throws -> LoopbackSocket {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let fd = socket(AF_INET, flags, 0)
        guard fd >= 0 else { throw StageError("socket: errno \(errno)") }
        let made = LoopbackSocket(adopting: fd)
        _ = made.startConnect(to: address)
        return made
    }

    private func startConnect(to address: LoopbackAddress) -> Int32 {
        var target = address.socketAddress
        let descriptor = fd
        // Safety: the address is a local that outlives the call, and its length is its own.
        return unsafe withUnsafePointer(to: &target) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// Waits for more bytes and adds them to ``unread``.
    func receive(until deadline: Deadline, atMost limit: Int = 65_536) -> Arrival {
        if let ending { return ending }
        guard isReadable(until: deadline) else { return .nothingInTime }
        var outcome = 0
        // Safety: recv writes at most `limit` bytes into storage of that size, and says how many.
        unread += unsafe [UInt8](unsafeUninitializedCapacity: limit) { storage, initialized in
            outcome = unsafe recv(fd, storage.baseAddress, limit, 0)
            initialized = max(0, outcome)
        }
        guard outcome <= 0 else { return .bytes }
        let end: Arrival = outcome == 0 ? .end : .reset
        ending = end
        return end
    }

    /// Whether a read would bring something before `deadline`, an end included.
    func isReadable(until deadline: Deadline) -> Bool {
        var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        while true {
            // Safety: one entry, a local that outlives the call.
            let ready = unsafe poll(&entry, 1, deadline.millisecondsLeft)
            if ready < 0 && errno == EINTR { continue }
            return ready > 0
        }
    }

    /// Sends all of `bytes`; false when the peer no longer takes them.
    @discardableResult
    func send(_ bytes: [UInt8], byteByByte: Bool = false, within patience: Duration = .seconds(10)) -> Bool {
        guard byteByByte else { return sendPiece(bytes[...], until: .after(patience)) }
        // Head and tail one byte at a time; the middle of something long would only cost time.
        let single = 600
        let deadline = Deadline.after(patience)
        var position = 0
        while position < bytes.count {
            let isMiddle = position == single && bytes.count > 2 * single
            let next = isMiddle ? bytes.count - single : position + 1
            guard sendPiece(bytes[position..<next], until: deadline) else { return false }
            position = next
            // There is no event to await: the peer does not tell that it has read a byte. A pause makes it likely.
            usleep(20)
        }
        return true
    }

    private func sendPiece(_ bytes: ArraySlice<UInt8>, until deadline: Deadline) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            // Safety: the pointer and count are those of the slice itself.
            let sent = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent < 0 && errno == EINTR { continue }
            guard sent > 0, deadline > .now else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    /// Takes what fits into the kernel's buffers right now; how many bytes that was, or nil once the peer is gone.
    func sendWithoutWaiting(_ bytes: [UInt8]) -> Int? {
        // Safety: the pointer and count are those of the array itself.
        let sent = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(
                fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        if sent >= 0 { return sent }
        return errno == EAGAIN || errno == EINTR ? 0 : nil
    }

    /// Says that no more will be sent; reading goes on.
    func finish() { shutdown(fd, Int32(SHUT_WR)) }

    /// Cuts the connection so that the peer sees a reset.
    func reset() {
        var now = linger(l_onoff: 1, l_linger: 0)
        // Safety: the option is a local that outlives the call.
        unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        ending = ending ?? .end
        Glibc.close(fd)
    }
}

/// A socket that accepts connections.
final class LoopbackListener {
    let fd: Int32
    let address: LoopbackAddress
    private var isClosed = false

    /// Listens on `wanted`; port 0 takes a free one.
    init(on wanted: LoopbackAddress = LoopbackAddress(port: 0), backlog: Int32 = 64) throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw StageError("socket: errno \(errno)") }
        var on: Int32 = 1
        // Safety: the option is an Int32 that outlives the call.
        unsafe setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var name = wanted.socketAddress
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = fd
        // Safety: the address is a local that outlives the calls, and its length is its own.
        let bound = unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                let outcome = unsafe bind(descriptor, $0, length)
                return outcome == 0 ? unsafe getsockname(descriptor, $0, &length) : outcome
            }
        }
        guard bound == 0, listen(fd, backlog) == 0 else {
            let reason = errno
            Glibc.close(fd)
            throw StageError("listen on \(wanted): errno \(reason)")
        }
        var chosen = wanted
        chosen.port = UInt16(bigEndian: name.sin_port)
        address = chosen
    }

    deinit { close() }

    /// The next connection, or nil when none came in time.
    func accept(until deadline: Deadline) -> LoopbackSocket? {
        var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        // Safety: one entry, a local that outlives the call.
        guard unsafe poll(&entry, 1, deadline.millisecondsLeft) > 0 else { return nil }
        let accepted = accept4(fd, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        return accepted < 0 ? nil : LoopbackSocket(adopting: accepted)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        Glibc.close(fd)
    }
}

/// Waits until one of `sockets` or `listener` has something to tell; the index of the first that has, -1 for the
/// listener, nil when none had in time.
func firstReadable(_ sockets: [LoopbackSocket], or listener: LoopbackListener?, until deadline: Deadline) -> Int? {
    if let waiting = sockets.firstIndex(where: { !$0.unread.isEmpty }) { return waiting }
    var entries = sockets.map { pollfd(fd: $0.fd, events: Int16(POLLIN), revents: 0) }
    if let listener { entries.append(pollfd(fd: listener.fd, events: Int16(POLLIN), revents: 0)) }
    // Safety: the entries and their count belong to one array that outlives the call.
    guard unsafe poll(&entries, nfds_t(entries.count), deadline.millisecondsLeft) > 0 else { return nil }
    guard let index = entries.firstIndex(where: { $0.revents != 0 }) else { return nil }
    return index == sockets.count ? -1 : index
}

/// Ports below those that the system hands out by itself, each given away once in this process: two tests at the same
/// time never get the same one, and no client's own port can be it.
private let nextPort = Locked(UInt16(10_240 + Int(getpid()) % 500 * 40))

/// A port that nobody listens on.
func freePort() throws -> UInt16 {
    for _ in 0..<22_000 {
        let port = nextPort.withLock { next in
            next = next >= 32_000 ? 10_240 : next + 1
            return next
        }
        // The listener is gone when it was seen to be possible.
        if (try? LoopbackListener(on: LoopbackAddress(port: port))) != nil { return port }
    }
    throw StageError("no free port")
}
