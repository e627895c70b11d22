import Discovery
import ProxyCore
import Testing

@testable import HDProxy

/// A valid configuration whose only service has these keys beside its endpoints.
private func service(_ keys: String, endpoints: String = "\"10.0.0.1:80\"") -> String {
    "{ listeners: [ { address: \"[::]:80\" } ], routes: [], services: { api: { endpoints: [ \(endpoints) ], \(keys) } } }"
}

private func read(_ text: String) -> Result<Settings, ConfigurationProblems> {
    SettingsReader.read(Array(text.utf8), file: "f")
}

/// What is wrong with `text`, without places in the text.
private func problems(_ text: String) -> [String] {
    guard case .failure(let problems) = read(text) else { return [] }
    return problems.problems.map {
        "\($0.path.replacing("services.api.", with: "")): \($0.wrong); \($0.allowed)"
    }
}

/// How a service is treated: `health`, `identity`, `outlier`, `retry`, `balance` and what belongs to it.
@Suite struct PolicyReaderTests {
    private static let duration = "a whole number with ms, s, m or h, in quotes, as in \"250ms\""
    private static let header = "the name of a field that each answer carries, as in \"X-Service\""
    private static let value = "the field's value, printable ASCII, as in \"honeydue-api\""
    private static let statuses = "statuses from 200 to 599 and ranges of them, as in \"200-299,401\""
    private static let path =
        "a path as it travels, as in \"/healthz\" or \"/healthz?full=1\"; left out, a connection is enough"
    private static let address =
        "an IP address and a port, as in \"10.0.0.1:8000\" or \"[fd00::1]:8000\" (for a name there is dns)"

    @Test func whatIsConfiguredIsServed() throws {
        let text = service(
            """
            prefer: "zone", balance: "roundRobin", slowStart: "0s", maxConcurrent: 7, queue: 9, queueTimeout: "2s",
            health: { path: "/h?a=1", host: "api.local:80", interval: "1s", timeout: "500ms", healthyAfter: 1,
                      unhealthyAfter: 2, expectStatus: "200-299,401" },
            identity: { header: "X-Service", value: "honeydue api" },
            outlier: { consecutiveFailures: 5, ejectFor: "20s", maxEjectedPercent: 34 },
            retry: { attempts: 3, budgetPercent: 10 }, timeouts: { try: "3s" }
            """,
            endpoints: "\"10.0.0.1:80\", { address: \"10.0.0.2:80\", weight: 3 }, { address: \"10.0.0.3:80\" }")
        let settings = try read(text).get()
        var balance = BalanceSpec()
        balance.method = .roundRobin
        balance.slowStart = .zero
        balance.maxConcurrent = 7
        balance.queue = 9
        balance.queueTimeout = .seconds(2)
        var outlier = OutlierSpec()
        outlier.consecutiveFailures = 5
        outlier.ejectFor = .seconds(20)
        outlier.maxEjectedPercent = 34
        var retry = RetrySpec()
        retry.attempts = 3
        retry.budgetPercent = 10
        let identity = IdentitySpec(header: "X-Service", value: "honeydue api")

        let served = settings.snapshot(generation: 1).services[0]
        #expect(served.balance == balance && served.outlier == outlier && served.retry == retry)
        #expect(served.identity == identity && served.tryTimeout == .seconds(3))
        #expect(served.endpoints.map(\.address.description) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])

        var care = CareSpec()
        care.prefer = .zone
        care.health = HealthSpec(
            path: "/h?a=1", host: "api.local:80", interval: .seconds(1), timeout: .milliseconds(500), healthyAfter: 1,
            unhealthyAfter: 2, expectStatus: ExpectedStatuses([200...299, 401...401]))
        care.identity = identity
        care.outlier = outlier
        care.weights = [NetworkAddress("10.0.0.2:80")!: 3]
        #expect(settings.serviceSpecs[0].care == care)
    }

    @Test func nothingSaidIsTheContractsDefault() throws {
        let settings = try read(service("")).get()
        #expect(settings.services[0].care == CareSpec() && settings.services[0].tryTimeout == .zero)
        let served = settings.snapshot(generation: 1).services[0]
        #expect(served.balance == BalanceSpec() && served.retry == RetrySpec() && served.outlier == OutlierSpec())
        #expect(served.identity == nil && settings.services[0].care.health == nil)
        // A connection is enough where no path is named.
        #expect(try read(service("health: {}")).get().services[0].care.health == HealthSpec())
    }

    @Test func whatIsPrintedReadsTheSame() throws {
        let cases = [
            "", "health: {}", "health: { interval: \"30s\", unhealthyAfter: 1 }",
            "health: { path: \"/\", expectStatus: 204 }",
            "health: { path: \"/\", host: \"a\", expectStatus: \"200-204, 301\" }",
            "identity: { header: \"X-A\", value: \"quote \\\" it\" }", "outlier: { consecutiveFailures: 0 }",
            "retry: { attempts: 0, budgetPercent: 100 }, balance: \"roundRobin\", prefer: \"node\"",
            "slowStart: \"0s\", maxConcurrent: 10, queue: 0, queueTimeout: \"1ms\", timeouts: { try: \"0s\" }",
        ]
        for keys in cases {
            let settings = try read(service(keys, endpoints: "{ address: \"[::1]:80\", weight: 1000 }")).get()
            #expect(try read(settings.text).get() == settings, "\(keys)")
        }
        let text = try read(service("health: { path: \"/h\" }")).get().text
            .split(whereSeparator: \.isWhitespace).joined(separator: " ")
        #expect(text.contains("\"health\": { \"path\": \"/h\", \"interval\": \"5s\", \"timeout\": \"2s\""), "\(text)")
    }

    @Test func problemsAreSpelledOut() {
        let cases: [(keys: String, lines: [String])] = [
            (
                "prefer: \"nodes\", balance: \"random\"",
                [
                    "prefer: \"nodes\" is unknown, did you mean \"node\"?; \"none\" or \"zone\" or \"node\"",
                    "balance: \"random\" is unknown; \"leastRequest\" or \"roundRobin\"",
                ]
            ),
            (
                "maxConcurrent: -1, queue: 1.5, queueTimeout: \"0s\", slowStart: 5",
                [
                    "maxConcurrent: -1 is not allowed; a whole number from 0 to 1000000",
                    "queue: 1.5 is not allowed; a whole number from 0 to 1000000",
                    "queueTimeout: \"0s\" is too short; \(Self.duration), from 1ms to 168h",
                    "slowStart: a number stands here; \(Self.duration), from 0s to 168h",
                ]
            ),
            (
                "health: { path: \"healthz\", interval: \"9ms\", healthyAfter: 0, expectStatus: \"2xx\" }",
                [
                    "health.path: \"healthz\" does not begin with /; \(Self.path)",
                    "health.interval: \"9ms\" is too short; \(Self.duration), from 10ms to 168h",
                    "health.healthyAfter: 0 is not allowed; a whole number from 1 to 100",
                    "health.expectStatus: \"2xx\" is not a set of statuses; \(Self.statuses)",
                ]
            ),
            (
                "health: { path: \"/a b\", host: \"\", expectStatus: 600, pth: 1 }",
                [
                    "health.path: \"/a b\" cannot be asked for; \(Self.path)",
                    "health.host: \"\" is not a host; a host name, perhaps with a port; left out, the endpoint's own address",
                    "health.expectStatus: 600 is not a set of statuses; \(Self.statuses)",
                    "health.pth: unknown key, did you mean `path`?; "
                        + "known here: path, host, interval, timeout, healthyAfter, unhealthyAfter, expectStatus",
                ]
            ),
            (
                "health: { expectStatus: \"200\" }",
                ["health.expectStatus: `path` is missing beside it: nothing is asked for; path: \"/healthz\" as well"]
            ),
            (
                "health: true",
                [
                    "health: a boolean stands here; an object with path, host, interval, timeout, healthyAfter, "
                        + "unhealthyAfter, expectStatus"
                ]
            ),
            (
                "identity: {}",
                [
                    "identity.header: it is missing; \(Self.header)",
                    "identity.value: it is missing; \(Self.value)",
                ]
            ),
            (
                "identity: { header: \"X Service\", value: \" a\" }",
                [
                    "identity.header: \"X Service\" is not the name of a field; \(Self.header)",
                    "identity.value: \" a\" is not the value of a field; \(Self.value)",
                ]
            ),
            (
                "outlier: { consecutiveFailures: 1001, ejectFor: \"0s\", maxEjectedPercent: 101 }",
                [
                    "outlier.consecutiveFailures: 1001 is not allowed; a whole number from 0 to 1000",
                    "outlier.ejectFor: \"0s\" is too short; \(Self.duration), from 10ms to 168h",
                    "outlier.maxEjectedPercent: 101 is not allowed; a whole number from 0 to 100",
                ]
            ),
            (
                "retry: { attempts: 11, budget: 5 }",
                [
                    "retry.attempts: 11 is not allowed; a whole number from 0 to 10",
                    "retry.budget: unknown key; known here: attempts, budgetPercent",
                ]
            ),
            (
                "timeouts: { try: \"-1s\" }",
                ["timeouts.try: \"-1s\" is not a duration; \(Self.duration), from 0s to 168h"]
            ),
        ]
        for (keys, lines) in cases { #expect(problems(service(keys)) == lines, "\(keys)") }
    }

    @Test func weightsBelongToAddresses() {
        let cases: [(endpoints: String, lines: [String])] = [
            ("{ address: \"1.2.3.4:80\", weight: 0 }, \"1.2.3.5:80\"", []),
            (
                "{ address: \"1.2.3.4:80\", weight: 0 }",
                ["endpoints: no weight is above 0; a weight above 0 for at least one of them"]
            ),
            ("{ weight: 2 }", ["endpoints[0].address: it is missing; \(Self.address)"]),
            (
                "{ address: \"1.2.3.4:80\", weight: 1001 }, { address: \"1.2.3.4:80\", wieght: 1 }, { address: 5 }",
                [
                    "endpoints[0].weight: 1001 is not allowed; a whole number from 0 to 1000",
                    "endpoints[1].address: \"1.2.3.4:80\" is services.api.endpoints[0] again; each address once",
                    "endpoints[1].wieght: unknown key, did you mean `weight`?; known here: address, weight",
                    "endpoints[2].address: a number stands here; \(Self.address)",
                ]
            ),
        ]
        for (endpoints, lines) in cases {
            #expect(problems(service("", endpoints: endpoints)) == lines, "\(endpoints)")
        }
    }
}
