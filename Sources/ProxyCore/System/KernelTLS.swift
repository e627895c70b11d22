// Does the kernel take TLS records from us (kTLS)? It is asked once, on a connection to ourselves.

import CLinux
import Glibc

/// The kernel's TLS.
public enum KernelTLS {
    /// Whether the kernel has it.
    public static var isAvailable: Bool { absence == nil }

    /// Why the kernel does not take records; nil: it does.
    public static let absence: String? = {
        let here = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0)
        guard let listener = try? Socket.listening(on: here), let address = listener.localAddress(),
            case .started(let socket) = Socket.connecting(to: address)
        else { return "it could not be asked: no connection to ourselves" }
        // It takes a connection that is made, which on loopback is soon.
        var wait = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
        // Safety: one entry; the name is as long as is said.
        guard unsafe poll(&wait, 1, 1000) == 1 else { return "it could not be asked: no connection to ourselves" }
        let name: StaticString = "tls"
        let result = unsafe setsockopt(
            socket.number, Int32(IPPROTO_TCP), TCP_ULP, name.utf8Start, socklen_t(name.utf8CodeUnitCount))
        if result == 0 { return nil }
        return errno == ENOENT ? "the kernel has no module tls" : "the kernel says: \(SystemError.text(errno))"
    }()
}
