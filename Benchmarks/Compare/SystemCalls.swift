// How often is the kernel asked? System calls a request, counted by strace in a pass of its own, because it slows the
// proxy many times over.

import Glibc

/// System calls of a proxy, counted over a known number of requests.
struct SystemCallCount {
    /// Calls a request, by name, most frequent first; those below one in a hundred requests are left out.
    let perRequest: [(name: String, count: Double)]
    /// Calls that failed (mostly “would block”), a request.
    let failed: Double

    /// All calls a request.
    var total: Double { perRequest.reduce(0) { $0 + $1.count } }

    /// `4.05: 2 recvfrom, 2 sendto, 0.05 epoll_wait`.
    var text: String {
        let calls = perRequest.map { "\(fixed($0.count, 2)) \($0.name)" }.joined(separator: ", ")
        return "\(fixed(total, 2)): \(calls)" + (failed >= 0.005 ? " (\(fixed(failed, 2)) of them failed)" : "")
    }

    /// Counts the calls of `proxy` while `plan` makes `requests` requests.
    static func count(_ proxy: RunningProxy, plan: LoadPlan, requests: Int, folder: TemporaryFolder) throws
        -> SystemCallCount
    {
        guard let strace = findProgram("strace") else { throw Failure("strace is not installed") }
        let path = "\(folder.path)/strace.\(proxy.contender.name)"
        let targets = proxy.meter.processes.flatMap { ["-p", "\($0)"] }
        var generator = try LoadGenerator(plan)
        try generator.open()
        // Pools are filled before counting starts.
        try generator.run(.requests(plan.connections * 4))
        let child = try Child("strace", strace, ["-f", "-c", "-o", path] + targets, cpu: nil, folder: folder)
        defer { child.stop(signal: SIGINT) }
        let giveUpAt = monotonicNow() + 5_000_000_000
        // It says so once it is attached.
        while !child.output.contains("attached") {
            guard child.isRunning, monotonicNow() < giveUpAt else { throw Failure("strace: \(child.output)") }
            pause(milliseconds: 5)
        }
        generator.reset()
        try generator.run(.requests(requests))
        let done = Int(generator.latencies.count)
        child.stop(signal: SIGINT)
        guard done > 0 else { throw Failure("strace: no request was answered") }
        return SystemCallCount(parsing: readSystemFile(path) ?? "", requests: done)
    }

    /// Reads the table of `strace -c`.
    init(parsing table: String, requests: Int) {
        var calls: [(name: String, count: Double)] = []
        var failed = 0.0
        for line in table.split(separator: "\n") {
            // % time, seconds, usecs/call, calls, errors (may be missing), syscall
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 5, Double(words[0]) != nil, let number = Double(words[3]), let name = words.last,
                name != "total"
            else { continue }
            if words.count >= 6, let errors = Double(words[4]) { failed += errors }
            calls.append((name, number / Double(requests)))
        }
        perRequest = calls.filter { $0.count >= 0.01 }.sorted { $0.count > $1.count }
        self.failed = failed / Double(requests)
    }
}
