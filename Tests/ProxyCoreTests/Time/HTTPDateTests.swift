import Foundation
import Testing

@testable import ProxyCore

@Suite struct HTTPDateTests {
    @Test func knownMomentsAreSpelledAsHTTPDoes() {
        let cases: [(seconds: Int64, text: String)] = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (1, "Thu, 01 Jan 1970 00:00:01 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"), (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_795_511_667, "Tue, 24 Nov 2026 09:14:27 GMT"), (2_147_483_647, "Tue, 19 Jan 2038 03:14:07 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"), (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (253_402_300_800, "Fri, 31 Dec 9999 23:59:59 GMT"), (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (.max, "Fri, 31 Dec 9999 23:59:59 GMT"), (.min, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ]
        var reused = HTTPDate(unixSeconds: 5)
        for (seconds, text) in cases {
            #expect(spelled(HTTPDate(unixSeconds: seconds)) == text)
            reused.update(unixSeconds: seconds)
            #expect(spelled(reused) == text && reused.unixSeconds == seconds)
        }
    }

    private func spelled(_ date: HTTPDate) -> String {
        String(decoding: (0..<29).map { date.text[$0] }, as: UTF8.self)
    }

    @Test func everyDayIsTakenApartAsFoundationDoes() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(secondsFromGMT: 0))
        var random = RandomSource(seed: 7)
        // Each day of 1970 to 2110, some of those until 9999; a second of the day chosen at random.
        var day: Int64 = 0
        while day < 2_932_896 {
            let seconds = day * 86_400 + Int64(random.below(86_400))
            let time = CivilTime(unixSeconds: seconds)
            let parts = calendar.dateComponents(
                [.year, .month, .day, .weekday, .hour, .minute, .second],
                from: Date(timeIntervalSince1970: Double(seconds)))
            guard parts.year == time.year, parts.month == time.month, parts.day == time.day,
                parts.weekday == time.weekday + 1, parts.hour == time.hour, parts.minute == time.minute,
                parts.second == time.second
            else {
                Issue.record("\(seconds): \(time)")
                return
            }
            day += day < 2000 ? 1 : day < 51_500 ? Int64(1 + random.below(20)) : Int64(1 + random.below(4000))
        }
    }

    @Test func momentsOfTheLogHaveMicroseconds() {
        let cases: [(microseconds: Int64, text: String)] = [
            (0, "1970-01-01T00:00:00.000000Z"), (1, "1970-01-01T00:00:00.000001Z"),
            (1_795_511_667_031_000, "2026-11-24T09:14:27.031000Z"), (999_999, "1970-01-01T00:00:00.999999Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ]
        for (microseconds, text) in cases {
            #expect(CivilTime.timestamp(wallMicroseconds: microseconds) == text)
        }
    }
}
