// Which endpoint was dialled? A server on every loopback address at once, which answers with the address that it was
// asked at: so ten thousand endpoints cost one listener, and an answer tells which one the proxy chose.

import CLinux
import Glibc
import ProxyCore

/// A thread that serves `127.0.0.0/8` on one port.
struct AddressBackend {
    /// The port, on every loopback address.
    let port: UInt16

    /// Starts it. It ends with the process.
    init() throws {
        // Not 127.0.0.1: the addresses are the endpoints'.
        let listener = try listen(on: NetworkAddress(ip: IPAddress(v4: 0), port: 0))
        let port = localPort(of: listener)
        _ = try Thread(name: "backend") { Self.serve(listener) }
        self.port = port
    }

    private static func serve(_ listener: Int32) {
        let poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard poller >= 0, watch(poller, listener, events: EPOLLIN.rawValue, token: UInt64(listener)) else { return }
        var answers: [Int32: [UInt8]] = [:]
        var buffer = [UInt8](repeating: 0, count: 8192)
        // Safety: the kernel writes at most as many events as the array has.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 64)
        while true {
            // Safety: as above.
            let count = unsafe epoll_wait(poller, &events, 64, -1)
            for index in 0..<max(0, Int(count)) {
                // Safety: the token was made from a descriptor's number.
                let fd = unsafe Int32(truncatingIfNeeded: events[index].data.u64)
                if fd == listener {
                    accept(listener, poller, &answers)
                } else if !answer(fd, answers[fd] ?? [], &buffer) {
                    close(fd)
                    answers[fd] = nil
                }
            }
        }
    }

    private static func accept(_ listener: Int32, _ poller: Int32, _ answers: inout [Int32: [UInt8]]) {
        while true {
            let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            let fd = accept4(listener, nil, nil, flags)
            guard fd >= 0 else { return }
            setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            let address = localAddress(of: fd)
            answers[fd] = Array("HTTP/1.1 200 OK\r\nContent-Length: \(address.utf8.count)\r\n\r\n\(address)".utf8)
            _ = watch(poller, fd, events: EPOLLIN.rawValue, token: UInt64(fd))
        }
    }

    /// Answers one request, which comes in one piece: whoever asks waits for the answer. False at the end.
    private static func answer(_ fd: Int32, _ answer: [UInt8], _ buffer: inout [UInt8]) -> Bool {
        // Safety: the kernel writes at most as many bytes as the array has.
        let count = unsafe recv(fd, &buffer, buffer.count, 0)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        guard count > 0 else { return false }
        // Safety: send reads the answer's bytes.
        let sent = unsafe answer.withUnsafeBytes { unsafe send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        return sent == answer.count
    }

    /// The IPv4 address at which `fd` was accepted, as text.
    private static func localAddress(of fd: Int32) -> String {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // Safety: the kernel fills the address, whose size it is told.
        _ = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(fd, $0, &length) }
        }
        return IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr)).description
    }
}
