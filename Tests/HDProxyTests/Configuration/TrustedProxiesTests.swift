import ProxyCore
import Testing

@testable import HDProxy

/// `trustedProxies`, and the redirect to https that rests on them.
@Suite struct TrustCheckTests {
    private func warnings(_ trusted: String) throws -> [String] {
        let text =
            "{ listeners: [ { address: \"127.0.0.1:1\" } ], services: {}, routes: [], trustedProxies: [\(trusted)] }"
        return TrustCheck.remarks(try SettingsReader.read(Array(text.utf8), file: "f").get()).map { remark in
            #expect(remark.isWarning && remark.path == "trustedProxies")
            return remark.text
        }
    }

    @Test func whoIsBelievedBesideCloudflareIsNamed() throws {
        #expect(try warnings("") == [])
        #expect(try warnings("\"cloudflare\"") == [])
        // A part of what Cloudflare has is Cloudflare.
        #expect(try warnings("\"104.16.0.0/13\", \"104.16.1.0/24\", \"2606:4700::1\"") == [])
        let some = try warnings("\"cloudflare\", \"10.42.0.0/16\", \"104.16.0.0/12\", \"::1\"")
        #expect(some.count == 1 && some[0].contains("10.42.0.0/16, 104.16.0.0/12, ::1/128"), "\(some)")
        #expect(some[0].contains("CF-Connecting-IP"))
        for everybody in ["0.0.0.0/0", "::/0"] {
            let all = try warnings("\"\(everybody)\"")
            #expect(all.count == 2 && all[0].contains("\(everybody) is everybody"), "\(all)")
        }
    }
}

@Suite struct TrustedProxiesTests {
    private static let allowed = "\"cloudflare\", an address, or a range as in \"10.42.0.0/16\" or \"2001:db8::/32\""

    private func read(_ keys: String, routes: String = "") -> Result<Settings, ConfigurationProblems> {
        let text =
            "{ \(keys), listeners: [ { address: \"[::]:80\" } ], routes: [ \(routes) ], "
            + "services: { api: { endpoints: [\"10.0.0.1:80\"] } } }"
        return SettingsReader.read(Array(text.utf8), file: "f")
    }

    private func problems(_ keys: String, routes: String = "") -> [String] {
        guard case .failure(let found) = read(keys, routes: routes) else { return [] }
        return found.problems.map { "\($0.path): \($0.wrong); \($0.allowed)" }
    }

    @Test func theFileAndTheProgramNameTheSameRangesOfCloudflare() throws {
        let file = try readFile(ExamplesTests.folder + "/cloudflare-ips.txt", bytesMax: 1 << 20).get()
        let ranges = try CloudflareRanges.read(String(decoding: file, as: UTF8.self))
        #expect(ranges == CloudflareRanges.all)
        #expect(ranges.map(\.description) == CloudflareRanges.texts)
        #expect(ranges.count(where: \.isIPv4) == 15 && ranges.count { !$0.isIPv4 } == 7)
    }

    @Test func entriesBecomeRangesAndArePrintedAsTheyAre() throws {
        let settings = try read("trustedProxies: [\"cloudflare\", \"10.42.0.0/16\", \"192.0.2.1\", \"2001:db8::/32\"]")
            .get()
        #expect(settings.trustedProxies.map(\.text) == ["cloudflare", "10.42.0.0/16", "192.0.2.1/32", "2001:db8::/32"])
        let snapshot = settings.snapshot(generation: 1)
        #expect(snapshot.trustedProxies.count == 22 + 3)
        #expect(snapshot.trustedProxies.last?.description == "2001:db8::/32")
        #expect(try SettingsReader.read(Array(settings.text.utf8), file: "f").get() == settings)
        #expect(try read("workers: 1").get().snapshot(generation: 1).trustedProxies.isEmpty)
    }

    @Test func whatIsNoRangeIsReportedWithWhatMayHaveBeenMeant() {
        let list = "a list of \"cloudflare\", addresses and ranges"
        let cases = [
            ("\"cloudflare\"", ["trustedProxies: a string stands here; \(list)"]),
            (
                "[\"cloudflair\"]",
                ["trustedProxies[0]: \"cloudflair\" is no address, did you mean \"cloudflare\"?; \(Self.allowed)"]
            ),
            (
                "[\"10.42/16\", 1]",
                [
                    "trustedProxies[0]: \"10.42/16\" is no address; \(Self.allowed)",
                    "trustedProxies[1]: a number stands here; \(Self.allowed)",
                ]
            ),
            (
                "[\"10.42.0.0/33\"]",
                [
                    "trustedProxies[0]: \"10.42.0.0/33\" has no number of bits behind its slash; \(Self.allowed)"
                ]
            ),
            (
                "[\"10.42.1.0/16\"]",
                [
                    "trustedProxies[0]: \"10.42.1.0/16\" goes on behind its prefix; \"10.42.0.0/16\", or the address alone"
                ]
            ),
        ]
        for (list, expected) in cases { #expect(problems("trustedProxies: \(list)") == expected, "\(list)") }
    }

    @Test func lockdownLetsNobodyElseIn() throws {
        let trusted = "trustedProxies: [\"10.42.0.0/16\"]"
        let cases: [(keys: String, lockdown: [String]?)] = [
            (trusted, nil), ("\(trusted), originLockdown: false", nil), ("\(trusted), originLockdown: true", []),
            ("\(trusted), originLockdown: { allow: [\"127.0.0.0/8\", \"::1\"] }", ["127.0.0.0/8", "::1/128"]),
            ("originLockdown: { allow: [\"cloudflare\"] }", CloudflareRanges.texts),
            ("\(trusted), originLockdown: {}", []),
        ]
        for (keys, lockdown) in cases {
            let settings = try read(keys).get()
            #expect(settings.snapshot(generation: 1).lockdown?.map(\.description) == lockdown, "\(keys)")
            #expect(try SettingsReader.read(Array(settings.text.utf8), file: "f").get() == settings, "\(keys)")
        }
        let nobody = "originLockdown: nobody could connect; trustedProxies that may, or allow in here"
        #expect(problems("originLockdown: true") == [nobody])
        #expect(problems("originLockdown: { allow: [] }, trustedProxies: []") == [nobody])
        #expect(
            problems("originLockdown: \"yes\"") == [
                "originLockdown: a string stands here; true, false, or { allow: [\"10.42.0.0/16\"] }"
            ])
        #expect(
            problems("\(trusted), originLockdown: { alow: [] }") == [
                "originLockdown.alow: unknown key, did you mean `allow`?; known here: allow"
            ])
    }

    @Test func aListenerMayAskForPROXYHeaders() throws {
        func text(_ keys: String, trusted: String = "[\"127.0.0.1\"]") -> String {
            "{ listeners: [ { name: \"a\", address: \"[::]:80\", \(keys) }, { address: \"[::]:81\" } ], "
                + "trustedProxies: \(trusted), services: {}, routes: [] }"
        }
        func read(_ text: String) -> Result<Settings, ConfigurationProblems> {
            SettingsReader.read(Array(text.utf8), file: "f")
        }
        for (keys, names) in [("proxyProtocol: \"required\"", ["a"]), ("proxyProtocol: \"off\"", []), ("", [])]
            as [(String, Set<String>)]
        {
            let settings = try read(text(keys)).get()
            #expect(settings.snapshot(generation: 1).proxyHeaderListeners == names)
            #expect(try read(settings.text).get() == settings)
        }
        func problems(_ text: String) -> [String] {
            guard case .failure(let found) = read(text) else { return [] }
            return found.problems.map { "\($0.path): \($0.wrong); \($0.allowed)" }
        }
        #expect(
            problems(text("proxyProtocol: \"v2\"")) == [
                "listeners[0].proxyProtocol: \"v2\" is unknown; \"off\" or \"required\""
            ])
        #expect(
            problems(text("proxyProtocol: \"required\"", trusted: "[]")) == [
                "listeners[0].proxyProtocol: nobody is trusted to write its header; trustedProxies that are"
            ])
    }

    @Test func aRedirectToHTTPSStandsBesideAService() throws {
        let trusted = "trustedProxies: [\"cloudflare\"]"
        for (redirect, status) in [
            ("\"https\"", 308), ("{ to: \"https\" }", 308), ("{ to: \"https\", status: 301 }", 301),
        ] {
            let settings = try read(trusted, routes: "{ host: \"a.b\", service: \"api\", redirect: \(redirect) }").get()
            #expect(settings.routes[0].httpsRedirect == status)
            #expect(settings.routes[0].action == .forward([("api", 1)]))
            #expect(settings.snapshot(generation: 1).routes[0].httpsRedirect == status)
            #expect(try SettingsReader.read(Array(settings.text.utf8), file: "f").get() == settings)
        }
        let alone = try read(trusted, routes: "{ host: \"a.b\", redirect: { to: \"https://c.d\" } }").get()
        #expect(alone.routes[0].httpsRedirect == nil)
    }

    @Test func aRedirectToHTTPSThatCouldNotEndIsRefused() {
        let trusted = "trustedProxies: [\"cloudflare\"]"
        let service = "{ host: \"a.b\", service: \"api\", redirect: \"https\" }"
        let endless =
            "routes[0].redirect: no request could be told to have come by https, so each would be sent there for ever; "
            + "a listener with tls, or trustedProxies whose X-Forwarded-Proto tells"
        let cases = [
            ("workers: 1", service, [endless]), ("trustedProxies: []", service, [endless]), (trusted, service, []),
            (
                trusted, "{ host: \"a.b\", redirect: \"https\" }",
                [
                    "routes[0]: nothing says who serves what comes by https; service or services beside the redirect"
                ]
            ),
            (
                trusted, "{ host: \"a.b\", service: \"api\", redirect: \"htps\" }",
                ["routes[0].redirect: \"htps\" is unknown, did you mean \"https\"?; \"https\""]
            ),
            (
                trusted, "{ host: \"a.b\", service: \"api\", redirect: { to: \"https\", status: 200 } }",
                ["routes[0].redirect.status: 200 is not the status of a redirect; 301, 302, 303, 307 or 308"]
            ),
            (
                trusted, "{ host: \"a.b\", service: \"api\", redirect: { to: \"https://c.d\" } }",
                ["routes[0].redirect: `service` stands beside it; one of service, services and redirect"]
            ),
        ]
        for (keys, routes, expected) in cases { #expect(problems(keys, routes: routes) == expected, "\(routes)") }
    }

    @Test func explainTellsWhereAPlainRequestIsSent() throws {
        let settings = try read(
            "trustedProxies: [\"cloudflare\"]", routes: "{ host: \"a.b\", service: \"api\", redirect: \"https\" }"
        ).get()
        func report(_ url: String) throws -> ExplainReport {
            ExplainReport(of: try ExplainedRequest(url: url, method: nil, fieldLines: []), settings: settings)
        }
        let plain = try report("http://a.b/x?y")
        #expect(plain.answer == "308 to https://a.b/x?y" && plain.services.isEmpty && plain.route != nil)
        let secure = try report("https://a.b/x?y")
        #expect(secure.answer == nil && secure.services.map(\.name) == ["api"] && secure.middlewares.count == 1)
    }
}
