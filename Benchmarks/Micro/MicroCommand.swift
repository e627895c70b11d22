// The command `micro`, and the list of all its benchmarks.

import Glibc

/// All benchmarks: one function for each room.
private func allBenchmarks() -> [MicroBenchmark] {
    bytesBenchmarks() + timeBenchmarks() + http1Benchmarks() + routingBenchmarks() + balancingBenchmarks()
}

func microCommand() -> Command {
    Command(
        name: "micro", summary: "nanoseconds and allocated bytes a call of what every request passes through",
        help: """
            usage: hdproxy-bench micro [OPTIONS]

            Each benchmark is warmed up, then measured in many samples of about half a millisecond. Shown are the
            median, half the distance of the quartiles, and what a call asks of the Swift runtime: bytes and objects
            allocated, references counted (not seen with -static-stdlib).
            """,
        options: [
            OptionSpec("--filter", "TEXT", "only benchmarks whose name contains TEXT (either case)"),
            OptionSpec("--samples", "N", "samples of each (101)"),
            OptionSpec("--list", nil, "name them, measure nothing"),
            OptionSpec("--json", "FILE", "the results as JSON"),
            OptionSpec("--baseline", "FILE", "say what got slower than in these earlier results"),
            OptionSpec("--strict", nil, "exit status 1 when something got slower"),
        ],
        run: runMicro)
}

private func runMicro(_ arguments: Arguments) throws -> Int32 {
    if let word = arguments.operands.first { throw UsageError("micro takes no operand; --filter \(word) was meant?") }
    let samples = try arguments.number("--samples", 101, in: 5...100_000)
    let baseline = try arguments.text("--baseline").map { try Baseline(path: $0) }
    let filter = arguments.text("--filter")?.lowercased() ?? ""
    let chosen = allBenchmarks().filter { filter.isEmpty || $0.name.lowercased().contains(filter) }
    guard !chosen.isEmpty else { throw UsageError("no benchmark has “\(filter)” in its name; --list names them") }
    if arguments.has("--list") {
        printOut(chosen.map(\.name).joined(separator: "\n"))
        return 0
    }
    catchStopSignals()
    var progress = Progress()
    var results: [MicroResult] = []
    for benchmark in chosen where !stopWasAsked {
        progress.show(benchmark.name, isStep: false)
        results.append(measure(benchmark, samples: samples))
    }
    progress.clear()
    printOut(table(results))
    let metrics = results.flatMap(\.metrics)
    if let path = arguments.text("--json") {
        let json = JSON.members(("command", .string("micro")), ("metrics", .array(metrics.map(\.json))))
        try writeFile(path, json.formatted())
    }
    guard let baseline else { return 0 }
    let (text, isWorse) = baseline.report(on: metrics)
    printOut(text)
    return arguments.has("--strict") && isWorse ? 1 : 0
}

private func table(_ results: [MicroResult]) -> String {
    var table = Table("benchmark", "ns a call", "± %", "least", "MB/s", "bytes a call", "objects", "retain+release")
    for result in results {
        let input = Double(result.benchmark.inputBytes)
        table.add([
            result.benchmark.name, figure(result.time.median), fixed(result.time.spread * 100, 1),
            figure(result.time.least), input > 0 ? figure(input / result.time.median * 1000) : "",
            result.runtime.map { fixed($0.bytes, 0) } ?? "-", result.runtime.map { fixed($0.objects, 2) } ?? "-",
            result.runtime.map { fixed($0.references, 2) } ?? "-",
        ])
    }
    return table.text()
}
