// What does this process tell of itself? Health, readiness, status and metrics: what discovery knows, what the workers
// count, and what the control loop has done, put together when somebody asks.

import Discovery
import Glibc
import ProxyCore

extension ControlLoop: AdminState {
    /// For how long a thread may not turn before it counts as stuck.
    private static let stuckAfter = Instant.Span.milliseconds(5000)
    /// For how long an answer waits for a worker.
    private static let workersMayTake = Duration.seconds(1)

    /// Each worker and the control loop have turned lately; this very line shows the latter.
    var liveness: [Condition] {
        let now = Clock.now()
        return [Condition("control")]
            + workers.lastTurns.enumerated().map { index, turn in
                guard let turn, now - turn > Self.stuckAfter else { return Condition("worker-\(index)") }
                let seconds = (now - turn).nanoseconds / 1_000_000_000
                return Condition("worker-\(index)", failure: "it has not turned for \(seconds) s")
            }
    }

    /// This process has its listeners, and discovery its first answer.
    var readiness: [Condition] {
        [
            Condition("handoff", failure: phase == .handedOver ? "handed over" : nil),
            Condition("draining", failure: phase == .draining ? "the process is draining" : nil),
            Condition("listeners", failure: isListening ? nil : "they wait for discovery"),
            Condition("configuration"),
            Condition(
                "discovery",
                failure: wasDiscovered || discovery.hasFirstAnswer ? nil : discovery.missing.joined(separator: "; ")),
        ]
    }

    var rolloutReports: [RolloutReport] { rollouts.reports }

    func refusedHeads() async -> [RefusedHead] { WorkerTelemetry.merged(await telemetry()).refusedHeads }

    func drain() {
        leavingBecause = "admin"
        guard let handoff else { return drain(because: "admin") }
        ControlThread.spawn { await handoff.toldToLeave(isSignal: false) }
    }

    func reload() async -> ReloadOutcome { await reload(isAsked: true) }

    // MARK: Figures

    /// What each worker has counted. For one that is stuck its last answer stands: a counter that fell and rose again
    /// would look like a rush of requests.
    func telemetry() async -> [WorkerTelemetry] {
        let gate = Gate()
        let reply = TelemetryReply(workers.count) { _ in ControlThread.spawn { gate.open() } }
        workers.report(to: reply)
        let limit = ControlThread.spawn {
            if await ControlThread.sleep(for: Self.workersMayTake) == .timedOut { reply.finish() }
        }
        await gate.passed()
        limit.cancel()
        for (worker, told) in reply.arrived { lastTold[worker] = told }
        return lastTold
    }

    func metrics(_ format: MetricsFormat) async -> [UInt8] {
        MetricsText.render(figures(of: await telemetry()), as: format)
    }

    /// What metrics are made from, where the workers have `told` this.
    func figures(of told: [WorkerTelemetry]) -> MetricsFigures {
        let counts = Dictionary(discovery.disagreementCounts.map { ($0.service, $0.count) }) { first, _ in first }
        var known = DiscoveryMetrics()
        known.sources = discovery.sources
        known.keepingFailures = discovery.keepingFailures
        known.ejections = discovery.ejectionCounts
        known.mismatches = discovery.mismatchCounts
        known.services = discovery.view.map { view in
            DiscoveryMetrics.Service(
                name: view.name, disagreements: counts[view.name] ?? 0,
                endpoints: view.endpoints.map { (address: $0.address, isUp: $0.isUsable) })
        }
        var figures = MetricsFigures(
            version: hdproxyVersion, workers: told, discovery: known,
            reloads: (reloads.applied, reloads.unchanged, reloads.refused), isDraining: isLeaving,
            process: .now())
        figures.workers.droppedLogLines &+= log.dropped &+ writer.lost
        figures.handoffs = handoffs
        figures.tlsReloads = tls.reloads
        figures.certificates = settings.datedFiles
        figures.inherited = inherited
        return figures
    }

    // MARK: Status

    func status() async -> StatusReport {
        let told = await telemetry()
        let sum = WorkerTelemetry.merged(told)
        let live = LiveEndpoints(sum)
        let now = Clock.now()
        let turns = workers.lastTurns
        var report = StatusReport(
            version: hdproxyVersion, generation: generation, state: state, pid: Int(getpid()),
            time: CivilTime.timestamp(wallMicroseconds: Clock.wallMicroseconds()),
            started: CivilTime.timestamp(wallMicroseconds: startedMicroseconds))
        report.conditions = readiness
        report.sources = discovery.sources.map(SourceReport.init)
        report.listeners = settings.listeners.map { listener in
            let clients = sum.listeners.first { $0.listener == listener.name }
            let tls = settings.tls.first { $0.listener == listener.name }
            return ListenerReport(
                name: listener.name, address: (addresses[listener.name] ?? listener.address).description,
                connections: Int(clamping: clients?.open ?? 0),
                tls: tls.map { TLSReport($0, settings.tlsMaterial[listener.name]) },
                proxyProtocol: settings.proxyHeaderListeners.contains(listener.name) ? "required" : "off")
        }
        report.access = AccessReport(
            trustedProxies: settings.trustedProxies.map(\.text),
            originLockdown: settings.originLockdown?.allow.map(\.text))
        report.routes = settings.routeReports
        let isStale = staleness
        report.services = discovery.view.map { ServiceReport($0, live, isStale: isStale($0)) }
        report.rollouts = RolloutLine.latest(rolloutReports)
        report.workers = turns.enumerated().map { index, turn in
            let own = told[index]
            return WorkerReportLine(
                name: "worker-\(index)",
                lastTurnMs: turn.map { Double((now - $0).nanoseconds / 10_000) / 100 } ?? 0,
                connections: Int(clamping: own.listeners.reduce(0) { $0 &+ $1.open }),
                inFlight: own.services.reduce(0) { $0 + $1.inFlight })
        }
        return report
    }

    func services(_ names: [String]) async -> [String: ServiceReport] {
        let views = names.compactMap { discovery.view(of: $0) }
        if views.isEmpty { return [:] }
        let live = LiveEndpoints(WorkerTelemetry.merged(await telemetry()))
        let isStale = staleness
        let reports = views.map { ($0.name, ServiceReport($0, live, isStale: isStale($0))) }
        return Dictionary(reports) { first, _ in first }
    }

    private var state: StatusReport.State {
        switch phase {
        case .starting: .starting
        case .serving: .serving
        case .handedOver: .handedOver
        case .draining: .draining
        }
    }

    /// Whether the witness that is believed of a service may be out of date.
    private var staleness: (ServiceView) -> Bool {
        let stale = Set(discovery.sources.filter(\.stale).map(\.name))
        return { $0.truth == .lastKnownGood || stale.contains($0.truth.rawValue) }
    }
}

/// What the workers know of each endpoint.
private struct LiveEndpoints {
    private struct Key: Hashable {
        var service: String
        var id: EndpointID
    }

    private var endpoints: [Key: WorkerTelemetry.Endpoint] = [:]

    init(_ sum: WorkerTelemetry) {
        for endpoint in sum.endpoints where endpoint.isCurrent {
            endpoints[Key(service: endpoint.service, id: endpoint.id)] = endpoint
        }
    }

    func endpoint(_ service: String, _ id: EndpointID) -> WorkerTelemetry.Endpoint? {
        endpoints[Key(service: service, id: id)]
    }
}

extension ServiceReport {
    fileprivate init(_ view: ServiceView, _ live: LiveEndpoints, isStale: Bool) {
        self.init(name: view.name)
        source = view.truth == .none ? nil : view.truth.rawValue
        stale = isStale
        problem = view.problem
        panic = view.isPanic
        endpoints = view.endpoints.map { EndpointReport($0, live.endpoint(view.name, $0.id)) }
        disagreements = view.disagreements.map {
            DisagreementReport(
                address: $0.address.description, witness: $0.witness,
                since: CivilTime.timestamp(wallMicroseconds: $0.sinceMicroseconds), text: $0.text)
        }
    }
}

extension EndpointReport {
    fileprivate init(_ view: EndpointView, _ live: WorkerTelemetry.Endpoint?) {
        self.init(
            address: view.address.description, id: view.uid ?? view.id.description, pod: view.pod, node: view.node,
            zone: view.zone, sources: view.sources, ready: view.ready, serving: view.serving,
            terminating: view.terminating, health: EndpointReport.Health(view.health), ejected: view.ejected,
            ejections: view.ejections, usable: view.isUsable, reason: view.reason,
            since: CivilTime.timestamp(wallMicroseconds: view.sinceMicroseconds), inFlight: live?.inFlight ?? 0,
            latencyMs: live?.latencyNanoseconds.map { Double($0 / 10_000) / 100 })
    }
}

extension EndpointReport.Health {
    fileprivate init(_ health: EndpointHealth) {
        switch health {
        case .up: self = .up
        case .down: self = .down
        case .unknown: self = .unknown
        }
    }
}

extension SourceReport {
    fileprivate init(_ status: SourceStatus) {
        self.init(
            name: status.name, synced: status.synced, stale: status.stale,
            lastEvent: status.lastEventMicroseconds.map { CivilTime.timestamp(wallMicroseconds: $0) },
            error: status.error)
    }
}

extension Settings {
    /// The rules, for people.
    fileprivate var routeReports: [RouteReport] {
        routes.enumerated().map { index, route in
            let name = route.host.description + route.path.description
            switch route.action {
            case .redirect(let redirect):
                return RouteReport(
                    index: index, name: name, services: [], redirect: "\(redirect.status) to \(redirect.location)")
            case .forward(let services):
                return RouteReport(
                    index: index, name: name,
                    services: services.map { RouteReport.Share(name: $0.name, weight: $0.weight) },
                    redirect: route.httpsRedirect.map { "\($0) to https" })
            }
        }
    }
}
