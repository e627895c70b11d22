// The command `compare`: who takes part, what is measured, where the results go.

import Glibc

func compareCommand() -> Command {
    let scenarios = allScenarios().map { "  \($0.name.padded(to: 15))\($0.title)" }.joined(separator: "\n")
    return Command(
        name: "compare", summary: "hdproxy against nginx and HAProxy: the same work, one core each, in turn",
        help: """
            usage: hdproxy-bench compare [OPTIONS]

            Starts hdproxy and, where they are installed, nginx and HAProxy, each with one worker on a core of its own
            and configured for the same work; load generator and backend share another core. All happens in a network
            namespace of its own with Reno as congestion control, as root or, where the system lets users have
            namespaces, without. Rounds are interleaved; shown are medians.

            scenarios:
            \(scenarios)

            Exit status 1 when a proxy failed; with --strict also when a target was missed or the baseline was better.
            """,
        options: [
            OptionSpec("--only", "A,B", "these scenarios"),
            OptionSpec("--rounds", "N", "how often each is measured (5)"),
            OptionSpec("--duration", "TIME", "how long each time (2s)"),
            OptionSpec("--warm-up", "TIME", "unmeasured load before (300ms)"),
            OptionSpec("--connections", "N", "connections of the load generator (64)"),
            OptionSpec("--idle-connections", "N", "connections of the scenario idle (5000)"),
            OptionSpec("--proxy", "FILE", "the hdproxy to measure; default: beside this program, built if missing"),
            OptionSpec("--peers", "A,B", "whom to compare with (nginx,haproxy); also haproxy-splice, or none"),
            OptionSpec("--without-hdproxy", nil, "peers alone"),
            OptionSpec("--syscalls", nil, "count system calls too, with strace, in a pass of its own"),
            OptionSpec("--json", "FILE", "the results as JSON, for --baseline of a later run"),
            OptionSpec("--html", "FILE", "the results as a picture"),
            OptionSpec("--baseline", "FILE", "say what got slower than in these earlier results"),
            OptionSpec("--strict", nil, "fail when a target is missed or something got slower"),
        ],
        run: runCompare)
}

private func runCompare(_ arguments: Arguments) throws -> Int32 {
    if let word = arguments.operands.first { throw UsageError("compare takes no operand, but got “\(word)”") }
    var settings = ComparisonSettings(contenders: [], scenarios: try chosenScenarios(arguments.text("--only")))
    settings.rounds = try arguments.number("--rounds", settings.rounds, in: 1...1000)
    settings.duration = try arguments.time("--duration", settings.duration)
    settings.warmUp = try arguments.time("--warm-up", settings.warmUp)
    settings.connections = try arguments.number("--connections", settings.connections, in: 1...4000)
    settings.idleConnections = try arguments.number("--idle-connections", settings.idleConnections, in: 1...8000)
    settings.countsSystemCalls = arguments.has("--syscalls")
    let baseline = try arguments.text("--baseline").map { try Baseline(path: $0) }

    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    var notes: [String] = []
    settings.contenders = try chosenContenders(arguments, &notes)
    let room = NetworkRoom.enter()
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    let comparison = try Comparison(settings, folder: folder)
    let began = now()
    comparison.run()

    let report = CompareReport(
        settings: settings, results: comparison.results, notes: notes + room.complaints + comparison.notes,
        setting: [
            "machine: \(machine())",
            "cores: \(comparison.coresText)",
            room.isPrivate
                ? "network: a namespace of its own, \(room.congestionControl)"
                : "network: the machine's own, \(room.congestionControl)",
            "proxies: " + settings.contenders.map { "\($0.name) \($0.version)" }.joined(separator: ", "),
            "each figure: the median of \(settings.rounds) rounds of \(duration(ns: Double(settings.duration))), "
                + "\(settings.connections) connections",
        ], date: began)
    printOut(report.text)
    var isWorse = false
    if let baseline {
        let (text, worse) = baseline.report(on: report.metrics, judging: report.isJudged)
        printOut("\n" + text)
        isWorse = worse
    }
    if let path = arguments.text("--json") { try writeFile(path, report.json.formatted()) }
    if let path = arguments.text("--html") { try writeFile(path, report.html) }
    let isMissed = report.judgements.contains { $0.isMet == false }
    if arguments.has("--strict") && (isMissed || isWorse) { return 1 }
    return stopWasAsked || comparison.results.contains { !$0.failures.isEmpty } ? 1 : 0
}

private func chosenScenarios(_ text: String?) throws -> [Scenario] {
    let all = allScenarios()
    guard let text else { return all }
    let names = text.split(separator: ",").map(String.init)
    for name in names where !all.contains(where: { $0.name == name }) {
        throw UsageError("there is no scenario “\(name)”", nearest: nearest(name, in: all.map(\.name)))
    }
    return all.filter { names.contains($0.name) }
}

/// Peers first, so that hdproxy stands last in tables.
private func chosenContenders(_ arguments: Arguments, _ notes: inout [String]) throws -> [any Contender] {
    let known = ["nginx", "haproxy", "haproxy-splice", "none"]
    let wanted = (arguments.text("--peers") ?? "nginx,haproxy").split(separator: ",").map(String.init)
    for name in wanted where !known.contains(name) {
        throw UsageError("there is no peer “\(name)”", nearest: nearest(name, in: known))
    }
    var contenders: [any Contender] = []
    if wanted.contains("nginx") {
        if let nginx = NginxContender() {
            contenders.append(nginx)
        } else {
            notes.append("nginx is not installed (apt-get install nginx): left out")
        }
    }
    for name in wanted where name.hasPrefix("haproxy") {
        if let haproxy = HAProxyContender(splices: name == "haproxy-splice") {
            contenders.append(haproxy)
        } else {
            notes.append("haproxy is not installed (apt-get install haproxy): left out")
        }
    }
    if !arguments.has("--without-hdproxy") {
        contenders.append(HDProxyContender(program: try ProxyProgram.find(arguments.text("--proxy"))))
    }
    guard !contenders.isEmpty else { throw Failure("nobody is left to compare") }
    return contenders
}

/// The hdproxy to measure.
enum ProxyProgram {
    /// `path` if given; else the one beside this program, built now if it is missing.
    static func find(_ path: String?) throws -> String {
        if let path {
            guard isExecutable(path) else { throw UsageError("--proxy \(path): no program there") }
            return path
        }
        let own = ownExecutable()
        let folder = String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)])
        let beside = folder + "/hdproxy"
        if isExecutable(beside) { return beside }
        try build(from: folder)
        guard isExecutable(beside) else { throw Failure("hdproxy was built, but not to \(beside); name it by --proxy") }
        return beside
    }

    private static func build(from folder: String) throws {
        var root = folder
        while !names(in: root).contains("Package.swift") {
            guard let slash = root.lastIndex(of: "/"), slash != root.startIndex else {
                throw Failure("no hdproxy beside this program, and no package to build it from; name it by --proxy")
            }
            root = String(root[..<slash])
        }
        printError("building hdproxy as make build does")
        guard let swift = findProgram("swift") else { throw Failure("swift is not in PATH; name hdproxy by --proxy") }
        let output = try TemporaryFolder()
        defer { output.remove() }
        let child = try Child(
            "build", swift,
            [
                "build", "-c", "release", "--product", "hdproxy", "--static-swift-stdlib", "-Xlinker", "--gc-sections",
                "--package-path", root,
            ], cpu: nil,
            folder: output)
        while child.isRunning {
            if stopWasAsked { throw Failure("stopped while hdproxy was being built") }
            pause(milliseconds: 50)
        }
        guard child.ending == "exit status 0" else {
            throw Failure("hdproxy was not built: \(child.output.suffix(2000))")
        }
    }
}

/// What this machine is, in a line.
private func machine() -> String {
    let cpu = (readSystemFile("/proc/cpuinfo") ?? "").split(separator: "\n").first { $0.hasPrefix("model name") }
    let model = cpu?.split(separator: ":").last.map { $0.drop { $0 == " " } } ?? "unknown processor"
    let kernel = (readSystemFile("/proc/sys/kernel/osrelease") ?? "?").filter { $0 != "\n" }
    return "\(model), \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) cores, Linux \(kernel)"
}

/// The time of day, as in `2026-11-24T09:14:27Z`.
private func now() -> String {
    var seconds = time(nil)
    // Safety: each call fills the structure it is given.
    var parts = unsafe tm()
    unsafe gmtime_r(&seconds, &parts)
    var text = [CChar](repeating: 0, count: 32)
    let count = unsafe strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
    return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
