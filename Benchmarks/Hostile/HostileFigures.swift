// What became of a crowd, as text and as a verdict.

/// The figures of one crowd.
struct HostileFigures {
    private let plan: HostilePlan
    private let kind: CrowdKind
    var alone: LoadResult?
    var beside: LoadResult?
    /// Descriptors of the proxy when all had come, and after the measurement.
    var open = 0
    var openAfterwards = 0
    var memoryBefore = 0
    var memoryPeak = 0
    var memoryAfter = 0
    /// Nanoseconds until the last of the crowd was gone.
    var gone: UInt64 = 0
    /// Processes of the crowd of which some were not gone after five minutes.
    var stayed = 0
    /// Connections of the crowd, and how often one came back.
    var came = 0
    var cameBack = 0
    var isAlive = false

    init(_ plan: HostilePlan, _ kind: CrowdKind) {
        self.plan = plan
        self.kind = kind
    }

    /// Reads `all have come: N` and `closed: N` of a crowd.
    mutating func add(crowdOutput: String) {
        for line in crowdOutput.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let count = words.last.flatMap({ Int($0) }) else { continue }
            if line.hasPrefix("all have come") { came += count }
            if line.hasPrefix("closed") { cameBack += count }
        }
    }

    private var p99Before: Double { alone?.quantiles[2] ?? 0 }
    private var p99Beside: Double { beside?.quantiles[2] ?? 0 }
    private var change: Double { p99Before > 0 ? (p99Beside / p99Before - 1) * 100 : 0 }
    private var errors: Int { (alone?.errors.total ?? 0) + (beside?.errors.total ?? 0) }
    private var longest: UInt64 {
        kind == .head || kind == .handshake ? 12_000_000_000 : 2 * (nanoseconds(plan.wait) ?? 0)
    }

    /// Whether all targets were met.
    var isGood: Bool {
        change < 20 && errors == 0 && memoryPeak <= plan.memory && gone <= longest + 5_000_000_000 && stayed == 0
            && isAlive
    }

    /// For people.
    var text: String {
        func mebibytes(_ bytes: Int) -> String { "\(fixed(Double(bytes) / 1_048_576, 1)) MiB" }
        let mark = isGood ? "ok" : "MISSED"
        return """
            \(kind.rawValue): \(grouped(plan.connections)) connections, a byte every \(duration(ns: Double(plan.pace)))  [\(mark)]
              others, p99    \(duration(ns: p99Before)) alone, \(duration(ns: p99Beside)) beside them (\(fixed(change, 1)) %)
              others, p50    \(duration(ns: alone?.quantiles[0] ?? 0)) alone, \(duration(ns: beside?.quantiles[0] ?? 0)) beside them
              others, errors \(errors == 0 ? "none" : "\(alone?.errors.text ?? ""); \(beside?.errors.text ?? "")") of \(grouped((alone?.requests ?? 0) + (beside?.requests ?? 0))) requests
              crowd          \(grouped(came)) came, closed and back \(grouped(cameBack)) times; descriptors \(grouped(open)), then \(grouped(openAfterwards))
              memory         \(mebibytes(memoryBefore)) before, \(mebibytes(memoryPeak)) at most, \(mebibytes(memoryAfter)) afterwards; budget \(mebibytes(plan.memory))
              all gone       after \(duration(ns: Double(gone)))\(stayed > 0 ? ", but for some" : "")

            """
    }
}
