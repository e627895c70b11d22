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

    private init(_ format: MetricsFormat) {
        self.format = format
        bytes.reserveCapacity(64 * 1024)
    }

    /// All metrics.
    static func render(_ figures: MetricsFigures, as format: MetricsFormat) -> [UInt8] {
        var text = MetricsText(format)
        for family in MetricsFamily.all {
            text.begin(family)
            family.write(figures, &text)
        }
        if format == .openMetrics { text.append("# EOF\n") }
        return text.bytes
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
        begin("", labels, nil)
        append(String(value))
        append("\n")
    }

    /// A sample of the family at hand.
    mutating func sample(_ labels: Labels, _ value: Int) { sample(labels, UInt64(clamping: value)) }

    /// A sample that is a fraction: so many parts of which `10^digits` are one.
    mutating func sample(_ labels: Labels, _ parts: UInt64, digits: Int) {
        begin("", labels, nil)
        append(parts, digits: digits)
        append("\n")
    }

    /// The samples of a histogram of durations.
    mutating func sample(_ labels: Labels, _ histogram: Histogram) {
        var sum: UInt64 = 0
        for (i, bound) in Histogram.bounds.enumerated() {
            sum &+= histogram.counts[i]
            begin("_bucket", labels, bound.description)
            append("\(sum)\n")
        }
        begin("_bucket", labels, "+Inf")
        append("\(histogram.count)\n")
        begin("_sum", labels, nil)
        append(histogram.sumNanoseconds, digits: 9)
        append("\n")
        begin("_count", labels, nil)
        append("\(histogram.count)\n")
    }

    private mutating func begin(_ ending: String, _ labels: Labels, _ bound: String?) {
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
        append(" ")
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
