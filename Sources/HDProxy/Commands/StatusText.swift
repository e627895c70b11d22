// A status as a table for people: what is served, who is up, and, loudly, where witnesses contradict each other.

/// The text of `status`.
struct StatusText {
    private let report: StatusReport
    private let isColoured: Bool

    /// The text of `report`.
    init(_ report: StatusReport, isColoured: Bool = false) {
        self.report = report
        self.isColoured = isColoured
    }

    /// The whole of it.
    var text: String {
        let parts = [heading, summary, alarms, sources] + report.services.map(service) + [rollouts, routes]
        return parts.filter { !$0.isEmpty }.joined(separator: "\n")
    }

    private func styled(_ text: String, _ style: TerminalText.Style) -> String {
        TerminalText.styled(TerminalText.line(text), style, isColoured)
    }

    // MARK: The process

    private var heading: String {
        let style: TerminalText.Style = report.state == .serving ? .good : .warning
        let up = Age.text(of: report.started, now: report.time)
        return styled("HDProxy \(report.version)", .bold) + "  " + styled(report.state.rawValue, style)
            + "  generation \(report.generation)  pid \(report.pid)  up \(up)\n"
    }

    private var summary: String {
        var rows = [("Ready", readiness)]
        let listeners = report.listeners.map(listener)
        if !listeners.isEmpty { rows.append(("Listeners", listeners.joined(separator: "\n"))) }
        if let access = report.access { rows.append(("May connect", TerminalText.line(access.text))) }
        if !report.workers.isEmpty { rows.append(("Workers", workers)) }
        return TextTable.labelled(rows)
    }

    private func listener(_ listener: ListenerReport) -> String {
        var line = "\(TerminalText.line(listener.name)) on \(listener.address), "
        line += counted(listener.connections, "connection")
        if listener.proxyProtocol == "required" { line += ", PROXY header required" }
        guard let tls = listener.tls else { return line }
        line += tls.minimumVersion == "1.3" ? ", TLS 1.3" : ", TLS \(tls.minimumVersion) and newer"
        if tls.strictSNI { line += " for known names" }
        let details = [tls.certificatesText(now: report.time), "clients: \(tls.clientsText)", tls.kernelText]
        return line + details.map { "\n  " + TerminalText.line($0) }.joined()
    }

    private var readiness: String {
        let failures = report.conditions.compactMap { condition in
            condition.failure.map { "\(condition.name): \($0)" }
        }
        if failures.isEmpty { return styled("yes", .good) }
        return failures.map { styled("no, \($0)", .bad) }.joined(separator: "\n")
    }

    private var workers: String {
        let inFlight = report.workers.reduce(0) { $0 + $1.inFlight }
        let slowest = report.workers.map(\.lastTurnMs).max() ?? 0
        // They are asked once a second.
        let late = slowest >= 3000 ? ", " + styled("one has not turned for \(Int(slowest / 1000)) s", .bad) : ""
        return "\(report.workers.count), \(counted(inFlight, "request")) in flight\(late)"
    }

    /// What somebody should look at now.
    private var alarms: String {
        var lines: [String] = []
        for listener in report.listeners {
            guard let alarm = listener.tls?.alarm(now: report.time) else { continue }
            lines.append(
                styled(" CERTIFICATE ", alarm.isUrgent ? .alarm : .warning) + " \(styled(listener.name, .bold)): "
                    + TerminalText.line(alarm.text))
        }
        for service in report.services {
            for disagreement in service.disagreements {
                lines.append(
                    styled(" DISAGREEMENT ", .alarm) + " \(styled(service.name, .bold)): "
                        + "\(TerminalText.line(disagreement.text)) (\(disagreement.witness), "
                        + "\(Age.lasting(disagreement.since, now: report.time)))")
            }
            if service.panic {
                lines.append(
                    styled(" PANIC ", .alarm) + " \(styled(service.name, .bold)): probes and ejections leave too few "
                        + "endpoints, so all but ghosts are used")
            }
            for ghost in service.ghosts {
                lines.append(
                    styled(" GHOST ", .alarm) + " \(styled(service.name, .bold)): "
                        + TerminalText.line("\(ghost.address) is somebody else's (\(ghost.ejected ?? ""))"))
            }
            if let problem = service.problem {
                lines.append(
                    styled(" PROBLEM ", .alarm) + " \(styled(service.name, .bold)): \(TerminalText.line(problem))")
            }
        }
        return lines.map { $0 + "\n" }.joined()
    }

    private func heard(_ source: SourceReport) -> String {
        let when = source.heard(now: report.time)
        return when.isEmpty ? "in the configuration" : when == "not yet" ? "not heard yet" : "heard \(when)"
    }

    private var sources: String {
        let rows = report.sources.map { source -> [StatusCell] in
            let state: StatusCell =
                if source.stale {
                    StatusCell("stale", .bad)
                } else {
                    source.synced ? StatusCell("synced", .good) : StatusCell("not synced", .warning)
                }
            return [
                StatusCell(source.name), state, StatusCell(heard(source)),
                StatusCell(source.error ?? "", .bad),
            ]
        }
        return rows.isEmpty ? "" : styled("Witnesses", .bold) + "\n" + table(rows)
    }

    // MARK: Services

    private func service(_ service: ServiceReport) -> String {
        let usable = service.usableCount
        let all = service.endpoints.count
        let count = all == 0 ? "no endpoints" : "\(usable) of \(counted(all, "endpoint")) usable"
        var head = styled("Service \(service.name)", .bold) + "  " + styled(count, usable > 0 ? .good : .bad)
        if let source = service.source { head += ", by \(TerminalText.line(source))" }
        if service.stale { head += ", " + styled("stale", .bad) }
        if service.endpoints.isEmpty { return head + "\n" }
        let titles = [
            "", "ENDPOINT", "POD", "NODE", "ZONE", "WITNESSES", "CONDITIONS", "HEALTH", "IN FLIGHT", "LATENCY",
            "EJECTIONS", "WHY",
        ]
        return head + "\n" + table(service.endpoints.map(cells), titles: titles)
    }

    private func cells(_ endpoint: EndpointReport) -> [StatusCell] {
        let health: TerminalText.Style =
            switch endpoint.health {
            case .up: .good
            case .down: .bad
            case .unknown: .dim
            }
        return [
            endpoint.usable ? StatusCell("+", .good) : StatusCell("-", .bad), StatusCell(endpoint.address),
            StatusCell(endpoint.pod ?? ""), StatusCell(endpoint.node ?? ""), StatusCell(endpoint.zone ?? ""),
            StatusCell(endpoint.sources.joined(separator: ", ")), StatusCell(endpoint.conditionsText),
            StatusCell(endpoint.health.rawValue, health), StatusCell(String(endpoint.inFlight)),
            StatusCell(endpoint.latencyText),
            StatusCell(endpoint.ejections == 0 ? "" : String(endpoint.ejections), .warning),
            StatusCell(endpoint.why(now: report.time), endpoint.usable ? .plain : .bad),
        ]
    }

    private var rollouts: String {
        let rows = (report.rollouts ?? []).map { rollout in
            [
                StatusCell(rollout.service), StatusCell("\(Age.text(of: rollout.ended, now: report.time)) ago"),
                StatusCell(rollout.summary),
            ]
        }
        return rows.isEmpty ? "" : styled("Latest rollouts", .bold) + "\n" + table(rows)
    }

    private var routes: String {
        let rows = report.routes.map { route in
            [StatusCell("routes[\(route.index)]"), StatusCell(route.name), StatusCell(route.target)]
        }
        return rows.isEmpty ? "" : styled("Routes", .bold) + "\n" + table(rows)
    }

    /// Rows in columns; columns without any text vanish, their titles with them.
    private func table(_ rows: [[StatusCell]], titles: [String] = []) -> String {
        let columns = (rows.first?.indices ?? 0..<0).filter { column in rows.contains { !$0[column].text.isEmpty } }
        var lines = rows
        if !titles.isEmpty { lines.insert(titles.map { StatusCell($0, .dim) }, at: 0) }
        let widths = columns.map { column in lines.map { $0[column].text.count }.max() ?? 0 }
        return lines.map { row in
            var line = " "
            for (column, width) in zip(columns, widths) {
                let padding = column == columns.last ? 0 : width - row[column].text.count
                line += " " + styled(row[column].text, row[column].style) + String(repeating: " ", count: padding + 1)
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}

/// A piece of a table.
struct StatusCell {
    var text: String
    var style: TerminalText.Style

    init(_ text: String, _ style: TerminalText.Style = .plain) {
        self.text = TerminalText.line(text)
        self.style = style
    }
}

extension EndpointReport {
    /// `ready`, `serving, terminating`, `not ready`.
    var conditionsText: String {
        if terminating { return serving ? "serving, terminating" : "terminating" }
        return ready ? "ready" : "not ready"
    }

    /// `4.1 ms`, or nothing.
    var latencyText: String {
        guard let latencyMs, latencyMs.isFinite else { return "" }
        if latencyMs >= 10_000 { return "\(Int(min(latencyMs, 1e9) / 1000)) s" }
        let tenths = Int((latencyMs * 10).rounded())
        return latencyMs >= 100 ? "\(tenths / 10) ms" : "\(tenths / 10).\(tenths % 10) ms"
    }
}

extension RouteReport {
    /// Where its requests go.
    var target: String {
        let shares =
            services.count == 1
            ? services[0].name : services.map { "\($0.name) (\($0.weight))" }.joined(separator: ", ")
        guard let redirect else { return "to " + shares }
        // Beside services it is for those who come without https.
        return services.isEmpty ? "redirects, \(redirect)" : "to \(shares), redirects http, \(redirect)"
    }
}
