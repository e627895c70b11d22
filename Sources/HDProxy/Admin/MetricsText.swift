// How are metrics spelled? In the text format of Prometheus, version 0.0.4, or as OpenMetrics 1.0.0 where the client
// prefers that: the same families and samples, with the small differences that the formats have.

import ProxyCore

/// A format that metrics can be had in.
enum MetricsFormat: Sendable {
    case prometheus, openMetrics

    /// What the answer's Content-Type says.
    var contentType: String {
        switch self {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// The format for a request with this Accept field; empty where it has none. OpenMetrics only where it is named, in
    /// our version or in none, and wanted at least as much as plain text.
    init(accept: String) {
        var open = 0
        var plain = 0
        for item in accept.split(separator: ",") {
            let parts = item.split(separator: ";").map { $0.lowercased().filter { $0 != " " && $0 != "\t" } }
            guard let type = parts.first else { continue }
            var weight = 1000
            var isKnown = true
            for parameter in parts.dropFirst() {
                if parameter.hasPrefix("q=") { weight = Self.thousandths(parameter.dropFirst(2)) }
                if parameter.hasPrefix("version=") { isKnown = parameter.dropFirst(8).filter { $0 != "\"" } == "1.0.0" }
            }
            switch type {
            case "application/openmetrics-text": if isKnown { open = max(open, weight) }
            case "text/plain": plain = max(plain, weight)
            default: break
            }
        }
        self = open > 0 && open >= plain ? .openMetrics : .prometheus
    }

    /// A weight such as `0.75`, in thousandths (RFC 9110 §12.4.2); 0 for what is none.
    private static func thousandths(_ text: Substring) -> Int {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first.flatMap({ Int($0) }), (0...1).contains(whole) else { return 0 }
        var value = whole * 1000
        var unit = 100
        for digit in (parts.count > 1 ? parts[1] : "").prefix(3) {
            guard let digit = digit.wholeNumberValue else { return 0 }
            value += digit * unit
            unit /= 10
        }
        return min(value, 1000)
    }
}

/// Metrics as text, under construction.
struct MetricsText {
    /// Names and values of a sample's labels, in order.
    typealias Labels = KeyValuePairs<StaticString, String>

    private let format: MetricsFormat
    private var bytes: [UInt8] = []
    private var family = ""
    /// Whether samples of the family go on from what earlier processes counted.
    private var isInherited = false
    /// What is inherited of the family and was not met yet, by series.
    private var waiting: [String: UInt64] = [:]
    private var sums = InheritedCounters()
    private var isSumming = false

    private init(_ format: MetricsFormat) {
        self.format = format
        bytes.reserveCapacity(64 * 1024)
    }

    /// All metrics.
    static func render(_ figures: MetricsFigures, as format: MetricsFormat) -> [UInt8] {
        var text = MetricsText(format)
        text.write(figures)
        if format == .openMetrics { text.append("# EOF\n") }
        return text.bytes
    }

    /// The counters and histograms of them, for a process that goes on from there.
    static func counters(_ figures: MetricsFigures) -> InheritedCounters {
        var text = MetricsText(.prometheus)
        text.isSumming = true
        text.write(figures)
        return text.sums
    }

    private mutating func write(_ figures: MetricsFigures) {
        for family in MetricsFamily.all {
            begin(family)
            // What tells of this very process begins anew, as the process did.
            isInherited = family.kind != .gauge && family.name.hasPrefix("hdproxy_")
            let inherited = isInherited ? figures.inherited.families[family.name] ?? [] : []
            waiting = Dictionary(inherited.map { ($0.series, $0.value) }) { first, _ in first }
            family.write(figures, &self)
            // Series that this process has not come to yet.
            for sample in inherited where waiting[sample.series] != nil {
                append(sample.series)
                append(" ")
                let isSeconds = family.kind == .histogram && sample.series.hasPrefix(family.name + "_sum")
                end(sample.series, 0, digits: isSeconds ? 9 : 0)
            }
        }
    }

    private mutating func begin(_ family: MetricsFamily) {
        self.family = family.name
        var (name, kind) = (family.name, family.kind.rawValue)
        if format == .openMetrics, family.kind == .counter {
            // OpenMetrics names a counter's family without the ending of its samples. Where a gauge has that name already
            // it is no counter there, only a number whose kind is not told.
            let stem = String(name.dropLast("_total".utf8.count))
            if MetricsFamily.all.contains(where: { $0.name == stem }) { kind = "unknown" } else { name = stem }
        }
        append("# HELP \(name) \(family.help)\n# TYPE \(name) \(kind)\n")
    }

    // MARK: Samples

    /// A sample of a family without labels.
    mutating func sample(_ value: UInt64) { sample([:], value) }

    /// A sample of a family without labels that is a fraction.
    mutating func sample(_ parts: UInt64, digits: Int) { sample([:], parts, digits: digits) }

    /// A sample of the family at hand.
    mutating func sample(_ labels: Labels, _ value: UInt64) {
        end(begin("", labels, nil), value)
    }

    /// A sample of the family at hand.
    mutating func sample(_ labels: Labels, _ value: Int) { sample(labels, UInt64(clamping: value)) }

    /// A sample that is a fraction: so many parts of which `10^digits` are one.
    mutating func sample(_ labels: Labels, _ parts: UInt64, digits: Int) {
        end(begin("", labels, nil), parts, digits: digits)
    }

    /// The samples of a histogram of durations.
    mutating func sample(_ labels: Labels, _ histogram: Histogram) {
        var sum: UInt64 = 0
        for (i, bound) in Histogram.bounds.enumerated() {
            sum &+= histogram.counts[i]
            end(begin("_bucket", labels, bound.description), sum)
        }
        end(begin("_bucket", labels, "+Inf"), histogram.count)
        end(begin("_sum", labels, nil), histogram.sumNanoseconds, digits: 9)
        end(begin("_count", labels, nil), histogram.count)
    }

    /// Writes a value, with what is inherited of its series.
    private mutating func end(_ series: String, _ value: UInt64, digits: Int = 0) {
        let sum = value &+ (series.isEmpty ? 0 : waiting.removeValue(forKey: series) ?? 0)
        if isSumming, isInherited {
            sums.families[family, default: []].append(InheritedCounters.Sample(series: series, value: sum))
        }
        append(sum, digits: digits)
        append("\n")
    }

    /// Writes a sample's name and labels; they, where somebody may have use for them.
    private mutating func begin(_ ending: String, _ labels: Labels, _ bound: String?) -> String {
        let start = bytes.count
        append(family)
        append(ending)
        if !labels.isEmpty || bound != nil {
            var separator = "{"
            for (name, value) in labels {
                append("\(separator)\(name)=\"")
                appendEscaped(value)
                append("\"")
                separator = ","
            }
            if let bound { append("\(separator)le=\"\(bound)\"") }
            append("}")
        }
        let series = isSumming || !waiting.isEmpty ? String(decoding: bytes[start...], as: UTF8.self) : ""
        append(" ")
        return series
    }

    // MARK: Spelling

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// A label's value: a backslash, a quote and a line end would end it.
    private mutating func appendEscaped(_ text: String) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\n"): append("\\n")
            default: bytes.append(byte)
            }
        }
    }

    private mutating func append(_ parts: UInt64, digits: Int) {
        var one: UInt64 = 1
        for _ in 0..<digits { one *= 10 }
        append(String(parts / one))
        var rest = parts % one
        if rest == 0 { return }
        append(".")
        while rest > 0 {
            one /= 10
            append(String(rest / one))
            rest %= one
        }
    }
}
