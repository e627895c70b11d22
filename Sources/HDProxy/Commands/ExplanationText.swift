// An explanation as text: what the request meets, from the listener to the endpoint, and then why not anything else.

import ProxyCore

/// The text of `explain`.
struct ExplanationText {
    private let request: ExplainedRequest
    private let settings: Settings
    private let snapshot: Snapshot
    private let explanation: Explanation

    /// Looks `request` up among the routes of `settings`.
    init(of request: ExplainedRequest, settings: Settings) {
        self.request = request
        self.settings = settings
        snapshot = settings.snapshot(generation: 1)
        explanation = Explanation(host: Array(request.host.utf8), path: Array(request.path.utf8), in: snapshot)
    }

    /// The whole answer of the command.
    var reply: Reply {
        var isRouted = false
        if case .route = explanation.match, refusal == nil { isRouted = true }
        let rows = [("Request", requestText), ("Listener", listenerText)] + verdict
        return Reply(status: isRouted ? 0 : 3, output: Self.table(rows) + (refusal == nil ? others : ""))
    }

    private var requestText: String {
        var text = "\(request.method) \(request.scheme)://\(request.host)"
        let isDefault = request.port == (["https", "wss"].contains(request.scheme) ? 443 : 80)
        if !isDefault { text += ":\(request.port)" }
        return text + request.path + request.query
    }

    private var listenerText: String {
        let known = settings.listeners.map { "\($0.name) on \($0.address)" }
        let here = settings.listeners.indices.filter { settings.listeners[$0].address.port == request.port }
        if !here.isEmpty { return here.map { known[$0] }.joined(separator: "\n") }
        return "none on port \(request.port); routes are the same on every one:\n" + known.joined(separator: "\n")
    }

    /// The status for a method that is refused before a route is asked, or nil.
    private var refusal: String? { ["CONNECT": "501", "TRACE": "405"][request.method] }

    /// What the request meets.
    private var verdict: [(String, String)] {
        if let refusal {
            return [("Route", "none: \(request.method) is refused before a route is asked"), ("Answer", refusal)]
        }
        switch explanation.match {
        case .route(let index):
            let route = snapshot.routes[index]
            return [("Route", "\(name(index))  \(route.name)"), ("Middlewares", "none")] + actionRows(route.action)
        case .noHost:
            return [("Route", "none: no rule is for the host \(request.host)"), ("Answer", "404")]
        case .noPath:
            return [("Route", "none: rules are for this host, but not for this path"), ("Answer", "404")]
        case .ambiguousPath:
            let what = explanation.ambiguity?.description ?? "something that reads in two ways"
            return [("Route", "none: the path has \(what), and paths decide on this host"), ("Answer", "400")]
        }
    }

    private func actionRows(_ action: RouteAction) -> [(String, String)] {
        switch action {
        case .redirect(let redirect):
            let target = redirect.location + (redirect.appendsPath ? request.path + request.query : "")
            return [("Answer", "\(redirect.status) to \(target)")]
        case .forward(let shares):
            let sum = shares.reduce(0) { $0 + $1.weight }
            return shares.flatMap { share in
                let service = snapshot.services[share.service]
                let part = shares.count == 1 ? "" : ", weight \(share.weight) of \(sum)"
                let one = service.endpoints.count == 1 ? "" : "the less busy of two random ones among\n"
                return [
                    ("Service", service.name + part),
                    ("Endpoint", one + service.endpoints.map(\.address.description).joined(separator: "\n")),
                ]
            }
        }
    }

    /// Why each other rule was not taken.
    private var others: String {
        let rows = snapshot.routes.indices.compactMap { index in
            reason(explanation.fates[index]).map { (name(index), snapshot.routes[index].name, $0) }
        }
        if rows.isEmpty { return "" }
        let widths = (rows.map(\.0.count).max() ?? 0, rows.map(\.1.count).max() ?? 0)
        let lines = rows.map { "  \(Self.pad($0.0, widths.0))  \(Self.pad($0.1, widths.1))  \($0.2)\n" }
        return "\nWhy no other route\n" + lines.joined()
    }

    private func reason(_ fate: Explanation.Fate) -> String? {
        switch fate {
        case .taken: nil
        case .otherHost: "is for other hosts"
        case .widerHost(let owner): "is for this host, too, but \(owner) is more specific"
        case .otherPath: "is for other paths"
        case .shorterPath(let winner): "is for this path, too, but \(name(winner)) says more of it"
        case .duplicate(let earlier): "is for the same requests as \(name(earlier)), which comes first"
        case .refused(let ambiguity): "would be taken, but the path has \(ambiguity)"
        }
    }

    private func name(_ index: Int) -> String { "routes[\(index)]" }

    /// Labels in a column, what belongs to them beside it.
    private static func table(_ rows: [(String, String)]) -> String {
        let width = (rows.map(\.0.count).max() ?? 0) + 2
        return rows.map { label, text in
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            return lines.enumerated().map { pad($0 == 0 ? label : "", width) + $1 + "\n" }.joined()
        }.joined()
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
