// What is said of certificates: when they end, and for whom they are.

import Foundation
import ProxyCore
import Testing

@testable import HDProxy

@Suite struct CertificateCheckTests {
    private static let day: Int64 = 86_400

    @Test func aCertificateIsSpokenOf30And7And1DaysBeforeItsEndAndWhenItHasEnded() {
        let end = 1000 * Self.day
        let file = DatedFile(name: "/c", notAfter: end)
        var watch = ExpiryWatch()
        func days(_ left: Int64) -> [Int] { watch.warnings([file], at: end - left).map(\.days) }
        #expect(days(31 * Self.day) == [])
        #expect(days(30 * Self.day) == [30])
        #expect(days(29 * Self.day) == [])
        #expect(days(7 * Self.day + 1) == [])
        #expect(days(7 * Self.day) == [7])
        #expect(days(Self.day) == [1])
        #expect(days(1) == [])
        #expect(days(-1) == [-1])
        #expect(days(-5 * Self.day) == [])
        // Another one in its place begins anew.
        let renewed = DatedFile(name: "/c", notAfter: end + 90 * Self.day)
        #expect(watch.warnings([renewed], at: end) == [])
        #expect(watch.warnings([renewed], at: end + 70 * Self.day).map(\.days) == [20])
    }

    private func settings(
        _ identity: TLSIdentity, hosts: [String], tls more: String = ""
    ) throws -> Settings {
        let routes = hosts.map { "{ host: \"\($0)\", redirect: { to: \"/\" } }" }.joined(separator: ", ")
        let text =
            "{ listeners: [ { name: \"s\", address: \"127.0.0.1:1\", tls: { certificates: [ { certificate: \"/c\", key: \"/k\" } ]"
            + more + " } } ], services: {}, routes: [ \(routes) ] }"
        var settings = try SettingsReader.read(Array(text.utf8), file: "f").get()
        settings.tlsMaterial["s"] = TLSTermsSpec(identities: [identity])
        return settings
    }

    private func remarks(_ settings: Settings) -> [String] {
        CertificateCheck.remarks(settings, now: Clock.wallMicroseconds() / 1_000_000)
            .map { ($0.isWarning ? "warning: " : "") + $0.text }
    }

    @Test func checkSaysForWhomACertificateIsAndWhichHostsHaveNone() throws {
        let authority = try CertificateAuthority(name: "own ca")
        let identity = try authority.issue(.server, name: "c", dnsNames: ["a.b", "*.w.test"])
        let said = remarks(try settings(identity, hosts: ["a.b", "x.w.test", "x.y.w.test", "*.w.test", "c.d", "*"]))
        #expect(said.first?.hasPrefix("a.b, *.w.test; ECDSA 256; until ") == true && said[0].hasSuffix("CN=own ca"))
        #expect(said.last == "warning: no certificate is for x.y.w.test, c.d, which routes name")
        // Nobody but us knows that authority.
        #expect(said.contains { $0.contains("Cloudflare's Full (strict): not") }, "\(said)")
    }

    @Test func checkWarnsOfWhatHasEndedOrWillSoon() throws {
        let authority = try CertificateAuthority(name: "own ca")
        func said(_ from: Int, _ to: Int, _ purpose: CertificateAuthority.Purpose = .server) throws -> [String] {
            remarks(
                try settings(
                    authority.issue(purpose, name: "c", dnsNames: ["a.b"], validFor: (from, to)), hosts: ["a.b"]))
        }
        #expect(try said(-10, 10 * 86_400).contains { $0.hasPrefix("warning: it ends in ") })
        let ended = try said(-200, -100)
        #expect(ended.contains("warning: it, or what it leads to, has expired"))
        #expect(ended.contains("warning: Cloudflare's Full (strict): not fit, see above"))
        #expect(try said(1000, 90 * 86_400).contains { $0.hasPrefix("warning: it is not valid before ") })
        #expect(try said(-10, 90 * 86_400, .client).contains("warning: it is not for servers"))
    }

    @Test func checkSaysOfAuthoritiesAndOfWhatWeShowUntilWhenTheyAre() throws {
        let authority = try CertificateAuthority(name: "authority")
        let other = try CertificateAuthority(name: "other")
        var settings = try settings(
            authority.issue(.server, name: "s", dnsNames: ["a.test"]), hosts: ["a.test"])
        let rule = ClientRule(.require, authorities: authority.certificate)
        settings.tlsMaterial["s"]?.rule = rule
        settings.tlsMaterial["s"]?.hosts = [
            TLSTermsSpec.Host(.exact("same.test"), rule: rule),
            TLSTermsSpec.Host(
                .exact("own.test"), rule: ClientRule(.request, authorities: other.certificate + authority.certificate)),
        ]
        let soon = try authority.issue(.client, name: "us", validFor: (-10 * 86_400, 5 * 86_400 - 100))
        settings.services = [ServiceSettings(name: "back")]
        settings.upstreamTerms["back"] = try UpstreamTerms(
            trust: .certificates(other.certificate), serverName: "back.test", identity: soon)
        let now = Clock.wallMicroseconds() / 1_000_000
        let said = CertificateCheck.remarks(settings, now: now).map {
            ($0.isWarning ? "!" : "") + "\($0.path): \($0.text)"
        }
        func says(_ part: String) -> Bool { said.contains { $0.contains(part) } }
        #expect(says("listeners[0].tls.clientCA: 1 authority, CN=authority until 20"), "\(said)")
        #expect(says("listeners[0].tls.hosts[1].clientCA: 2 authorities, CN=") && !says("hosts[0].clientCA"), "\(said)")
        #expect(says("services.back.tls.ca: 1 authority, CN=other until 20"), "\(said)")
        #expect(says("services.back.tls.certificate: CN=us until 20"), "\(said)")
        #expect(said.contains { $0.hasPrefix("!") && $0.contains("services.back.tls.certificate: it ends in 4 days") })
        // Years later all of it is over.
        let later = CertificateCheck.remarks(settings, now: now + 11 * 365 * 86_400)
        let warned = later.filter(\.isWarning).map { "\($0.path): \($0.text)" }
        #expect(warned.contains { $0.hasPrefix("listeners[0].tls.clientCA: CN=authority has expired") }, "\(warned)")
        #expect(warned.contains { $0.hasPrefix("services.back.tls.certificate: it has expired") }, "\(warned)")
    }

    @Test func filesAreToldOnceWithTheEndOfTheFirstOfTheirCertificates() throws {
        let authority = try CertificateAuthority(name: "own ca")
        let short = try authority.issue(.server, name: "c", dnsNames: ["a.b"], validFor: (-10, 1000))
        let long = try authority.issue(.server, name: "c", dnsNames: ["a.b"])
        let both = TLSIdentity(certificateChain: long.certificateChain + short.certificateChain, key: long.key)
        let settings = try settings(both, hosts: ["a.b"])
        #expect(settings.datedFiles.map(\.name) == ["/c"])
        #expect(abs(settings.datedFiles[0].notAfter - (Clock.wallMicroseconds() / 1_000_000 + 1000)) < 60)
    }
}
