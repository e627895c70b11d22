// How is it measured? One run: a cluster that this process plays, the real program that learns of it, events at a fixed
// pace, and a prober that sees some of them arrive.

import FakeCluster
import Glibc
import ProxyCore
import Synchronization

/// A run and what it needs.
final class DiscoveryRun {
    private let plan: DiscoveryPlan
    private let folder: TemporaryFolder
    private let port: UInt16
    private let adminPort: UInt16
    private let backendPort: UInt16
    private var figures: DiscoveryFigures

    init(_ plan: DiscoveryPlan, _ folder: TemporaryFolder) throws {
        self.plan = plan
        self.folder = folder
        port = try freePort()
        adminPort = try freePort()
        backendPort = try AddressBackend().port
        figures = DiscoveryFigures(plan: plan, version: HDProxyContender(program: plan.program).version)
    }

    func run(_ progress: inout Progress) throws -> DiscoveryFigures {
        progress.show("a start in an empty cluster", isStep: false)
        let empty = FakeCluster()
        let emptyServer = try FakeAPIServer(empty)
        let before = try start(emptyServer)
        figures.emptyMemory = ProcessMeter(before.pid).memory().resident
        before.stop()
        emptyServer.stop()

        progress.show("a start in a cluster of \(plan.services) services", isStep: false)
        let cluster = ReplayedCluster(plan, port: backendPort)
        let server = try FakeAPIServer(cluster.cluster)
        let began = monotonicNow()
        let proxy = try start(server)
        defer {
            proxy.stop()
            server.stop()
        }
        figures.startTime = monotonicNow() - began
        var prober = try Prober(port: port, connections: plan.connections)
        for service in 0..<plan.probedServices {
            let seen = try prober.awaitChange(of: cluster.host(of: service), until: monotonicNow() + 30_000_000_000) {
                cluster.isReady($0, half: 0)
            }
            guard seen != nil else { throw Failure("hdproxy does not serve \(cluster.host(of: service))") }
        }
        figures.fullMemory = ProcessMeter(proxy.pid).memory().resident

        try measure(cluster, proxy, &prober, &progress)
        figures.finalMemory = ProcessMeter(proxy.pid).memory().resident
        figures.requests = prober.requests
        return figures
    }

    private func measure(
        _ cluster: ReplayedCluster, _ proxy: Child, _ prober: inout Prober, _ progress: inout Progress
    ) throws {
        let meter = ProcessMeter(proxy.pid)
        var latencies = Histogram()
        let cpu = (control: controlCPU(of: proxy.pid), all: meter.cpu())
        let began = monotonicNow()
        _ = try Thread(name: "events") { cluster.replay() }
        while true {
            if stopWasAsked { throw Failure("stopped") }
            guard let probe = cluster.nextProbe() else {
                if cluster.isOver { break }
                usleep(100)  // The next event that is looked at is milliseconds away.
                continue
            }
            let deadline = probe.sent + Self.patience
            let seen = try prober.awaitChange(of: cluster.host(of: probe.service), until: deadline) {
                cluster.isReady($0, half: probe.half)
            }
            if let seen { latencies.record(seen - probe.sent) } else { figures.unseen += 1 }
            progress.show("\(grouped(cluster.sent)) events", isStep: false)
        }
        figures.seconds = Double(monotonicNow() - began) / 1e9
        figures.take(latencies)
        figures.events = cluster.sent
        figures.controlCPU = controlCPU(of: proxy.pid) - cpu.control
        figures.processCPU = meter.cpu() - cpu.all
        guard proxy.isRunning else { throw Failure("hdproxy ended: \(proxy.output.suffix(600))") }
    }

    /// CPU time of the thread that runs the control plane: the first one of the process.
    private func controlCPU(of pid: pid_t) -> UInt64 {
        let line = readSystemFile("/proc/\(pid)/task/\(pid)/schedstat") ?? ""
        return line.split(separator: " ").first.flatMap { UInt64($0) } ?? 0
    }

    /// Starts hdproxy and waits until it is ready.
    private func start(_ server: FakeAPIServer) throws -> Child {
        let path = "\(folder.path)/hdproxy.json5"
        try writeFile(path, configuration(server))
        let child = try Child("hdproxy", plan.program, ["run", "--config", path], cpu: nil, folder: folder)
        let giveUpAt = monotonicNow() + 60_000_000_000
        while fetch(port: adminPort, host: "localhost", path: "/readyz")?.status != 200 {
            guard child.isRunning, monotonicNow() < giveUpAt, !stopWasAsked else {
                child.stop()
                throw Failure("hdproxy is not ready: \(child.ending ?? "") \(child.output.suffix(600))")
            }
            pause(milliseconds: 2)
        }
        return child
    }

    private func configuration(_ server: FakeAPIServer) throws -> String {
        try server.writeFiles(caFile: "\(folder.path)/ca.crt", tokenFile: "\(folder.path)/token")
        let services = (0..<plan.services).map {
            "    s\($0): { kubernetes: { namespace: \"bench\", service: \"s\($0)\", port: \"http\" } },"
        }
        let routes = (0..<plan.services).map { "    { host: \"s\($0).test\", service: \"s\($0)\" }," }
        return """
            {
              workers: \(plan.workers),
              listeners: [ { name: "http", address: "127.0.0.1:\(port)" } ],
              admin: { address: "127.0.0.1:\(adminPort)", socket: "" },
              discovery: {
                kubernetes: { server: "\(server.url)", caFile: "\(folder.path)/ca.crt", tokenFile: "\(folder.path)/token" },
                stateDirectory: "\(plan.keepsState ? folder.path + "/state" : "")",
              },
              services: {
            \(services.joined(separator: "\n"))
              },
              routes: [
            \(routes.joined(separator: "\n"))
              ],
              log: { access: false, level: "error" },
            }

            """
    }

    /// A change that is not seen for that long is not seen at all.
    private static let patience: UInt64 = 5_000_000_000
}

/// The cluster that is replayed: services whose endpoints are ready by halves.
final class ReplayedCluster: Sendable {
    /// An event whose arrival is looked at.
    struct Probe: Sendable {
        var service: Int
        var half: Int
        /// Right before it was written.
        var sent: UInt64
    }

    private struct State {
        var probes: [Probe] = []
        var sent = 0
        var isOver = false
    }

    let cluster = FakeCluster()
    private let plan: DiscoveryPlan
    /// The endpoints of each service, with the first half ready, and with the second.
    private let pods: [(first: [FakePod], second: [FakePod])]
    private let state = Mutex(State())

    init(_ plan: DiscoveryPlan, port: UInt16) {
        self.plan = plan
        pods = (0..<plan.services).map { service in
            let all = (0..<plan.endpoints).map { endpoint in
                FakePod(
                    ip: "127.\(16 + service / 250).\(service % 250 + 1).\(endpoint + 1)", node: "node\(endpoint % 3)")
            }
            func ready(_ half: Int) -> [FakePod] {
                all.enumerated().map { index, pod in
                    let isReady = index * 2 / plan.endpoints == half
                    return pod.with(ready: isReady, serving: isReady, terminating: false)
                }
            }
            return (ready(0), ready(1))
        }
        for service in 0..<plan.services {
            cluster.setService("bench", "s\(service)", ports: [FakePort("http", port: 80, targetPort: port)])
            cluster.setEndpoints("bench", "s\(service)", pods[service].first)
        }
    }

    /// The host by which a service is asked for.
    func host(of service: Int) -> String { "s\(service).test" }

    /// Whether the endpoint with this address is ready when that half is.
    func isReady(_ address: Substring, half: Int) -> Bool {
        guard let last = address.split(separator: ".").last.flatMap({ Int($0) }) else { return false }
        return (last - 1) * 2 / plan.endpoints == half
    }

    /// The oldest event that is to be looked at; nil where none waits.
    func nextProbe() -> Probe? { state.withLock { $0.probes.isEmpty ? nil : $0.probes.removeFirst() } }
    /// Events so far.
    var sent: Int { state.withLock { $0.sent } }
    /// Whether all were sent and none waits to be looked at.
    var isOver: Bool { state.withLock { $0.isOver && $0.probes.isEmpty } }

    /// Sends all events, each when it is due; what is late is sent at once.
    func replay() {
        var halves = [Int](repeating: 0, count: plan.services)
        let others = plan.services - plan.probedServices
        let start = monotonicNow()
        for event in 0..<plan.events {
            if stopWasAsked { break }
            let due = start + UInt64(Double(event) / Double(plan.rate) * 1e9)
            let now = monotonicNow()
            if now < due { usleep(UInt32((due - now) / 1000)) }
            let isProbe = event % plan.probeEvery == 0 || others == 0
            let service =
                isProbe ? event / plan.probeEvery % plan.probedServices : plan.probedServices + event % max(1, others)
            halves[service] = 1 - halves[service]
            let half = halves[service]
            if isProbe {
                let probe = Probe(service: service, half: half, sent: monotonicNow())
                state.withLock { $0.probes.append(probe) }
            }
            cluster.setEndpoints("bench", "s\(service)", half == 0 ? pods[service].first : pods[service].second)
            state.withLock { $0.sent += 1 }
        }
        state.withLock { $0.isOver = true }
    }
}
