// What does an operator see first? The status as one page that needs nothing else: no script, no file from anywhere, and
// nothing that a browser would send elsewhere. It asks for itself again every five seconds.

/// The status page.
struct StatusPage {
    /// Services that are shown with all their endpoints; of the others only those with something to look at are.
    static let servicesMax = 200

    let report: StatusReport
    var html = ""

    /// The page as an answer.
    static func response(_ report: StatusReport) -> AdminResponse {
        var page = StatusPage(report: report)
        page.write()
        var response = AdminResponse(contentType: "text/html; charset=utf-8", body: Array(page.html.utf8))
        response.fields = [
            (
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
                    + "frame-ancestors 'none'"
            ),
            ("Referrer-Policy", "no-referrer"),
        ]
        return response
    }

    private init(report: StatusReport) { self.report = report }

    /// `text` as it may stand in an element or in a quoted attribute.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case _ where scalar.value < 0x20: escaped += " "
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    // MARK: The page

    private mutating func write() {
        let title = report.isReady && !hasAlarms ? "HDProxy" : "(!) HDProxy"
        html += """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <meta http-equiv="refresh" content="5">
            <title>\(title)</title>
            <style>\(StatusPageStyle.text)</style></head><body>

            """
        writeHeader()
        html += "<main>\n"
        writeAlarms()
        writeServices()
        writeRollouts()
        writeSources()
        writeRoutes()
        writeListeners()
        writeProcess()
        html += "</main>\n"
        html += """
            <footer>As of \(Self.escaped(report.time)); asked again every 5 s.
            <nav><a href="/readyz?verbose">ready?</a> <a href="/healthz?verbose">healthy?</a>
            <a href="/metrics">metrics</a> <a href="/api/v1/rollouts">rollouts</a>
            <a href="/api/v1/rejected">rejected</a>
            <a href="/api/v1/status">status as JSON</a>
            <a href="/api/v1/config">configuration</a></nav></footer>
            </body></html>

            """
    }

    private var hasAlarms: Bool {
        report.listeners.contains { $0.tls?.alarm(now: report.time)?.isUrgent == true }
            || report.services.contains {
                !$0.disagreements.isEmpty || $0.problem != nil || $0.usableCount == 0 || $0.panic || !$0.ghosts.isEmpty
            }
    }

    private mutating func writeHeader() {
        let style = report.state == .serving ? (report.isReady ? "good" : "bad") : "warn"
        let up = Age.text(of: report.started, now: report.time)
        html += """
            <header><h1>HDProxy</h1>\(Self.pill(report.state.rawValue, style))
            <p>version \(Self.escaped(report.version)), generation \(report.generation), process \(report.pid), \
            up \(up)</p></header>

            """
    }

    /// What somebody should look at, or that there is nothing.
    private mutating func writeAlarms() {
        var cards: [(style: String, title: String, text: String)] = []
        for condition in report.conditions {
            guard let failure = condition.failure else { continue }
            cards.append(("bad", "Not ready: \(condition.name)", failure))
        }
        for listener in report.listeners {
            guard let alarm = listener.tls?.alarm(now: report.time) else { continue }
            cards.append((alarm.isUrgent ? "bad" : "warn", "A certificate of \(listener.name)", alarm.text))
        }
        for service in report.services {
            if let problem = service.problem { cards.append(("bad", "Problem with \(service.name)", problem)) }
            if service.usableCount == 0 {
                cards.append(("bad", "\(service.name) has no usable endpoint", "Every request for it is answered 503."))
            }
            if service.panic {
                cards.append(
                    (
                        "warn", "\(service.name) is in panic mode",
                        "Probes and ejections leave too few endpoints, so all but ghosts are used."
                    ))
            }
            for ghost in service.ghosts {
                cards.append(
                    ("bad", "Somebody else answers for \(service.name)", "\(ghost.address), \(ghost.ejected ?? "")"))
            }
            for disagreement in service.disagreements {
                let since = "\(disagreement.witness) says so \(Age.lasting(disagreement.since, now: report.time))"
                cards.append(("warn", "Witnesses disagree on \(service.name)", "\(disagreement.text) (\(since))"))
            }
        }
        if cards.isEmpty {
            html += "<p class=\"card calm\"><b>All is well.</b> Ready, every service has an endpoint, "
            html += "and the witnesses agree.</p>\n"
        }
        for card in cards.prefix(50) {
            html += "<p class=\"card \(card.style)\" role=\"status\"><b>\(Self.escaped(card.title)).</b> "
            html += "\(Self.escaped(card.text))</p>\n"
        }
        if cards.count > 50 { html += "<p class=\"card warn\">And \(cards.count - 50) more like these.</p>\n" }
    }

    // MARK: Services

    private mutating func writeServices() {
        html += "<h2>Services</h2>\n"
        var left = 0
        for (index, service) in report.services.enumerated() {
            let isNews = service.usableCount < service.endpoints.count || !service.disagreements.isEmpty
            if index < Self.servicesMax || (isNews && index < 5 * Self.servicesMax) {
                write(service)
            } else {
                left += 1
            }
        }
        if left > 0 { html += "<p>And \(left) more, which status as JSON shows.</p>\n" }
    }

    private mutating func write(_ service: ServiceReport) {
        let usable = service.usableCount
        let all = service.endpoints.count
        let style = usable == 0 ? "bad" : usable < all ? "warn" : "good"
        html +=
            "<section><h3>\(Self.escaped(service.name)) \(Self.pill(all == 0 ? "no endpoints" : "\(usable) of \(all) usable", style))"
        if service.stale { html += Self.pill("stale", "bad") }
        if let source = service.source { html += "<small>by \(Self.escaped(source))</small>" }
        html += "</h3>\n"
        defer { html += "</section>\n" }
        guard all > 0 else { return }
        let hasPods = service.endpoints.contains { $0.pod != nil || $0.node != nil }
        let titles = ["Endpoint", "Pod", "Witnesses", "Health", "In flight", "Latency", "State"]
        html += Self.table(titles.filter { hasPods || $0 != "Pod" }, service.endpoints) { endpoint in
            cells(endpoint).filter { hasPods || $0.title != "Pod" }
        }
    }

    typealias Cell = (title: String, html: String)

    private func cells(_ endpoint: EndpointReport) -> [Cell] {
        let health =
            switch endpoint.health {
            case .up: "good"
            case .down: "bad"
            case .unknown: "quiet"
            }
        let place = [endpoint.node, endpoint.zone].compactMap(\.self).joined(separator: ", ")
        let pod = [endpoint.pod.map(Self.escaped), place.isEmpty ? nil : "<small>\(Self.escaped(place))</small>"]
        let why = endpoint.why(now: report.time)
        var state = Self.pill(endpoint.usable ? "in use" : "not used", endpoint.usable ? "good" : "bad")
        state += "<small>\(Self.escaped(why))"
        if !endpoint.ready, !why.contains("terminating"), !why.contains("not ready") {
            state += ", \(endpoint.conditionsText)"
        }
        if endpoint.ejections > 0 { state += ", ejected \(endpoint.ejections)×" }
        state += "</small>"
        return [
            ("Endpoint", "<code>\(Self.escaped(endpoint.address))</code>"),
            ("Pod", pod.allSatisfy { $0 == nil } ? "–" : pod.compactMap(\.self).joined(separator: "<br>")),
            ("Witnesses", Self.escaped(endpoint.sources.joined(separator: ", "))),
            ("Health", Self.pill(endpoint.health.rawValue, health)), ("In flight", String(endpoint.inFlight)),
            ("Latency", endpoint.latencyText.isEmpty ? "–" : endpoint.latencyText.replacing(" ", with: "&nbsp;")),
            ("State", state),
        ]
    }

    // MARK: The rest

    private static func heard(_ source: SourceReport, now: String) -> String {
        let when = source.heard(now: now)
        return when.isEmpty ? "–" : escaped(when)
    }

    private mutating func writeRollouts() {
        guard let rollouts = report.rollouts, !rollouts.isEmpty else { return }
        html += "<h2>Latest rollouts</h2><section>\n"
        html += Self.table(["Service", "Ended", "Report"], Array(rollouts.prefix(Self.servicesMax))) { rollout in
            [
                ("Service", Self.escaped(rollout.service)),
                ("Ended", "\(Age.text(of: rollout.ended, now: report.time)) ago"),
                ("Report", Self.escaped(rollout.summary)),
            ]
        }
        html += "</section>\n"
    }

    private mutating func writeSources() {
        guard !report.sources.isEmpty else { return }
        html += "<h2>Witnesses</h2><section>\n"
        html += Self.table(["Witness", "State", "Heard", "Error"], report.sources) { source in
            let state =
                if source.stale {
                    Self.pill("stale", "bad")
                } else {
                    source.synced ? Self.pill("synced", "good") : Self.pill("not synced", "warn")
                }
            return [
                ("Witness", Self.escaped(source.name)), ("State", state),
                ("Heard", Self.heard(source, now: report.time)),
                ("Error", source.error.map(Self.escaped) ?? "–"),
            ]
        }
        html += "</section>\n"
    }

    private mutating func writeRoutes() {
        guard !report.routes.isEmpty else { return }
        html += "<h2>Routes</h2><section>\n"
        html += Self.table(["Route", "Goes"], Array(report.routes.prefix(1000))) { route in
            [("Route", "<code>\(Self.escaped(route.name))</code>"), ("Goes", Self.escaped(route.target))]
        }
        html += "</section>\n"
    }

    private mutating func writeProcess() {
        html += "<h2>Process</h2><section>\n"
        html += Self.table(["Worker", "Turned", "Connections", "In flight"], report.workers) { worker in
            let isLate = worker.lastTurnMs >= 5000
            let turned = "\(Int(min(max(worker.lastTurnMs, 0), 1e12))) ms ago"
            return [
                ("Worker", Self.escaped(worker.name)), ("Turned", isLate ? Self.pill(turned, "bad") : turned),
                ("Connections", String(worker.connections)), ("In flight", String(worker.inFlight)),
            ]
        }
        html += "</section>\n"
    }

    // MARK: Pieces

    /// A word that stands out; its colour only repeats what it says.
    static func pill(_ text: String, _ style: String) -> String {
        "<span class=\"pill \(style)\">\(escaped(text))</span>"
    }

    static func table<Row>(_ titles: [String], _ rows: [Row], _ cells: (Row) -> [Cell]) -> String {
        if rows.isEmpty { return "" }
        var html =
            "<table><thead><tr>" + titles.map { "<th scope=\"col\">\($0)</th>" }.joined() + "</tr></thead><tbody>\n"
        for row in rows {
            html += "<tr>" + cells(row).map { "<td data-title=\"\($0.title)\"><div>\($0.html)</div></td>" }.joined()
            html += "</tr>\n"
        }
        return html + "</tbody></table>\n"
    }
}
