// What time is it? The only reader of clocks.

import Glibc

/// The system's clocks.
public enum Clock {
    /// Now, by the clock that never jumps.
    @inline(__always) public static func now() -> Instant {
        var time = timespec()
        // Safety: room for one timespec.
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
    }

    /// Now, by the clock on the wall, in microseconds since 1970.
    @inline(__always) public static func wallMicroseconds() -> Int64 {
        var time = timespec()
        // Safety: room for one timespec.
        _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1_000_000 &+ Int64(time.tv_nsec) / 1000
    }

    /// Now, by the clock on the wall, in seconds since 1970, at a few nanoseconds' cost.
    @inline(__always) public static func wallSecondsCoarse() -> Int64 {
        var time = timespec()
        // Safety: room for one timespec.
        _ = unsafe clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return Int64(time.tv_sec)
    }
}

/// 64 random bits of the system's.
public func systemRandom() -> UInt64 {
    var value: UInt64 = 0
    // Safety: eight bytes of room; getentropy fails only for more than 256.
    let result = unsafe getentropy(&value, MemoryLayout<UInt64>.size)
    precondition(result == 0, "the system gives random bits")
    return value
}
