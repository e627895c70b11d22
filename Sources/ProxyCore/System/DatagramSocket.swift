// What can be done with a UDP socket? One is made for one peer: the kernel then drops what others send, and tells when
// nobody listens there.

import CLinux
import Glibc

/// A UDP socket that does not block, connected to one peer.
public struct DatagramSocket: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// Its descriptor.
    public var number: Int32 { descriptor.number }

    private init(owning number: Int32) { descriptor = FileDescriptor(owning: number) }

    /// A socket whose peer is `address`, at a port of this machine that the kernel picks at random. Nothing is sent;
    /// it fails where no descriptor is left or no route leads there.
    public static func connected(to address: NetworkAddress) throws(SystemError) -> DatagramSocket {
        let flags = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let number = Glibc.socket(address.ip.isIPv4 ? AF_INET : AF_INET6, flags, 0)
        guard number >= 0 else { throw SystemError("socket", doing: "asking \(address)") }
        let socket = DatagramSocket(owning: number)
        // Safety: the address lives for the length of the call.
        let result = unsafe address.withSocketAddress { pointer, length in
            unsafe Glibc.connect(number, pointer, length)
        }
        guard result == 0 else { throw SystemError("connect", doing: "asking \(address)") }
        return socket
    }

    /// Sends `bytes` as one message.
    public borrowing func send(_ bytes: [UInt8]) -> Transfer {
        let number = number
        // Safety: the kernel reads as many bytes as there are.
        let sent = unsafe bytes.withUnsafeBytes { memory in
            unsafe Glibc.send(number, memory.baseAddress, memory.count, Int32(MSG_NOSIGNAL))
        }
        if sent >= 0 { return .bytes(sent) }
        return errno == EAGAIN || errno == EINTR ? .wouldBlock : .broken
    }

    /// Takes one message, at most `limit` bytes of it. The count is that of the whole message, so one above `limit`
    /// says that the rest is lost; `.broken`: the peer's machine says that nobody listens, or there is no way to it.
    public borrowing func receive(_ bytes: inout [UInt8], limit: Int) -> Transfer {
        let number = number
        var whole = 0
        var failure: Int32 = 0
        // Safety: the kernel writes at most as many bytes as there is room for, and the count says how many it wrote.
        bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { memory, count in
            whole = unsafe recv(number, memory.baseAddress, limit, Int32(MSG_TRUNC))
            if whole < 0 { failure = errno }
            count = min(max(whole, 0), limit)
        }
        if whole >= 0 { return .bytes(whole) }
        return failure == EAGAIN || failure == EINTR ? .wouldBlock : .broken
    }
}
