// What does Linux say? The few calls that load, backend and compare share: clocks, files, sockets, poller events.

import CLinux
import Glibc
import ProxyCore

/// A call that Linux refused.
struct SystemFailure: Error, CustomStringConvertible {
    /// The call and what it was for.
    let doing: String
    /// errno.
    let code: Int32

    /// `doing` failed with the errno of this moment, or with `code`.
    init(_ doing: String, code: Int32? = nil) {
        self.code = code ?? errno
        self.doing = doing
    }

    /// For people.
    // Safety: strerror returns a NUL-terminated string that is copied at once.
    var description: String { "\(doing): \(unsafe String(cString: strerror(code)))" }
}

/// What the harness could not do, in a sentence.
struct Failure: Error, CustomStringConvertible {
    /// The sentence.
    let description: String

    /// The failure told by `text`.
    init(_ text: String) { description = text }
}

/// Nanoseconds of a clock that only runs forward.
@inline(__always) func monotonicNow() -> UInt64 { clock(CLOCK_MONOTONIC) }

/// CPU time of this process, all threads, in nanoseconds.
func ownCPU() -> UInt64 { clock(CLOCK_PROCESS_CPUTIME_ID) }

@inline(__always) func clock(_ id: clockid_t) -> UInt64 {
    var time = timespec()
    // Safety: the call fills the timespec it is given.
    unsafe clock_gettime(id, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// Sleeps; a signal ends it early.
func pause(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }

/// The whole file as text.
func readFile(_ path: String) throws -> String {
    guard let text = readSystemFile(path) else { throw SystemFailure("reading \(path)") }
    return text
}

/// The whole file as text; nil where it cannot be read (a process that ended, say).
func readSystemFile(_ path: String) -> String? {
    // Safety: the path is passed as a NUL-terminated string that lives through the call.
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    return readAll(fd)
}

/// All that comes from `fd` until its end; nil for an error.
func readAll(_ fd: Int32) -> String? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
        // Safety: read writes at most `chunk.count` bytes into the array.
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { return nil }
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += chunk[..<count]
    }
}

/// Writes `text` to the file at `path`, made anew.
func writeFile(_ path: String, _ text: String) throws {
    // Safety: as above.
    let fd = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard fd >= 0 else { throw SystemFailure("creating \(path)") }
    defer { close(fd) }
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        // Safety: write reads `count` bytes of a buffer that lives through the call.
        let written = unsafe bytes.withUnsafeBytes { unsafe write(fd, $0.baseAddress, $0.count) }
        if written < 0 && errno == EINTR { continue }
        guard written > 0 else { throw SystemFailure("writing \(path)") }
        bytes = bytes.dropFirst(written)
    }
}

/// The names in a folder; empty where it cannot be read.
func names(in folder: String) -> [String] {
    guard let stream = unsafe opendir(folder) else { return [] }
    // Safety: the stream came from opendir and is closed once.
    defer { unsafe _ = closedir(stream) }
    var result: [String] = []
    // Safety: readdir returns an entry that is valid until the next call; its name ends with NUL.
    while let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { result.append(name) }
    }
    return result
}

/// Whether `path` is a file that may be run.
func isExecutable(_ path: String) -> Bool {
    var status = stat()
    // Safety: stat fills the structure it is given.
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
    // Safety: the path lives through the call.
    return unsafe access(path, X_OK) == 0
}

/// The full path of the program `name` in PATH or in the folders where Debian keeps daemons.
func findProgram(_ name: String) -> String? {
    let path = environment("PATH") ?? ""
    let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/local/sbin"]
    return folders.map { $0 + "/" + name }.first(where: isExecutable)
}

/// The environment's value of `name`.
func environment(_ name: String) -> String? {
    // Safety: getenv's string is copied at once; nothing here changes the environment.
    unsafe getenv(name).map { unsafe String(cString: $0) }
}

/// The path of this very program.
func ownExecutable() -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    // Safety: readlink writes at most `count` bytes.
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe readlink("/proc/self/exe", bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count)
    }
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : "hdproxy-bench"
}

/// A new folder under /tmp for this process alone, removed with all in it by `remove`.
struct TemporaryFolder {
    /// Where it is.
    let path: String

    /// Makes it.
    init() throws {
        let base = environment("TMPDIR") ?? "/tmp"
        path = "\(base)/hdproxy-bench.\(getpid()).\(monotonicNow() % 1_000_000)"
        // nginx's worker may run as another user and has to get in.
        // Safety: the path lives through the call.
        guard unsafe mkdir(path, 0o755) == 0 else { throw SystemFailure("creating \(path)") }
    }

    /// Removes it.
    func remove() { Self.remove(path) }

    private static func remove(_ path: String) {
        var status = stat()
        // Safety: lstat fills the structure it is given.
        guard unsafe lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in names(in: path) { remove(path + "/" + name) }
            // Safety: the path lives through the call; so below.
            unsafe rmdir(path)
        } else {
            unsafe unlink(path)
        }
    }
}

/// Lets `body` see `address` as the kernel wants it.
func withSocketAddress<R>(_ address: NetworkAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    if address.ip.isIPv4 {
        var v4 = sockaddr_in()
        v4.sin_family = sa_family_t(AF_INET)
        v4.sin_port = address.port.bigEndian
        v4.sin_addr.s_addr = address.ip.v4.bigEndian
        // Safety: a sockaddr_in may be read as a sockaddr with its own length.
        return unsafe withUnsafePointer(to: &v4) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
    var v6 = sockaddr_in6()
    v6.sin6_family = sa_family_t(AF_INET6)
    v6.sin6_port = address.port.bigEndian
    // Safety: in6_addr is 16 plain bytes, and so are the two halves in network order.
    unsafe withUnsafeMutableBytes(of: &v6.sin6_addr) { bytes in
        unsafe bytes.storeBytes(of: address.ip.high.bigEndian, toByteOffset: 0, as: UInt64.self)
        unsafe bytes.storeBytes(of: address.ip.low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
    // Safety: as for IPv4.
    return unsafe withUnsafePointer(to: &v6) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
    }
}

/// A TCP socket for `address`, without waiting if `isNonblocking`.
func makeSocket(for address: NetworkAddress, isNonblocking: Bool) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    return socket(
        address.ip.isIPv4 ? AF_INET : AF_INET6, kind | (isNonblocking ? Int32(SOCK_NONBLOCK.rawValue) : 0), 0)
}

/// Sets an option that is a number.
func setOption(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    // Safety: the kernel reads the four bytes of `value`.
    _ = unsafe setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
}

/// A socket that listens on `address`.
func listen(on address: NetworkAddress) throws -> Int32 {
    let fd = makeSocket(for: address, isNonblocking: true)
    guard fd >= 0 else { throw SystemFailure("socket") }
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    let bound = unsafe withSocketAddress(address) { unsafe bind(fd, $0, $1) }
    guard bound == 0 else { throw SystemFailure("bind \(address)") }
    guard listen(fd, 4096) == 0 else { throw SystemFailure("listen on \(address)") }
    return fd
}

/// The port that the socket `fd` is bound to.
func localPort(of fd: Int32) -> UInt16 {
    var address = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    // Safety: sockaddr_in6 has room for both families, and the port stands at the same place in both.
    _ = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(fd, $0, &length) }
    }
    return UInt16(bigEndian: address.sin6_port)
}

/// A port of 127.0.0.1 that nobody has at this moment, for programs that cannot choose one and tell.
func freePort() throws -> UInt16 {
    let fd = try listen(on: loopback(0))
    defer { close(fd) }
    return localPort(of: fd)
}

/// 127.0.0.1 with `port`.
func loopback(_ port: UInt16) -> NetworkAddress { NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: port) }

/// What to be told of a descriptor: registered once, edge-triggered, both ways.
let allEvents: UInt32 = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue

/// Events after which a read may find the end.
let endEvents: UInt32 = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue

/// Registers `fd`, once and for all; events carry `token`.
func watch(_ poller: Int32, _ fd: Int32, events: UInt32, token: UInt64) -> Bool {
    // Safety: a u64 is written, and only u64 is ever read of the union.
    var event = unsafe epoll_event(events: events, data: epoll_data_t(u64: token))
    // Safety: the kernel copies the event.
    return unsafe epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0
}

/// Raises the limit of descriptors as far as allowed; returns it.
@discardableResult func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    // Safety: both calls use the structure they are given.
    guard unsafe getrlimit(kind, &limit) == 0 else { return 1024 }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe setrlimit(kind, &limit)
    _ = unsafe getrlimit(kind, &limit)
    return Int(limit.rlim_cur)
}
