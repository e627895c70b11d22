// What does one call cost? The framework of `micro`: warm-up, many samples, the median and its spread in nanoseconds,
// and what a call
// asks of the Swift runtime: bytes, objects, references counted.
//
// A benchmark is a line or two in a file beside this one:
//
//     micro("IPAddress.parse/v4", input: text.count) { IPAddress.parse(text.span) }

import Glibc

/// Something to measure.
struct MicroBenchmark {
    /// `Type.function/case`.
    let name: String
    /// Bytes that a call reads or writes, for a rate; 0 for none.
    let inputBytes: Int
    /// Makes so many calls.
    let calls: (Int) -> Void
}

/// What `call` costs. Its result is kept from the optimiser, so the work is done; what it reads should come from outside
/// the closure, through `opaque` where the compiler could work the result out.
@inline(__always) func micro<T>(_ name: String, input: Int = 0, _ call: @escaping () -> T) -> MicroBenchmark {
    MicroBenchmark(name: name, inputBytes: input) { count in
        for _ in 0..<count { blackHole(call()) }
    }
}

/// Takes a value, and the compiler cannot know that nothing comes of it.
@inline(never) @_optimize(none) func blackHole<T>(_ value: T) {}

/// `value`, and the compiler cannot know which.
@inline(never) @_optimize(none) func opaque<T>(_ value: T) -> T { value }

/// What came of a benchmark.
struct MicroResult {
    /// Which one.
    let benchmark: MicroBenchmark
    /// Nanoseconds a call.
    let time: Sample
    /// What a call asks of the Swift runtime: bytes, objects, references counted; nil where that cannot be seen.
    let runtime: (bytes: Double, objects: Double, references: Double)?

    /// For results files.
    var metrics: [Metric] {
        var metrics = [Metric(name: "micro/\(benchmark.name)/time", unit: "ns", sample: time)]
        guard let runtime else { return metrics }
        for (what, unit, value) in [
            ("allocated", "bytes", runtime.bytes), ("objects", "", runtime.objects),
            ("references", "", runtime.references),
        ] {
            metrics.append(Metric(name: "micro/\(benchmark.name)/\(what)", unit: unit, sample: Sample(values: [value])))
        }
        return metrics
    }
}

/// Measures `benchmark` by `samples` samples of about half a millisecond each.
func measure(_ benchmark: MicroBenchmark, samples: Int) -> MicroResult {
    // Warm-up, which also tells how many calls make a sample.
    var calls = 1
    var took: UInt64 = 0
    let warmUntil = monotonicNow() + 30_000_000
    while took < 500_000 || monotonicNow() < warmUntil {
        if took < 500_000 { calls *= 2 }
        let start = monotonicNow()
        benchmark.calls(calls)
        took = monotonicNow() - start
    }
    var time = Sample()
    for _ in 0..<samples {
        let start = monotonicNow()
        benchmark.calls(calls)
        time.values.append(Double(monotonicNow() - start) / Double(calls))
    }
    // What the loop itself needs, whatever the number of calls, falls out of the difference.
    guard let few = countRuntime({ benchmark.calls(100) }), let many = countRuntime({ benchmark.calls(1100) }) else {
        return MicroResult(benchmark: benchmark, time: time, runtime: nil)
    }
    func perCall(_ part: (RuntimeCount) -> Int) -> Double { Double(part(many) - part(few)) / 1000 }
    let runtime = (perCall { $0.bytes }, perCall { $0.objects }, perCall { $0.references })
    return MicroResult(benchmark: benchmark, time: time, runtime: runtime)
}
