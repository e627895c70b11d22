import Testing

@testable import Discovery

@Suite struct HealthSpecTests {
    @Test(
        "statuses are read as statuses and ranges between commas",
        arguments: [
            ("200-299", [200...299]), ("200", [200...200]), ("200-204,301, 404", [200...204, 301...301, 404...404]),
            ("599", [599...599]),
        ])
    func statuses(_ text: String, _ ranges: [ClosedRange<Int>]) {
        #expect(ExpectedStatuses(text)?.ranges == ranges)
    }

    @Test(
        "what is no set of final statuses is refused",
        arguments: [
            "", ",", "200,", "2xx", "200-", "-299", "299-200", "100", "600", "+20", "0200", "200-299-300", "20", "٢٠٠",
        ])
    func noStatuses(_ text: String) { #expect(ExpectedStatuses(text) == nil) }

    @Test("a set of statuses is told as it is written")
    func spelling() {
        #expect(ExpectedStatuses("200-299, 404")?.description == "200-299,404")
        #expect(ExpectedStatuses.success.contains(204) && !ExpectedStatuses.success.contains(301))
    }

    @Test("a path or a host that would break the request is no path and no host")
    func injections() {
        for path in ["/", "/health?deep=1", "/%20"] { #expect(HealthSpec.isPath(path)) }
        for path in [
            "", "health", "/a b", "/a\r\nX: y", "/ü", "/a#b", "/\u{7F}", "/" + String(repeating: "a", count: 2000),
        ] {
            #expect(!HealthSpec.isPath(path))
        }
        #expect(HealthSpec.isHost("api.example.com:80") && HealthSpec.isHost("[::1]:80"))
        for host in ["", "a b", "a\r\nb"] { #expect(!HealthSpec.isHost(host)) }
    }

    @Test("the confirming interval is a quarter, and not below 100 ms where the interval is not")
    func fast() {
        let table: [(Duration, Duration)] = [
            (.seconds(5), .milliseconds(1250)), (.milliseconds(200), .milliseconds(100)),
            (.milliseconds(40), .milliseconds(40)),
        ]
        for (interval, fast) in table { #expect(HealthSpec(interval: interval).fastInterval == fast) }
    }
}
