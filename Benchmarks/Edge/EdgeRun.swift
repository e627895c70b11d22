// Three nodes behind a client like Cloudflare, while its zone goes from Flexible to Full (strict): over https by small
// steps, then only with the client's certificate, then with renewed certificates of the nodes. Nothing may be lost.

import Glibc
import ProxyCore

/// One run.
final class EdgeRun {
    /// `X-Service` of right answers.
    static let service = "edge"

    private var plan: EdgePlan
    private let program: String
    private let workers: Int
    private let folder: TemporaryFolder
    private var nodes: [Child] = []
    private var pods: [Child] = []
    private var podAddresses: [String] = []
    private let origins: CertificateAuthority
    private let pulls: CertificateAuthority

    init(_ plan: EdgePlan, program: String, workers: Int, _ folder: TemporaryFolder) throws {
        self.plan = plan
        self.program = program
        self.workers = workers
        self.folder = folder
        origins = try CertificateAuthority(name: "Origin CA")
        pulls = try CertificateAuthority(name: "Origin Pull")
        self.plan.nodes = (1...3).map { "127.\(20 + Int(getpid()) % 50).0.\($0)" }
        self.plan.plainPort = try freePort()
        self.plan.securePort = try freePort()
    }

    /// Ends all of it.
    func stop() { for child in nodes + pods { child.stop() } }

    /// Does it.
    func run(_ progress: inout Progress) throws -> ProofReport {
        try startPods()
        try writeFile("\(folder.path)/pulls.crt", String(decoding: pulls.certificate, as: UTF8.self))
        try renewCertificates()
        for index in plan.nodes.indices {
            try writeConfiguration(index, clientAuth: "request")
            nodes.append(
                try Child(
                    "node\(index)", program, ["run", "--config", path(index)], cpu: nil, folder: folder))
        }
        try awaitAll("\"listening\"", 1)
        let board = try EdgeClient.start(
            plan, trust: .certificates(origins.certificate),
            identity: pulls.issue(.client, name: "origin-pull.test"))
        let start = monotonicNow()
        func phase(_ name: String, until part: Double) throws {
            progress.show("\(name): \(grouped(board.figures.sent)) requests so far")
            let end = start + UInt64(Double(plan.duration) * part)
            while monotonicNow() < end {
                try check()
                pause(milliseconds: 20)
            }
        }
        try phase("Flexible", until: 0.2)
        // As Cloudflare moves a zone, by steps.
        for (permille, part) in [(10, 0.3), (100, 0.4), (500, 0.5)] {
            board.securePermille = permille
            try phase("Full (strict) for \(permille / 10) % of the requests", until: part)
        }
        board.securePermille = 1000
        try phase("Full (strict)", until: 0.6)
        for index in nodes.indices {
            try writeConfiguration(index, clientAuth: "require")
            kill(nodes[index].pid, SIGHUP)
            try phase("a certificate is required by node \(index + 1)", until: 0.6 + 0.05 * Double(index + 1))
        }
        try awaitAll("\"applied\"", 1)
        try renewCertificates()
        try phase("certificates are renewed", until: 1)
        let figures = board.stopAndWait()
        return report(figures)
    }

    // MARK: The stage

    private func startPods() throws {
        let port = try freePort()
        for number in 1...3 {
            let ip = "127.\(80 + Int(getpid()) % 100).9.\(number)"
            let ledger = try PodLedger("\(folder.path)/ledger.\(number)", isNew: true)
            ledger.work = 2_000_000
            pods.append(
                try Child(
                    "pod\(number)", ownExecutable(),
                    [
                        "pod", "--parent", "\(getpid())", "--address", ip, "--port", "\(port)", "--service",
                        Self.service, "--pod", "pod\(number)", "--ledger", ledger.path, "--says-client",
                    ], cpu: nil, folder: folder))
            podAddresses.append("\(ip):\(port)")
            let giveUpAt = monotonicNow() + 20_000_000_000
            while !ledger.isReady {
                guard monotonicNow() < giveUpAt else { throw Failure("a pod did not start: \(pods.last!.output)") }
                pause(milliseconds: 1)
            }
        }
    }

    private func path(_ index: Int) -> String { "\(folder.path)/node\(index).json5" }

    private func writeConfiguration(_ index: Int, clientAuth: String) throws {
        let ip = plan.nodes[index]
        try writeFile(
            path(index),
            """
            {
              workers: \(workers),
              listeners: [
                { name: "http", address: "\(ip):\(plan.plainPort)" },
                { name: "https", address: "\(ip):\(plan.securePort)",
                  tls: { certificates: [ { certificate: "\(folder.path)/tls.crt", key: "\(folder.path)/tls.key" } ],
                         clientCA: "\(folder.path)/pulls.crt", clientAuth: "\(clientAuth)" } },
              ],
              admin: { address: "", socket: "" },
              trustedProxies: [ "127.0.0.0/8" ],
              services: { a: { endpoints: [ \(podAddresses.map { "\"\($0)\"" }.joined(separator: ", ")) ],
                               identity: { header: "X-Service", value: "\(Self.service)" } } },
              routes: [ { host: "api.test", service: "a" } ],
              handoff: { socket: "" },
              log: { access: false },
            }

            """)
    }

    /// A new certificate of the same authority for all nodes.
    private func renewCertificates() throws {
        let identity = try origins.issue(.server, name: "api.test", dnsNames: ["api.test", "*.api.test"])
        for (name, bytes) in [("tls.crt", identity.certificateChain), ("tls.key", identity.key)] {
            let path = "\(folder.path)/\(name)"
            try writeFile("\(path).new", String(decoding: bytes, as: UTF8.self))
            // Safety: both paths are passed as NUL-terminated strings.
            guard unsafe rename("\(path).new", path) == 0 else { throw SystemFailure("renaming \(path).new") }
        }
    }

    private func awaitAll(_ text: String, _ count: Int) throws {
        let giveUpAt = monotonicNow() + 20_000_000_000
        for node in nodes {
            while !node.output.contains(text) {
                try check()
                guard monotonicNow() < giveUpAt else { throw Failure("\(node.name) does not say \(text)") }
                pause(milliseconds: 2)
            }
        }
    }

    private func check() throws {
        if let node = nodes.first(where: { !$0.isRunning }) {
            throw Failure("\(node.name) ended: \(node.ending ?? "") \(node.output.suffix(800))")
        }
        if stopWasAsked { throw Failure("stopped") }
    }

    // MARK: The figures

    private func report(_ figures: EdgeBoard.Figures) -> ProofReport {
        var report = ProofReport(
            title: "3 nodes behind a client like Cloudflare for \(duration(ns: Double(plan.duration))), "
                + "\(figure(plan.rate)) requests a second, from Flexible to Full (strict) with client certificates",
            version: HDProxyContender(program: program).version)
        let (plain, secure) = figures.answered
        report.tell("requests", "requests", Double(figures.sent))
        report.tell("POSTs among them", "posts", Double(figures.posts))
        report.tell("answered rightly over http", "answered_plain", Double(plain))
        report.tell("answered rightly over https", "answered_secure", Double(secure))
        report.tell("connections", "connections", Double(figures.opened))
        report.tell("handshakes", "handshakes", Double(figures.handshakes))
        let lost = figures.lost.values.reduce(0, +)
        report.demandNone("requests lost", "lost", lost)
        report.demandNone("requests without an outcome", "open", figures.sent - plain - secure - lost)
        report.demandNone("connections closed unannounced", "closed_unannounced", figures.endedUnannounced)
        report.tell("connections closed with an announcement", "closed_announced", Double(figures.ended))
        let fewest = figures.perNode.min() ?? 0
        report.demand(
            "requests of the node that got fewest", "fewest", Double(fewest), grouped(fewest), "some", fewest > 0)
        let sorted = figures.latencies.sorted()
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] where !sorted.isEmpty {
            let value = Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]) * 1000
            report.tell("latency, \(name)", name, value, duration(ns: value))
        }
        report.examples = figures.lost.sorted { $0.value > $1.value }.prefix(20).map { "\($0.value) times \($0.key)" }
        return report
    }
}
