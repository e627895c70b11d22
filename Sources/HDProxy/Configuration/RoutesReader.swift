// `routes`: which requests go where.

import ProxyCore

/// Reads `routes`.
struct RoutesReader {
    /// The names that a route may refer to.
    private let services: Set<String>
    /// Those of them that a message may show, in order.
    private let known: [String]
    /// Whether it can be told that a request came by https.
    private let knowsHTTPS: Bool

    private init(services: Set<String>, knowsHTTPS: Bool) {
        self.services = services
        self.knowsHTTPS = knowsHTTPS
        known = services.filter(NameText.isValid).sorted()
    }

    /// The valid ones of the list `item`. `knowsHTTPS` says whether it can be told that a request came by https.
    static func read(_ item: Item, services: Set<String>, knowsHTTPS: Bool) -> [RouteSettings] {
        guard let items = item.list("a list of routes") else { return [] }
        let reader = RoutesReader(services: services, knowsHTTPS: knowsHTTPS)
        var routes: [RouteSettings] = []
        // Which requests a rule meets does not depend on its action, so a mistake there hides no conflict.
        var rules: [(item: Item, route: Route)] = []
        for item in items {
            guard let section = reader.section(item) else { continue }
            let isAsIs = section["paths"]?.choice(["asis"]) != nil
            let host = reader.readHost(section)
            let path = reader.readPath(section, isAsIs: isAsIs)
            let action = reader.readAction(section)
            let httpsRedirect = reader.readHTTPSRedirect(section)
            guard let host, let path else { continue }
            rules.append((item, Route(host: host, path: path, action: .forward([]))))
            guard let action else { continue }
            routes.append(
                RouteSettings(
                    host: host, path: path, allowsAmbiguousPaths: isAsIs, action: action, httpsRedirect: httpsRedirect))
        }
        for (first, second) in RouteTable.conflicts(in: rules.map(\.route)) {
            rules[second].item.report(
                "it meets the same requests as \(rules[first].item.path)", "one rule for a host and a path")
        }
        return routes
    }

    private func section(_ item: Item) -> Section? {
        let known = ["host", "path", "exactPath", "paths", "service", "services", "redirect", "middlewares"]
        guard let section = item.section(known) else { return nil }
        section.refuseLater("middlewares", .middlewares, unless: { $0 == .array([]) }, or: "[]")
        return section
    }

    private func readHost(_ section: Section) -> HostPattern? {
        guard let item = section.required("host", HostText.allowed), let text = item.string(HostText.allowed) else {
            return nil
        }
        switch HostText.pattern(text) {
        case .success(let pattern): return pattern
        case .failure(let refusal):
            item.report("\(item.shown) is not a host: \(refusal.text)", HostText.allowed)
            return nil
        }
    }

    private func readPath(_ section: Section, isAsIs: Bool) -> PathPattern? {
        if section["path"] != nil, let exact = section["exactPath"] {
            exact.report("`path` stands beside it", "one of both")
            return nil
        }
        guard let item = section["path"] ?? section["exactPath"] else { return .any }
        let allowed = "a path as it travels, as in \"/static/\": from its slash on, percent-encoded, without a query"
        guard let text = item.string(allowed) else { return nil }
        let wrong: String? =
            if !text.hasPrefix("/") {
                "does not begin with /"
            } else if text.contains("?") || text.contains("#") {
                "has a query or a fragment, which no rule sees"
            } else if !text.utf8.allSatisfy({ 0x21..<0x7F ~= $0 }) {
                "has characters that travel percent-encoded only"
            } else if !isAsIs, let ambiguity = PathAmbiguity.first(in: text.utf8.span) {
                "has \(ambiguity), and such requests are refused unless the route says paths: \"asis\""
            } else {
                nil
            }
        if let wrong {
            item.report("\(item.shown) \(wrong)", allowed)
            return nil
        }
        return section["path"] != nil ? .prefix(text) : .exact(text)
    }

    private func readAction(_ section: Section) -> RouteActionSettings? {
        // A redirect to https is for those who come without it; the others need a service.
        let isToHTTPS = isHTTPSRedirect(section)
        let actions = ["service", "services", "redirect"].filter {
            section[$0] != nil && !(isToHTTPS && $0 == "redirect")
        }
        let allowed = "one of service, services and redirect"
        guard let action = actions.first else {
            let wrong = isToHTTPS ? "nothing says who serves what comes by https" : "nothing says where its requests go"
            section.item.report(wrong, isToHTTPS ? "service or services beside the redirect" : allowed)
            return nil
        }
        for other in actions.dropFirst() { section[other]?.report("`\(action)` stands beside it", allowed) }
        guard actions.count == 1, let item = section[action] else { return nil }
        switch action {
        case "service": return readService(item).map { .forward([($0, 1)]) }
        case "services": return readServices(item).map { .forward($0) }
        default: return readRedirect(item).map { .redirect($0) }
        }
    }

    private func readService(_ item: Item) -> String? {
        guard let name = item.string("the name of a service") else { return nil }
        if services.contains(name) { return name }
        let nearest = NearestName.hint(for: name, among: known, quote: "\"")
        let more = known.count > 12 ? ", … (\(known.count) in all)" : ""
        let names = known.prefix(12).joined(separator: ", ") + more
        let allowed = known.isEmpty ? "a key of services, which is empty" : "one of \(names)"
        item.report("there is no service \(item.shown)\(nearest)", allowed)
        return nil
    }

    private func readServices(_ item: Item) -> [(name: String, weight: Int)]? {
        let allowed = "a list as in [ { name: \"a\", weight: 90 }, { name: \"b\", weight: 10 } ]"
        guard let items = item.list(allowed) else { return nil }
        var shares: [(name: String, weight: Int)] = []
        var isValid = true
        for item in items {
            guard let section = item.section(["name", "weight"]),
                let name = section.required("name", "the name of a service").flatMap(readService)
            else {
                isValid = false
                continue
            }
            let weight = section["weight"].map { $0.integer(in: 0...Self.weightMax) } ?? 1
            if weight == nil { isValid = false }
            if shares.contains(where: { $0.name == name }) {
                section["name"]?.report("\(JSON5Writer.quoted(name)) stands twice in this list", "each service once")
                isValid = false
            }
            shares.append((name, weight ?? 1))
        }
        if items.isEmpty || (isValid && shares.allSatisfy { $0.weight == 0 }) {
            item.report(items.isEmpty ? "it is empty" : "no weight is above 0", allowed)
            return nil
        }
        return isValid ? shares : nil
    }

    /// Whether `redirect` sends to https what comes without it: `"https"`, or an object that says so.
    private func isHTTPSRedirect(_ section: Section) -> Bool {
        guard let item = section["redirect"] else { return false }
        if case .string = item.node.value { return true }
        guard case .object(let members) = item.node.value else { return false }
        return members.contains { $0.name == "to" && $0.node.value == .string("https") }
    }

    /// The status with which those who come without https are sent there; nil where they are served.
    private func readHTTPSRedirect(_ section: Section) -> Int? {
        guard isHTTPSRedirect(section), let item = section["redirect"] else { return nil }
        if !knowsHTTPS {
            item.report(
                "no request could be told to have come by https, so each would be sent there for ever",
                "a listener with tls, or trustedProxies whose X-Forwarded-Proto tells")
        }
        if case .string = item.node.value { return item.choice(["https"]) == nil ? nil : 308 }
        guard let redirect = item.section(["to", "status"]) else { return nil }
        return redirect["status"].map(readStatus) ?? 308
    }

    private func readRedirect(_ item: Item) -> Redirect? {
        guard let section = item.section(["to", "status"]) else { return nil }
        let status = section["status"].map(readStatus) ?? 308
        guard let to = section.required("to", RedirectText.allowed), let text = to.string(RedirectText.allowed) else {
            return nil
        }
        switch RedirectText.target(text) {
        case .success(let target):
            guard let status else { return nil }
            return Redirect(location: target.location, status: status, appendsPath: target.appendsPath)
        case .failure(let refusal):
            to.report("\(to.shown) is no target: \(refusal.text)", RedirectText.allowed)
            return nil
        }
    }

    private func readStatus(_ item: Item) -> Int? {
        let allowed = "301, 302, 303, 307 or 308"
        if case .number(let text) = item.node.value, let status = JSON5Value.integer(text),
            [301, 302, 303, 307, 308].contains(status)
        {
            return status
        }
        item.report("\(item.shown) is not the status of a redirect", allowed)
        return nil
    }

    private static let weightMax = 1_000_000
}
