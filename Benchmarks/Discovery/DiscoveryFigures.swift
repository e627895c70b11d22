// What came of a discovery run, as plain values, as text and as JSON.

/// The figures of one run.
struct DiscoveryFigures {
    var plan: DiscoveryPlan
    /// The program that was measured.
    var version: String
    /// Seconds that the events took, and how many there were.
    var seconds = 0.0
    var events = 0
    /// How many changes were seen in every worker, and how long that took from before the event was sent: quantiles in
    /// the order of ``quantileNames``, and the longest, in nanoseconds.
    var seen = 0
    var quantiles: [Double] = []
    var longest = 0.0
    /// Changes that were not seen within five seconds.
    var unseen = 0
    /// Requests that the prober sent.
    var requests = 0
    /// Nanoseconds of CPU of the control thread, and of the whole process, during the events.
    var controlCPU: UInt64 = 0
    var processCPU: UInt64 = 0
    /// Bytes: of a process with the same configuration and an empty cluster; of one that has heard of all services; of
    /// that one after all events.
    var emptyMemory = 0
    var fullMemory = 0
    var finalMemory = 0
    /// From the program's start to its readiness with everything heard, in nanoseconds.
    var startTime: UInt64 = 0

    /// At most that long at the 99th percentile, in nanoseconds.
    static let latencyTarget = 20e6
    /// At most that much for what is known of the cluster, in bytes.
    static let memoryTarget = 64 << 20

    /// Bytes that knowing the cluster takes.
    var stateMemory: Int { max(fullMemory, finalMemory) - emptyMemory }
    /// Whether both targets are met.
    var isGood: Bool {
        unseen == 0 && seen > 0 && p99 < Self.latencyTarget && stateMemory < Self.memoryTarget
    }

    static let quantileNames = ["p50", "p90", "p99", "p99.9"]
    private static let fractions = [0.5, 0.9, 0.99, 0.999]
    private var p99: Double { quantiles.count > 2 ? quantiles[2] : 0 }

    /// Takes over what was measured.
    mutating func take(_ latencies: borrowing Histogram) {
        seen = Int(latencies.count)
        longest = Double(latencies.largest)
        quantiles = []
        for fraction in Self.fractions { quantiles.append(latencies.quantile(fraction)) }
    }

    /// For people.
    var text: String {
        let perEvent = events == 0 ? 0 : Double(controlCPU) / Double(events)
        let share = seconds == 0 ? 0 : Double(controlCPU) / seconds / 1e9
        var table = Table("", "", "target")
        for (name, value) in zip(Self.quantileNames, quantiles) {
            let target =
                name == "p99"
                ? "\(duration(ns: Self.latencyTarget)) \(value < Self.latencyTarget ? "met" : "MISSED")" : ""
            table.add(["event to every worker, \(name)", duration(ns: value), target])
        }
        table.add(["longest of \(grouped(seen))", duration(ns: longest), ""])
        table.add(["not seen in time", grouped(unseen), unseen == 0 ? "none" : "MISSED"])
        table.addGap()
        table.add(["control thread, CPU an event", duration(ns: perEvent), ""])
        table.add(["control thread, share of a core", "\(fixed(share * 100, 1)) %", ""])
        let rest = seconds == 0 ? 0 : Double(processCPU &- controlCPU) / seconds / 1e9
        table.add(["other threads, share of a core", "\(fixed(rest * 100, 1)) %", ""])
        table.addGap()
        table.add(["resident with an empty cluster", mebibytes(emptyMemory), ""])
        table.add(["with all services known", mebibytes(fullMemory), ""])
        table.add(["after the events", mebibytes(finalMemory), ""])
        table.add([
            "state", mebibytes(stateMemory),
            "\(mebibytes(Self.memoryTarget)) \(stateMemory < Self.memoryTarget ? "met" : "MISSED")",
        ])
        table.add(["start to readiness", duration(ns: Double(startTime)), ""])
        return """
            \(grouped(plan.services)) services of \(plan.endpoints) endpoints, \(grouped(events)) events in \
            \(fixed(seconds, 1)) s (\(figure(seconds > 0 ? Double(events) / seconds : 0)) a second), \(plan.workers) workers\
            \(plan.keepsState ? "" : ", nothing kept on disk")
            hdproxy: \(version)

            \(table.text())
            The prober asked \(grouped(requests)) times over \(plan.connections) connections.

            """
    }

    private func mebibytes(_ bytes: Int) -> String { "\(fixed(Double(bytes) / 1_048_576, 1)) MiB" }

    /// For programs.
    var json: JSON {
        let latency = zip(Self.quantileNames, quantiles).map { JSON.Member(name: $0, value: .number($1 / 1e6)) }
        let number = { (value: Int) in JSON.number(Double(value)) }
        return .members(
            ("version", .string(version)), ("services", number(plan.services)), ("endpoints", number(plan.endpoints)),
            ("workers", number(plan.workers)), ("connections", number(plan.connections)), ("events", number(events)),
            ("seconds", .number(seconds)),
            (
                "latency_ms",
                .object(latency + [JSON.Member(name: "longest", value: .number(longest / 1e6))])
            ),
            ("probes", number(seen)), ("unseen", number(unseen)), ("requests", number(requests)),
            ("control_cpu_us_an_event", .number(events == 0 ? 0 : Double(controlCPU) / Double(events) / 1000)),
            ("control_cpu_share", .number(seconds == 0 ? 0 : Double(controlCPU) / seconds / 1e9)),
            ("process_cpu_share", .number(seconds == 0 ? 0 : Double(processCPU) / seconds / 1e9)),
            ("empty_bytes", number(emptyMemory)), ("full_bytes", number(fullMemory)),
            ("final_bytes", number(finalMemory)), ("state_bytes", number(stateMemory)),
            ("start_ms", .number(Double(startTime) / 1e6)), ("good", .bool(isGood)))
    }
}
