// The comparison: starts backend and proxies, lets each do the same work in turn, and collects what it cost.
//
// Rounds are interleaved (A B C A B C …), so that a slow minute of the machine falls on all of them.

import Glibc

/// How a comparison is run.
struct ComparisonSettings {
    /// Who takes part; the last may be ours.
    var contenders: [any Contender]
    /// What is measured.
    var scenarios: [Scenario]
    /// How often.
    var rounds = 5
    /// How long each time, in nanoseconds.
    var duration: UInt64 = 2_000_000_000
    /// Unmeasured load before each measurement.
    var warmUp: UInt64 = 300_000_000
    /// Connections of the load generator.
    var connections = 64
    /// Connections of the memory scenario.
    var idleConnections = 5000
    /// Whether system calls are counted too.
    var countsSystemCalls = false
}

/// A comparison under way.
final class Comparison {
    /// What came of each scenario so far.
    private(set) var results: [ScenarioResult] = []
    /// What a reader should know.
    private(set) var notes: [String] = []

    let settings: ComparisonSettings
    let folder: TemporaryFolder
    let proxyCore: Int?
    private let loadCore: Int?
    private let backend: Child
    let backendPort: UInt16
    let certificate: SiteCertificate
    private var proxies: [RunningProxy] = []
    private var servedHosts: [String] = []
    private var servesSecurely = false
    var progress = Progress()

    /// Prepares a comparison: pins this process, starts the backend.
    init(_ settings: ComparisonSettings, folder: TemporaryFolder) throws {
        self.settings = settings
        self.folder = folder
        let cores = allowedCores()
        if let first = cores.first, let last = cores.last, first != last {
            (loadCore, proxyCore) = (first, last)
            try pin(to: first)
        } else {
            (loadCore, proxyCore) = (nil, nil)
            notes.append(
                "only one core: proxies, load and backend share it; requests a second and latencies say little")
        }
        certificate = try SiteCertificate(in: folder)
        backend = try Child("backend", ownExecutable(), ["backend", "--port", "0"], cpu: loadCore, folder: folder)
        backendPort = try Self.port(of: backend)
    }

    private static func port(of backend: Child) throws -> UInt16 {
        let giveUpAt = monotonicNow() + 5_000_000_000
        while monotonicNow() < giveUpAt, backend.isRunning {
            let output = backend.output
            if output.hasPrefix("listening "), output.hasSuffix("\n"),
                let text = output.split(separator: "\n").first?.split(separator: ":").last, let port = UInt16(text)
            {
                return port
            }
            pause(milliseconds: 2)
        }
        throw Failure("the backend did not start: \(backend.output)")
    }

    /// The cores, in words.
    var coresText: String {
        guard let proxyCore, let loadCore else { return "one core for all" }
        return "proxies on core \(proxyCore), load and backend on core \(loadCore)"
    }

    /// Measures all scenarios; stops early where that was asked for.
    func run() {
        for scenario in settings.scenarios where !stopWasAsked {
            var result = ScenarioResult(scenario)
            do { try measure(scenario, &result) } catch { notes.append("\(scenario.name): \(error)") }
            progress.clear()
            results.append(result)
        }
        if stopWasAsked { notes.append("stopped before the end") }
        stopProxies()
        backend.stop()
        progress.clear()
    }

    private func measure(_ scenario: Scenario, _ result: inout ScenarioResult) throws {
        if case .memory = scenario.kind { return try measureMemory(scenario, &result) }
        try startProxies(for: scenario, &result)
        var rate: Double?
        if case .halfRate = scenario.kind {
            rate = try halfRate()
            result.rate = rate
        }
        for round in 1...settings.rounds {
            for proxy in proxies where result.failures[proxy.contender.name] == nil && !stopWasAsked {
                let name = proxy.contender.name
                progress.show("\(scenario.name), round \(round) of \(settings.rounds): \(name)")
                do {
                    try measure(proxy, scenario, rate: rate, &result)
                } catch {
                    result.fail(name, "\(error)")
                }
            }
        }
        if settings.countsSystemCalls { countSystemCalls(scenario, &result) }
    }

    func plan(_ scenario: Scenario, for proxy: RunningProxy) -> LoadPlan {
        let host = Self.hosts(of: scenario)[0]
        var plan = LoadPlan(
            targets: [
                LoadTarget(
                    address: loopback(scenario.isSecure ? proxy.securePort : proxy.port), authority: host,
                    path: scenario.path, isSecure: scenario.isSecure)
            ])
        if scenario.isSecure { plan.tls = LoadTLS(authorities: certificate.chain) }
        plan.connections = settings.connections
        plan.expectedBytes = scenario.expectedBytes
        scenario.adapt(&plan)
        return plan
    }

    static func hosts(of scenario: Scenario) -> [String] {
        scenario.hosts == 1 ? ["bench.test"] : (0..<scenario.hosts).map { "h\($0).bench.test" }
    }

    private func measure(
        _ proxy: RunningProxy, _ scenario: Scenario, rate: Double?, _ result: inout ScenarioResult
    ) throws {
        let name = proxy.contender.name
        var plan = plan(scenario, for: proxy)
        if let rate { plan.pace = .open(rate: rate) }
        var generator = try LoadGenerator(plan)
        try generator.open()
        try generator.run(.after(settings.warmUp))
        generator.reset()
        let backendMeter = ProcessMeter(backend.pid)
        pause(milliseconds: 10)
        let before = (own: ownCPU(), backend: backendMeter.cpu(), proxy: proxy.meter.cpu())
        try generator.run(.after(settings.duration))
        // What comes after the last answer (closing, say) belongs to the requests too.
        let own = ownCPU() - before.own
        pause(milliseconds: 20)
        let used = (backend: backendMeter.cpu() - before.backend, proxy: proxy.meter.cpu() - before.proxy)
        if stopWasAsked { return }
        let load = LoadResult(generator, ownCPU: own)
        if let ending = proxy.ending { throw Failure("ended during the load, \(ending)") }
        guard load.errors.total == 0, load.gaveUp == nil, load.requests > 0 else {
            throw Failure("of \(grouped(load.requests + load.errors.total)) requests: \(load.errors.text)")
        }
        try check(load, plan)
        let requests = Double(load.requests)
        result.add(.rate, name, load.rate)
        result.add(.cpu, name, Double(used.proxy) / requests / 1000)
        result.add(.p50, name, load.quantiles[0] / 1000)
        result.add(.p99, name, load.quantiles[2] / 1000)
        result.add(.p999, name, load.quantiles[3] / 1000)
        result.add(.loadCPU, name, Double(own + used.backend) / requests / 1000)
    }

    /// Whether there were the handshakes that the scenario is about, one for each new connection.
    private func check(_ load: LoadResult, _ plan: LoadPlan) throws {
        guard let tls = plan.tls else { return }
        let each = plan.newConnections ? load.requests : 0
        let meant = tls.resumes ? (full: 0, resumed: each) : (full: each, resumed: 0)
        guard load.handshakes == meant else {
            throw Failure(
                "\(load.handshakes.full) full and \(load.handshakes.resumed) resumed handshakes, not \(meant)")
        }
    }

    /// Half of the slowest peer's maximal rate: from the scenario `small` if that was measured, else measured now.
    private func halfRate() throws -> Double {
        let peers = proxies.map(\.contender.name).filter { $0 != "hdproxy" }
        let judged = peers.isEmpty ? proxies.map(\.contender.name) : peers
        if let small = results.first(where: { $0.scenario.name == "small" }) {
            let rates = judged.compactMap { small.sample(.rate, $0)?.median }
            if let slowest = rates.min(), rates.count == judged.count { return slowest / 2 }
        }
        guard let small = allScenarios().first(where: { $0.name == "small" }) else {
            throw Failure("no scenario small")
        }
        var rates: [Double] = []
        for proxy in proxies where judged.contains(proxy.contender.name) {
            progress.show("finding the maximal rate of \(proxy.contender.name)")
            var generator = try LoadGenerator(plan(small, for: proxy))
            try generator.open()
            try generator.run(.after(settings.warmUp))
            generator.reset()
            try generator.run(.after(1_000_000_000))
            rates.append(LoadResult(generator, ownCPU: 0).rate)
        }
        guard let slowest = rates.min() else { throw Failure("no proxy to find a rate for") }
        return slowest / 2
    }

    // MARK: System calls

    private func countSystemCalls(_ scenario: Scenario, _ result: inout ScenarioResult) {
        for proxy in proxies where result.failures[proxy.contender.name] == nil && !stopWasAsked {
            let name = proxy.contender.name
            progress.show("\(scenario.name), counting system calls: \(name)")
            do {
                let requests = scenario.isCostly ? 500 : 20_000
                result.systemCalls[name] = try SystemCallCount.count(
                    proxy, plan: plan(scenario, for: proxy), requests: requests, folder: folder)
            } catch {
                notes.append("\(scenario.name): system calls of \(name) not counted: \(error)")
            }
        }
    }

    // MARK: Proxies

    /// Has every contender serve what the scenario needs; those that already do go on.
    private func startProxies(for scenario: Scenario, _ result: inout ScenarioResult) throws {
        let hosts = Self.hosts(of: scenario)
        if hosts == servedHosts, scenario.isSecure == servesSecurely, proxies.count == settings.contenders.count,
            proxies.allSatisfy({ $0.ending == nil })
        {
            return
        }
        stopProxies()
        (servedHosts, servesSecurely) = (hosts, scenario.isSecure)
        for contender in settings.contenders where !stopWasAsked {
            progress.show("starting \(contender.name)", isStep: false)
            do {
                let proxy = try RunningProxy(
                    contender, backendPort: backendPort, hosts: hosts,
                    certificate: scenario.isSecure ? certificate : nil, cpu: proxyCore, folder: folder)
                proxies.append(proxy)
                let missing = proxy.missingFields(host: hosts[0])
                let note = "\(contender.name) does not set \(missing.joined(separator: ", ")): it does less work"
                if !missing.isEmpty, !notes.contains(note) { notes.append(note) }
            } catch {
                result.fail(contender.name, "\(error)")
            }
        }
    }

    func stopProxies() {
        for proxy in proxies { proxy.stop() }
        proxies = []
        servedHosts = []
    }
}
