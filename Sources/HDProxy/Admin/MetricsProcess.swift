// What does the system say of this process? Read from /proc when somebody asks, under the names that all client
// libraries of Prometheus use.

import Glibc

/// What the system says of this process. Where /proc is not mounted all of it is zero.
struct ProcessFigures: Sendable, Equatable {
    /// Processor time, user and system, in hundredths of a second.
    var centiseconds: UInt64 = 0
    /// Memory in use.
    var residentBytes: UInt64 = 0
    /// Address space.
    var virtualBytes: UInt64 = 0
    /// Descriptors that are open.
    var openDescriptors: UInt64 = 0
    /// Descriptors that may be open.
    var maxDescriptors: UInt64 = 0
    /// When the process started, in hundredths of a second since 1970.
    var startCentiseconds: UInt64 = 0

    /// The figures of this very process, now.
    static func now() -> ProcessFigures {
        let text = { (path: String) in
            if case .success(let bytes) = readFile(path, bytesMax: 1 << 20) {
                String(decoding: bytes, as: UTF8.self)
            } else {
                ""
            }
        }
        var figures = ProcessFigures(
            stat: text("/proc/self/stat"), system: text("/proc/stat"), limits: text("/proc/self/limits"),
            pageBytes: UInt64(max(0, sysconf(Int32(_SC_PAGESIZE)))), ticks: UInt64(max(1, sysconf(Int32(_SC_CLK_TCK)))))
        figures.openDescriptors = countDescriptors()
        return figures
    }

    /// The figures in the texts of /proc/self/stat, /proc/stat and /proc/self/limits; see proc(5).
    init(stat: String, system: String, limits: String, pageBytes: UInt64, ticks: UInt64) {
        // The second field is a name in parentheses, which may hold anything.
        if let end = stat.lastIndex(of: ")") {
            let fields = stat[end...].dropFirst().split(whereSeparator: \.isWhitespace)
            let field = { (number: Int) in fields.count > number - 3 ? UInt64(fields[number - 3]) ?? 0 : 0 }
            centiseconds = (field(14) &+ field(15)) &* 100 / ticks
            virtualBytes = field(23)
            residentBytes = field(24) &* pageBytes
            startCentiseconds = field(22) &* 100 / ticks
        }
        let boot = system.split(separator: "\n").first { $0.hasPrefix("btime ") }
        startCentiseconds &+= (boot.flatMap { UInt64($0.dropFirst(6)) } ?? 0) &* 100
        let most = limits.split(separator: "\n").first { $0.hasPrefix("Max open files") }
        maxDescriptors = most?.split(whereSeparator: \.isWhitespace).lazy.compactMap { UInt64($0) }.first ?? 0
    }

    /// Nothing known.
    init() {}

    private static func countDescriptors() -> UInt64 {
        // Safety: a constant path; the folder is closed at the end, after which nobody uses it.
        guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe _ = closedir(folder) }
        var count: UInt64 = 0
        while unsafe readdir(folder) != nil { count += 1 }
        // `.`, `..` and the folder itself.
        return count > 3 ? count - 3 : 0
    }
}
