// How does a descriptor get into another process? As the companion of bytes on a Unix socket (unix(7), SCM_RIGHTS). And how
// does it live here, where several hold it? In an object that closes it when the last holder has gone.

import CLinux
import Glibc

/// A descriptor that several may hold; it is closed when nobody does any more.
public final class HeldDescriptor: Sendable {
    private let descriptor: FileDescriptor

    /// Takes over a descriptor.
    public init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// Its number, for as long as this object is held.
    public var number: Int32 { descriptor.number }

    /// Another descriptor of the same socket, which the caller owns.
    public func copy() throws(SystemError) -> FileDescriptor {
        let number = hd_fcntl_int(number, F_DUPFD_CLOEXEC, 0)
        guard number >= 0 else { throw SystemError("fcntl F_DUPFD_CLOEXEC", doing: "copying a descriptor") }
        return FileDescriptor(owning: number)
    }

    /// Whether it is a socket that listens, of the kind that we use: a stream, which does not block.
    public var isListening: Bool {
        option(SO_ACCEPTCONN) == 1 && option(SO_TYPE) == Int32(SOCK_STREAM.rawValue)
            && hd_fcntl_int(number, F_GETFL, 0) & O_NONBLOCK != 0
    }

    /// The TCP address that it has; nil for anything else.
    public var address: NetworkAddress? {
        let domain = option(SO_DOMAIN)
        guard domain == AF_INET || domain == AF_INET6 else { return nil }
        var storage = SocketAddressStorage()
        let number = number
        // Safety: room for an address, and its length.
        let result = unsafe storage.withPointers { address, length in unsafe getsockname(number, address, length) }
        return result == 0 ? NetworkAddress(storage) : nil
    }

    private func option(_ name: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        // Safety: each of these options is an int.
        return unsafe getsockopt(number, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }
}

extension Socket {
    /// Descriptors that travel with one message at most.
    public static let descriptorsMax = Int(HD_DESCRIPTORS_MAX)

    /// The user of the process at the other end of this Unix socket, as it was when that connected or began to listen;
    /// nil where the system does not tell.
    public borrowing func peerUser() -> UInt32? {
        var user: UInt32 = 0
        // Safety: room for one number.
        return unsafe hd_peer_user(number, &user) == 0 ? user : nil
    }

    /// Sends `bytes`, at least one, and `descriptors` with the first of them: copies, the originals stay open here. Where
    /// not even one byte could be sent no descriptor was, either.
    public borrowing func send(_ bytes: ArraySlice<UInt8>, with descriptors: [Int32]) -> Transfer {
        let number = number
        // Safety: both arrays live for the length of the call, and their counts are their own.
        let n = unsafe bytes.withUnsafeBytes { memory in
            unsafe descriptors.withUnsafeBufferPointer { numbers in
                unsafe hd_send_descriptors(
                    number, memory.baseAddress, memory.count, numbers.baseAddress, numbers.count)
            }
        }
        if n >= 0 { return .bytes(n) }
        return errno == EAGAIN || errno == EINTR ? .wouldBlock : errno == EPIPE ? .end : .broken
    }

    /// Receives at most `limit` bytes, and the descriptors that came with the first of them, which are appended.
    public borrowing func receive(
        _ bytes: inout [UInt8], limit: Int, descriptors: inout [HeldDescriptor]
    ) -> Transfer {
        let number = number
        var numbers = [Int32](repeating: -1, count: Self.descriptorsMax)
        var found = 0
        var failure: Int32 = 0
        var piece = [UInt8](repeating: 0, count: limit)
        // Safety: the kernel writes at most as many bytes, and numbers, as there is room for.
        let n = unsafe piece.withUnsafeMutableBytes { memory in
            unsafe numbers.withUnsafeMutableBufferPointer { numbers in
                let n = unsafe hd_receive_descriptors(
                    number, memory.baseAddress, memory.count, numbers.baseAddress, &found)
                if n < 0 { failure = errno }
                return n
            }
        }
        for number in numbers.prefix(found) { descriptors.append(HeldDescriptor(FileDescriptor(owning: number))) }
        if n > 0 {
            bytes += piece.prefix(n)
            return .bytes(n)
        }
        if n == 0 { return .end }
        return failure == EAGAIN || failure == EINTR ? .wouldBlock : .broken
    }
}
