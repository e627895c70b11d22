// What the demo asks of the kernel: blocking TCP sockets and threads. Each connection has a thread of its own, so a
// conversation reads from top to bottom and a slow client delays nobody else. (The proxy itself works differently.)

import CLinux
import Glibc
import ProxyCore

/// Why a conversation with a client cannot go on.
enum DemoEnd: Error {
    /// The client left, was silent for too long, or the backend is being stopped.
    case closed
    /// The client broke the protocol: it gets this status and why, then the connection is closed.
    case refused(status: Int, why: String)
}

/// A backend could not start.
struct DemoStartError: Error, CustomStringConvertible {
    /// Where it should have listened.
    let address: NetworkAddress
    /// What the system said.
    let code: Int32

    /// One line for a person at a terminal.
    var description: String {
        // Safety: strerror returns a NUL-terminated string, copied at once.
        let reason = unsafe String(cString: strerror(code))
        let hint = code == EADDRINUSE ? " (is another hdproxy demo running?)" : ""
        return "cannot start a demo backend on \(address): \(reason)\(hint)"
    }
}

/// A blocking TCP socket. Copies name the same descriptor: exactly one owner closes it.
struct DemoSocket: Sendable, Hashable {
    /// The number that the kernel knows it by.
    let descriptor: Int32

    /// A socket that listens on `address`; port 0 lets the system choose.
    static func listening(on address: NetworkAddress) throws(DemoStartError) -> DemoSocket {
        let family = address.ip.isIPv4 ? AF_INET : AF_INET6
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let socket = DemoSocket(descriptor: Glibc.socket(family, kind, 0))
        guard socket.descriptor >= 0 else { throw DemoStartError(address: address, code: errno) }
        socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
        guard socket.bind(to: address) == 0, listen(socket.descriptor, 1024) == 0 else {
            let code = errno
            socket.close()
            throw DemoStartError(address: address, code: code)
        }
        return socket
    }

    private func bind(to address: NetworkAddress) -> Int32 {
        if address.ip.isIPv4 {
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = address.port.bigEndian
            name.sin_addr.s_addr = address.ip.v4.bigEndian
            // Safety: the pointer is used for this call alone.
            return unsafe Self.withSockaddr(&name) { unsafe Glibc.bind(descriptor, $0, $1) }
        }
        var name = sockaddr_in6()
        name.sin6_family = sa_family_t(AF_INET6)
        name.sin6_port = address.port.bigEndian
        // Safety: in6_addr is sixteen plain bytes, exactly the two halves in network order.
        name.sin6_addr = unsafe unsafeBitCast(
            (address.ip.high.bigEndian, address.ip.low.bigEndian), to: in6_addr.self)
        // Safety: the pointer is used for this call alone.
        return unsafe Self.withSockaddr(&name) { unsafe Glibc.bind(descriptor, $0, $1) }
    }

    /// The port that the system gave to a listening socket.
    var localPort: UInt16 {
        // The port stands in the same place for both families.
        var name = sockaddr_in6()
        // Safety: the kernel writes at most `length` bytes into `name`.
        _ = unsafe Self.withSockaddr(&name) { pointer, length in
            var length = length
            return unsafe getsockname(descriptor, pointer, &length)
        }
        return UInt16(bigEndian: name.sin6_port)
    }

    private static func withSockaddr<Name>(
        _ name: inout Name, _ call: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Int32
    )
        -> Int32
    {
        // Safety: every sockaddr_… begins like sockaddr, and the length says how far the kernel may go.
        unsafe withUnsafeMutableBytes(of: &name) { bytes in
            let pointer = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            return unsafe call(pointer, socklen_t(bytes.count))
        }
    }

    /// What waiting for a connection came to.
    enum Accepted {
        /// A client is there.
        case connection(DemoSocket)
        /// There was none to be had: the client left again, or the process is out of descriptors.
        case none
        /// The listening socket was interrupted; there will be no more.
        case interrupted
    }

    /// Waits for a connection.
    func accept() -> Accepted {
        let accepted = Glibc.accept(descriptor, nil, nil)
        if accepted >= 0 {
            _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
            let socket = DemoSocket(descriptor: accepted)
            socket.setOption(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            return .connection(socket)
        }
        switch errno {
        case EINVAL, EBADF: return .interrupted
        case EMFILE, ENFILE, ENOMEM, ENOBUFS:
            // Trying at once would spin until somebody else gives a descriptor back.
            pause(milliseconds: 50)
            return .none
        default: return .none
        }
    }

    /// Waits for bytes and puts them into `buffer` from index `start` on. 0 when there will be no more.
    func receive(into buffer: inout [UInt8], from start: Int) -> Int {
        while true {
            // Safety: the kernel writes between `start` and the array's end; `start` is checked by the slice.
            let count = unsafe buffer[start...].withUnsafeMutableBytes { space in
                unsafe recv(descriptor, space.baseAddress, space.count, 0)
            }
            if count < 0, errno == EINTR { continue }
            return max(count, 0)
        }
    }

    /// Sends all of `bytes`, waiting as long as the client takes to read, within the time set by ``setTimeouts(seconds:)``.
    func send(_ bytes: Span<UInt8>) throws(DemoEnd) {
        var sent = 0
        while sent < bytes.count {
            // Safety: the kernel reads between `sent` and the end of the span.
            let count = unsafe bytes.withUnsafeBytes { source in
                unsafe Glibc.send(descriptor, source.baseAddress! + sent, source.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .closed }
            sent += count
        }
    }

    /// How long one receive or send may wait.
    func setTimeouts(seconds: Int) {
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            var time = timeval(tv_sec: seconds, tv_usec: 0)
            // Safety: the kernel reads one timeval.
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    /// Waits for this long, or until the connection is reset or interrupted.
    func pause(milliseconds: Int) {
        // With no event asked for, poll reports errors and hang-ups alone.
        var entry = pollfd(fd: descriptor, events: 0, revents: 0)
        // Safety: exactly one entry is passed.
        _ = unsafe poll(&entry, 1, Int32(clamping: milliseconds))
    }

    /// Tells the client that nothing more will come; reading goes on.
    func finishSending() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

    /// Wakes whoever waits on this socket, from any thread: its waits end as if the client had left.
    func interrupt() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Gives the descriptor back.
    func close() { _ = Glibc.close(descriptor) }

    private func setOption(_ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        // Safety: the kernel reads one Int32.
        _ = unsafe setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// A thread of the demo.
struct DemoThread: Sendable, Hashable {
    private let id: pthread_t

    /// The thread that asks.
    static var current: DemoThread { DemoThread(id: pthread_self()) }

    /// Starts a thread that runs `body`; nil when the system has none to spare. Every signal is blocked in it: signals
    /// belong to the proxy's own threads.
    static func start(_ body: @escaping @Sendable () -> Void) -> DemoThread? {
        var attributes = pthread_attr_t()
        var every = sigset_t()
        var before = sigset_t()
        var id = pthread_t()
        let work = Work(body)
        // Safety: each call fills or reads the variable it is given; the retained work is taken over by the new thread,
        // or given back below when there is none.
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setstacksize(&attributes, stackBytes)
        unsafe sigfillset(&every)
        unsafe pthread_sigmask(SIG_SETMASK, &every, &before)
        let raw = unsafe Unmanaged.passRetained(work).toOpaque()
        let code = unsafe pthread_create(&id, &attributes, runWork, raw)
        unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
        unsafe pthread_attr_destroy(&attributes)
        guard code == 0 else {
            unsafe Unmanaged<Work>.fromOpaque(raw).release()
            return nil
        }
        return DemoThread(id: id)
    }

    /// Waits until the thread has ended. Once for each thread.
    func join() {
        _ = pthread_join(id, nil)
    }

    private static let stackBytes = 512 * 1024
}

/// What a new thread is to do.
private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// The first function of every demo thread.
private func runWork(_ raw: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // Safety: `start` retained exactly this object for this thread.
    let work = unsafe Unmanaged<Work>.fromOpaque(raw!).takeRetainedValue()
    work.body()
    return nil
}
