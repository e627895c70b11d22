// Which signals came? They are blocked in every thread and read as data, so that no handler runs between two
// statements.

import CLinux
import Glibc
import ProxyCore

/// The signals that a running proxy understands.
struct Signals: ~Copyable {
    private let descriptor: FileDescriptor

    /// Blocks the signals in this thread and those that it starts, and begins to collect them.
    init() throws(SystemError) {
        var set = sigset_t()
        // Safety: the set is ours.
        unsafe sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { unsafe sigaddset(&set, signal) }
        // Safety: the kernel copies the set.
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        let number = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
        guard number >= 0 else { throw SystemError("signalfd", doing: "waiting for signals") }
        descriptor = FileDescriptor(owning: number)
    }

    /// Its descriptor, readable when a signal has come.
    var number: Int32 { descriptor.number }

    /// The next signal that has come, or nil.
    func next() -> Int32? {
        var info = signalfd_siginfo()
        // Safety: room for one record, which is read whole or not at all.
        let n = unsafe read(number, &info, MemoryLayout<signalfd_siginfo>.size)
        return n == MemoryLayout<signalfd_siginfo>.size ? Int32(info.ssi_signo) : nil
    }
}
