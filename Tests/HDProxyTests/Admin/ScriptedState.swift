// A proxy that says what a test wants it to say.

import Discovery
import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import HDProxy

/// The state of a proxy that does not run.
@ControlThread
final class ScriptedState: AdminState {
    var settings: Settings
    var liveness = [Condition("control"), Condition("worker-0")]
    var readiness = [Condition("listeners"), Condition("configuration"), Condition("discovery")]
    var report = ScriptedState.report
    var metricsText = "hdproxy_draining 0\n"
    var outcome = ReloadOutcome.applied(generation: 8)
    private(set) var drains = 0

    init(settings: Settings = Settings()) { self.settings = settings }

    /// Changes what it says.
    func change(_ body: @ControlThread @Sendable (ScriptedState) -> Void) { body(self) }

    func status() async -> StatusReport { report }

    func services(_ names: [String]) async -> [String: ServiceReport] {
        Dictionary(report.services.filter { names.contains($0.name) }.map { ($0.name, $0) }) { first, _ in first }
    }

    var rolloutReports: [RolloutReport] { [] }

    func refusedHeads() async -> [RefusedHead] {
        [
            RefusedHead(
                wallMicroseconds: 2, reason: "bad_host", peer: IPAddress("192.0.2.1")!,
                lines: ["GET / HTTP/1.1", "Cookie: <3 bytes>"])
        ]
    }

    func metrics(_ format: MetricsFormat) async -> [UInt8] {
        Array((format == .openMetrics ? metricsText + "# EOF\n" : metricsText).utf8)
    }

    func drain() { drains += 1 }

    func reload() async -> ReloadOutcome { outcome }

    /// A morning on which DNS is wrong.
    nonisolated static let report: StatusReport = {
        func endpoint(_ number: Int, _ node: String) -> EndpointReport {
            EndpointReport(
                address: "10.42.\(number).1\(number):8000", id: "9f0c-\(number)", pod: "api-6f975d8f8f-4dbj\(number)",
                node: node, zone: "fsn1", sources: ["kubernetes", "dns"], health: .up, reason: "ready",
                since: "2026-11-24T08:14:27.031000Z", inFlight: number, latencyMs: [4.1, 8.2, 12.3, 940.5][number])
        }
        var leaving = endpoint(3, "hetzner1")
        leaving.ready = false
        leaving.terminating = true
        leaving.usable = false
        leaving.sources = ["kubernetes"]
        leaving.reason = "terminating, and others are ready"
        leaving.since = "2026-11-24T09:14:20.000000Z"
        var ejected = endpoint(2, "hetzner3")
        ejected.usable = false
        ejected.health = .down
        ejected.ejected = "3 failures in a row"
        ejected.ejections = 2
        ejected.since = "2026-11-24T09:14:22.000000Z"
        let foreign = EndpointReport(
            address: "10.42.1.7:8000", id: "api/10.42.1.7:8000", sources: ["dns"], usable: false,
            reason: "belongs to honeydue/dozzle", since: "2026-11-24T09:13:46.000000Z")
        let api = ServiceReport(
            name: "api", source: "kubernetes",
            endpoints: [endpoint(0, "hetzner1"), endpoint(1, "hetzner2"), ejected, leaving, foreign],
            disagreements: [
                DisagreementReport(
                    address: "10.42.1.7:8000", witness: "dns", since: "2026-11-24T09:13:46.000000Z",
                    text: "DNS still answers 10.42.1.7 for api, gone from slices 41 s ago; "
                        + "that address now belongs to honeydue/dozzle")
            ])
        let admin = ServiceReport(
            name: "admin", source: "dns", stale: true,
            endpoints: [
                EndpointReport(
                    address: "10.42.0.21:3000", id: "admin/10.42.0.21:3000", sources: ["dns"], reason: "ready",
                    since: "2026-11-22T09:14:27.000000Z")
            ])
        let lost = ServiceReport(name: "lost", problem: "honeydue/lost has no port \"http\"; it has web, metrics")
        return StatusReport(
            version: "0.1.0", generation: 7, state: .serving, pid: 4711, time: "2026-11-24T09:14:27.031000Z",
            started: "2026-11-24T06:00:00.000000Z",
            conditions: [Condition("listeners"), Condition("configuration"), Condition("discovery")],
            sources: [
                SourceReport(
                    name: "kubernetes", synced: true, stale: false, lastEvent: "2026-11-24T09:14:25.000000Z",
                    error: nil),
                SourceReport(
                    name: "dns", synced: false, stale: true, lastEvent: nil, error: "10.43.0.10:53 does not answer"),
            ],
            listeners: [
                ListenerReport(name: "http", address: "[::]:80", connections: 12, proxyProtocol: "required"),
                ListenerReport(
                    name: "https", address: "[::]:443", connections: 1,
                    tls: TLSReport(
                        minimumVersion: "1.2", certificates: 2, nextExpiry: "2026-12-14T09:14:27.000000Z",
                        nextExpiryFile: "/etc/hdproxy/tls/tls.crt", clientAuth: "require",
                        hosts: [TLSReport.Host(host: "open.myhoneydue.com", clientAuth: "off")], strictSNI: true,
                        kernel: false, kernelAbsence: "the kernel has no module tls"), proxyProtocol: "off"),
            ],
            routes: [
                RouteReport(
                    index: 0, name: "api.myhoneydue.com", services: [RouteReport.Share(name: "api", weight: 1)],
                    redirect: nil),
                RouteReport(
                    index: 1, name: "*.myhoneydue.com/static/",
                    services: [
                        RouteReport.Share(name: "admin", weight: 90), RouteReport.Share(name: "api", weight: 10),
                    ], redirect: nil),
                RouteReport(
                    index: 2, name: "myhoneydue.com", services: [], redirect: "308 to https://www.myhoneydue.com"),
            ],
            services: [api, admin, lost],
            workers: [
                WorkerReportLine(name: "worker-0", lastTurnMs: 3.25, connections: 7, inFlight: 2),
                WorkerReportLine(name: "worker-1", lastTurnMs: 12, connections: 5, inFlight: 1),
            ],
            rollouts: [
                RolloutLine(
                    service: "api", ended: "2026-11-24T09:10:27.000000Z",
                    summary: "3 in, 3 out in 7.5 s; 2 moved, 0 retried, 0 failed")
            ],
            access: AccessReport(trustedProxies: ["cloudflare"], originLockdown: ["10.42.0.0/16", "127.0.0.0/8"]))
    }()
}

/// A server of a scripted state, on a port of the system's choice and on a socket in a folder of its own.
struct AdminStage: Sendable {
    let state: ScriptedState
    let server: AdminServer
    let address: NetworkAddress
    let socketPath: String
    let notices: Noted

    /// What the server told the log.
    final class Noted: Sendable {
        private let notices = Mutex<[Notice]>([])
        var all: [Notice] { notices.withLock { $0 } }
        func add(_ notice: Notice) { notices.withLock { $0.append(notice) } }
    }

    /// Runs `body` against a server, away from the control thread: it may block.
    static func with(
        settings: Settings = Settings(), bounds: AdminBounds = AdminBounds(),
        _ body: @Sendable @concurrent (AdminStage) async throws -> Void
    ) async throws {
        ControlThread.start()
        let folder = try #require(Self.folder())
        let stage = try await open(settings, bounds, folder + "/admin.sock")
        do {
            try await body(stage)
        } catch {
            await stop(stage, folder)
            throw error
        }
        await stop(stage, folder)
    }

    /// A new folder.
    static func folder() -> String? {
        var name = Array("/tmp/hdproxy-admin-XXXXXX".utf8CString)
        // Safety: mkdtemp writes six characters into the array that holds them.
        return unsafe mkdtemp(&name) == nil
            ? nil : String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @ControlThread
    private static func open(_ settings: Settings, _ bounds: AdminBounds, _ path: String) async throws -> AdminStage {
        let state = ScriptedState(settings: settings)
        let noted = Noted()
        let server = AdminServer(state: state, bounds: bounds) { noted.add($0) }
        var admin = AdminSettings(address: NetworkAddress("127.0.0.1:0"), socket: path)
        admin.isAddressWritten = true
        admin.isSocketWritten = true
        try server.adopt(admin)
        return AdminStage(
            state: state, server: server, address: try #require(server.address), socketPath: path, notices: noted)
    }

    @ControlThread
    private static func stop(_ stage: AdminStage, _ folder: String) async {
        await stage.server.stop()
        // Safety: a NUL-terminated copy of the path for the length of the call.
        _ = unsafe rmdir(folder)
    }
}
