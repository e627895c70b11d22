// The simulation's own ends of real TCP connections on loopback: each call does what it can now, and never waits.

import CLinux
import Glibc
import ProxyCore

/// One end of a connection, the other end of which the proxy holds.
final class LoopbackEnd {
    /// What a call came to.
    enum Result: Equatable {
        case bytes(Int)
        case wouldBlock
        case end
        case broken
    }

    private(set) var number: Int32

    init(owning number: Int32) { self.number = number }
    deinit { close() }

    var isOpen: Bool { number >= 0 }

    /// Connects to a listener of this very thread; the kernel completes that before it is accepted.
    static func connected(to address: NetworkAddress, receiveBuffer: Int32?) -> LoopbackEnd? {
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { return nil }
        let end = LoopbackEnd(owning: number)
        end.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        if let receiveBuffer { end.set(SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = address.port.bigEndian
        name.sin_addr.s_addr = address.ip.v4.bigEndian
        // Safety: the name is a local that outlives the call, and its length is its own.
        let result = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { return nil }
        return end
    }

    func set(_ level: Int32, _ option: Int32, _ value: Int32) { Self.set(number, level, option, value) }

    static func set(_ number: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        // Safety: each of these options is an int.
        _ = unsafe setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Sends at most `limit` bytes of `bytes` from `from` on.
    func send(_ bytes: [UInt8], from: Int, limit: Int) -> Result {
        let count = min(bytes.count - from, limit)
        if count == 0 { return .bytes(0) }
        // Safety: from ..< from + count lies within the array.
        let n = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(number, $0.baseAddress! + from, count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        if n >= 0 { return .bytes(n) }
        return errno == EAGAIN || errno == EINTR ? .wouldBlock : .broken
    }

    /// Appends at most `limit` bytes that have come to `bytes`.
    func receive(into bytes: inout [UInt8], limit: Int) -> Result {
        let count = min(limit, 65_536)
        var outcome = 0
        // Safety: recv writes at most `count` bytes into storage of that size, and says how many.
        let received = unsafe [UInt8](unsafeUninitializedCapacity: count) { storage, initialized in
            outcome = unsafe recv(number, storage.baseAddress, count, Int32(MSG_DONTWAIT))
            initialized = max(0, outcome)
        }
        if outcome > 0 {
            bytes += received
            return .bytes(outcome)
        }
        if outcome == 0 { return .end }
        return errno == EAGAIN || errno == EINTR ? .wouldBlock : .broken
    }

    /// Whether nothing has come that was not read, not even the end.
    var isSilent: Bool {
        var byte: UInt8 = 0
        // Safety: one byte of room.
        let n = unsafe recv(number, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return n < 0 && errno == EAGAIN
    }

    /// Whether all that was sent has arrived: a reset takes back what has not.
    var isDelivered: Bool {
        var count: Int32 = 0
        // Safety: the request fills in an int.
        return unsafe ioctl(number, UInt(TIOCOUTQ), &count) == 0 && count == 0
    }

    /// Says that nothing more will be sent.
    func finish() { shutdown(number, Int32(SHUT_WR)) }

    /// Cuts the connection, so that the peer sees a reset.
    func reset() {
        var value = linger(l_onoff: 1, l_linger: 0)
        // Safety: the option is a local that outlives the call.
        _ = unsafe setsockopt(number, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func close() {
        if number >= 0 { _ = Glibc.close(number) }
        number = -1
    }
}

/// What the process has open, by what the kernel calls it.
enum OpenDescriptors {
    /// The names of all that are of kinds that the proxy uses.
    static func list() -> Set<String> {
        guard let folder = unsafe opendir("/proc/self/fd") else { return [] }
        // Safety: the folder is open until the end of this function.
        defer { unsafe _ = closedir(folder) }
        var names: Set<String> = []
        // Safety: an entry stays valid until the next call, and its name ends with a zero.
        while let entry = unsafe readdir(folder) {
            let number = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            let name = target("/proc/self/fd/" + number)
            if ["socket:", "pipe:", "anon_inode:[eventpoll]"].contains(where: { name.hasPrefix($0) }) {
                names.insert("\(number) \(name)")
            }
        }
        return names
    }

    /// How many pipes there are, by their ends.
    static func pipeCount() -> Int { list().count { $0.contains("pipe:") } / 2 }

    private static func target(_ path: String) -> String {
        // Safety: readlink writes at most as many bytes as there is room for, and says how many.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 256) { storage, count in
            count = unsafe storage.withMemoryRebound(to: CChar.self) {
                unsafe max(0, readlink(path, $0.baseAddress!, 256))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
