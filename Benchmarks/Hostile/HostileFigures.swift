// What became of a crowd, as text and as a verdict.

/// What one stage came to.
struct HostileStay {
    let stage: HostileStage
    /// Who was besieged.
    let target: String
    /// The others alone, and beside the crowd, round by round.
    var alone: [HostileWindow] = []
    var beside: [HostileWindow] = []
    /// Descriptors of the proxy at most.
    var descriptors = 0
    /// Bytes of its memory, and what TCP held in the kernel, of the crowd and its backends too.
    var memoryBefore = 0
    var memoryPeak = 0
    var memoryAfter = 0
    var tcpMemory = 0
    var isAlive = false

    init(_ stage: HostileStage, _ target: String) {
        self.stage = stage
        self.target = target
    }

    /// A quantile of the others' latencies, round by round: 0 the median, 2 p99. Of each round it is that of its middle
    /// second: a core that the host takes away spoils one second, and not the round.
    func quantile(_ index: Int, _ windows: [HostileWindow]) -> Sample {
        Sample(values: windows.map { window in Sample(values: window.load.map { $0.quantiles[index] }).median })
    }

    /// By how many percent p99 of the others rose, round by round.
    var rises: Sample { Self.percent(quantile(2, beside).over(quantile(2, alone))) }
    /// By how many percent it rose where nothing had changed: the others alone, after the others alone a round before.
    var noise: Sample {
        Self.percent(Sample(values: Array(quantile(2, alone).values.dropFirst())).over(quantile(2, alone)))
    }

    private static func percent(_ ratios: Sample) -> Sample { Sample(values: ratios.values.map { ($0 - 1) * 100 }) }

    /// All seconds of the others.
    private var seconds: [LoadResult] { (alone + beside).flatMap(\.load) }
    /// Errors of the others, and their requests.
    var errors: Int { seconds.reduce(0) { $0 + $1.errors.total } }
    var requests: Int { seconds.reduce(0) { $0 + $1.requests } }
    /// The errors by name.
    var errorText: String {
        errors == 0 ? "none" : seconds.map(\.errors).filter { $0.total > 0 }.map(\.text).joined(separator: "; ")
    }
}

/// The figures of one crowd.
struct HostileFigures {
    private let plan: HostilePlan
    private let kind: CrowdKind
    var stays: [HostileStay] = []
    /// Nanoseconds until the last of the crowd was gone.
    var gone: UInt64 = 0
    /// Processes of the crowd of which some were not gone after 200 s.
    var stayed = 0

    init(_ plan: HostilePlan, _ kind: CrowdKind) {
        self.plan = plan.fitting(kind)
        self.kind = kind
    }

    private var longest: UInt64 {
        kind == .head || kind == .handshake ? 12_000_000_000 : 2 * (nanoseconds(plan.wait) ?? 0)
    }

    private var isGoneInTime: Bool { stayed == 0 && gone <= longest + 5_000_000_000 }

    private func isGood(_ stay: HostileStay) -> Bool {
        // Those who come and go are a load, as any that comes and goes; it is to be seen, and not to be free.
        (stay.rises.median < 20 || stay.stage == .siege) && stay.errors == 0 && stay.memoryPeak <= plan.memory
            && stay.isAlive
    }

    /// Whether all targets were met.
    var isGood: Bool { stays.allSatisfy(isGood) && isGoneInTime }

    /// For people.
    var text: String {
        var text =
            "\(kind.rawValue): \(grouped(plan.connections)) connections, a byte every "
            + "\(duration(ns: Double(plan.pace))); \(stays.first?.target ?? "")\n"
        for stay in stays { text += self.text(stay) }
        if stays.contains(where: { $0.stage == .siege }) {
            text += "  all gone  after \(duration(ns: Double(gone)))\(stayed > 0 ? ", but for some" : "")"
            text += "  [\(isGoneInTime ? "ok" : "MISSED")]\n"
        }
        return text
    }

    private func text(_ stay: HostileStay) -> String {
        func mebibytes(_ bytes: Int) -> String { "\(fixed(Double(bytes) / 1_048_576, 0)) MiB" }
        func time(_ index: Int, _ windows: [HostileWindow]) -> String {
            duration(ns: stay.quantile(index, windows).median)
        }
        func share(_ windows: [HostileWindow]) -> String {
            "\(fixed(Sample(values: windows.map { $0.cpu * 100 }).median, 1)) %"
        }
        func perSecond(_ what: (CrowdTally) -> Int) -> String {
            grouped(Int(Sample(values: stay.beside.map { Double(what($0.crowd)) / $0.seconds }).median))
        }
        func list(_ percents: Sample) -> String {
            percents.values.map { "\($0 < 0 ? "" : "+")\(fixed($0, 0))" }.joined(separator: " ")
        }
        let here = Int(Sample(values: stay.beside.map { Double($0.crowd.here) }).median)
        return """
              \(stay.stage.rawValue.padded(to: 5))  [\(isGood(stay) ? "ok" : "MISSED")]
                others   p99 \(time(2, stay.alone)) alone, \(time(2, stay.beside)) beside them: \(fixed(stay.rises.median, 1)) % more
                         round by round \(list(stay.rises)) %; alone against alone \(list(stay.noise)) %
                         p50 \(time(0, stay.alone)) alone, \(time(0, stay.beside)) beside them; errors: \(stay.errorText) of \(grouped(stay.requests)) requests
                proxy    \(share(stay.alone)) of a core alone, \(share(stay.beside)) beside them; \(grouped(stay.descriptors)) descriptors at most
                crowd    \(grouped(here)) there, \(perSecond { $0.bytes }) bytes and \(perSecond { $0.closed }) of them thrown out each second
                memory   \(mebibytes(stay.memoryBefore)) before, \(mebibytes(stay.memoryPeak)) at most, \(mebibytes(stay.memoryAfter)) afterwards; budget \(mebibytes(plan.memory)); TCP in the kernel, both ends: \(mebibytes(stay.tcpMemory))

            """
    }
}

extension CrowdTally {
    /// What was done since `before`; who is there is a state, not a deed.
    static func - (a: CrowdTally, before: CrowdTally) -> CrowdTally {
        var rest = a
        rest.closed -= before.closed
        rest.bytes -= before.bytes
        return rest
    }
}

extension String {
    /// How many of its lines begin with `part`.
    func lines(beginning part: String) -> Int { split(separator: "\n").filter { $0.hasPrefix(part) }.count }
}
