import Testing

@testable import HDProxy

@Suite struct MemoryBudgetTests {
    private static let mebi = 1 << 20

    @Test func theLimitIsTheLeastOfTheGroupsThatWeAreIn() {
        let cases: [(name: String, files: [String: String], limit: Int?)] = [
            (
                "a container", ["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "268435456\n"],
                256 * Self.mebi
            ),
            (
                "a unit",
                [
                    "/proc/self/cgroup": "0::/system.slice/hdproxy.service\n",
                    "/sys/fs/cgroup/system.slice/hdproxy.service/memory.max": "max\n",
                    "/sys/fs/cgroup/system.slice/memory.max": "134217728\n",
                    "/sys/fs/cgroup/memory.max": "268435456\n",
                ], 128 * Self.mebi
            ),
            (
                "version 1",
                [
                    "/proc/self/cgroup": "12:cpu,cpuacct:/x\n4:memory:/docker/abc\n1:name=systemd:/x\n",
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n",
                ], 64 * Self.mebi
            ),
            (
                "version 1, none",
                [
                    "/proc/self/cgroup": "4:memory:/\n",
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                ], nil
            ),
            ("none", ["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"], nil),
            ("nothing to read", [:], nil),
            ("no /proc", ["/sys/fs/cgroup/memory.max": "67108864\n"], 64 * Self.mebi),
            ("nonsense", ["/proc/self/cgroup": "x\n::\n0::\n", "/sys/fs/cgroup/memory.max": "-5\n"], nil),
        ]
        for (name, files, limit) in cases {
            #expect(MemoryBudget.cgroupLimit { files[$0] } == limit, "\(name)")
        }
    }

    @Test func theBudgetIsWhatIsConfiguredOrAShareOfTheLimit() {
        #expect(MemoryBudget.ofProcess(configured: 64 * Self.mebi) { 1 } == 64 * Self.mebi)
        #expect(MemoryBudget.ofProcess(configured: 0) { 1 << 30 } == 0)
        #expect(MemoryBudget.ofProcess(configured: nil) { 256 * Self.mebi } == 192 * Self.mebi)
        #expect(MemoryBudget.ofProcess(configured: nil) { nil } == 0)
        #expect(MemoryBudget.ofWorker(64 * Self.mebi, workers: 2) == 20 * Self.mebi)
        #expect(MemoryBudget.ofWorker(0, workers: 2) == 0)
        #expect(MemoryBudget.ofWorker(8 * Self.mebi, workers: 64) == Self.mebi)
    }
}
