// How long ago was that? Times of a report as people say them, `41 s ago`.

/// A moment of a report, as RFC 3339 in UTC.
enum Age {
    /// How long `time` is before `now`, as in `41 s`; the time itself where either cannot be read.
    static func text(of time: String, now: String) -> String {
        guard let then = seconds(time), let now = seconds(now) else { return time }
        let age = max(0, now - then)
        switch age {
        case ..<120: return "\(age) s"
        case ..<7200: return "\(age / 60) min"
        case ..<172_800: return "\(age / 3600) h"
        default: return "\(age / 86_400) days"
        }
    }

    /// `for 41 s`, or nothing.
    static func lasting(_ time: String?, now: String) -> String { time.map { "for \(text(of: $0, now: now))" } ?? "" }

    /// The seconds since 1970 that `2026-11-24T09:14:27.031Z` spells, fractions dropped.
    static func seconds(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> Int? { Int(String(decoding: bytes[range], as: UTF8.self)) }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            1970...9999 ~= year, 1...12 ~= month, 1...31 ~= day, 0...23 ~= hour, 0...59 ~= minute, 0...60 ~= second
        else { return nil }
        // Years beginning on 1 March, so that the leap day is the last one.
        let shifted = month > 2 ? year : year - 1
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
        return ((days * 24 + hour) * 60 + minute) * 60 + second
    }
}
