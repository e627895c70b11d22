// What has it used? CPU and memory of a process with all its threads and all its children, as the kernel counts them.

import Glibc

/// `pid` and all processes below it.
func processFamily(of pid: pid_t) -> [pid_t] {
    var children: [pid_t: [pid_t]] = [:]
    for name in names(in: "/proc") {
        guard let id = pid_t(name), let line = readSystemFile("/proc/\(id)/stat") else { continue }
        // The name in parentheses may hold anything; the parent is the second field behind it.
        guard let end = line.lastIndex(of: ")") else { continue }
        let fields = line[line.index(after: end)...].split(separator: " ")
        if fields.count > 1, let parent = pid_t(fields[1]) { children[parent, default: []].append(id) }
    }
    var family = [pid]
    var at = 0
    while at < family.count {
        family += children[family[at]] ?? []
        at += 1
    }
    return family
}

/// A process with all below it, as they were when this value was made.
struct ProcessMeter {
    private let family: [pid_t]

    /// Memory in bytes.
    struct Memory {
        /// Pages in memory; what several processes share counts for each.
        var resident = 0
        /// Pages in memory; what several processes share is divided among them.
        var proportional = 0
    }

    /// The meter of `pid` and of what runs below it now.
    init(_ pid: pid_t) { family = processFamily(of: pid) }

    /// CPU time so far in nanoseconds: all threads of all these processes, user and kernel. What a thread or a process
    /// used that has ended is not in it.
    func cpu() -> UInt64 {
        var sum: UInt64 = 0
        for pid in family {
            for thread in names(in: "/proc/\(pid)/task") {
                let line = readSystemFile("/proc/\(pid)/task/\(thread)/schedstat") ?? ""
                sum += line.split(separator: " ").first.flatMap { UInt64($0) } ?? 0
            }
        }
        return sum
    }

    /// Memory now.
    func memory() -> Memory {
        var sum = Memory()
        for pid in family {
            for line in (readSystemFile("/proc/\(pid)/smaps_rollup") ?? "").split(separator: "\n") {
                let words = line.split(separator: " ")
                guard words.count >= 2, let kilobytes = Int(words[1]) else { continue }
                if words[0] == "Rss:" { sum.resident += kilobytes * 1024 }
                if words[0] == "Pss:" { sum.proportional += kilobytes * 1024 }
            }
        }
        return sum
    }

    /// The processes.
    var processes: [pid_t] { family }
}
