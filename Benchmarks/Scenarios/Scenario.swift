// What is measured, and what must be reached? The scenarios of `compare`, each with its load and its targets.

/// One kind of work.
struct Scenario {
    /// How it is measured.
    enum Kind {
        /// A closed loop; proxies are as busy as they can be.
        case closedLoop
        /// An open loop at half of the slowest peer's maximal rate.
        case halfRate
        /// Memory, idle and with idle connections.
        case memory
    }

    /// As for `--only`.
    let name: String
    /// In words.
    let title: String
    /// How it is measured.
    var kind = Kind.closedLoop
    /// How many hosts; each proxy has a rule for each.
    var hosts = 1
    /// The path.
    var path = "/bytes/1024"
    /// What the body of an answer must be long.
    var expectedBytes: Int? = 1024
    /// Whether a request costs a lot: fewer of them are enough to count system calls.
    var isCostly = false
    /// Whether it goes over TLS.
    var isSecure = false
    /// Changes the plan: methods, bodies, messages.
    var adapt: (inout LoadPlan) -> Void = { _ in }
    /// What must be reached.
    var targets: [Target] = []
}

/// Something to reach.
struct Target {
    /// What is compared with the limit.
    enum Subject {
        /// hdproxy's figure over that of the better peer.
        case ratio
        /// hdproxy's own figure.
        case value
    }

    /// The figure: a key of `ScenarioResult.Figure`.
    let figure: Figure
    /// What of it.
    let subject: Subject
    /// At most this.
    let limit: Double
}

/// What is measured of a proxy in a scenario.
enum Figure: String, CaseIterable {
    case rate, cpu, p50, p99, p999, loadCPU, residentIdle, proportionalIdle, residentFull, proportionalFull,
        perConnection

    /// As a table's head.
    var head: String {
        switch self {
        case .rate: "requests/s"
        case .cpu: "CPU µs"
        case .p50: "p50 µs"
        case .p99: "p99 µs"
        case .p999: "p99.9 µs"
        case .loadCPU: "load+backend µs"
        case .residentIdle: "RSS idle MB"
        case .proportionalIdle: "PSS idle MB"
        case .residentFull: "RSS full MB"
        case .proportionalFull: "PSS full MB"
        case .perConnection: "bytes/connection"
        }
    }

    /// The unit.
    var unit: String {
        switch self {
        case .rate: "1/s"
        case .cpu, .p50, .p99, .p999, .loadCPU: "µs"
        case .residentIdle, .proportionalIdle, .residentFull, .proportionalFull: "MB"
        case .perConnection: "bytes"
        }
    }

    /// Whether less is better.
    var lessIsBetter: Bool { self != .rate }
}

/// All scenarios, in the order in which they are measured.
func allScenarios() -> [Scenario] {
    let mebibyte = 1 << 20
    return [
        Scenario(
            name: "small", title: "1 kB answer, keep-alive",
            targets: [Target(figure: .cpu, subject: .ratio, limit: 0.90)]),
        Scenario(
            name: "answer16k", title: "16 kB answer, keep-alive", path: "/bytes/16384", expectedBytes: 16384,
            targets: [Target(figure: .cpu, subject: .ratio, limit: 0.90)]),
        Scenario(
            name: "connect", title: "1 kB answer, a new connection a request", adapt: { $0.newConnections = true },
            targets: [Target(figure: .cpu, subject: .ratio, limit: 1.00)]),
        Scenario(
            name: "download", title: "1 MiB answer", path: "/bytes/\(mebibyte)", expectedBytes: mebibyte,
            isCostly: true,
            targets: [Target(figure: .cpu, subject: .ratio, limit: 0.70)]),
        Scenario(
            name: "upload", title: "1 MiB upload", path: "/upload", expectedBytes: nil, isCostly: true,
            adapt: {
                $0.method = "POST"
                $0.bodyBytes = mebibyte
            },
            targets: [Target(figure: .cpu, subject: .ratio, limit: 0.70)]),
        Scenario(
            name: "hosts", title: "1 kB answer, 1,000 hosts", hosts: 1000, adapt: { $0.hosts = 1000 },
            targets: [Target(figure: .cpu, subject: .ratio, limit: 0.85)]),
        Scenario(
            name: "websocket", title: "WebSocket message of 128 bytes, echoed", path: "/ws", expectedBytes: nil,
            adapt: { $0.messageBytes = 128 },
            targets: [Target(figure: .cpu, subject: .ratio, limit: 1.00)]),
        Scenario(
            name: "half", title: "1 kB answer at half of the slowest peer's maximum", kind: .halfRate,
            // Within 10 % is a tie.
            targets: [Target(figure: .p99, subject: .ratio, limit: 1.10)]),
        Scenario(
            name: "idle", title: "memory, idle and with 5,000 idle connections", kind: .memory,
            targets: [
                Target(figure: .residentIdle, subject: .value, limit: 10),
                Target(figure: .residentFull, subject: .value, limit: 14),
                Target(figure: .perConnection, subject: .value, limit: 700),
            ]),
        Scenario(
            name: "tls", title: "1 kB answer over TLS 1.3, keep-alive", isSecure: true,
            targets: [Target(figure: .cpu, subject: .ratio, limit: 1.00)]),
        Scenario(
            name: "tls-handshake", title: "1 kB answer, a new connection and a full handshake a request",
            isCostly: true,
            isSecure: true, adapt: { $0.newConnections = true },
            targets: [Target(figure: .cpu, subject: .ratio, limit: 1.00)]),
        Scenario(
            name: "tls-resume", title: "1 kB answer, a new connection a request, resumed by a ticket", isCostly: true,
            isSecure: true,
            adapt: {
                $0.newConnections = true
                $0.tls?.resumes = true
            },
            targets: [Target(figure: .cpu, subject: .ratio, limit: 1.00)]),
        Scenario(
            name: "tls-idle", title: "memory, idle and with 5,000 idle connections over TLS", kind: .memory,
            isSecure: true,
            targets: [
                Target(figure: .residentFull, subject: .ratio, limit: 1.00),
                // Nearly all of it is OpenSSL's, for each of them: a tie.
                Target(figure: .perConnection, subject: .ratio, limit: 1.05),
            ]),
    ]
}
