// On which core? The proxy has one for itself; load generator and backend share another.

import CLinux
import Glibc

/// The cores that this process may use, in order.
func allowedCores() -> [Int] {
    var mask = [UInt64](repeating: 0, count: 16)
    // Safety: the kernel writes at most the 128 bytes of the mask.
    let result = unsafe mask.withUnsafeMutableBytes { unsafe sched_getaffinity(0, $0.count, $0.baseAddress!) }
    guard result >= 0 else { return [0] }
    return (0..<1024).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
}

/// From now on this process, and all that it starts, runs on `core` alone.
func pin(to core: Int) throws {
    var mask = [UInt64](repeating: 0, count: 16)
    mask[core / 64] = 1 << UInt64(core % 64)
    // Safety: the kernel reads the 128 bytes of the mask.
    let result = unsafe mask.withUnsafeBytes { unsafe sched_setaffinity(0, $0.count, $0.baseAddress!) }
    guard result == 0 else { throw SystemFailure("pinning to core \(core)") }
}

/// What a process may claim of its core.
enum Priority: String {
    /// What nobody else wants.
    case idle
    /// As others, by its niceness.
    case normal
    /// Before all that is not real-time, the kernel's own threads too: as if it had the core for itself.
    case realTime = "real-time"

    /// From now on the thread that asks for it, and whatever it starts, has it. Whether that is allowed.
    @discardableResult func take() -> Bool {
        var parameter = sched_param()
        parameter.sched_priority = self == .realTime ? 10 : 0
        // SCHED_FIFO, SCHED_OTHER and SCHED_IDLE (sched(7)), not all of which Glibc shows to Swift.
        let policy: Int32 =
            switch self {
            case .realTime: 1
            case .normal: 0
            case .idle: 5
            }
        // Safety: the kernel reads the parameter.
        return unsafe sched_setscheduler(0, policy, &parameter) == 0
    }
}

/// From now on this process, and all that it starts, comes before what else the machine does. Whether that is allowed.
func comeFirst() -> Bool { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -15) == 0 }
