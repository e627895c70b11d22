// The same results as a picture: one self-contained HTML file with SVG bars. Every axis begins at zero, every bar has
// its figure, and a thin line shows the quartiles of its rounds.

extension CompareReport {
    /// The picture as one HTML file.
    var html: String {
        var body = "<h1>hdproxy against its peers</h1>\n<ul>"
        body += ([date] + setting).map { "<li>\(escaped($0))</li>" }.joined() + "</ul>\n"
        if !notes.isEmpty {
            body += "<ul class=\"notes\">" + notes.map { "<li>\(escaped($0))</li>" }.joined() + "</ul>\n"
        }
        body +=
            "<p class=\"legend\">"
            + names.map {
                "<span><i style=\"background:\(color(of: $0))\"></i>\(escaped($0))</span>"
            }.joined() + "</p>\n"
        body += targetList()
        body += section("CPU a request", "proxy CPU in µs, all threads; less is better", [.cpu])
        body += section(
            "Latency", "µs, counted from when a request was to be sent; less is better", [.p50, .p99, .p999]
        ) {
            if case .halfRate = $0.kind { true } else { false }
        }
        body += section("Latency at full load", "µs, closed loop; less is better", [.p50, .p99]) {
            if case .closedLoop = $0.kind { true } else { false }
        }
        body += section("Requests a second", "closed loop; more is better", [.rate]) {
            if case .closedLoop = $0.kind { true } else { false }
        }
        body += section(
            "Memory", "RSS and PSS in MB, without and with idle connections; less is better",
            [.residentIdle, .residentFull, .proportionalIdle, .proportionalFull, .perConnection])
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><title>hdproxy-bench compare, \(escaped(date))</title>
            <style>\(Self.style)</style></head><body>
            \(body)</body></html>

            """
    }

    private static let style = """
        body{font:15px/1.45 system-ui,sans-serif;max-width:1080px;margin:24px auto;padding:0 20px;color:#1c2430;background:#fff}
        h1{font-size:26px;margin:0 0 8px}h2{font-size:19px;margin:28px 0 0}p.unit{color:#5b6675;margin:0 0 8px}
        ul{padding-left:18px;color:#445060;font-size:13px;margin:6px 0}ul.notes{color:#9a3412}
        .legend span{margin-right:22px;font-weight:600}.legend i{display:inline-block;width:14px;height:14px;border-radius:3px;
        margin-right:7px;vertical-align:-2px}.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:14px}
        figure{margin:0;border:1px solid #e2e6ec;border-radius:8px;padding:10px 12px}figcaption{font-weight:600;font-size:14px}
        svg{width:100%;height:auto;display:block}table{border-collapse:collapse;font-size:14px;margin-top:8px}
        td,th{padding:3px 14px 3px 0;text-align:right}td:first-child,th:first-child{text-align:left}
        .met{color:#15803d;font-weight:600}.missed{color:#b91c1c;font-weight:600}
        """

    private func color(of name: String) -> String {
        switch name {
        case "hdproxy": "#2563eb"
        case "nginx": "#8fa3b8"
        case "haproxy": "#c9a26b"
        case "haproxy-splice": "#a3703a"
        default: "#777777"
        }
    }

    private func targetList() -> String {
        let judgements = judgements
        if judgements.isEmpty { return "" }
        let rows = judgements.map { judgement in
            let isRatio = if case .ratio = judgement.target.subject { true } else { false }
            let what = isRatio && !judgement.against.isEmpty ? " over \(judgement.against)" : ""
            let digits = isRatio ? 2 : judgement.target.figure == .perConnection ? 0 : 1
            let style = judgement.isMet.map { $0 ? "met" : "missed" } ?? ""
            return "<tr><td>\(escaped(judgement.scenario)): \(escaped(judgement.target.figure.head + what))</td>"
                + "<td>\(judgement.value.map { fixed($0, digits) } ?? "-")</td>"
                + "<td>\(fixed(judgement.target.limit, digits))</td><td class=\"\(style)\">\(judgement.word)</td></tr>"
        }
        return "<table><tr><th>target</th><th>hdproxy</th><th>at most</th><th></th></tr>\(rows.joined())</table>\n"
    }

    private func section(
        _ title: String, _ unit: String, _ figures: [Figure], where isShown: (Scenario) -> Bool = { _ in true }
    ) -> String {
        var charts = ""
        for result in results where isShown(result.scenario) {
            for figure in figures where result.figures.contains(figure) {
                charts += chart(result, figure, isAlone: figures.count == 1)
            }
        }
        if charts.isEmpty { return "" }
        return "<h2>\(escaped(title))</h2><p class=\"unit\">\(escaped(unit))</p>\n<div class=\"grid\">\(charts)</div>\n"
    }

    /// One figure of one scenario: a bar for each proxy on an axis from zero.
    private func chart(_ result: ScenarioResult, _ figure: Figure, isAlone: Bool) -> String {
        let shown = names.filter { result.failures[$0] == nil && result.sample(figure, $0) != nil }
        let top = shown.compactMap { result.sample(figure, $0)?.high }.max() ?? 0
        let step = roundStep(top)
        let end = max(step, (top / step).rounded(.up) * step)
        let (left, width, barHeight) = (names.contains { $0.count > 8 } ? 92.0 : 66.0, 180.0, 24.0)
        let height = Double(shown.count) * barHeight
        func x(_ value: Double) -> String { fixed(left + max(0, value) / end * width, 1) }
        var svg = ""
        var mark = 0.0
        while mark <= end * 1.001 {
            svg += "<line x1=\"\(x(mark))\" x2=\"\(x(mark))\" y1=\"0\" y2=\"\(fixed(height, 0))\" stroke=\"#e2e6ec\"/>"
            svg += "<text x=\"\(x(mark))\" y=\"\(fixed(height + 13, 0))\" font-size=\"9\" fill=\"#5b6675\" "
            svg += "text-anchor=\"middle\">\(axisText(mark, step))</text>"
            mark += step
        }
        for (place, name) in shown.enumerated() {
            guard let sample = result.sample(figure, name) else { continue }
            let y = Double(place) * barHeight + 4
            let (bar, middle) = (barHeight - 8, y + barHeight / 2 - 4)
            svg +=
                "<text x=\"\(fixed(left - 6, 0))\" y=\"\(fixed(middle + 4, 0))\" font-size=\"11\" text-anchor=\"end\" "
            svg += "fill=\"#1c2430\">\(escaped(name))</text>"
            let length = fixed(max(0, sample.median) / end * width, 1)
            svg += "<rect x=\"\(fixed(left, 0))\" y=\"\(fixed(y, 0))\" width=\"\(length)\" height=\"\(fixed(bar, 0))\" "
            svg += "fill=\"\(color(of: name))\" rx=\"2\"/>"
            svg += "<line x1=\"\(x(sample.low))\" x2=\"\(x(sample.high))\" y1=\"\(fixed(middle, 0))\" "
            svg += "y2=\"\(fixed(middle, 0))\" stroke=\"#1c2430\" stroke-width=\"1.5\"/>"
            let label = fixed(left + max(sample.median, sample.high) / end * width + 5, 1)
            svg += "<text x=\"\(label)\" y=\"\(fixed(middle + 4, 0))\" font-size=\"11\" font-weight=\"600\" "
            svg += "fill=\"#1c2430\">\(figureText(sample.median, figure))</text>"
        }
        for name in names where result.failures[name] != nil {
            svg += "<title>\(escaped(name)) failed: \(escaped(result.failures[name] ?? ""))</title>"
        }
        let failed = names.filter { result.failures[$0] != nil }
        let caption = result.scenario.title + (isAlone ? "" : ": \(figure.head)")
        let note = failed.isEmpty ? "" : " (failed: \(failed.joined(separator: ", ")))"
        return "<figure><figcaption>\(escaped(caption + note))</figcaption>"
            + "<svg viewBox=\"0 0 330 \(fixed(height + 18, 0))\" role=\"img\">\(svg)</svg></figure>\n"
    }

    private func figureText(_ value: Double, _ figure: Figure) -> String {
        figure == .rate || value >= 1000 ? grouped(Int(value.rounded())) : fixed(value, value >= 100 ? 0 : 1)
    }

    private func axisText(_ mark: Double, _ step: Double) -> String {
        step >= 1 ? grouped(Int(mark.rounded())) : fixed(mark, step >= 0.1 ? 1 : 2)
    }

    /// A step of 1, 2 or 5 times a power of ten that cuts `top` into three to six.
    private func roundStep(_ top: Double) -> Double {
        var step = 0.01
        while true {
            for factor in [1.0, 2.0, 5.0] where top / (step * factor) <= 5 { return step * factor }
            step *= 10
        }
    }

    private func escaped(_ text: String) -> String {
        var result = ""
        for letter in text {
            switch letter {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(letter)
            }
        }
        return result
    }
}
