// The status page's part about listeners: what is spoken there, with what certificates, and who may connect.

extension StatusPage {
    /// Where it accepts, on what terms, and whom.
    mutating func writeListeners() {
        html += "<h2>Listeners</h2><section>\n"
        let isSecure = report.listeners.contains { $0.tls != nil }
        let titles = ["Listener", "Address", "Speaks", "Certificates", "Clients", "Connections"]
        let secureOnly = ["Certificates", "Clients"]
        html += Self.table(titles.filter { isSecure || !secureOnly.contains($0) }, report.listeners) { listener in
            [
                ("Listener", Self.escaped(listener.name)),
                ("Address", "<code>\(Self.escaped(listener.address))</code>"), ("Speaks", Self.speaks(listener)),
                ("Certificates", listener.tls.map { certificates($0) } ?? "–"),
                ("Clients", listener.tls.map { Self.escaped($0.clientsText) } ?? "–"),
                ("Connections", String(listener.connections)),
            ].filter { isSecure || !secureOnly.contains($0.title) }
        }
        if let access = report.access { html += "<p><b>May connect:</b> \(Self.escaped(access.text)).</p>\n" }
        html += "</section>\n"
    }

    private static func speaks(_ listener: ListenerReport) -> String {
        var lines: [String] = []
        if let tls = listener.tls {
            lines.append(pill(tls.minimumVersion == "1.3" ? "TLS 1.3" : "TLS \(tls.minimumVersion)+", "good"))
            if tls.strictSNI { lines.append("<small>known names only</small>") }
            lines.append("<small>\(escaped(tls.kernelText))</small>")
        } else {
            lines.append(pill("HTTP", "quiet"))
        }
        if listener.proxyProtocol == "required" { lines.append("<small>PROXY header required</small>") }
        return lines.joined(separator: "<br>")
    }

    private func certificates(_ tls: TLSReport) -> String {
        let text = Self.escaped(tls.certificatesText(now: report.time))
        guard let alarm = tls.alarm(now: report.time) else { return text }
        return Self.pill("soon over", alarm.isUrgent ? "bad" : "warn") + text
    }
}
