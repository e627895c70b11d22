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

/// From now on this process runs only when nobody else wants its core.
func beIdle() {
    var parameter = sched_param()
    // SCHED_IDLE (sched(7)), which Glibc does not show to Swift.
    let idle: Int32 = 5
    // Safety: the kernel reads the parameter.
    _ = unsafe sched_setscheduler(0, idle, &parameter)
}

/// From now on this process, and all that it starts, comes before what else the machine does. Whether that is allowed.
func comeFirst() -> Bool { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -15) == 0 }
