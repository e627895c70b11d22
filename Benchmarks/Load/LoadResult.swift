// What came of a load, as plain values, as text and as JSON.

/// The figures of one measured run.
struct LoadResult {
    /// Answered as they should be.
    let requests: Int
    /// Seconds from the first request to the last answer.
    let seconds: Double
    /// Body bytes received.
    let bytes: Int
    /// What failed.
    let errors: LoadErrors
    /// Connections that were opened again.
    let reconnects: Int
    /// TLS handshakes, full and resumed by a ticket.
    let handshakes: (full: Int, resumed: Int)
    /// Requests of an open loop that went out more than a millisecond late.
    let late: Int
    /// Why it was given up, if it was.
    let gaveUp: String?
    /// CPU of the load generator, in nanoseconds a request.
    let ownCPU: Double
    /// Mean and largest latency, in nanoseconds.
    let mean: Double
    let largest: Double
    /// Latency quantiles in nanoseconds, in the order of `quantileNames`.
    let quantiles: [Double]

    /// What `quantiles` holds.
    static let quantileNames = ["p50", "p90", "p99", "p99.9", "p99.99"]
    private static let fractions = [0.5, 0.9, 0.99, 0.999, 0.9999]

    /// The figures of `generator`, which used `ownCPU` nanoseconds for them.
    init(_ generator: borrowing LoadGenerator, ownCPU: UInt64) {
        requests = Int(generator.latencies.count)
        seconds = Double(generator.elapsed) / 1e9
        bytes = generator.receivedBytes
        errors = generator.errors
        reconnects = generator.reconnects
        handshakes = generator.handshakes
        late = generator.late
        gaveUp = generator.gaveUp
        self.ownCPU = requests == 0 ? 0 : Double(ownCPU) / Double(requests)
        mean = generator.latencies.mean
        largest = Double(generator.latencies.largest)
        var quantiles: [Double] = []
        for fraction in Self.fractions { quantiles.append(generator.latencies.quantile(fraction)) }
        self.quantiles = quantiles
    }

    /// Answers a second.
    var rate: Double { seconds > 0 ? Double(requests) / seconds : 0 }

    /// For people.
    var text: String {
        var text = "\(grouped(requests)) requests in \(fixed(seconds, 2)) s: \(figure(rate)) a second, "
        text += "\(figure(Double(bytes) / seconds / 1e6)) MB/s\n"
        text += "latency  mean \(duration(ns: mean))"
        for (name, value) in zip(Self.quantileNames, quantiles) { text += "  \(name) \(duration(ns: value))" }
        text += "  largest \(duration(ns: largest))\n"
        text += "load generator  \(duration(ns: ownCPU)) of CPU a request"
        if reconnects > 0 { text += ", \(grouped(reconnects)) connections opened again" }
        if handshakes != (0, 0) {
            text += ", TLS handshakes: \(grouped(handshakes.full)) full, \(grouped(handshakes.resumed)) resumed"
        }
        if late > 0 { text += ", \(grouped(late)) requests sent more than 1 ms late" }
        text += "\nerrors  " + (errors.total == 0 ? "none" : errors.text) + "\n"
        if let gaveUp { text += "given up: \(gaveUp)\n" }
        return text
    }

    /// For programs.
    var json: JSON {
        let byKind = LoadError.allCases.filter { errors[$0] > 0 }.map {
            JSON.Member(name: $0.text, value: .number(Double(errors[$0])))
        }
        let latency = zip(Self.quantileNames, quantiles).map { JSON.Member(name: $0, value: .number($1 / 1000)) }
        return .members(
            ("requests", .number(Double(requests))), ("seconds", .number(seconds)), ("rate", .number(rate)),
            ("bytes", .number(Double(bytes))),
            (
                "latency_us",
                .object(
                    [JSON.Member(name: "mean", value: .number(mean / 1000))] + latency
                        + [JSON.Member(name: "largest", value: .number(largest / 1000))])
            ),
            ("load_cpu_us", .number(ownCPU / 1000)), ("reconnects", .number(Double(reconnects))),
            ("full_handshakes", .number(Double(handshakes.full))),
            ("resumed_handshakes", .number(Double(handshakes.resumed))), ("late", .number(Double(late))),
            ("errors", .object(byKind)),
            ("gave_up", gaveUp.map(JSON.string) ?? .null))
    }
}
