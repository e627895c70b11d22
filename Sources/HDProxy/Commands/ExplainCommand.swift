// `hdproxy explain [--config FILE] [-X METHOD] [-H 'Name: value']… URL`

import ProxyCore

extension Command {
    static let explain = Command(
        name: "explain", summary: "tell which route and service a request would meet, and why",
        synopsis: "[--config FILE] [-X METHOD] [-H 'Name: value'] URL",
        details: """
            Nothing is sent: the request is looked up in the configuration file as the proxy
            would do it.

            Exit status: 0 when a route matched, 3 when none did, 2 for a bad configuration.

            """,
        options: [
            .config, Option(name: "-X", value: "METHOD", help: "the request's method (GET)"),
            Option(name: "-H", value: "LINE", help: "a field line, as in 'Host: example.com'; may be repeated"),
            Option(name: "--admin", value: "URL", help: "ask a running proxy (not supported yet)"),
        ],
        freeMax: 1
    ) { (arguments) throws(UsageError) in
        if arguments.has("--admin") {
            throw "`--admin` is not supported yet: this version has no admin listener to ask"
        }
        guard let url = arguments.free.first else { throw "a URL is missing" }
        let request = try ExplainedRequest(url: url, method: try arguments.one("-X"), fieldLines: arguments.all("-H"))
        let path = try arguments.one("--config") ?? Command.defaultConfiguration
        switch loadConfiguration(path: path) {
        case .failure(let problems): return .invalid(problems)
        case .success(let settings): return ExplanationText(of: request, settings: settings).reply
        }
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
