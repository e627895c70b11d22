// How long and how much? Durations and sizes as the configuration spells them: a whole number and one unit, so that
// nobody has to know which unit is meant when none stands there. Reader and writer side by side.

/// Durations: `"250ms"`, `"5s"`, `"1m"`, `"1h"`.
enum DurationText {
    /// What is allowed, for messages.
    static let allowed = "a whole number with ms, s, m or h, in quotes, as in \"250ms\""

    private static let units: [(name: String, milliseconds: Int)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000),
    ]

    /// The milliseconds that `text` spells; nil where it spells none or more than fit.
    static func milliseconds(_ text: String) -> Int? {
        guard let (number, unit) = Quantity.split(text), let factor = units.first(where: { $0.name == unit }) else {
            return nil
        }
        return Quantity.product(number, factor.milliseconds)
    }

    /// `duration` in the largest unit that fits without a remainder.
    static func write(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let milliseconds = Int(seconds) &* 1000 &+ Int(attoseconds / 1_000_000_000_000_000)
        if milliseconds == 0 { return "0s" }
        // Minutes and hours only where they are what a person would say: "90s" and "960s", but "1h".
        let unit = units.last { milliseconds % $0.milliseconds == 0 && ($0.name != "m" || milliseconds <= 600_000) }
        return unit.map { "\(milliseconds / $0.milliseconds)\($0.name)" } ?? "\(milliseconds)ms"
    }
}

/// Sizes: `"64KiB"`, `"1MiB"`, `"10MB"`, or a plain number of bytes.
enum SizeText {
    /// What is allowed, for messages.
    static let allowed = "bytes as a whole number, or in quotes with B, kB, MB, GB, KiB, MiB or GiB, as in \"64KiB\""

    private static let units: [(name: String, bytes: Int)] = [
        ("B", 1), ("kB", 1000), ("KB", 1000), ("KiB", 1024), ("MB", 1_000_000), ("MiB", 1 << 20),
        ("GB", 1_000_000_000), ("GiB", 1 << 30),
    ]

    /// The bytes that `text` spells; nil where it spells none or more than fit.
    static func bytes(_ text: String) -> Int? {
        guard let (number, unit) = Quantity.split(text) else { return nil }
        if unit.isEmpty { return number }
        guard let factor = units.first(where: { $0.name == unit }) else { return nil }
        return Quantity.product(number, factor.bytes)
    }

    /// `bytes` in the largest binary unit that fits without a remainder.
    static func write(_ bytes: Int) -> String {
        for unit in units.reversed() where unit.name.hasSuffix("iB") && bytes > 0 && bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.name)"
        }
        return "\(bytes)B"
    }
}

private enum Quantity {
    /// The digits in front, and what follows.
    static func split(_ text: String) -> (Int, String)? {
        let digits = text.utf8.prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        guard !digits.isEmpty, let number = Int(String(Substring(digits))) else { return nil }
        return (number, String(text.dropFirst(digits.count)))
    }

    static func product(_ a: Int, _ b: Int) -> Int? {
        let (value, overflow) = a.multipliedReportingOverflow(by: b)
        return overflow ? nil : value
    }
}
