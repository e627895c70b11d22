// Does the kernel take TLS records from us (kTLS)? It is asked once, on a connection to ourselves.

import CLinux
import Glibc

/// The kernel's TLS.
public enum KernelTLS {
    /// Whether the kernel has it.
    public static let isAvailable: Bool = {
        let here = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0)
        guard let listener = try? Socket.listening(on: here), let address = listener.localAddress(),
            case .started(let socket) = Socket.connecting(to: address)
        else { return false }
        // It takes a connection that is made, which on loopback is soon.
        var wait = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
        // Safety: one entry; the name is as long as is said.
        guard unsafe poll(&wait, 1, 1000) == 1 else { return false }
        let name: StaticString = "tls"
        return unsafe setsockopt(
            socket.number, Int32(IPPROTO_TCP), TCP_ULP, name.utf8Start, socklen_t(name.utf8CodeUnitCount)) == 0
    }()
}
