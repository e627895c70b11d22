// An explanation as text: what the request meets, from the listener to the endpoint, and then why not anything else.

/// The text of `explain`.
struct ExplanationText {
    private let report: ExplainReport

    /// Looks `request` up among the routes of `settings`.
    init(of request: ExplainedRequest, settings: Settings) { self.init(ExplainReport(of: request, settings: settings)) }

    /// The text of `report`.
    init(_ report: ExplainReport) { self.report = report }

    /// The whole answer of the command.
    var reply: Reply {
        let rows = [("Request", report.request), ("Listener", listenerText)] + verdict
        let status: Int32 = report.route == nil ? 3 : 0
        let text = TextTable.labelled(rows) + otherEndpoints + disagreements + otherRoutes
        return Reply(status: status, output: TerminalText.lines(text))
    }

    private var listenerText: String {
        let listeners = report.listeners.joined(separator: "\n")
        return report.unservedPort.map { "none on port \($0); routes are the same on every one:\n\(listeners)" }
            ?? listeners
    }

    /// What the request meets.
    private var verdict: [(String, String)] {
        var rows: [(String, String)] = []
        if let route = report.route {
            rows.append(("Route", "routes[\(route.index)]  \(route.name)"))
            rows.append(
                ("Middlewares", report.middlewares.isEmpty ? "none" : report.middlewares.joined(separator: ", ")))
        } else {
            rows.append(("Route", "none: \(report.refusal ?? "no rule is for it")"))
        }
        for service in report.services {
            rows.append(
                (
                    "Service",
                    service.name + (service.weight == service.of ? "" : ", weight \(service.weight) of \(service.of)")
                ))
            rows += endpointRows(service)
        }
        if let answer = report.answer { rows.append(("Answer", answer)) }
        return rows
    }

    private func endpointRows(_ service: ExplainReport.Choice) -> [(String, String)] {
        guard let live = service.live else {
            let isDiscovered = service.witnesses.contains { $0.hasPrefix("kubernetes: ") || $0.hasPrefix("dns: ") }
            if isDiscovered {
                let hint = "a running proxy tells them, with --admin; it learns them from\n"
                return [("Endpoint", hint + service.witnesses.joined(separator: "\n"))]
            }
            let one = service.witnesses.count == 1 ? "" : "the less busy of two random ones among\n"
            return [("Endpoint", one + service.witnesses.joined(separator: "\n"))]
        }
        var rows: [(String, String)] = []
        let stale = live.stale ? ", which may be out of date" : ""
        rows.append(("Witness", live.source.map { $0 + stale } ?? "none has told anything yet"))
        if let problem = live.problem { rows.append(("Problem", problem)) }
        let usable = live.endpoints.filter(\.usable)
        if usable.isEmpty {
            rows.append(("Endpoint", "none is usable"))
            rows.append(("Answer", "503"))
        } else {
            let lines = TextTable.aligned(usable.map(endpointLine))
            let one = usable.count == 1 ? "" : "the less busy of two random ones among\n"
            rows.append(("Endpoint", one + lines.joined(separator: "\n")))
        }
        return rows
    }

    /// Where it is, which pod it is, who says so, why and since when.
    private func endpointLine(_ endpoint: EndpointReport) -> [String] {
        return [
            endpoint.address, [endpoint.pod, endpoint.node].compactMap(\.self).joined(separator: " on "),
            "by " + endpoint.sources.joined(separator: ", "),
            endpoint.why(now: report.time ?? ""),
        ]
    }

    /// Why each other endpoint gets nothing.
    private var otherEndpoints: String {
        let lines = report.services.flatMap { service in
            (service.live?.endpoints ?? []).filter { !$0.usable }.map(endpointLine)
        }
        return TextTable.section("Why no other endpoint", TextTable.aligned(lines))
    }

    private var disagreements: String {
        let texts = report.services.flatMap { $0.live?.disagreements ?? [] }.map(\.text)
        return TextTable.section("Where witnesses disagree", texts)
    }

    /// Why each other rule was not taken.
    private var otherRoutes: String {
        let rows = report.others.map { ["routes[\($0.index)]", $0.name, $0.reason] }
        return TextTable.section("Why no other route", TextTable.aligned(rows))
    }
}

/// Columns of text.
enum TextTable {
    /// Labels in a column, what belongs to them beside it.
    static func labelled(_ rows: [(String, String)]) -> String {
        let width = (rows.map(\.0.count).max() ?? 0) + 2
        return rows.map { label, text in
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            return lines.enumerated().map { pad($0 == 0 ? label : "", width) + $1 + "\n" }.joined()
        }.joined()
    }

    /// A line for each row, columns two spaces apart and as wide as they need; columns without any text vanish.
    static func aligned(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let cells = row.indices.filter { widths[$0] > 0 }.map { pad(row[$0], widths[$0]) }
            var line = cells.joined(separator: "  ")
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }
    }

    /// A heading with its lines, or nothing where there is none.
    static func section(_ heading: String, _ lines: [String]) -> String {
        lines.isEmpty ? "" : "\n\(heading)\n" + lines.map { "  \($0)\n" }.joined()
    }

    static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
