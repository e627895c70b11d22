// What got slower since then? New metrics against those of an earlier results file, with a word only where the
// difference is larger than both measurements' own spread.

/// Results of an earlier run.
struct Baseline {
    /// The file they came from.
    let path: String
    private let metrics: [String: Metric]

    /// Differences below this share are never called a change.
    private static let floor = 0.03

    /// Reads what `--json` wrote.
    init(path: String) throws {
        let json = try JSON(parsing: try readFile(path))
        let read = (json["metrics"]?.elements ?? []).compactMap(Metric.init(json:))
        guard !read.isEmpty else { throw BaselineError(path: path) }
        self.path = path
        metrics = Dictionary(read.map { ($0.name, $0) }, uniquingKeysWith: { _, last in last })
    }

    /// How a metric stands against its former self.
    enum Change { case better, worse, same }

    /// Whether `new` differs from what it was by more than noise: the quartiles do not touch, and the medians differ by
    /// more than the spread of both and by more than 3 %.
    func change(of new: Metric) -> (change: Change, ratio: Double)? {
        guard let old = metrics[new.name], old.unit == new.unit, old.sample.median != 0 else { return nil }
        let ratio = new.sample.median / old.sample.median
        let isApart = new.sample.low > old.sample.high || new.sample.high < old.sample.low
        let noise = max(Self.floor, old.sample.spread + new.sample.spread)
        guard isApart, abs(ratio - 1) > noise else { return (.same, ratio) }
        return ((ratio < 1) == new.lessIsBetter ? .better : .worse, ratio)
    }

    /// What changed, as text; the second part says whether anything got worse. Metrics for which `isJudged` is false move
    /// with the machine: how many of them differ is told, no more.
    func report(on metrics: [Metric], judging isJudged: (Metric) -> Bool = { _ in true }) -> (
        text: String, isWorse: Bool
    ) {
        var table = Table("against \(path)", "then", "now", "ratio", "")
        var (same, judged, others, otherChanges) = (0, 0, 0, 0)
        var isWorse = false
        for metric in metrics {
            guard let old = self.metrics[metric.name], let (change, ratio) = change(of: metric) else { continue }
            guard isJudged(metric) else {
                others += 1
                if change != .same { otherChanges += 1 }
                continue
            }
            judged += 1
            if change == .same {
                same += 1
                continue
            }
            isWorse = isWorse || change == .worse
            table.add([
                metric.name, figure(old.sample.median), figure(metric.sample.median) + " " + metric.unit,
                fixed(ratio, 2), change == .worse ? "WORSE" : "better",
            ])
        }
        var text = table.text() + "\(same) of \(judged) figures the same within noise\n"
        if others > 0 {
            text += "\(otherChanges) of \(others) figures that move with the machine differ (rates, times, peers)\n"
        }
        return (text, isWorse)
    }
}

/// A file that holds no results.
struct BaselineError: Error, CustomStringConvertible {
    /// The file.
    let path: String
    /// For people.
    var description: String { "\(path): no metrics in it; --json of an earlier run writes such a file" }
}
