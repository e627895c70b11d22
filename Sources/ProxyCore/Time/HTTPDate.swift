// What is the date, as HTTP spells it? `Tue, 24 Nov 2026 09:14:27 GMT` (RFC 9110 §5.6.7).

/// A moment of the wall clock, taken apart in UTC.
public struct CivilTime: Sendable {
    /// The year, proleptic Gregorian.
    public let year: Int
    /// The month, from 1.
    public let month: Int
    /// The day of the month, from 1.
    public let day: Int
    /// The day of the week, 0 for Sunday.
    public let weekday: Int
    /// The hour.
    public let hour: Int
    /// The minute.
    public let minute: Int
    /// The second.
    public let second: Int

    /// The time `seconds` after 1970-01-01 00:00:00 UTC, not before it.
    public init(unixSeconds seconds: Int64) {
        let clamped = max(0, min(seconds, 253_402_300_799))
        let days = Int(clamped / 86_400)
        let rest = Int(clamped % 86_400)
        hour = rest / 3600
        minute = rest / 60 % 60
        second = rest % 60
        weekday = (days + 4) % 7
        // Eras of 400 years beginning on 1 March, so that the leap day is the last one.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }
}

/// The text of a `Date` field, made once a second.
public struct HTTPDate: Sendable {
    /// The second that the text says.
    public private(set) var unixSeconds: Int64
    /// The text.
    public private(set) var text: [29 of UInt8]

    /// The date of `unixSeconds`.
    public init(unixSeconds: Int64) {
        self.unixSeconds = unixSeconds
        text = Self.spell(CivilTime(unixSeconds: unixSeconds))
    }

    /// Makes the text anew where the second is another one.
    @inline(__always) public mutating func update(unixSeconds: Int64) {
        if unixSeconds != self.unixSeconds { self = HTTPDate(unixSeconds: unixSeconds) }
    }

    private static func spell(_ time: CivilTime) -> [29 of UInt8] {
        var text = [29 of UInt8](repeating: UInt8(ascii: " "))
        var at = 0
        func put(_ part: StaticString, _ index: Int) {
            for i in 0..<3 {
                // Safety: the index of a day or month lies within its string of three letters each.
                text[at] = unsafe part.utf8Start[index * 3 + i]
                at += 1
            }
        }
        func put(_ number: Int, _ digits: Int) {
            var place = at + digits - 1
            var rest = number
            for _ in 0..<digits {
                text[place] = UInt8(truncatingIfNeeded: rest % 10) + UInt8(ascii: "0")
                rest /= 10
                place -= 1
            }
            at += digits
        }
        put("SunMonTueWedThuFriSat", time.weekday)
        text[at] = ASCII.comma
        at += 2
        put(time.day, 2)
        at += 1
        put("JanFebMarAprMayJunJulAugSepOctNovDec", time.month - 1)
        at += 1
        put(time.year, 4)
        at += 1
        put(time.hour, 2)
        text[at] = ASCII.colon
        at += 1
        put(time.minute, 2)
        text[at] = ASCII.colon
        at += 1
        put(time.second, 2)
        at += 1
        put("GMT", 0)
        return text
    }
}

extension CivilTime {
    /// A moment as RFC 3339 spells it, in UTC, with microseconds: `2026-11-24T09:14:27.031000Z`.
    public static func timestamp(wallMicroseconds: Int64) -> String {
        var text = ByteBuffer(capacity: 32)
        append(timestamp: wallMicroseconds, to: &text)
        return text.text()
    }

    /// Appends a moment as RFC 3339 spells it; 27 bytes.
    static func append(timestamp wallMicroseconds: Int64, to out: inout ByteBuffer) {
        // A clock before 1970 is a broken one, and no reason to stop.
        let wallMicroseconds = max(0, wallMicroseconds)
        let time = CivilTime(unixSeconds: wallMicroseconds / 1_000_000)
        func pad(_ value: Int, _ width: Int) {
            var scale = 1
            for _ in 1..<width { scale *= 10 }
            while scale > 0 {
                out.append(UInt8(truncatingIfNeeded: value / scale % 10) + UInt8(ascii: "0"))
                scale /= 10
            }
        }
        pad(time.year, 4)
        out.append("-")
        pad(time.month, 2)
        out.append("-")
        pad(time.day, 2)
        out.append("T")
        pad(time.hour, 2)
        out.append(":")
        pad(time.minute, 2)
        out.append(":")
        pad(time.second, 2)
        out.append(".")
        pad(Int(wallMicroseconds % 1_000_000), 6)
        out.append("Z")
    }
}
