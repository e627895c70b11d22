// Who closes this? A descriptor is a value with one owner, which closes it when it goes.

import CLinux
import Glibc

/// An open descriptor; it is closed when the value goes.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number, or -1 for none.
    public let number: Int32

    /// Takes over `number`.
    @inline(__always) public init(owning number: Int32) { self.number = number }

    deinit {
        // EINTR included, the descriptor is gone afterwards (close(2), Linux).
        if number >= 0 { _ = Glibc.close(number) }
    }

    /// Whether there is one.
    @inline(__always) public var isOpen: Bool { number >= 0 }

    /// A descriptor that is good for nothing but being closed when one is needed.
    static func placeholder() -> FileDescriptor {
        // Safety: a constant path.
        FileDescriptor(owning: unsafe open("/dev/null", O_RDONLY | O_CLOEXEC))
    }

    /// Gives the number away; the caller now closes it.
    public consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }
}

/// How many descriptors this process may have.
func descriptorLimit() -> Int {
    var limit = rlimit()
    // Safety: room for one rlimit.
    let result = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return result == 0 ? Int(clamping: limit.rlim_cur) : 1024
}

/// A pipe whose ends do not block, for moving bytes between sockets without copying them through our memory.
public struct Pipe: ~Copyable, Sendable {
    /// The end that is read.
    public let readEnd: FileDescriptor
    /// The end that is written.
    public let writeEnd: FileDescriptor
    /// How many bytes it holds at most; -1 where the system did not grant the size, because the user's share of pipe
    /// memory is used up. Such a pipe has one or two pages and is not worth using.
    public let capacity: Int

    /// Opens a pipe for `capacity` bytes; nil where no descriptors are left.
    public init?(capacity: Int) {
        var ends: (Int32, Int32) = (-1, -1)
        // Safety: two adjacent Int32 are what pipe2 fills.
        let result = unsafe withUnsafeMutablePointer(to: &ends) { pointer in
            unsafe pipe2(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Int32.self), O_NONBLOCK | O_CLOEXEC)
        }
        guard result == 0 else { return nil }
        readEnd = FileDescriptor(owning: ends.0)
        writeEnd = FileDescriptor(owning: ends.1)
        self.capacity = Int(hd_fcntl_int(ends.1, Int32(HD_F_SETPIPE_SZ), Int32(capacity)))
    }
}
