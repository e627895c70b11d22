// A JSON5 tree becomes settings, or all that is wrong with it: every key of the contract is known here, each value is
// checked for kind and range, and names that refer to each other are looked up. Nothing is ignored in silence.

import ProxyCore

/// Reads a configuration.
struct SettingsReader {
    private let problems = ProblemList()
    private var settings = Settings()

    private init() {}

    /// The settings that the text `bytes` spells, or all that is wrong with it.
    static func read(_ bytes: [UInt8], file: String) -> Result<Settings, ConfigurationProblems> {
        let (root, syntax) = JSON5Reader.read(bytes)
        var reader = SettingsReader()
        if let root { reader.readTop(Item(node: root, path: "", problems: reader.problems)) }
        let found = syntax + reader.problems.problems
        if found.isEmpty { return .success(reader.settings) }
        let lines = LineIndex(bytes)
        let sorted = found.enumerated().sorted { ($0.element.offset, $0.offset) < ($1.element.offset, $1.offset) }
        let problems = sorted.map { _, problem in
            let (line, column) = lines.position(of: problem.offset)
            return ConfigurationProblem(
                line: line, column: column, path: problem.path, wrong: problem.wrong, allowed: problem.allowed)
        }
        return .failure(ConfigurationProblems(file: file, problems: problems))
    }

    private mutating func readTop(_ item: Item) {
        let known = [
            "workers", "memory", "listeners", "admin", "trustedProxies", "originLockdown", "discovery", "services",
            "routes",
            "timeouts", "limits", "drain", "handoff", "log", "tracing",
        ]
        guard let top = item.section(known) else { return }
        settings.workers = top["workers"]?.integer(in: 0...256) ?? settings.workers
        if let memory = top["memory"] { readMemory(memory) }
        if let proxies = top["trustedProxies"] { settings.trustedProxies = TrustedProxiesReader.read(proxies) }
        if let listeners = top.required("listeners", "at least one listener, as in { address: \"[::]:80\" }") {
            let reading = ListenersReader.read(listeners, isTrusting: !settings.trustedProxies.isEmpty)
            settings.listeners = reading.listeners
            settings.tls = reading.tls
            settings.proxyHeaderListeners = reading.proxyHeader
        }
        if let lockdown = top["originLockdown"] {
            settings.originLockdown = OriginLockdownReader.read(lockdown, trusted: settings.trustedProxies)
        }
        var serviceNames: Set<String> = []
        if let services = top.required("services", "an object, empty where every route is a redirect") {
            (settings.services, serviceNames) = ServicesReader.read(services)
        }
        if let routes = top.required("routes", "a list of routes") {
            // Who cannot tell that a request came by https would send its client there again and again.
            let knowsHTTPS = !settings.trustedProxies.isEmpty || listenersHaveTLS(top)
            settings.routes = RoutesReader.read(routes, services: serviceNames, knowsHTTPS: knowsHTTPS)
        }
        if let admin = top["admin"] { settings.admin = AdminReader.read(admin, listeners: settings.listeners) }
        if let discovery = top["discovery"] { settings.discovery = DiscoveryReader.read(discovery) }
        if let timeouts = top["timeouts"] { readTimeouts(timeouts) }
        if let limits = top["limits"] { readLimits(limits) }
        if let drain = top["drain"] { readDrain(drain) }
        settings.handoff.socket = HandoffSettings.socket(for: settings.listeners.first?.address)
        if let handoff = top["handoff"] { readHandoff(handoff) }
        if let log = top["log"] { readLog(log) }
        refuseLater(top)
    }

    /// Whether some listener has `tls`, well written or not.
    private func listenersHaveTLS(_ top: Section) -> Bool {
        guard case .array(let listeners)? = top["listeners"]?.node.value else { return false }
        return listeners.contains { listener in
            guard case .object(let members) = listener.value else { return false }
            return members.contains { $0.name == "tls" }
        }
    }

    private func refuseLater(_ top: Section) {
        top.refuseLater("tracing", .tracing)
    }

    private mutating func readMemory(_ item: Item) {
        if item.node.value == .string("auto") { return }
        settings.memory = item.size(in: MemoryBudget.least...(1 << 40), allowsZero: true)
    }

    private mutating func readTimeouts(_ item: Item) {
        guard
            let timeouts = item.section([
                "tlsHandshake", "requestHeader", "requestBodyIdle", "responseIdle", "keepAlive", "tunnelIdle",
            ])
        else { return }
        timeouts.set(&settings.limits.handshake, "tlsHandshake")
        timeouts.set(&settings.limits.requestHeader, "requestHeader")
        timeouts.set(&settings.limits.requestBodyIdle, "requestBodyIdle")
        timeouts.set(&settings.limits.responseIdle, "responseIdle")
        timeouts.set(&settings.limits.keepAlive, "keepAlive")
        timeouts.set(&settings.limits.tunnelIdle, "tunnelIdle")
    }

    private mutating func readLimits(_ item: Item) {
        let known = [
            "headerBytes", "headers", "requestTarget", "connections", "connectionsPerClient", "bodyBytes",
            "minRequestRate", "minResponseRate",
        ]
        guard let limits = item.section(known) else { return }
        let head = 1024...(1 << 20)
        if let bytes = limits["headerBytes"]?.size(in: head) { settings.limits.headerBytes = bytes }
        if let count = limits["headers"]?.integer(in: 1...1000) { settings.limits.headers = count }
        if let bytes = limits["requestTarget"]?.size(in: head) { settings.limits.requestTargetBytes = bytes }
        if let count = limits["connections"]?.integer(in: 0...10_000_000) { settings.limits.connections = count }
        if let count = limits["connectionsPerClient"]?.integer(in: 0...1_000_000) {
            settings.limits.connectionsPerClient = count
        }
        let rate = 1...(1 << 20)
        if let bytes = limits["minRequestRate"]?.size(in: rate, allowsZero: true) {
            settings.limits.minRequestRate = bytes
        }
        if let bytes = limits["minResponseRate"]?.size(in: rate, allowsZero: true) {
            settings.limits.minResponseRate = bytes
        }
        let body = limits["bodyBytes"]?.size(in: 1...(1 << 40), allowsZero: true)
        if let body { settings.limits.bodyBytes = UInt64(body) }
    }

    private mutating func readDrain(_ item: Item) {
        guard let drain = item.section(["delay", "timeout"]) else { return }
        drain.set(&settings.drain.delay, "delay", atLeast: 0)
        drain.set(&settings.drain.timeout, "timeout", atLeast: 0)
    }

    private mutating func readHandoff(_ item: Item) {
        guard let handoff = item.section(["socket", "confirm"]) else { return }
        handoff.set(&settings.handoff.confirm, "confirm", atLeast: 0)
        let allowed =
            "an abstract name, as in \"@hdproxy/edge\", or an absolute path, of at most 107 bytes; \"\": no handoff"
        guard let item = handoff["socket"], let text = item.string(allowed) else { return }
        let bytes = text.utf8
        let isName = bytes.first == UInt8(ascii: "@") && bytes.count > 1
        let isPath = bytes.first == UInt8(ascii: "/") && bytes.last != UInt8(ascii: "/")
        if text.isEmpty || ((isName || isPath) && bytes.count <= 107 && !bytes.contains(0)) {
            settings.handoff.socket = text
        } else {
            item.report("\(item.shown) is no name for a Unix socket", allowed)
        }
    }

    private mutating func readLog(_ item: Item) {
        guard let log = item.section(["format", "access", "level", "file"]) else { return }
        log.refuseLater("format", .value, unless: { $0 == .string("json") }, or: "\"json\"")
        if let access = log["access"]?.bool() { settings.log.access = access }
        if let level = log["level"]?.choice(LogSettings.Level.allCases.map(\.rawValue)) {
            settings.log.level = LogSettings.Level(rawValue: level) ?? settings.log.level
        }
        let allowed = "\"-\" for standard output, or an absolute path"
        if let file = log["file"]?.absolutePath(allowed, orWord: "-") { settings.log.file = file }
    }
}

extension Section {
    /// Sets `value` to the time under `key`, where one stands there.
    func set(_ value: inout Duration, _ key: String, atLeast least: Int = 1) {
        if let read = self[key]?.duration(atLeast: least) { value = read }
    }
}
