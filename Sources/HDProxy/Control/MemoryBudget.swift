// How much memory may connections take? What the configuration says, or the machine's limit for this process (the cgroup
// that a container runs in), less what everything else needs, shared out among the workers.

import ProxyCore

/// Memory, in bytes.
enum MemoryBudget {
    /// The smallest budget that can be configured.
    static let least = 32 << 20
    /// What the program needs for all but connections: its text and data, discovery, the admin pages, the log.
    static let base = 24 << 20

    /// The budget of the process: as `configured` (0: none), or of the machine's limit three quarters, because sockets count
    /// there, too, whose buffers are the kernel's. 0: none.
    static func ofProcess(configured: Int?, machine: () -> Int? = { cgroupLimit(read: readText) }) -> Int {
        configured ?? machine().map { $0 / 4 * 3 } ?? 0
    }

    /// What connections of one of `workers` workers may take; 0: as much as there is. However little the process has, there
    /// is room for a few.
    static func ofWorker(_ budget: Int, workers: Int) -> Int {
        budget == 0 ? 0 : max(1 << 20, (budget - base) / max(1, workers))
    }

    /// The limit of the cgroup that this process is in; nil: it has none. `read` gives a file's text.
    static func cgroupLimit(read: (String) -> String?) -> Int? {
        var least: Int?
        // hierarchy:controllers:path (cgroups(7)); of version 2 without controllers.
        for line in (read("/proc/self/cgroup") ?? "0::/").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3 else { continue }
            let (root, file) =
                if parts[1].isEmpty {
                    ("/sys/fs/cgroup", "memory.max")
                } else if parts[1].split(separator: ",").contains("memory") {
                    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
                } else {
                    ("", "")
                }
            if root.isEmpty { continue }
            // In a container the path is that of the host, and the files stand at the root. A group above may have less.
            var path = parts[2][...]
            while true {
                let text = read(root + (path == "/" ? "" : String(path)) + "/" + file)
                let words = text?.split(whereSeparator: \.isWhitespace)
                // Version 1 says "none" as the highest multiple of a page.
                if let limit = words?.first.flatMap({ Int($0) }), limit > 0, limit < 1 << 60 {
                    least = min(least ?? .max, limit)
                }
                guard let slash = path.lastIndex(of: "/"), path.count > 1 else { break }
                path = slash == path.startIndex ? "/" : path[..<slash]
            }
        }
        return least
    }

    private static func readText(_ path: String) -> String? {
        (try? readFile(path, bytesMax: 64 * 1024).get()).map { String(decoding: $0, as: UTF8.self) }
    }
}
