// The command `load`: load on any URL, and what came of it.

import Glibc

func loadCommand() -> Command {
    Command(
        name: "load", summary: "load on URLs: closed loop, or an open loop at a fixed rate",
        help: """
            usage: hdproxy-bench load [OPTIONS] http[s]://HOST[:PORT][/PATH] …

            Sends requests over HTTP/1.1 from one thread and checks every answer: status 2xx, framing, whole length.
            Without --rate a closed loop: each connection sends its next request once the last is answered.
            With --rate an open loop: requests are due at a fixed rate, and a request's time counts from the moment it
            was due, however long it had to wait for a connection.

            Exit status 1 when there was any error.
            """,
        options: [
            OptionSpec("--connections", "N", "how many at once (64)"),
            OptionSpec("--duration", "TIME", "how long (5s)"),
            OptionSpec("--requests", "N", "how many requests, in place of a duration"),
            OptionSpec("--warm-up", "TIME", "unmeasured load before (0)"),
            OptionSpec("--rate", "N", "open loop: so many requests a second"),
            OptionSpec("--new-connections", nil, "a new connection for every request"),
            OptionSpec("--ca", "FILE", "for https: whom to believe, in PEM form (the system's authorities)"),
            OptionSpec("--resume", nil, "for https with --new-connections: come back with the ticket that was given"),
            OptionSpec("--method", "NAME", "the method (GET; POST with a body)"),
            OptionSpec("--body-bytes", "SIZE", "bytes to send up with each request"),
            OptionSpec("--websocket", nil, "messages over WebSocket that must come back, one in flight a connection"),
            OptionSpec("--message-bytes", "SIZE", "bytes of a message (128)"),
            OptionSpec("-H", "'NAME: VALUE'", "one more field line; Host replaces ours"),
            OptionSpec("--hosts", "N", "Host h0.bench.test to hN-1.bench.test in turn"),
            OptionSpec("--expect-bytes", "SIZE", "any other body length is an error"),
            OptionSpec("--timeout", "TIME", "a request that takes longer is an error (10s)"),
            OptionSpec("--json", "FILE", "the figures as JSON; - for standard output"),
        ],
        run: runLoad)
}

private func runLoad(_ arguments: Arguments) throws -> Int32 {
    let plan = try loadPlan(arguments)
    let end: LoadGenerator.End =
        if arguments.has("--requests") {
            .requests(try arguments.number("--requests", 1, in: 1...1_000_000_000_000))
        } else {
            .after(try arguments.time("--duration", 5_000_000_000))
        }
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    let limit = raiseDescriptorLimit()
    guard plan.connections < limit - 16 else {
        throw Failure("\(plan.connections) connections do not fit under the limit of \(limit) descriptors (ulimit -n)")
    }
    var progress = Progress()
    var generator = try LoadGenerator(plan)
    progress.show("opening \(plan.connections) connections", isStep: false)
    try generator.open()
    if arguments.has("--warm-up") {
        progress.show("warming up", isStep: false)
        try generator.run(.after(try arguments.time("--warm-up", 1)))
        generator.reset()
    }
    let cpu = ownCPU()
    try generator.run(end) { done in progress.show("\(grouped(done)) answered", isStep: false) }
    progress.clear()
    let result = LoadResult(generator, ownCPU: ownCPU() - cpu)
    let jsonPath = arguments.text("--json")
    if jsonPath != "-" { printOut(result.text) }
    if let jsonPath {
        if jsonPath == "-" {
            printOut(result.json.formatted())
        } else {
            try writeFile(jsonPath, result.json.formatted())
        }
    }
    return result.errors.total == 0 && result.gaveUp == nil ? 0 : 1
}

private func loadPlan(_ arguments: Arguments) throws -> LoadPlan {
    guard !arguments.operands.isEmpty else { throw UsageError("load needs a URL") }
    var plan = LoadPlan(targets: try arguments.operands.map { try LoadTarget(url: $0) })
    plan.connections = try arguments.number("--connections", 64, in: 1...1_000_000)
    if let rate = try arguments.rate("--rate") { plan.pace = .open(rate: rate) }
    plan.newConnections = arguments.has("--new-connections")
    plan.tls = try tlsPlan(arguments, plan)
    plan.bodyBytes = try arguments.size("--body-bytes") ?? 0
    plan.method = arguments.text("--method") ?? (plan.bodyBytes > 0 ? "POST" : "GET")
    plan.fields = arguments.all("-H")
    plan.hosts = try arguments.number("--hosts", 0, in: 0...100_000)
    plan.expectedBytes = try arguments.size("--expect-bytes")
    plan.timeout = try arguments.time("--timeout", plan.timeout)
    if arguments.has("--websocket") {
        plan.messageBytes = try arguments.size("--message-bytes") ?? 128
        guard (1...(1 << 24)).contains(plan.messageBytes ?? 0) else {
            throw UsageError("--message-bytes: a size from 1 to 16MiB is needed")
        }
        guard !plan.newConnections, plan.bodyBytes == 0 else {
            throw UsageError("--websocket goes with neither --new-connections nor --body-bytes")
        }
    } else if arguments.has("--message-bytes") {
        throw UsageError("--message-bytes needs --websocket")
    }
    for field in plan.fields where !field.contains(":") || field.contains("\n") || field.contains("\r") {
        throw UsageError("-H '\(field)': a field line has the form 'Name: value'")
    }
    return plan
}

private func tlsPlan(_ arguments: Arguments, _ plan: LoadPlan) throws -> LoadTLS? {
    let secureCount = plan.targets.count { $0.isSecure }
    guard secureCount > 0 else {
        for option in ["--ca", "--resume"] where arguments.has(option) { throw UsageError("\(option) needs https") }
        return nil
    }
    guard secureCount == plan.targets.count else { throw UsageError("http and https do not go together in one load") }
    if arguments.has("--resume"), !plan.newConnections { throw UsageError("--resume needs --new-connections") }
    return LoadTLS(authorities: arguments.text("--ca"), resumes: arguments.has("--resume"))
}
