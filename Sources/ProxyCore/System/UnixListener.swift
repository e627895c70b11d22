// Who may talk to this very process, and to no other? A Unix socket has a name in the file system, which a dead process
// leaves behind and a living one owns: the first is replaced, the second is never robbed. Or it has an abstract name,
// which begins with `@` here: it belongs to the network namespace, whatever file systems processes have, and goes with the
// last descriptor (unix(7)).

import CLinux
import Glibc

/// A Unix socket that listens at a path. The file goes with it, unless the socket was shared with another process.
public struct UnixListener: ~Copyable, Sendable {
    /// Its path.
    public let path: String
    private let descriptor: FileDescriptor
    private var file: (device: UInt64, number: UInt64)?

    /// The socket `descriptor`, which listens at `path` already and was opened by another process.
    public init(owning descriptor: consuming FileDescriptor, path: String) {
        self.path = path
        self.descriptor = descriptor
        file = Self.file(at: path).map { ($0.device, $0.number) }
    }

    /// Listens at `path`; only this user and its group may connect (to an abstract name everybody may). A file that a dead
    /// process left there is replaced.
    ///
    /// - Throws: `EADDRINUSE` where a process listens there, `EEXIST` where something else has that name.
    public init(path: String, backlog: Int32 = 64) throws(SystemError) {
        let doing = "listening on \(path)"
        let number = Glibc.socket(AF_UNIX, Self.flags, 0)
        guard number >= 0 else { throw SystemError("socket", doing: doing) }
        let descriptor = FileDescriptor(owning: number)
        if path.hasPrefix("@") {
            let result = try Self.bind(number, path, doing)
            guard result == 0 else { throw SystemError("bind", code: result, doing: doing) }
            guard Glibc.listen(number, backlog) == 0 else { throw SystemError("listen", doing: doing) }
            self.path = path
            self.descriptor = descriptor
            file = nil
            return
        }
        // The file takes the socket's mode, less the umask: at no moment may anybody else connect.
        _ = fchmod(number, Self.mode)
        var result = try Self.bind(number, path, doing)
        if result == EADDRINUSE, try Self.isAbandoned(path, doing) {
            // Safety: a NUL-terminated copy of the path for the length of the call.
            _ = unsafe unlink(path)
            result = try Self.bind(number, path, doing)
        }
        guard result == 0 else { throw SystemError("bind", code: result, doing: doing) }
        // Safety: as before.
        _ = unsafe chmod(path, Self.mode)
        guard Glibc.listen(number, backlog) == 0, let file = Self.file(at: path) else {
            let code = errno
            _ = unsafe unlink(path)
            throw SystemError("listen", code: code, doing: doing)
        }
        self.path = path
        self.descriptor = descriptor
        self.file = (file.device, file.number)
    }

    deinit {
        // Somebody may have put a socket of his own there in the meantime.
        guard let file, let now = Self.file(at: path), now.device == file.device, now.number == file.number else {
            return
        }
        // Safety: a NUL-terminated copy of the path for the length of the call.
        _ = unsafe unlink(path)
    }

    /// Its descriptor, readable when somebody waits.
    public var number: Int32 { descriptor.number }

    /// Leaves the file where it is from now on: the socket is another process's, too. ``keepFile()`` takes that back.
    public mutating func leaveFile() { file = nil }

    /// The file goes with the socket from now on: the other process is gone.
    public mutating func keepFile() { file = Self.file(at: path).map { ($0.device, $0.number) } }

    /// What accepting came to.
    public enum Accepted: ~Copyable {
        /// A connection.
        case connection(Socket)
        /// Nobody is waiting, or not any more.
        case none
        /// No descriptor or memory is left.
        case exhausted(Int32)
    }

    /// Accepts one connection.
    public borrowing func accept() -> Accepted {
        let accepted = accept4(number, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
        if accepted >= 0 { return .connection(Socket(owning: accepted)) }
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(errno)
        default: return .none
        }
    }

    /// Whether the file at `path` is a socket that nobody listens on. Asked twice with a moment between, because a
    /// process that starts just now has its file before it listens.
    private static func isAbandoned(_ path: String, _ doing: String) throws(SystemError) -> Bool {
        for attempt in 0..<2 {
            if attempt > 0 { usleep(5000) }
            guard let file = file(at: path) else { return true }
            guard file.isSocket else { throw SystemError("bind", code: EEXIST, doing: doing) }
            switch connect(to: path) {
            case .failed(ECONNREFUSED): break
            case .failed(ENOENT): return true
            case .failed: return false
            case .connected: return false
            }
        }
        return true
    }

    private static func bind(_ number: Int32, _ path: String, _ doing: String) throws(SystemError) -> Int32 {
        // Safety: the address lives for the length of the call.
        let result = unsafe withAddress(path) { pointer, length in
            unsafe Glibc.bind(number, pointer, length) == 0 ? 0 : errno
        }
        guard let result else { throw SystemError("bind", code: ENAMETOOLONG, doing: doing) }
        return result
    }

    // MARK: The other end

    /// What connecting came to.
    public enum Connecting: ~Copyable {
        /// It is there.
        case connected(Socket)
        /// It is not, for this reason; `EAGAIN`: too many wait already.
        case failed(Int32)
    }

    /// Connects to the socket at `path`, at once or not at all.
    public static func connect(to path: String) -> Connecting {
        let number = Glibc.socket(AF_UNIX, flags, 0)
        guard number >= 0 else { return .failed(errno) }
        let socket = Socket(owning: number)
        // Safety: the address lives for the length of the call.
        let result = unsafe withAddress(path) { pointer, length in
            unsafe Glibc.connect(number, pointer, length) == 0 ? 0 : errno
        }
        guard let result else { return .failed(ENAMETOOLONG) }
        return result == 0 ? .connected(socket) : .failed(result)
    }

    // MARK: Addresses and files

    /// Bytes that a path may have (`sun_path` without its NUL, unix(7)).
    public static let pathBytesMax = 107

    /// Calls `body` with the address of `path`; nil where the path is empty, too long, or holds a NUL. In an abstract name
    /// every byte counts, so its address ends where the name does.
    private static func withAddress<R>(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R? {
        let bytes = Array(path.utf8)
        guard 1...pathBytesMax ~= bytes.count, !bytes.contains(0) else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // Safety: sun_path has 108 bytes, all zero, and takes at most 107 of them.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let isAbstract = bytes[0] == UInt8(ascii: "@")
        if isAbstract { address.sun_path.0 = 0 }
        let length = isAbstract ? MemoryLayout<sa_family_t>.size + bytes.count : MemoryLayout<sockaddr_un>.size
        // Safety: a sockaddr_un is what AF_UNIX calls take, with its own length.
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe body(
                UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), socklen_t(length))
        }
    }

    /// Which file is at `path`, or nil.
    private static func file(at path: String) -> (device: UInt64, number: UInt64, isSocket: Bool)? {
        var status = stat()
        // Safety: room for one stat, and a NUL-terminated copy of the path for the length of the call.
        guard unsafe lstat(path, &status) == 0 else { return nil }
        return (UInt64(status.st_dev), UInt64(status.st_ino), status.st_mode & S_IFMT == S_IFSOCK)
    }

    private static let mode: mode_t = 0o660
    private static var flags: Int32 { Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue) }
}
