// Who writes the log? A thread of its own, so that a slow reader of the log slows no request and no reload. What does
// not fit in the meantime is dropped and counted.

import Glibc
import ProxyCore
import Synchronization

/// Writes lines to standard output or a file. Any thread may hand it some.
final class LogWriter: Sendable {
    /// Bytes that may wait.
    private static let waitingBytesMax = 4 << 20

    private struct State {
        var chunks: [[UInt8]] = []
        var bytes = 0
        var lost: UInt64 = 0
        var reopens = false
        var ends = false
        var hasEnded = false
    }

    private let path: String
    private let state = Mutex(State())
    private let wake: WakeHandle
    private let done: WakeHandle

    /// A writer to the file at `path`, or to standard output for `-`.
    init(path: String) throws(SystemError) {
        self.path = path
        wake = try WakeHandle()
        done = try WakeHandle()
        let descriptor = try Self.open(path)
        _ = try Thread(name: "log") { [self] in run(descriptor) }
    }

    private static func open(_ path: String) throws(SystemError) -> Int32 {
        if path == "-" { return STDOUT_FILENO }
        // Safety: the path is a NUL-terminated string for the length of the call.
        let descriptor = unsafe Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw SystemError("open", doing: "opening the log \(path)") }
        return descriptor
    }

    /// Lines that were handed over and could not be written: a full disk, a reader that has gone.
    var lost: UInt64 { state.withLock(\.lost) }

    /// Hands lines over. Whether there was room for them.
    func write(_ lines: [UInt8]) -> Bool {
        let fits = state.withLock { state in
            guard state.bytes + lines.count <= Self.waitingBytesMax else { return false }
            state.chunks.append(lines)
            state.bytes += lines.count
            return true
        }
        wake.wake()
        return fits
    }

    /// Opens the file anew before the next line: somebody has moved it away.
    func reopen() {
        state.withLock { $0.reopens = true }
        wake.wake()
    }

    /// Writes what is left, for at most as long, and no more.
    func end(within milliseconds: Int32 = 1000) {
        state.withLock { $0.ends = true }
        wake.wake()
        var wait = pollfd(fd: done.number, events: Int16(POLLIN), revents: 0)
        // Safety: one pollfd.
        _ = unsafe poll(&wait, 1, milliseconds)
    }

    private func run(_ opened: Int32) {
        var descriptor = opened
        // Whether the last line that was written is a beginning without an end.
        var isTorn = false
        while true {
            var wait = pollfd(fd: wake.number, events: Int16(POLLIN), revents: 0)
            // Safety: one pollfd.
            _ = unsafe poll(&wait, 1, -1)
            wake.clear()
            let (chunks, reopens, ends) = state.withLock { state in
                defer {
                    state.chunks = []
                    state.bytes = 0
                    state.reopens = false
                }
                return (state.chunks, state.reopens, state.ends)
            }
            if reopens, path != "-", let anew = try? Self.open(path) {
                close(descriptor)
                descriptor = anew
                isTorn = false
            }
            for chunk in chunks {
                if isTorn { isTorn = Self.writeAll([UInt8(ascii: "\n")], to: descriptor) == 0 }
                let written = isTorn ? 0 : Self.writeAll(chunk, to: descriptor)
                if written == chunk.count { continue }
                if written > 0 { isTorn = chunk[written - 1] != UInt8(ascii: "\n") }
                let lines = UInt64(chunk[written...].count { $0 == UInt8(ascii: "\n") })
                state.withLock { $0.lost &+= lines }
            }
            if ends { break }
        }
        done.wake()
    }

    /// Writes as much as can be written; how much that is.
    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int {
        // Safety: the memory is read for the length of the closure.
        return unsafe bytes.withUnsafeBytes { memory in
            var at = 0
            while at < memory.count {
                // Safety: at ..< count lies within the memory.
                let n = unsafe Glibc.write(descriptor, memory.baseAddress! + at, memory.count - at)
                if n > 0 {
                    at += n
                } else if errno == EAGAIN {
                    // Somebody made standard output non-blocking.
                    var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    // Safety: one pollfd.
                    _ = unsafe poll(&wait, 1, -1)
                } else if errno != EINTR {
                    // A full disk or a reader that is gone: the rest is lost, and service goes on.
                    break
                }
            }
            return at
        }
    }
}
