// One crowd: a proxy and its backend, the others alone, the others beside the crowd, and how the crowd ends.

import Glibc
import ProxyCore

/// One run of `hdproxy-bench hostile`.
final class HostileRun {
    /// Connections that one process of a crowd holds at most.
    private static let crowdMax = 10_000

    private let plan: HostilePlan
    private let kind: CrowdKind
    private let folder: TemporaryFolder
    private var children: [Child] = []

    init(_ plan: HostilePlan, _ kind: CrowdKind, _ folder: TemporaryFolder) {
        self.plan = plan
        self.kind = kind
        self.folder = folder
    }

    deinit { for child in children { child.stop(signal: SIGKILL) } }

    /// Does it.
    func run(_ progress: inout Progress) throws -> HostileFigures {
        let backend = try start("backend", ownExecutable(), ["backend"])
        try await_("listening", of: backend)
        let digits = backend.output.split(separator: ":").last?.prefix { $0.isNumber } ?? ""
        guard let backendPort = UInt16(digits) else { throw Failure("the backend does not tell its port") }
        let port = try freePort()
        let securePort = try freePort()
        let proxy = try startProxy(port, securePort, backendPort)
        var figures = HostileFigures(plan, kind)
        figures.memoryBefore = status("VmRSS", of: proxy)
        progress.show("\(kind.rawValue): the others alone", isStep: false)
        _ = try others(port, for: 2_000_000_000)
        figures.alone = try others(port, for: plan.duration)

        let crowds = try startCrowd(port: kind == .handshake ? securePort : port)
        let giveUpAt = monotonicNow() + 60_000_000_000
        while !crowds.allSatisfy({ $0.output.contains("all have come") }), monotonicNow() < giveUpAt {
            progress.show("\(kind.rawValue): the crowd comes", isStep: false)
            try check(crowds + [proxy])
            pause(milliseconds: 50)
        }
        progress.show("\(kind.rawValue): the others beside the crowd", isStep: false)
        figures.open = openSockets(of: proxy)
        figures.beside = try others(port, for: plan.duration)
        figures.openAfterwards = openSockets(of: proxy)
        figures.memoryPeak = status("VmHWM", of: proxy)

        let told = monotonicNow()
        for crowd in crowds { kill(crowd.pid, SIGTERM) }
        for crowd in crowds where !crowd.wait(milliseconds: 300_000) { figures.stayed += 1 }
        figures.gone = monotonicNow() - told
        for crowd in crowds { figures.add(crowdOutput: crowd.output) }
        figures.memoryAfter = status("VmRSS", of: proxy)
        figures.isAlive = proxy.isRunning
        proxy.stop()
        return figures
    }

    private func start(_ name: String, _ program: String, _ arguments: [String]) throws -> Child {
        let child = try Child(name, program, arguments, cpu: nil, folder: folder)
        children.append(child)
        return child
    }

    private func startProxy(_ port: UInt16, _ securePort: UInt16, _ backend: UInt16) throws -> Child {
        let authority = try CertificateAuthority(name: "Bench CA")
        let identity = try authority.issue(.server, name: "a.test", dnsNames: ["a.test"])
        try writeFile("\(folder.path)/tls.crt", String(decoding: identity.certificateChain, as: UTF8.self))
        try writeFile("\(folder.path)/tls.key", String(decoding: identity.key, as: UTF8.self))
        let path = "\(folder.path)/proxy.json5"
        try writeFile(
            path,
            """
            {
              workers: \(plan.workers), memory: \(plan.memory),
              listeners: [
                { name: "http", address: "127.0.0.1:\(port)" },
                { name: "https", address: "127.0.0.1:\(securePort)",
                  tls: { certificates: [ { certificate: "\(folder.path)/tls.crt", key: "\(folder.path)/tls.key" } ] } },
              ],
              admin: { address: "", socket: "" }, handoff: { socket: "" },
              services: { a: { endpoints: [ "127.0.0.1:\(backend)" ] } },
              routes: [ { host: "*", service: "a" } ],
              timeouts: { requestBodyIdle: "\(plan.wait)", responseIdle: "\(plan.wait)" },
              log: { access: true, file: "/dev/null" },
            }

            """)
        let proxy = try start("proxy", plan.program, ["run", "--config", path])
        let giveUpAt = monotonicNow() + 20_000_000_000
        while fetch(port: port, host: "a.test", path: "/bytes/3")?.status != 200 {
            guard proxy.isRunning, monotonicNow() < giveUpAt else {
                throw Failure("the proxy did not start: \(proxy.output.suffix(600))")
            }
            pause(milliseconds: 10)
        }
        return proxy
    }

    private func startCrowd(port: UInt16) throws -> [Child] {
        var left = plan.connections
        var crowds: [Child] = []
        while left > 0 {
            let size = min(left, Self.crowdMax)
            left -= size
            crowds.append(
                try start(
                    "crowd\(crowds.count)", ownExecutable(),
                    [
                        "crowd", "--kind", kind.rawValue, "--connections", "\(size)", "--port", "\(port)",
                        "--pace", "\(max(1, plan.pace / 1_000_000))ms",
                    ]))
        }
        return crowds
    }

    /// Load by well-behaved clients.
    private func others(_ port: UInt16, for time: UInt64) throws -> LoadResult {
        var load = LoadPlan(targets: [LoadTarget(address: loopback(port), authority: "a.test", path: "/bytes/1000")])
        load.connections = 16
        load.pace = .open(rate: plan.rate)
        load.expectedBytes = 1000
        var generator = try LoadGenerator(load)
        try generator.open()
        let cpu = ownCPU()
        try generator.run(.after(time))
        return LoadResult(generator, ownCPU: ownCPU() - cpu)
    }

    private func await_(_ text: String, of child: Child) throws {
        let giveUpAt = monotonicNow() + 20_000_000_000
        while !child.output.contains(text) {
            try check([child])
            guard monotonicNow() < giveUpAt else { throw Failure("\(child.name) does not say \(text)") }
            pause(milliseconds: 2)
        }
    }

    private func check(_ children: [Child]) throws {
        if stopWasAsked { throw Failure("stopped") }
        for child in children {
            if let ending = child.ending {
                throw Failure("\(child.name) ended (\(ending)): \(child.output.suffix(600))")
            }
        }
    }

    /// A line of /proc/PID/status that counts kilobytes, in bytes.
    private func status(_ name: String, of child: Child) -> Int {
        let text = readSystemFile("/proc/\(child.pid)/status") ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return (line.flatMap { Int($0.filter(\.isNumber)) } ?? 0) * 1024
    }

    private func openSockets(of child: Child) -> Int { names(in: "/proc/\(child.pid)/fd").count }
}
