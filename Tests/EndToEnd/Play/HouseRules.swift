// What holds in every play, whatever it is about: rules for each request that an upstream reads and for each answer
// that a client reads.

/// The rules that need not be said again in each play.
enum HouseRules {
    /// What is wrong with a request as an upstream has read it.
    static func complaints(aboutRequest head: WireHead) -> [String] {
        var complaints: [String] = []
        func expectOne(_ name: String, _ wanted: String? = nil) {
            let values = head.values(name)
            if values.count != 1 {
                complaints.append("\(name) on \(values.count) lines")
            } else if let wanted, values[0] != wanted {
                complaints.append("\(name) is \(values[0].escaped), not \(wanted)")
            }
        }
        expectOne("Host")
        expectOne("X-Request-Id")
        expectOne("X-Forwarded-For", "127.0.0.1")
        expectOne("X-Real-IP", "127.0.0.1")
        expectOne("X-Forwarded-Proto", "http")
        expectOne("X-Forwarded-Host")
        if head.members("Via").last != "1.1 hdproxy" && head.members("Via").last != "1.0 hdproxy" {
            complaints.append("Via does not end in hdproxy: \(head.values("Via"))")
        }
        for name in ["Keep-Alive", "Proxy-Connection", "HTTP2-Settings", "Expect", "Proxy", "Forwarded"]
        where !head.values(name).isEmpty {
            complaints.append("\(name) has travelled")
        }
        let options = head.members("Connection")
        if !head.values("Upgrade").isEmpty && !options.contains("upgrade") {
            complaints.append("Upgrade without Connection: upgrade")
        }
        if let option = options.first(where: { !["upgrade", "te", "close", "keep-alive"].contains($0) }) {
            complaints.append("Connection names \(option.escaped)")
        }
        if head.members("TE") != [] && head.members("TE") != ["trailers"] { complaints.append("TE has travelled") }
        // Underscores and dots stand for hyphens where fields become variables: such names must not reach an upstream.
        let ours: Set = [
            "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "x-request-id",
        ]
        for name in head.fields.map({ $0.name.lowercased() }) where !ours.contains(name) {
            let folded = name.replacing("_", with: "-").replacing(".", with: "-")
            if ours.contains(folded) || folded.hasPrefix("x-forwarded") || folded == "forwarded" {
                complaints.append("\(name) could be taken for a field of ours")
            }
        }
        return complaints
    }

    /// What is wrong with an answer as a client has read it.
    static func complaints(aboutResponse head: WireHead) -> [String] {
        var complaints: [String] = []
        for name in ["Keep-Alive", "Proxy-Connection"] where !head.values(name).isEmpty {
            complaints.append("\(name) has travelled")
        }
        let status = head.status
        if status / 100 == 1 || status == 204 {
            for name in ["Content-Length", "Transfer-Encoding"] where !head.values(name).isEmpty {
                complaints.append("\(name) on a \(status) (RFC 9112 §6)")
            }
        }
        guard status >= 200 else { return complaints }
        if head.values("Date").count != 1 { complaints.append("Date on \(head.values("Date").count) lines") }
        if head.values("X-Request-Id").count != 1 {
            complaints.append("X-Request-Id on \(head.values("X-Request-Id").count) lines")
        }
        return complaints
    }

    /// What is wrong with an answer that the proxy itself must have made.
    static func complaints(aboutOwnAnswer message: WireMessage) -> [String] {
        var complaints: [String] = []
        let proxyStatus = message.head.values("Proxy-Status")
        if proxyStatus.count != 1 || !proxyStatus[0].hasPrefix("hdproxy; error=") {
            complaints.append("Proxy-Status is \(proxyStatus)")
        }
        let type = message.head.values("Content-Type").first ?? ""
        if !type.hasPrefix("text/plain") && !type.hasPrefix("application/json") {
            complaints.append("Content-Type is \(type.escaped)")
        }
        if message.body.count > 1024 { complaints.append("a body of \(message.body.count) bytes") }
        if let server = message.head.values("Server").first, server.contains(where: \.isNumber) {
            complaints.append("Server tells a version: \(server.escaped)")
        }
        return complaints
    }
}
