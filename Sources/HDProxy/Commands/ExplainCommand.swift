// `hdproxy explain [--config FILE | --admin URL] [-X METHOD] [-H 'Name: value']… URL`

import ProxyCore

extension Command {
    static let explain = Command(
        name: "explain", summary: "tell which route and service a request would meet, and why",
        synopsis: "[--config FILE | --admin URL] [-X METHOD] [-H 'Name: value'] URL",
        details: """
            Nothing is sent: the request is looked up in the configuration file as the proxy
            would do it. With --admin a running proxy is asked: it also tells which endpoint,
            from which witness, since when, and why not the others.

            Exit status: 0 when a route matched, 3 when none did, 1 when the running proxy
            cannot be reached, 2 for a bad configuration.

            """,
        options: [
            .config, .admin, Option(name: "-X", value: "METHOD", help: "the request's method (GET)"),
            Option(name: "-H", value: "LINE", help: "a field line, as in 'Host: example.com'; may be repeated"),
        ],
        freeMax: 1
    ) { (arguments) throws(UsageError) in
        guard let url = arguments.free.first else { throw "a URL is missing" }
        let request = try ExplainedRequest(url: url, method: try arguments.one("-X"), fieldLines: arguments.all("-H"))
        if let admin = try arguments.one("--admin") {
            if arguments.has("--config") { throw "`--config` and `--admin` exclude each other" }
            return explainLive(request, at: try AdminAddress(admin))
        }
        let path = try arguments.one("--config") ?? Command.defaultConfiguration
        switch loadConfiguration(path: path) {
        case .failure(let problems): return .invalid(problems)
        case .success(let settings): return ExplanationText(of: request, settings: settings).reply
        }
    }
}

/// Asks the running proxy at `address`.
private func explainLive(_ request: ExplainedRequest, at address: AdminAddress) -> Reply {
    let parameters = [
        ("method", request.method), ("scheme", request.scheme), ("host", "\(request.host):\(request.port)"),
        ("path", request.path + request.query),
    ]
    let query = parameters.map { "\($0.0)=\(QueryText.encode($0.1))" }.joined(separator: "&")
    do throws(AdminFailure) {
        let body = try AdminClient.get("/api/v1/explain?\(query)", at: address, within: .seconds(5))
        return ExplanationText(try AdminClient.decode(ExplainReport.self, body, at: address)).reply
    } catch {
        return Reply(status: 1, errors: "hdproxy: \(error.text)\n")
    }
}

/// The request that is explained.
struct ExplainedRequest: Equatable {
    /// Its method.
    var method: String
    /// `http`, `https`, `ws` or `wss`.
    var scheme: String
    /// The host that decides, without port.
    var host: String
    /// The port that the client connects to.
    var port: UInt16
    /// The target's path.
    var path: String
    /// The query with its `?`, or empty.
    var query: String

    /// Method and URL.
    var text: String {
        let isDefault = port == (["https", "wss"].contains(scheme) ? 443 : 80)
        return "\(method) \(scheme)://\(host)\(isDefault ? "" : ":\(port)")\(path)\(query)"
    }

    /// The request for `url` with these field lines. A Host among them takes the place of the URL's.
    init(url: String, method: String?, fieldLines: [String]) throws(UsageError) {
        self.method = method ?? "GET"
        guard !self.method.isEmpty, self.method.utf8.allSatisfy(ASCII.isToken) else {
            throw "`\(self.method)` is not a method: it is a token (RFC 9110 §9.1)"
        }
        var rest = url[...]
        (scheme, port) = ("http", 80)
        if let end = url.firstRange(of: "://") {
            scheme = url[..<end.lowerBound].lowercased()
            guard let known = Self.ports[scheme] else {
                throw .unknown("scheme", scheme, Self.ports.keys.sorted())
            }
            port = known
            rest = url[end.upperBound...]
        }
        let authority = rest.prefix { !"/?#".contains($0) }
        (host, port) = try Self.hostAndPort(String(authority), port: port)
        let target = rest.dropFirst(authority.count).prefix { $0 != "#" }
        guard target.utf8.allSatisfy({ 0x21..<0x7F ~= $0 }) else {
            throw "the URL has characters that travel percent-encoded only (RFC 3986 §2.1)"
        }
        path = String(target.prefix { $0 != "?" })
        query = String(target.dropFirst(path.count))
        if path.isEmpty { path = "/" }
        for line in fieldLines { try read(line) }
        if host.isEmpty { throw "the URL has no host; as in http://example.com/path, or with -H 'Host: example.com'" }
    }

    /// Only Host decides anything yet; the others are checked for their form.
    private mutating func read(_ line: String) throws(UsageError) {
        let name = line.prefix { $0 != ":" }
        guard name.count < line.count, !name.isEmpty, name.utf8.allSatisfy(ASCII.isToken),
            line.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 9 })
        else { throw "`\(line)` is not a field line; as in 'Host: example.com'" }
        guard name.lowercased() == "host" else { return }
        let value = line.dropFirst(name.count + 1).drop { $0 == " " || $0 == "\t" }
        let text = String(value.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
        host = try Self.hostAndPort(text, port: port).host
    }

    private static func hostAndPort(_ text: String, port: UInt16) throws(UsageError) -> (host: String, port: UInt16) {
        guard text.utf8.allSatisfy({ 0x21..<0x7F ~= $0 && $0 != UInt8(ascii: "@") }) else {
            throw "`\(text)` is not a host: letters, digits, dots and hyphens, perhaps a port"
        }
        guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") else { return (text, port) }
        let digits = text[text.index(after: colon)...]
        guard let number = UInt16(digits), digits.utf8.allSatisfy({ ASCII.digit($0) != nil }) else {
            throw "`\(digits)` is not a port"
        }
        return (String(text[..<colon]), number)
    }

    private static let ports: [String: UInt16] = ["http": 80, "https": 443, "ws": 80, "wss": 443]
}
