// What can be done with a TCP socket? Each call as it is, its errors sorted into those that a peer causes, which are
// values, and those that the system or we cause.

import CLinux
import Glibc

/// What reading or writing came to.
public enum Transfer: Equatable, Sendable {
    /// So many bytes were moved; at least one.
    case bytes(Int)
    /// The peer will send no more.
    case end
    /// Nothing can be moved now; the poller tells when.
    case wouldBlock
    /// The connection is broken.
    case broken
}

/// A TCP socket that does not block.
public struct Socket: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// Flags of a send to a peer that may be gone: an error then, and no signal.
    static var withoutSignal: Int32 { Int32(MSG_NOSIGNAL) }

    /// Takes over a socket.
    @inline(__always) public init(owning number: Int32) { descriptor = FileDescriptor(owning: number) }

    /// No socket.
    @inline(__always) public static func none() -> Socket { Socket(owning: -1) }

    /// Its descriptor.
    @inline(__always) public var number: Int32 { descriptor.number }
    /// Whether there is one.
    @inline(__always) public var isOpen: Bool { descriptor.isOpen }

    /// Gives the descriptor away; the caller now closes it.
    public consuming func release() -> Int32 { descriptor.release() }

    // MARK: Listening

    /// A socket that listens on `address`; see ``bound(to:)``.
    public static func listening(
        on address: NetworkAddress, sharesPort: Bool = true
    ) throws(SystemError) -> Socket {
        let socket = try bound(to: address, sharesPort: sharesPort)
        try socket.listen()
        return socket
    }

    /// Bytes that an accepted connection takes from us which it cannot send yet, beside what is on its way: enough for it
    /// to have something to send until we come again.
    static let unsentMax = 32 * 1024

    /// A socket that has `address`, where `sharesPort` beside others of this user on the same port (SO_REUSEPORT), and
    /// does not listen yet: who connects goes to the others. `[::]` takes IPv4 too, any other IPv6 address does not.
    public static func bound(to address: NetworkAddress, sharesPort: Bool = true) throws(SystemError) -> Socket {
        let doing = "listening on \(address)"
        let family = address.ip.isIPv4 ? AF_INET : AF_INET6
        let number = Glibc.socket(family, flags, 0)
        guard number >= 0 else { throw SystemError("socket", doing: doing) }
        let socket = Socket(owning: number)
        try socket.set(SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR", doing)
        if sharesPort { try socket.set(SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT", doing) }
        // Accepted sockets inherit it, which saves a call for each.
        try socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1, "setsockopt TCP_NODELAY", doing)
        // So they do this: what a client does not take lies with us, where it is counted, and not in megabytes of the kernel's.
        try socket.set(Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, Int32(unsentMax), "setsockopt TCP_NOTSENT_LOWAT", doing)
        if family == AF_INET6 {
            let v6Only: Int32 = address.ip.isUnspecified ? 0 : 1
            try socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, v6Only, "setsockopt IPV6_V6ONLY", doing)
        }
        // Safety: the address lives for the length of the call.
        let bound = unsafe address.withSocketAddress { pointer, length in unsafe Glibc.bind(number, pointer, length) }
        guard bound == 0 else { throw SystemError("bind", doing: doing) }
        return socket
    }

    /// Listens from now on.
    public borrowing func listen() throws(SystemError) {
        // More than the system allows (net.core.somaxconn) is cut to that.
        guard Glibc.listen(number, 4096) == 0 else { throw SystemError("listen", doing: "listening") }
    }

    /// What accepting came to.
    public enum Accepted: ~Copyable {
        /// A connection, and who is at its other end.
        case connection(Socket, NetworkAddress)
        /// Nobody is waiting.
        case wouldBlock
        /// One was waiting and is gone again.
        case gone
        /// No descriptor or memory is left.
        case exhausted(Int32)
    }

    /// Accepts one connection.
    @inline(__always)
    public borrowing func accept() -> Accepted {
        var storage = SocketAddressStorage()
        let listener = number
        // Safety: room for an address, and its length.
        let accepted = unsafe storage.withPointers { address, length in
            unsafe accept4(listener, address, length, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
        }
        if accepted >= 0 {
            let socket = Socket(owning: accepted)
            guard let peer = NetworkAddress(storage) else { return .gone }
            return .connection(socket, peer)
        }
        switch errno {
        // EINVAL: it does not listen; whoever accepts until nobody waits has to come to an end all the same.
        case EAGAIN, EINVAL: return .wouldBlock
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(errno)
        // Errors of the connection that was to be accepted (accept(2)), and signals.
        default: return .gone
        }
    }

    // MARK: Connecting

    /// What beginning a connection came to.
    public enum Connecting: ~Copyable {
        /// It is under way or there already; the poller tells by writability.
        case started(Socket)
        /// The system refused at once.
        case failed(ConnectFailure)
        /// No local port is left for this address.
        case outOfPorts
        /// No descriptor or memory is left.
        case exhausted(Int32)
    }

    /// Begins to connect to `address`.
    public static func connecting(to address: NetworkAddress) -> Connecting {
        let number = Glibc.socket(address.ip.isIPv4 ? AF_INET : AF_INET6, flags, 0)
        guard number >= 0 else { return .exhausted(errno) }
        let socket = Socket(owning: number)
        socket.setNoDelay()
        // Safety: the address lives for the length of the call.
        let result = unsafe address.withSocketAddress { pointer, length in unsafe Glibc.connect(number, pointer, length)
        }
        if result == 0 { return .started(socket) }
        switch errno {
        case EINPROGRESS, EINTR: return .started(socket)
        case EADDRNOTAVAIL, EAGAIN: return .outOfPorts
        case ENOBUFS, ENOMEM: return .exhausted(errno)
        default: return .failed(Self.failure(errno))
        }
    }

    /// Why connecting failed, after the poller reported an error.
    public borrowing func connectFailure() -> ConnectFailure? {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        // Safety: SO_ERROR is an int.
        let result = unsafe getsockopt(number, SOL_SOCKET, SO_ERROR, &code, &length)
        guard result == 0 else { return .unreachable }
        return code == 0 ? nil : Self.failure(code)
    }

    private static func failure(_ code: Int32) -> ConnectFailure {
        switch code {
        case ECONNREFUSED, ECONNRESET: .refused
        case ETIMEDOUT: .timeout
        default: .unreachable
        }
    }

    // MARK: Moving bytes

    /// Reads into the writable part of `buffer`, at most `limit` bytes.
    @inline(__always)
    public borrowing func receive(into buffer: inout ByteBuffer, limit: Int = .max) -> Transfer {
        receive(into: &buffer, limit: limit, flags: 0)
    }

    /// As ``receive(into:limit:)``, but what is read stays there to be read again.
    borrowing func peek(into buffer: inout ByteBuffer, limit: Int) -> Transfer {
        receive(into: &buffer, limit: limit, flags: Int32(MSG_PEEK))
    }

    @inline(__always)
    private borrowing func receive(into buffer: inout ByteBuffer, limit: Int, flags: Int32) -> Transfer {
        let number = number
        var failure: Int32 = 0
        // Safety: the kernel writes at most as many bytes as there is room for.
        let n = unsafe buffer.withUnsafeWritable(limit: limit) { memory in
            let n = unsafe recv(number, memory.baseAddress, memory.count, flags)
            if n < 0 { failure = errno }
            return n
        }
        if n > 0 { return .bytes(n) }
        if n == 0 { return .end }
        return failure == EAGAIN || failure == EINTR ? .wouldBlock : .broken
    }

    /// Sends the readable part of `buffer`, at most `limit` bytes, and consumes what was taken.
    @inline(__always)
    public borrowing func send(_ buffer: inout ByteBuffer, limit: Int = .max) -> Transfer {
        let number = number
        var failure: Int32 = 0
        // Safety: the kernel reads at most the readable bytes.
        let n = unsafe buffer.withUnsafeReadable { memory in
            let n = unsafe Glibc.send(number, memory.baseAddress, min(memory.count, limit), Self.withoutSignal)
            if n < 0 { failure = errno }
            return n
        }
        if n > 0 {
            buffer.consume(n)
            return .bytes(n)
        }
        if n == 0 || failure == EAGAIN || failure == EINTR { return .wouldBlock }
        // After its end the peer takes no more (EPIPE), which is no reset.
        return failure == EPIPE ? .end : .broken
    }

    /// Moves bytes that have arrived into a pipe, at most `limit`.
    public borrowing func splice(into pipe: borrowing Pipe, limit: Int) -> Transfer {
        Self.splice(number, pipe.writeEnd.number, limit)
    }

    /// Moves bytes out of a pipe, at most `limit`.
    public borrowing func splice(from pipe: borrowing Pipe, limit: Int) -> Transfer {
        Self.splice(pipe.readEnd.number, number, limit)
    }

    private static func splice(_ source: Int32, _ target: Int32, _ limit: Int) -> Transfer {
        // Both ends are streams, so no offsets are passed.
        let n = CLinux.splice(source, nil, target, nil, limit, UInt32(HD_SPLICE_F_MOVE | HD_SPLICE_F_NONBLOCK))
        if n > 0 { return .bytes(n) }
        if n == 0 { return .end }
        if errno == EAGAIN || errno == EINTR { return .wouldBlock }
        return errno == EPIPE ? .end : .broken
    }

    // MARK: Ending

    /// Tells the peer that nothing more comes.
    @inline(__always) public borrowing func shutdownSending() { _ = Glibc.shutdown(number, Int32(SHUT_WR)) }

    /// Ends both directions: whoever waits for this socket finds it at its end.
    public borrowing func shutdown() { _ = Glibc.shutdown(number, Int32(SHUT_RDWR)) }

    /// Makes the coming close a reset, so that the peer cannot take a cut message for a whole one.
    public borrowing func resetOnClose() {
        var value = linger(l_onoff: 1, l_linger: 0)
        // Safety: SO_LINGER is a struct linger.
        _ = unsafe setsockopt(number, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    /// Whether nothing has arrived that nobody read, not even the end.
    public borrowing func isSilent() -> Bool {
        var byte: UInt8 = 0
        // Safety: one byte of room.
        let n = unsafe recv(number, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return n < 0 && errno == EAGAIN
    }

    /// Whether bytes have arrived that nobody read.
    public borrowing func hasUnreadBytes() -> Bool {
        var byte: UInt8 = 0
        // Safety: one byte of room.
        return unsafe recv(number, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) > 0
    }

    /// How many bytes that were sent the peer has not acknowledged; 0 where the kernel does not tell.
    borrowing func unacknowledgedCount() -> Int {
        var count: Int32 = 0
        // Safety: SIOCOUTQ fills an int.
        return unsafe ioctl(number, UInt(HD_SIOCOUTQ), &count) == 0 ? Int(count) : 0
    }

    // MARK: Options

    /// The address it is bound to.
    public borrowing func localAddress() -> NetworkAddress? {
        var storage = SocketAddressStorage()
        let number = number
        let result = unsafe storage.withPointers { address, length in unsafe getsockname(number, address, length) }
        return result == 0 ? NetworkAddress(storage) : nil
    }

    /// Notices a peer that is gone without a word: asks it after `idleSeconds` of silence and then every
    /// `intervalSeconds`, and breaks the connection when `probes` questions, or bytes that were sent, were not
    /// acknowledged for as long as all that takes. Best effort: without it, only deadlines end such a connection.
    public borrowing func noticeDeadPeer(idleSeconds: Int32, intervalSeconds: Int32, probes: Int32) {
        let unacknowledged = (idleSeconds &+ intervalSeconds &* probes) &* 1000
        for (level, option, value) in [
            (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, idleSeconds),
            (Int32(IPPROTO_TCP), TCP_KEEPINTVL, intervalSeconds), (Int32(IPPROTO_TCP), TCP_KEEPCNT, probes),
            (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, unacknowledged),
        ] as [(Int32, Int32, Int32)] {
            var value = value
            // Safety: each of these options is an int.
            _ = unsafe setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    /// Sends small pieces at once: a message is one send, and what follows it must not wait for an acknowledgement.
    private borrowing func setNoDelay() {
        var one: Int32 = 1
        // Safety: TCP_NODELAY is an int.
        _ = unsafe setsockopt(number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    private borrowing func set(
        _ level: Int32, _ option: Int32, _ value: Int32, _ call: StaticString, _ doing: String
    ) throws(SystemError) {
        var value = value
        // Safety: each of these options is an int.
        let result = unsafe setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        guard result == 0 else { throw SystemError(call, doing: doing) }
    }

    private static var flags: Int32 { Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue) }
}
