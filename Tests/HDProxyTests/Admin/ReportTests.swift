import Discovery
import Foundation
import ProxyCore
import Testing

@testable import HDProxy

/// Values behind the pages, and how they are spelled.
@Suite struct ReportTests {
    @Test func aReportReadsAsItWasWritten() async throws {
        ControlThread.start()
        var report = ScriptedState.report
        #expect(try JSONDecoder().decode(StatusReport.self, from: Data(await Self.json(report))) == report)
        let text = String(decoding: await Self.json(report), as: UTF8.self)
        // The contract's names, and null where there is nothing to say.
        for part in [
            "{\"version\":\"0.1.0\",\"generation\":7,\"state\":\"serving\",",
            "\"sources\":[{\"name\":\"kubernetes\",\"synced\":true,\"stale\":false,"
                + "\"lastEvent\":\"2026-11-24T09:14:25.000000Z\",\"error\":null}",
            "\"ready\":true,\"serving\":true,\"terminating\":false,\"health\":\"up\",\"ejected\":null,",
            "\"inFlight\":1,\"latencyMs\":8.2}", "\"address\":\"10.42.1.7:8000\",\"witness\":\"dns\",\"since\":",
            "{\"name\":\"http\",\"address\":\"[::]:80\",\"connections\":12,\"proxyProtocol\":\"required\",\"tls\":null}",
            "\"tls\":{\"minimumVersion\":\"1.2\",\"certificates\":2,\"nextExpiry\":\"2026-12-14T09:14:27.000000Z\",",
            "\"clientAuth\":\"require\",\"hosts\":[{\"host\":\"open.myhoneydue.com\",\"clientAuth\":\"off\"}],",
            "\"kernel\":false,\"kernelAbsence\":\"the kernel has no module tls\"}",
            "\"access\":{\"trustedProxies\":[\"cloudflare\"],\"originLockdown\":[\"10.42.0.0/16\",\"127.0.0.0/8\"]}",
            "\"problem\":\"honeydue/lost has no port \\\"http\\\"; it has web, metrics\"",
        ] { #expect(text.contains(part), "\(part)") }
        // Many services, in pieces, and numbers that are none.
        report.services = (0..<300).map { ServiceReport(name: "s\($0)") }
        report.state = .handedOver
        report.workers[0].lastTurnMs = 0.125
        #expect(try JSONDecoder().decode(StatusReport.self, from: Data(await Self.json(report))) == report)
        var odd = JSONText()
        odd.object {
            $0.member("nan", Double.nan)
            $0.member("large", Double.infinity)
            $0.member("control", "\u{1}\"\\/é")
        }
        #expect(
            String(decoding: odd.bytes, as: UTF8.self)
                == "{\"nan\":null,\"large\":null,\"control\":\"\\u0001\\\"\\\\/é\"}")
    }

    @ControlThread private static func json(_ report: StatusReport) async -> [UInt8] { await report.json() }

    @Test func aPageShowsWhatIsToldAndNothingElse() {
        var report = ScriptedState.report
        report.services[0].name = "<script>alert(1)</script>"
        report.sources[1].error = "it's \"5 < 6 & 7\""
        let page = String(decoding: StatusPage.response(report).body, as: UTF8.self)
        #expect(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"))
        #expect(page.contains("it&#39;s &quot;5 &lt; 6 &amp; 7&quot;"))
        for part in [
            "http://", "url(", "@import", "<img", "<link", "onclick",
        ] { #expect(!page.contains(part), "\(part)") }
        for part in [
            "DNS still answers 10.42.1.7 for api", "3 of 5 usable".replacing("3", with: "2"),
            "belongs to honeydue/dozzle",
            "ejected: 3 failures in a row", "has no usable endpoint", "<title>(!) HDProxy</title>",
            "TLS 1.2+", "2 certificates, the first ends in 20 days", "PROXY header required",
            "certificate required; no certificate for open.myhoneydue.com", "the kernel has no module tls",
            "<b>May connect:</b> only cloudflare, believed about the client; and 10.42.0.0/16, 127.0.0.0/8.",
            "A certificate of https",
        ] { #expect(page.contains(part), "\(part)") }
        report.services = [ScriptedState.report.services[1]]
        report.listeners[1].tls?.nextExpiry = "2027-12-14T09:14:27.000000Z"
        let calm = String(decoding: StatusPage.response(report).body, as: UTF8.self)
        #expect(calm.contains("All is well.") && calm.contains("<title>HDProxy</title>"))
        // A thousand services of ten endpoints stay a page that a phone can show.
        report.services = (0..<1000).map { index in
            var service = ScriptedState.report.services[1]
            service.name = "s\(index)"
            service.endpoints = Array(repeating: service.endpoints[0], count: 10)
            return service
        }
        let large = StatusPage.response(report).body
        #expect(large.count < 2 << 20)
        #expect(String(decoding: large, as: UTF8.self).contains("And 800 more, which status as JSON shows."))
    }

    @Test func howACertificateEndsIsToldInTime() {
        let now = "2026-11-24T09:14:27.031000Z"
        var tls = TLSReport(
            minimumVersion: "1.3", certificates: 1, clientAuth: "off", hosts: [], strictSNI: false, kernel: true)
        #expect(tls.certificatesText(now: now) == "1 certificate" && tls.alarm(now: now) == nil)
        #expect(tls.clientsText == "no certificate" && tls.kernelText == "records by the kernel")
        let cases: [(end: String, text: String, isUrgent: Bool?)] = [
            ("2026-12-25T09:14:27Z", "it ends in 31 days", nil), ("2026-12-24T09:14:27Z", "it ends in 30 days", false),
            ("2026-12-01T09:14:28Z", "it ends in 7 days", false), ("2026-12-01T09:14:26Z", "it ends in 6 days", true),
            ("2026-11-24T10:00:00Z", "it ends in 45 min", true), ("2026-11-22T09:14:27Z", "it ended 2 days ago", true),
        ]
        for (end, text, isUrgent) in cases {
            tls.nextExpiry = end
            #expect(tls.certificatesText(now: now) == "1 certificate, \(text)")
            #expect(tls.alarm(now: now)?.isUrgent == isUrgent, "\(end)")
        }
        tls.nextExpiryFile = "/c"
        #expect(tls.alarm(now: now)?.text == "/c has ended 2 days ago")
        // An authority among them may be the first to end.
        tls.clientAuth = "request"
        tls.hosts = (0..<6).map { TLSReport.Host(host: "h\($0)", clientAuth: $0 == 0 ? "request" : "require") }
        #expect(tls.certificatesText(now: now) == "1 certificate, the first ended 2 days ago")
        #expect(
            tls.clientsText
                == "certificate asked for; certificate required for h1, certificate required for h2, certificate required "
                + "for h3, certificate required for h4, and 1 other host with their own")
    }

    @Test func whoMayConnectIsASentence() {
        let cases: [(trusted: [String], lockdown: [String]?, text: String)] = [
            ([], nil, "everybody; nobody is believed"),
            (["cloudflare"], nil, "everybody; cloudflare believed about the client"),
            (["cloudflare"], [], "only cloudflare, believed about the client"),
            ([], ["10.0.0.0/8"], "only 10.0.0.0/8"),
        ]
        for (trusted, lockdown, text) in cases {
            #expect(AccessReport(trustedProxies: trusted, originLockdown: lockdown).text == text)
        }
    }

    @Test func agesAreWhatPeopleSay() {
        let cases: [(time: String, text: String)] = [
            ("2026-11-24T09:14:27.031Z", "0 s"), ("2026-11-24T09:13:46Z", "41 s"), ("2026-11-24T09:12:28Z", "119 s"),
            ("2026-11-24T09:12:27Z", "2 min"), ("2026-11-24T07:14:27Z", "2 h"), ("2026-02-28T09:14:27Z", "269 days"),
            ("2024-02-28T09:14:27Z", "1000 days"), ("2026-11-24T09:15:00Z", "0 s"), ("yesterday", "yesterday"),
            ("2026-13-24T09:14:27Z", "2026-13-24T09:14:27Z"), ("", ""), ("äääääääääääääääääZ", "äääääääääääääääääZ"),
        ]
        for (time, text) in cases { #expect(Age.text(of: time, now: "2026-11-24T09:14:27.031000Z") == text, "\(time)") }
        let now = Clock.wallMicroseconds()
        #expect(Age.seconds(CivilTime.timestamp(wallMicroseconds: now)) == Int(now / 1_000_000))
    }

    @Test func queriesAreDecodedAsTheyWereEncoded() {
        for text in ["", "a b&c=d", "/x?y=%2f#z", "ä😀", "+%"] {
            #expect(QueryText.decode(QueryText.encode(text)) == text)
            let request = AdminRequest(query: "first=1&q=\(QueryText.encode(text))&q=2")
            #expect(request.parameter("q") == text)
        }
        #expect(QueryText.decode("a+b%20c%zz%4") == "a b c%zz%4")
        let flags = AdminRequest(query: "verbose&=x&a=b=c")
        #expect(flags.parameter("verbose") == "" && flags.parameter("a") == "b=c" && flags.parameter("b") == nil)
    }
}
