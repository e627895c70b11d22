// What would a request meet, and why nothing else? The values behind `/api/v1/explain` and the text of `explain`: from
// the configuration alone, or with what a running proxy knows of each endpoint.

import Discovery
import ProxyCore

/// A request explained.
struct ExplainReport: Decodable, Equatable, Sendable {
    /// A rule.
    struct Rule: Decodable, Equatable, Sendable {
        var index: Int
        /// Host and path.
        var name: String
        /// Why it was not taken; empty for the one that was.
        var reason: String
    }

    /// A service that the request may go to.
    struct Choice: Decodable, Equatable, Sendable {
        var name: String
        /// Its share of the rule's requests.
        var weight: Int
        /// The sum of all shares.
        var of: Int
        /// How its endpoints are found, as the configuration says.
        var witnesses: [String]
        /// What a running proxy knows of it; nil where none was asked.
        var live: ServiceReport?
    }

    /// When it was explained, by a running proxy; nil where only the configuration was asked.
    var time: String?
    /// The request.
    var request: String
    /// The listeners on its port, or all of them where none is.
    var listeners: [String]
    /// Its port, where no listener is on it.
    var unservedPort: Int?
    /// The rule that it meets.
    var route: Rule?
    /// Why it meets none.
    var refusal: String?
    /// What it passes before it is sent on.
    var middlewares: [String]
    /// What the proxy itself answers: a redirect, or a status.
    var answer: String?
    /// Where it may go.
    var services: [Choice]
    /// The other rules.
    var others: [Rule]
}

extension ExplainReport {
    /// Explains `request` by `settings`, and by what is known of the services that it may go to.
    init(of request: ExplainedRequest, settings: Settings, live: [String: ServiceReport]? = nil, time: String? = nil) {
        let snapshot = settings.snapshot(generation: 1)
        let explanation = Explanation(host: Array(request.host.utf8), path: Array(request.path.utf8), in: snapshot)
        func rule(_ index: Int, _ reason: String) -> Rule {
            Rule(index: index, name: snapshot.routes[index].name, reason: reason)
        }
        self.time = time
        self.request = request.text
        let here = settings.listeners.filter { $0.address.port == request.port }
        listeners = (here.isEmpty ? settings.listeners : here).map { "\($0.name) on \($0.address)" }
        unservedPort = here.isEmpty ? Int(request.port) : nil
        middlewares = []
        services = []
        others = []
        if let status = Self.refusedMethods[request.method] {
            refusal = "\(request.method) is refused before a route is asked"
            answer = status
            return
        }
        others = snapshot.routes.indices.compactMap { index in
            Self.reason(explanation.fates[index]).map { rule(index, $0) }
        }
        switch explanation.match {
        case .route(let index):
            route = rule(index, "")
            if let status = settings.routes[index].httpsRedirect {
                if ["http", "ws"].contains(request.scheme) {
                    answer = "\(status) to https://\(request.host)\(request.path)\(request.query)"
                    return
                }
                middlewares.append("redirect to https of what comes without it")
            }
            switch settings.routes[index].action {
            case .redirect(let redirect):
                let target = redirect.location + (redirect.appendsPath ? request.path + request.query : "")
                answer = "\(redirect.status) to \(target)"
            case .forward(let shares):
                let sum = shares.reduce(0) { $0 + $1.weight }
                services = shares.map { share in
                    Choice(
                        name: share.name, weight: share.weight, of: sum,
                        witnesses: settings.services.first { $0.name == share.name }?.witnesses ?? [],
                        live: live?[share.name])
                }
            }
        case .noHost: (refusal, answer) = ("no rule is for the host \(request.host)", "404")
        case .noPath: (refusal, answer) = ("rules are for this host, but not for this path", "404")
        case .ambiguousPath:
            let what = explanation.ambiguity?.description ?? "something that reads in two ways"
            (refusal, answer) = ("the path has \(what), and paths decide on this host", "400")
        }
    }

    /// The services that `request` may go to, by name.
    static func services(of request: ExplainedRequest, settings: Settings) -> [String] {
        ExplainReport(of: request, settings: settings).services.map(\.name)
    }

    private static func reason(_ fate: Explanation.Fate) -> String? {
        switch fate {
        case .taken: nil
        case .otherHost: "is for other hosts"
        case .widerHost(let owner): "is for this host, too, but \(owner) is more specific"
        case .otherPath: "is for other paths"
        case .shorterPath(let winner): "is for this path, too, but routes[\(winner)] says more of it"
        case .duplicate(let earlier): "is for the same requests as routes[\(earlier)], which comes first"
        case .refused(let ambiguity): "would be taken, but the path has \(ambiguity)"
        }
    }

    /// Methods that are refused before a route is asked, with the status.
    private static let refusedMethods = ["CONNECT": "501", "TRACE": "405"]

    /// The report as JSON.
    var json: [UInt8] {
        var text = JSONText()
        text.object {
            $0.member("time", time)
            $0.member("request", request)
            $0.member("listeners", listeners)
            $0.member("unservedPort", unservedPort.map(Double.init))
            if let route { $0.member("route") { route.write(into: &$0) } }
            $0.member("refusal", refusal)
            $0.member("middlewares", middlewares)
            $0.member("answer", answer)
            $0.member("services", services) { $1.write(into: &$0) }
            $0.member("others", others) { $1.write(into: &$0) }
        }
        return text.line
    }
}

extension ExplainReport.Rule {
    fileprivate func write(into text: inout JSONText) {
        text.object {
            $0.member("index", index)
            $0.member("name", name)
            $0.member("reason", reason)
        }
    }
}

extension ExplainReport.Choice {
    fileprivate func write(into text: inout JSONText) {
        text.object {
            $0.member("name", name)
            $0.member("weight", weight)
            $0.member("of", of)
            $0.member("witnesses", witnesses)
            if let live { $0.member("live") { live.write(into: &$0) } }
        }
    }
}

extension ServiceSettings {
    /// How its endpoints are found, a line each.
    var witnesses: [String] {
        var lines = endpoints.map(\.description)
        if let kubernetes {
            lines.append("kubernetes: Service \(kubernetes.namespace)/\(kubernetes.service), port \(kubernetes.port)")
        }
        if let dns {
            lines.append("dns: \(dns.name)\(dns.port.map { ", port \($0)" } ?? ", ports of its SRV records")")
        }
        return lines
    }

    /// Whether somebody has to be asked for its endpoints.
    var isDiscovered: Bool { kubernetes != nil || dns != nil }
}
