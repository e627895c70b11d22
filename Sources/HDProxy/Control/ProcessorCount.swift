// How many workers make sense? As many as there are CPUs that this process may use.

import CLinux
import Glibc

/// CPUs that the process may use: those it may run on, and no more than its control group's quota amounts to.
func usableProcessors() -> Int {
    var mask = [UInt64](repeating: 0, count: 16)
    // Safety: 128 bytes of room, as is said.
    let n = unsafe mask.withUnsafeMutableBytes { unsafe sched_getaffinity(0, $0.count, $0.baseAddress) }
    var count = n >= 0 ? mask.reduce(0) { $0 + $1.nonzeroBitCount } : 1
    // "max 100000" or "150000 100000": quota and period in microseconds (cgroup v2, cpu.max).
    if case .success(let bytes) = readFile("/sys/fs/cgroup/cpu.max", bytesMax: 64) {
        let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: { $0 == " " || $0 == "\n" })
        if words.count == 2, let quota = Int(words[0]), let period = Int(words[1]), period > 0, quota > 0 {
            count = min(count, max(1, (quota + period - 1) / period))
        }
    }
    return max(1, count)
}
