// What does one call cost? The framework of `micro`: warm-up, many samples, the median and its spread in nanoseconds,
// and how many bytes a call takes from the allocator.
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
    /// Bytes and times that a call asks the allocator for.
    let allocatedBytes: Double
    let allocations: Double

    /// For results files.
    var metrics: [Metric] {
        [
            Metric(name: "micro/\(benchmark.name)/time", unit: "ns", sample: time),
            Metric(name: "micro/\(benchmark.name)/allocated", unit: "bytes", sample: Sample(values: [allocatedBytes])),
        ]
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
    let before = allocationCount()
    for _ in 0..<samples {
        let start = monotonicNow()
        benchmark.calls(calls)
        time.values.append(Double(monotonicNow() - start) / Double(calls))
    }
    let after = allocationCount()
    // The sample's own growth is a few allocations in millions of calls.
    let total = Double(samples * calls)
    func perCall(_ number: Int) -> Double { Double(number) / total < 0.01 ? 0 : Double(number) / total }
    return MicroResult(
        benchmark: benchmark, time: time, allocatedBytes: perCall(after.bytes - before.bytes),
        allocations: perCall(after.calls - before.calls))
}
