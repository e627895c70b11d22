// A blocking client for the tests of the demo backends: it sends what it is told and reads what comes.

import CLinux
import Glibc
import ProxyCore

@testable import HDProxy

/// A connection from a test to a backend. Reading gives up after ten seconds, so that a broken backend fails a test
/// instead of hanging it.
final class DemoClient {
    private let descriptor: Int32
    private var unread: [UInt8] = []

    init(_ address: NetworkAddress) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = address.port.bigEndian
        name.sin_addr.s_addr = address.ip.v4.bigEndian
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        // Safety: the kernel reads one timeval and one sockaddr_in.
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let code = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(code == 0, "a running backend accepts on \(address)")
    }

    deinit { close(descriptor) }

    /// Sends all of `text`; a backend that has closed makes no difference here.
    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            // Safety: the slice lives through the call.
            let count = unsafe bytes[sent...].withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// Reads exactly so many bytes; fewer when the connection ends before.
    func read(_ count: Int) -> [UInt8] {
        while unread.count < count, receive() {}
        defer { unread.removeFirst(min(count, unread.count)) }
        return Array(unread.prefix(count))
    }

    /// Reads all that comes until the backend closes.
    func readToEnd() -> [UInt8] {
        while receive() {}
        defer { unread = [] }
        return unread
    }

    /// Reads a head, its empty line included.
    func readHead() -> String {
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
            let byte = read(1)
            if byte.isEmpty { break }
            head += byte
        }
        return String(decoding: head, as: UTF8.self)
    }

    /// Reads an answer with a Content-Length: its head and its body.
    func readAnswer() -> (head: String, body: String) {
        let head = readHead()
        let field = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }
        let length = field.flatMap { Int($0.dropFirst(16)) } ?? 0
        return (head, String(decoding: read(length), as: UTF8.self))
    }

    private func receive() -> Bool {
        var piece = [UInt8](repeating: 0, count: 65536)
        // Safety: the kernel writes at most `count` bytes into the array.
        let count = unsafe recv(descriptor, &piece, piece.count, 0)
        guard count > 0 else { return false }
        unread += piece[..<count]
        return true
    }
}

/// Runs `body` against backends on ports of the system's choice.
func withDemoBackends(_ body: (DemoBackends) throws -> Void) throws {
    let any = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0)
    let backends = try DemoBackends.start(api: [any, any, any], admin: any)
    defer { backends.stop() }
    try body(backends)
}
