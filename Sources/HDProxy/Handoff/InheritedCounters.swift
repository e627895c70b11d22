// What did those before us count? A counter that began anew with each upgrade would hide from whoever looks at its rise
// what happened in between, so totals go on: a successor adds its predecessor's to its own, series by series, as metrics
// spell them. So whatever is counted one day is inherited, too, without a word here.

/// Counters and histograms of earlier processes.
struct InheritedCounters: Codable, Equatable, Sendable {
    /// One series, or one bucket of it.
    struct Sample: Codable, Equatable, Sendable {
        /// Name and labels, as in `hdproxy_requests_total{route="*"}`.
        var series: String
        /// Its value, in whole units: nanoseconds for seconds.
        var value: UInt64
    }

    /// Samples that travel at most; where there are more, none do: a sum of some would be wrong.
    static let samplesMax = 50_000

    /// By family, in the order in which they are told.
    var families: [String: [Sample]] = [:]

    /// How many there are.
    var count: Int { families.values.reduce(0) { $0 + $1.count } }

    /// What may travel: in one message, however long the names are.
    var bounded: InheritedCounters {
        // A quotation mark becomes two bytes, and around each sample there is some JSON.
        let bytes = families.values.joined().reduce(0) { $0 + 2 * $1.series.utf8.count + 64 }
        return count <= Self.samplesMax && bytes < HandoffFrame.answerBytesMax ? self : InheritedCounters()
    }

    /// Whether nothing is inherited.
    var isEmpty: Bool { families.isEmpty }
}
