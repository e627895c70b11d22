// The room Time: what does a deadline cost that is moved by every request and seldom comes?

import ProxyCore

func timeBenchmarks() -> [MicroBenchmark] { [putOff(), rearm()] }

/// A later deadline for one of 5,000 owners: only noted.
private func putOff() -> MicroBenchmark {
    MicroBenchmark(name: "TimerWheel.arm/put off", inputBytes: 0) { count in
        var wheel = TimerWheel(now: Instant(nanoseconds: 0))
        wheel.reserve(5000)
        for i in 0..<count {
            wheel.arm(Int32(i % 5000), at: Instant(nanoseconds: 60_000_000_000 &+ Int64(i)))
        }
        blackHole(wheel.nextWake())
    }
}

/// Earlier and later by turns, as a keep-alive connection's deadline is.
private func rearm() -> MicroBenchmark {
    MicroBenchmark(name: "TimerWheel.arm/earlier and later", inputBytes: 0) { count in
        var wheel = TimerWheel(now: Instant(nanoseconds: 0))
        wheel.reserve(5000)
        for i in 0..<count {
            let seconds: Int64 = i & 1 == 0 ? 960 : 95
            wheel.arm(Int32(i / 2 % 5000), at: Instant(nanoseconds: seconds &* 1_000_000_000 &+ Int64(i)))
        }
        blackHole(wheel.nextWake())
    }
}
