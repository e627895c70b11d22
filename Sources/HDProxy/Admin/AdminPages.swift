// What stands at which path of the admin listener? Requests come in as values and go out as values; who may ask is
// decided here, too.

import Discovery
import ProxyCore

/// The paths of the admin listener.
@ControlThread
struct AdminPages {
    private let state: any AdminState

    /// Pages that show `state`.
    init(_ state: any AdminState) { self.state = state }

    /// The answer to `request`.
    func answer(_ request: AdminRequest) async -> AdminResponse {
        if let refusal = BrowserGuard.refusal(of: request) { return .text(refusal, status: 403) }
        guard request.method != .other else { return .text("unknown method", status: 501) }
        guard let page = Self.pages[request.path] else {
            return .text(
                "nothing is at \(request.path); there is \(Self.pages.keys.sorted().joined(separator: ", "))",
                status: 404)
        }
        let isAllowed = page.acts ? request.method == .post : request.method == .get || request.method == .head
        guard isAllowed else {
            let allowed = page.acts ? "POST" : "GET, HEAD"
            var response = AdminResponse.text("\(request.path) knows \(allowed) alone", status: 405)
            response.fields = [("Allow", allowed)]
            return response
        }
        if page.acts, !request.isLocal {
            return .text(
                "\(request.path) may be asked from this machine alone: over loopback or the Unix socket", status: 403)
        }
        return await page.answer(state, request)
    }

    private struct Page: Sendable {
        /// Whether it changes something, so that POST alone reaches it, from this machine alone.
        var acts = false
        var answer: @ControlThread @Sendable (any AdminState, AdminRequest) async -> AdminResponse
    }

    private static let pages: [String: Page] = [
        "/": Page { state, _ in StatusPage.response(await state.status()) },
        "/healthz": Page { state, request in conditions("healthz", state.liveness, request) },
        "/readyz": Page { state, request in conditions("readyz", state.readiness, request) },
        "/metrics": Page { state, request in
            let format = MetricsFormat(accept: request.accept)
            return AdminResponse(contentType: format.contentType, body: await state.metrics(format))
        },
        "/api/v1/status": Page { state, _ in .json(await state.status().json()) },
        "/api/v1/config": Page { state, _ in .json(Array(state.settings.text.utf8)) },
        "/api/v1/rollouts": Page { state, _ in
            .json { $0.member("rollouts", state.rolloutReports) { RolloutText.write($1, into: &$0) } }
        },
        "/api/v1/rejected": Page { state, _ in
            let heads = await state.refusedHeads()
            return .json { $0.member("rejected", heads.reversed()) { $1.write(into: &$0) } }
        },
        "/api/v1/explain": Page { state, request in await explain(state, request) },
        "/api/v1/drain": Page(acts: true) { state, _ in
            state.drain()
            return .json(status: 202) { $0.member("outcome", "draining") }
        },
        "/api/v1/reload": Page(acts: true) { state, _ in reloaded(await state.reload()) },
    ]

    /// As kube-apiserver does it: the conditions in detail when asked for, or when one does not hold.
    private static func conditions(
        _ name: String, _ conditions: [Condition], _ request: AdminRequest
    ) -> AdminResponse {
        let isMet = conditions.allSatisfy(\.isMet)
        if isMet, request.parameter("verbose") == nil { return .text("ok") }
        let lines = conditions.map { condition in
            condition.failure.map { "[-]\(condition.name) failed: \($0)\n" } ?? "[+]\(condition.name) ok\n"
        }
        return .text(lines.joined() + "\(name) check \(isMet ? "passed" : "failed")", status: isMet ? 200 : 503)
    }

    private static func explain(_ state: any AdminState, _ request: AdminRequest) async -> AdminResponse {
        guard let host = request.parameter("host"), !host.isEmpty else {
            return .text(
                "the parameter host is missing, as in /api/v1/explain?method=GET&host=example.com&path=/", status: 400)
        }
        let url = "\(request.parameter("scheme") ?? "http")://\(host)\(request.parameter("path") ?? "/")"
        do throws(UsageError) {
            let explained = try ExplainedRequest(url: url, method: request.parameter("method"), fieldLines: [])
            let services = await state.services(ExplainReport.services(of: explained, settings: state.settings))
            let time = CivilTime.timestamp(wallMicroseconds: Clock.wallMicroseconds())
            return .json(ExplainReport(of: explained, settings: state.settings, live: services, time: time).json)
        } catch {
            return .text(error.text, status: 400)
        }
    }

    private static func reloaded(_ outcome: ReloadOutcome) -> AdminResponse {
        switch outcome {
        case .applied(let generation):
            .json {
                $0.member("outcome", "applied")
                $0.member("generation", Int(clamping: generation))
            }
        case .unchanged(let generation):
            .json {
                $0.member("outcome", "unchanged")
                $0.member("generation", Int(clamping: generation))
            }
        case .refused(let problems):
            .json(status: 422) {
                $0.member("outcome", "refused")
                $0.member("problems", problems)
            }
        }
    }
}
