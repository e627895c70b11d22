// What do repeated measurements say? The middle and the spread: medians and quartiles, because one disturbed round on
// a shared machine must not move the figure.

/// Repeated measurements of one thing.
struct Sample {
    /// As measured, in order.
    var values: [Double] = []

    /// The middle one; NaN for none.
    var median: Double { quantile(0.5) }
    /// A quarter lie below.
    var low: Double { quantile(0.25) }
    /// A quarter lie above.
    var high: Double { quantile(0.75) }
    /// Half the distance of the quartiles, as a share of the median.
    var spread: Double { median == 0 ? 0 : (high - low) / 2 / median }
    /// The smallest.
    var least: Double { values.min() ?? .nan }

    private func quantile(_ fraction: Double) -> Double {
        guard !values.isEmpty else { return .nan }
        let sorted = values.sorted()
        let place = Double(sorted.count - 1) * fraction
        let below = Int(place)
        let above = min(below + 1, sorted.count - 1)
        return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
    }

    /// This over `other`, round by round: what both rounds suffered from the machine cancels out.
    func over(_ other: Sample) -> Sample {
        Sample(values: zip(values, other.values).map { $0 / $1 })
    }
}

/// One measured thing by name, in the form in which results are kept and compared.
struct Metric {
    /// `scenario/proxy/what`.
    let name: String
    /// `µs`, `ns`, `1/s`, `bytes`.
    let unit: String
    /// Whether less is better.
    let lessIsBetter: Bool
    /// What was measured.
    let sample: Sample

    /// For the results file.
    var json: JSON {
        .members(
            ("name", .string(name)), ("unit", .string(unit)), ("better", .string(lessIsBetter ? "less" : "more")),
            ("median", .number(sample.median)), ("low", .number(sample.low)), ("high", .number(sample.high)),
            ("values", .array(sample.values.map { .number($0) })))
    }

    /// From a results file; nil for what is none.
    init?(json: JSON) {
        guard let name = json["name"]?.text, let unit = json["unit"]?.text, let better = json["better"]?.text,
            let values = json["values"]?.elements.compactMap(\.double), !values.isEmpty
        else { return nil }
        self.init(name: name, unit: unit, lessIsBetter: better == "less", sample: Sample(values: values))
    }

    /// The metric `name`.
    init(name: String, unit: String, lessIsBetter: Bool = true, sample: Sample) {
        self.name = name
        self.unit = unit
        self.lessIsBetter = lessIsBetter
        self.sample = sample
    }
}
