// What is said in the end: tables for people, JSON for later runs; the picture is in ComparePicture.

/// A finished comparison.
struct CompareReport {
    /// How it was run.
    let settings: ComparisonSettings
    /// What came of it.
    let results: [ScenarioResult]
    /// What a reader should know.
    let notes: [String]
    /// Machine, cores, network, versions.
    let setting: [String]
    /// When it began.
    let date: String

    /// A target and how it stands.
    struct Judgement {
        let scenario: String
        let target: Target
        /// nil: could not be measured.
        let sample: Sample?
        /// The peer that it is compared with; empty for none.
        let against: String

        /// The median; nil where nothing was measured.
        var value: Double? { sample?.median }
        /// nil where nothing was measured.
        var isMet: Bool? { value.map { $0 <= target.limit } }
        /// `met`, `MISSED`, `missed within noise` (a quarter of the rounds or more met it) or `not measured`.
        var word: String {
            guard let sample, let isMet else { return "not measured" }
            return isMet ? "met" : sample.low <= target.limit ? "missed within noise" : "MISSED"
        }
    }

    /// The proxies' names, ours last.
    var names: [String] { settings.contenders.map(\.name) }
    private var peers: [String] { names.filter { $0 != "hdproxy" } }

    /// All metrics: what was measured, and hdproxy over each peer.
    var metrics: [Metric] { ratioMetrics + results.flatMap { $0.metrics(of: names) } }

    private var ratioMetrics: [Metric] {
        results.flatMap { result in
            result.scenario.targets.flatMap { target in
                peers.compactMap { peer in
                    guard case .ratio = target.subject,
                        let ratio = result.ratio(target.figure, "hdproxy", over: peer)
                    else { return nil }
                    let name = "\(result.scenario.name)/hdproxy/\(target.figure.rawValue) over \(peer)"
                    return Metric(name: name, unit: Self.ratioUnit, sample: ratio)
                }
            }
        }
    }

    private static let ratioUnit = "times"

    /// Whether `metric` says something about hdproxy rather than about the machine: ratios to peers of the same run, and
    /// memory; CPU where there is no peer.
    func isJudged(_ metric: Metric) -> Bool {
        if metric.unit == Self.ratioUnit { return true }
        guard metric.name.contains("/hdproxy/") else { return false }
        return metric.unit == "MB" || metric.unit == "bytes" || (peers.isEmpty && metric.name.hasSuffix("/cpu"))
    }

    /// How the targets stand; none where hdproxy did not take part.
    var judgements: [Judgement] {
        guard names.contains("hdproxy") else { return [] }
        return results.flatMap { result in
            result.scenario.targets.map { target in
                let found = result.value(of: target, proxy: "hdproxy", peers: peers)
                return Judgement(
                    scenario: result.scenario.name, target: target, sample: found?.sample, against: found?.against ?? ""
                )
            }
        }
    }

    /// For people.
    var text: String {
        var text = setting.map { $0 + "\n" }.joined()
        for note in notes { text += "note: \(note)\n" }
        for result in results { text += "\n" + table(of: result) }
        text += "\n" + targetTable()
        return text
    }

    private func table(of result: ScenarioResult) -> String {
        let figures = result.figures
        var table = Table()
        var heads: [String] = []
        for figure in figures {
            heads.append(figure.head)
            if figure == .cpu { heads += ["± %"] }
        }
        let comparesCPU = figures.contains(.cpu)
        if comparesCPU { heads += peers.map { "CPU / \($0)" } }
        table.add([result.scenario.name] + heads)
        for name in names {
            guard result.failures[name] == nil, result.samples[name] != nil else { continue }
            var cells: [String] = []
            for figure in figures {
                let sample = result.sample(figure, name)
                cells.append(sample.map { self.text($0.median, figure) } ?? "-")
                if figure == .cpu { cells.append(sample.map { fixed($0.spread * 100, 1) } ?? "-") }
            }
            if comparesCPU {
                cells += peers.map { peer in
                    peer == name ? "" : result.ratio(.cpu, name, over: peer).map { fixed($0.median, 2) } ?? "-"
                }
            }
            table.add([name] + cells)
        }
        var text = "\(result.scenario.title)"
        if let rate = result.rate { text += ": \(figure(rate)) requests a second" }
        text += "\n" + table.text()
        for name in names {
            if let failure = result.failures[name] { text += "\(name) FAILED: \(failure)\n" }
            if let calls = result.systemCalls[name] { text += "system calls a request, \(name): \(calls.text)\n" }
        }
        return text
    }

    private func text(_ value: Double, _ figure: Figure) -> String {
        switch figure {
        case .rate, .perConnection: grouped(Int(value.rounded()))
        case .cpu, .p50, .p99, .p999, .loadCPU:
            value >= 1000 ? grouped(Int(value.rounded())) : fixed(value, value >= 100 ? 0 : 1)
        case .residentIdle, .proportionalIdle, .residentFull, .proportionalFull: fixed(value, 1)
        }
    }

    private func targetTable() -> String {
        let judgements = judgements
        if judgements.isEmpty { return "no targets: hdproxy did not take part\n" }
        var table = Table("target", "hdproxy", "at most", "")
        for judgement in judgements {
            let figure = judgement.target.figure
            let isRatio = if case .ratio = judgement.target.subject { true } else { false }
            let what =
                isRatio
                ? "\(judgement.scenario): \(figure.head) over \(judgement.against.isEmpty ? "peer" : judgement.against)"
                : "\(judgement.scenario): \(figure.head)"
            table.add([
                what, judgement.value.map { isRatio ? fixed($0, 2) : text($0, figure) } ?? "-",
                isRatio ? fixed(judgement.target.limit, 2) : text(judgement.target.limit, figure), judgement.word,
            ])
        }
        return table.text()
    }

    /// For programs and for `--baseline`.
    var json: JSON {
        let targets = judgements.map { judgement in
            JSON.members(
                ("scenario", .string(judgement.scenario)), ("figure", .string(judgement.target.figure.rawValue)),
                ("against", .string(judgement.against)), ("value", judgement.value.map(JSON.number) ?? .null),
                ("limit", .number(judgement.target.limit)), ("met", judgement.isMet.map(JSON.bool) ?? .null))
        }
        let failures = results.flatMap { result in
            result.failures.map {
                JSON.members(
                    ("scenario", .string(result.scenario.name)), ("proxy", .string($0.key)), ("text", .string($0.value))
                )
            }
        }
        let calls = results.flatMap { result in
            result.systemCalls.map { name, count in
                JSON.members(
                    ("scenario", .string(result.scenario.name)), ("proxy", .string(name)),
                    ("total", .number(count.total)), ("text", .string(count.text)))
            }
        }
        return .members(
            ("command", .string("compare")), ("date", .string(date)),
            ("setting", .array(setting.map(JSON.string))), ("notes", .array(notes.map(JSON.string))),
            ("targets", .array(targets)), ("failures", .array(failures)), ("system_calls", .array(calls)),
            ("metrics", .array(metrics.map(\.json))))
    }
}
