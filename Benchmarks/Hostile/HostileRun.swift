// One kind of crowd at one proxy: the others alone and beside it, in turns, and how the crowd ends.

import Glibc
import ProxyCore

/// What was measured in one window of time.
struct HostileWindow {
    /// The others, second by second.
    var load: [LoadResult]
    /// Share of a core that the proxy used.
    var cpu: Double
    /// What the crowd did in that time: connections that were there at its end, closed, bytes.
    var crowd = CrowdTally()
    /// Seconds that it took.
    var seconds: Double
}

/// One run of `hdproxy-bench hostile`.
final class HostileRun {
    /// Connections that one process of a crowd, or a backend of theirs, holds at most.
    private static let crowdMax = 9_000
    private static let backendMax = 12_000

    private let plan: HostilePlan
    private let kind: CrowdKind
    private let name: String
    private let folder: TemporaryFolder
    private let proxyCore: Int?
    private let otherCore: Int?
    private var children: [Child] = []

    init(_ plan: HostilePlan, _ kind: CrowdKind, of name: String, _ folder: TemporaryFolder) throws {
        self.plan = plan.fitting(kind)
        self.kind = kind
        self.name = name
        self.folder = folder
        let cores = allowedCores()
        if let first = cores.first, let last = cores.last, first != last {
            (otherCore, proxyCore) = (first, last)
        } else {
            (otherCore, proxyCore) = (nil, nil)
        }
    }

    deinit { for child in children { child.stop(signal: SIGKILL) } }

    /// Does it.
    func run(_ progress: inout Progress) throws -> HostileFigures {
        try writeCertificate()
        if let otherCore { try pin(to: otherCore) }
        var figures = HostileFigures(plan, kind)
        let backend = try startBackend()
        var crowdBackends: [UInt16] = []
        if kind.descriptors > 1 {
            for _ in 0..<((plan.connections + Self.backendMax - 1) / Self.backendMax) {
                crowdBackends.append(try startBackend(isIdle: true))
            }
        } else {
            crowdBackends = [backend]
        }
        for stage in plan.stages where !stopWasAsked {
            try run(stage, backend, crowdBackends, &figures, &progress)
        }
        return figures
    }

    private func run(
        _ stage: HostileStage, _ backend: UInt16, _ crowdBackends: [UInt16], _ figures: inout HostileFigures,
        _ progress: inout Progress
    ) throws {
        let target = try HostileTarget(
            name, plan, kind, stage: stage, backend: backend, crowdBackends: crowdBackends, cpu: proxyCore,
            folder: folder)
        defer { target.stop() }
        let crowds = try startCrowd(port: kind == .handshake ? target.securePort : target.port)
        defer { for crowd in crowds { crowd.stop(signal: SIGKILL) } }
        var stay = HostileStay(stage, target.text)
        stay.memoryBefore = target.memory("VmRSS:")
        let title = "\(name), \(kind.rawValue), \(stage.rawValue)"
        let tcpBefore = Self.tcpMemory()
        for round in 1...plan.rounds {
            progress.show("\(title), round \(round) of \(plan.rounds): the others alone", isStep: false)
            stay.alone.append(try window(target, crowds))
            progress.show("\(title), round \(round) of \(plan.rounds): the crowd comes", isStep: false)
            try order(.come, crowds, untilThey: "all have come", within: 60)
            progress.show("\(title), round \(round) of \(plan.rounds): the others beside it")
            // What its coming costs is no part of what it costs to have it here.
            if stage == .held { pause(milliseconds: 1500) }
            stay.beside.append(try window(target, crowds))
            stay.descriptors = max(stay.descriptors, target.descriptors)
            stay.tcpMemory = max(stay.tcpMemory, Self.tcpMemory() - tcpBefore)
            if round < plan.rounds || stage == .held {
                try order(.go, crowds, untilThey: "all have gone", within: 20)
                // What their going costs is no part of the next window.
                pause(milliseconds: 1500)
            }
        }
        stay.memoryPeak = target.memory("VmHWM:")
        if stage == .siege {
            let told = monotonicNow()
            for crowd in crowds { kill(crowd.pid, SIGTERM) }
            for crowd in crowds where !crowd.wait(milliseconds: 200_000) { figures.stayed += 1 }
            figures.gone = monotonicNow() - told
        }
        stay.memoryAfter = target.memory("VmRSS:")
        stay.isAlive = target.isAlive
        figures.stays.append(stay)
    }

    private func writeCertificate() throws {
        let authority = try CertificateAuthority(name: "Bench CA")
        let identity = try authority.issue(.server, name: "a.test", dnsNames: ["a.test", "crowd.test"])
        let (chain, key) = (
            String(decoding: identity.certificateChain, as: UTF8.self), String(decoding: identity.key, as: UTF8.self)
        )
        try writeFile("\(folder.path)/tls.crt", chain)
        try writeFile("\(folder.path)/tls.key", key)
        try writeFile("\(folder.path)/tls.pem", chain + key)
    }

    private func startBackend(isIdle: Bool = false) throws -> UInt16 {
        // What the crowd's backends cannot get rid of would be the machine's memory, and is nobody's figure.
        let backend = try Child(
            "backend", ownExecutable(), ["backend"] + (isIdle ? ["--send-buffer", "32KiB"] : []), cpu: otherCore,
            folder: folder, priority: isIdle ? .idle : .realTime)
        children.append(backend)
        try await_(["listening"], of: [backend], count: 1, within: 20)
        let digits = backend.output.split(separator: ":").last?.prefix { $0.isNumber } ?? ""
        guard let port = UInt16(digits) else { throw Failure("the backend does not tell its port") }
        return port
    }

    private func startCrowd(port: UInt16) throws -> [Child] {
        let count = (plan.connections + Self.crowdMax - 1) / Self.crowdMax
        return try (0..<count).map { number in
            let size = plan.connections * (number + 1) / count - plan.connections * number / count
            return try Child(
                "crowd\(number)", ownExecutable(),
                [
                    "crowd", "--kind", kind.rawValue, "--connections", "\(size)", "--port", "\(port)",
                    "--pace", "\(max(1, plan.pace / 1_000_000))ms", "--arrivals", "\(max(1, plan.arrivals / count))",
                    "--number", "\(number)",
                ], cpu: otherCore, folder: folder, priority: .idle)
        }
    }

    /// Tells the crowd something and waits for all of it to say that it is done; those whom the proxy does not let in are
    /// not waited for.
    private func order(_ order: CrowdOrder, _ crowds: [Child], untilThey say: String, within seconds: UInt64) throws {
        let before = crowds.map { $0.output.lines(beginning: say) }
        for crowd in crowds { kill(crowd.pid, order.signal) }
        let giveUpAt = monotonicNow() + seconds * 1_000_000_000
        while monotonicNow() < giveUpAt {
            try check(crowds)
            if zip(crowds, before).allSatisfy({ $0.output.lines(beginning: say) > $1 }) { return }
            pause(milliseconds: 20)
        }
    }

    /// Load by well-behaved clients, and what it cost.
    private func window(_ target: HostileTarget, _ crowds: [Child]) throws -> HostileWindow {
        // Others have machines of their own: neither the crowd nor the kernel on its behalf may keep them from theirs.
        let awake = try AwakeCores([proxyCore, otherCore].compactMap(\.self))
        Priority.realTime.take()
        defer {
            Priority.normal.take()
            withExtendedLifetime(awake) {}
        }
        var plan = LoadPlan(
            targets: [LoadTarget(address: loopback(target.port), authority: "a.test", path: "/bytes/1000")])
        plan.connections = 16
        plan.pace = .open(rate: self.plan.rate)
        plan.expectedBytes = 1000
        var generator = try LoadGenerator(plan)
        try generator.open()
        try generator.run(.after(1_000_000_000))
        let (began, cpu, tally) = (monotonicNow(), target.cpu(), self.tally(crowds))
        var load: [LoadResult] = []
        for _ in 0..<max(1, self.plan.duration / 1_000_000_000) {
            generator.reset()
            try generator.run(.after(1_000_000_000))
            load.append(LoadResult(generator, ownCPU: 0))
        }
        let seconds = Double(monotonicNow() - began) / 1e9
        let (used, now) = (target.cpu() - cpu, self.tally(crowds))
        try check(crowds)
        return HostileWindow(
            load: load, cpu: Double(used) / 1e9 / seconds, crowd: now - tally,
            seconds: seconds)
    }

    private func tally(_ crowds: [Child]) -> CrowdTally {
        crowds.reduce(CrowdTally()) { $0 + CrowdTally(output: $1.output) }
    }

    private func await_(_ texts: [String], of children: [Child], count: Int, within seconds: UInt64) throws {
        let giveUpAt = monotonicNow() + seconds * 1_000_000_000
        while !children.allSatisfy({ child in texts.allSatisfy { child.output.contains($0) } }) {
            try check(children)
            guard monotonicNow() < giveUpAt else { throw Failure("\(children[0].name) does not say \(texts[0])") }
            pause(milliseconds: 5)
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

    /// Bytes that TCP holds in the kernel, of all sockets of the machine.
    private static func tcpMemory() -> Int {
        let line = (readSystemFile("/proc/net/sockstat") ?? "").split(separator: "\n").first { $0.hasPrefix("TCP:") }
        return (line?.split(separator: " ").last.flatMap { Int($0) } ?? 0) * 4096
    }
}
