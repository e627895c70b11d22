// How does Linux spell an address? `NetworkAddress` to `sockaddr` and back.

import CLinux
import Glibc

extension NetworkAddress {
    /// Calls `body` with the address as the kernel takes it. `v6Only` spells IPv4 in its mapped form, for a
    /// dual-stack socket.
    func withSocketAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        if ip.isIPv4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = ip.v4.bigEndian
            // Safety: a sockaddr_in is what AF_INET calls take, with its own length.
            return unsafe withUnsafePointer(to: &address) { pointer in
                unsafe body(
                    UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
                    socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        // Safety: an in6_addr is sixteen bytes in network order.
        unsafe withUnsafeMutableBytes(of: &address.sin6_addr) { bytes in
            unsafe bytes.storeBytes(of: ip.high.bigEndian, toByteOffset: 0, as: UInt64.self)
            unsafe bytes.storeBytes(of: ip.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        // Safety: a sockaddr_in6 is what AF_INET6 calls take, with its own length.
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe body(
                UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
                socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
    }

    /// Reads what the kernel filled in; nil for a family other than IPv4 and IPv6.
    @inline(__always)
    init?(_ storage: borrowing SocketAddressStorage) {
        switch Int32(storage.v6.sin6_family) {
        case AF_INET:
            // Safety: the family says that a sockaddr_in was written, which is shorter than a sockaddr_in6.
            let address = unsafe withUnsafePointer(to: storage.v6) { pointer in
                unsafe UnsafeRawPointer(pointer).loadUnaligned(as: sockaddr_in.self)
            }
            self.init(
                ip: IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port)
            )
        case AF_INET6:
            // Safety: an in6_addr is sixteen bytes in network order.
            let halves = unsafe withUnsafeBytes(of: storage.v6.sin6_addr) { bytes in
                unsafe (
                    UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                    UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                )
            }
            // A mapped address is the IPv4 one: both are held in the same form.
            self.init(ip: IPAddress(high: halves.0, low: halves.1), port: UInt16(bigEndian: storage.v6.sin6_port))
        default: return nil
        }
    }
}

/// Room for an address that the kernel fills in; large enough for IPv4 and IPv6.
struct SocketAddressStorage {
    var v6 = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)

    /// Calls `body` with pointers to room and length.
    @inline(__always)
    mutating func withPointers<R>(_ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> R) -> R {
        // Safety: a sockaddr_in6 is longer than a sockaddr and a sockaddr_in, and its length is passed on.
        unsafe withUnsafeMutablePointer(to: &v6) { address in
            unsafe withUnsafeMutablePointer(to: &length) { length in
                unsafe body(UnsafeMutableRawPointer(address).assumingMemoryBound(to: sockaddr.self), length)
            }
        }
    }
}
