import Foundation
import ProxyCore
import Testing

@testable import Discovery

@Suite("Slices and DNS are compared all the time")
struct CrossCheckTests {
    private func pair() -> Clerk {
        var clerk = Clerk([.api])
        clerk.slices(
            [pod("a", "10.42.0.1:8000"), pod("b", "10.42.1.7:8000")],
            claims: ["10.42.0.1": [claim("a")], "10.42.1.7": [claim("b")]])
        clerk.wait(20)
        clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"])
        return clerk
    }

    @Test("the seed incident: a stale address is never used, and named with the answer that shows it")
    func seedIncident() {
        var clerk = pair()
        // The pod goes, its address goes to another one, and DNS does not notice, for ever.
        clerk.slices(
            [pod("a", "10.42.0.1:8000")], claims: ["10.42.1.7": [claim("d", "honeydue/dozzle", ports: [8080])]])
        #expect(clerk.served["api"] == ["a/10.42.0.1:8000"])
        clerk.wait(milliseconds: 5000)
        clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"])
        #expect(clerk.lines("discovery_disagreement").isEmpty, "DNS may lag for its TTL")
        clerk.wait(milliseconds: 1)
        let turn = clerk.hear(
            .dns(
                .init(
                    service: "api",
                    answer: .addresses(
                        ["10.42.0.1:8000", "10.42.1.7:8000"].map { NetworkAddress($0)! }, timeToLive: .seconds(5)))))
        #expect(turn.changes.isEmpty)
        #expect(
            turn.notices == [
                Notice(
                    .warn, "discovery_disagreement",
                    [
                        "state": "begun", "service": "api", "address": "10.42.1.7:8000", "witness": "dns",
                        "text":
                            "DNS still answers 10.42.1.7 for api, gone from slices 5 s ago; that address now belongs "
                            + "to honeydue/dozzle",
                    ])
            ])
        for _ in 0..<100 {
            clerk.wait(milliseconds: 5000)
            clerk.heard()
            clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"])
            #expect(clerk.addresses() == ["10.42.0.1:8000"])
        }
        #expect(clerk.lines("discovery_disagreement").count == 1, "once, not for each answer")
        #expect(clerk.view().disagreements.map(\.address.description) == ["10.42.1.7:8000"])
        #expect(
            clerk.view().disagreements[0].text.hasPrefix("DNS still answers 10.42.1.7 for api, gone from slices 505"))
        #expect(clerk.reconciler.disagreementCounts.map(\.count) == [1])
        #expect(clerk.verdict("10.42.1.7:8000") == .taken(owner: "honeydue/dozzle"))

        // The API goes away: the foreigner stays out, also where nobody claims it any more.
        clerk.claims(["10.42.1.7": []])
        clerk.lost()
        for _ in 0..<30 {
            clerk.wait(5)
            clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"])
            #expect(clerk.addresses() == ["10.42.0.1:8000"])
        }
        #expect(clerk.view().truth == .dns)
        #expect(clerk.verdict("10.42.1.7:8000") == .disbelieved)
        // And where DNS names nobody else, the last good slices stay.
        clerk.dns(["10.42.1.7:8000"])
        #expect(clerk.addresses() == ["10.42.0.1:8000"])
        #expect(clerk.view().truth == .kubernetes)

        // Back, and DNS has come to its senses; what it answered before is compared with nothing.
        clerk.wait(1)
        clerk.slices([pod("a", "10.42.0.1:8000")])
        clerk.dns(["10.42.0.1:8000"])
        #expect(clerk.lines("discovery_disagreement").count == 2)
        #expect(clerk.lines("discovery_disagreement")[1].hasPrefix("state=ended service=api address=10.42.1.7:8000"))
        #expect(clerk.view().disagreements.isEmpty)
    }

    @Test("an address that slices never had is named at once, whoever answered first")
    func never() {
        for dnsFirst in [true, false] {
            var clerk = Clerk([.api])
            if dnsFirst { clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"]) }
            clerk.slices(
                [pod("a", "10.42.0.1:8000")], claims: ["10.42.1.7": [claim("d", "honeydue/dozzle", ports: [8080])]])
            if !dnsFirst { clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"]) }
            #expect(clerk.addresses() == ["10.42.0.1:8000"])
            #expect(clerk.lines("discovery_disagreement").count == 1)
            #expect(
                clerk.view().disagreements.first?.text
                    == "DNS answers 10.42.1.7 for api, which slices never had; that address now belongs to honeydue/dozzle"
            )
        }
    }

    @Test("one that is ready for longer than the TTL and that DNS lacks is named")
    func missing() {
        var clerk = pair()
        clerk.slices([pod("a", "10.42.0.1:8000"), pod("b", "10.42.1.7:8000"), pod("c", "10.42.0.3:8000")])
        clerk.wait(5)
        clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"])
        #expect(clerk.lines("discovery_disagreement").isEmpty)
        clerk.wait(1)
        clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"])
        #expect(
            clerk.view().disagreements.map(\.text) == ["DNS does not answer 10.42.0.3 for api, ready in slices for 6 s"]
        )
        #expect(clerk.addresses().count == 3, "it is used all the same")
        clerk.slices([pod("a", "10.42.0.1:8000"), pod("b", "10.42.1.7:8000"), pod("c", "10.42.0.3:8000", "000")])
        #expect(clerk.view().disagreements.isEmpty, "one that is not ready is rightly absent")
        clerk.dnsNone()
        #expect(clerk.view().disagreements.count == 2)
    }

    @Test(
        "a cache that counts the TTL down, a family that was not asked, and ports of the configuration raise no alarm")
    func silence() {
        var clerk = pair()
        clerk.slices([pod("a", "10.42.0.1:8000")])
        clerk.wait(4)
        clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"], timeToLive: 1)
        #expect(clerk.lines("discovery_disagreement").isEmpty)

        clerk = pair()
        clerk.slices([
            pod("a", "10.42.0.1:8080"), pod("b", "10.42.1.7:8080"), pod("a", "[fd00::1]:8080"),
        ])
        clerk.wait(20)
        clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000"])
        #expect(clerk.lines("discovery_disagreement").isEmpty)
    }

    @Test("where SRV records tell the port, another port is another address")
    func ports() {
        var spec = ServiceSpec.api
        spec.dns?.port = nil
        var clerk = Clerk([spec])
        clerk.slices([pod("a", "10.42.0.1:8000")])
        clerk.dns(["10.42.0.1:8001"])
        #expect(clerk.view().disagreements.map(\.address.description) == ["10.42.0.1:8001"])
    }

    @Test("while the API is out of touch nothing is compared, so a rollout meanwhile makes no foreigners")
    func outOfTouch() {
        var clerk = pair()
        clerk.lost()
        clerk.wait(10)
        clerk.dns(["10.42.0.1:8000", "10.42.0.9:8000"])
        #expect(clerk.lines("discovery_disagreement").isEmpty)
        clerk.wait(60)
        #expect(clerk.addresses() == ["10.42.0.1:8000", "10.42.0.9:8000"])
    }

    @Test("a pod whose address has gone to another pod is not missed in DNS")
    func takenIsNotMissed() {
        var clerk = pair()
        clerk.claims(["10.42.1.7": [claim("b"), claim("d", "honeydue/dozzle", ports: [8080])]])
        clerk.wait(20)
        clerk.dns(["10.42.0.1:8000"])
        #expect(clerk.lines("discovery_disagreement").isEmpty)
    }

    @Test("a thousand disagreements do not make a thousand lines")
    func manyLines() {
        var clerk = Clerk([.api])
        clerk.slices([])
        clerk.dns((0..<1000).map { "10.42.\($0 / 200).\($0 % 200 + 1):8000" })
        #expect(clerk.lines("discovery_disagreement").count == 17)
        #expect(clerk.reconciler.disagreementCounts.map(\.count) == [1000])
    }

    @Test("a recorded rollout is silent, with and without CoreDNS's cache", arguments: ["cache", "no cache"])
    func rollout(server: String) throws {
        enum Line {
            case slices([WitnessedEndpoint])
            case answer([String], Int)
        }
        var lines: [(ms: Double, line: Line)] = []
        for fields in try Self.fixture("kubernetes/endpointslices/watch-rollout.events.tsv")
        where fields[3].hasPrefix("api-headless") {
            let endpoints = fields[6].split(separator: " ").map { item in
                let parts = item.split(separator: "=")
                return pod("uid-\(parts[0])", "\(parts[0]):8000", String(parts[1]))
            }
            lines.append((Double(fields[0])!, .slices(endpoints)))
        }
        // Between changes the same is answered again.
        let answers = try Self.fixture("dns/rollout-answers.tsv").filter { $0[1] == server }
        for (index, fields) in answers.enumerated() {
            var at = Double(fields[0])!
            let end = index + 1 < answers.count ? Double(answers[index + 1][0])! : 40_000
            while at < end {
                let addresses = fields[3].split(separator: ",").map { "\($0):8000" }
                lines.append((at, .answer(addresses, Int(fields[2])!)))
                at += 250
            }
        }
        #expect(lines.count > 100)
        lines.sort { $0.ms < $1.ms }

        var clerk = Clerk([.api])
        clerk.slices(["10.42.0.11", "10.42.1.11", "10.42.2.11"].map { pod("uid-\($0)", "\($0):8000") })
        let start = clerk.now
        for (ms, line) in lines {
            let at = start + Instant.Span(nanoseconds: Int64(ms * 1_000_000))
            clerk.wait(milliseconds: (at - clerk.now).nanoseconds / 1_000_000)
            clerk.now = at
            switch line {
            case .slices(let endpoints): clerk.slices(endpoints)
            case .answer(let addresses, let timeToLive): clerk.dns(addresses, timeToLive: timeToLive)
            }
        }
        #expect(clerk.lines("discovery_disagreement") == [])
        #expect(clerk.addresses() == ["10.42.1.12:8000", "10.42.1.13:8000", "10.42.2.12:8000"])
    }

    private static func fixture(_ path: String) throws -> [[String]] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("Fixtures/\(path)"), encoding: .utf8)
        return text.split(separator: "\n").dropFirst().map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
    }
}
