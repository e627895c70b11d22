// `tls` of a listener, and the files that it names.

import Foundation
import ProxyCore
import Testing

@testable import HDProxy

@Suite struct TLSReaderTests {
    private func read(_ tls: String) -> Result<Settings, ConfigurationProblems> {
        let text = "{ listeners: [ { name: \"s\", address: \"127.0.0.1:1\", tls: \(tls) } ], services: {}, routes: [] }"
        return SettingsReader.read(Array(text.utf8), file: "f")
    }

    private func terms(_ tls: String) throws -> TLSSettings { try #require(try read(tls).get().tls.first) }

    private func problems(_ tls: String) -> [String] {
        guard case .failure(let found) = read(tls) else { return [] }
        return found.problems.map { "\($0.path): \($0.wrong)" }
    }

    private static let pair = "certificates: [ { certificate: \"/c\", key: \"/k\" } ]"

    @Test func anAuthorityAloneMeansThatACertificateIsRequired() throws {
        let bare = try terms("{ \(Self.pair) }")
        #expect(bare.clients == TLSSettings.Clients() && bare.minimumVersion == .v1_2 && !bare.isStrict)
        #expect(bare.certificates == [TLSSettings.Files(certificate: "/c", key: "/k")])
        let named = try terms("{ \(Self.pair), clientCA: \"/a\", minimumVersion: \"1.3\", strictSNI: true }")
        #expect(named.clients == TLSSettings.Clients(authentication: .require, authorities: "/a"))
        #expect(named.minimumVersion == .v1_3 && named.isStrict)
        let off = try terms("{ \(Self.pair), clientCA: \"/a\", clientAuth: \"off\" }")
        #expect(off.clients == TLSSettings.Clients())
    }

    @Test func aHostHasTheListenersTermsWhereItSaysNothingElse() throws {
        let tls = try terms(
            "{ \(Self.pair), clientCA: \"/a\", hosts: [ { host: \"A.example.com.\" }, { host: \"*.b.c\", clientAuth: \"off\" }, "
                + "{ host: \"d.e\", clientCA: \"/b\", clientAuth: \"request\", \(Self.pair) } ] }")
        #expect(tls.hosts.map(\.pattern) == [.exact("a.example.com"), .wildcard("b.c"), .exact("d.e")])
        #expect(tls.hosts[0].clients == tls.clients && tls.hosts[0].certificates.isEmpty)
        #expect(tls.hosts[1].clients == TLSSettings.Clients())
        #expect(tls.hosts[2].clients == TLSSettings.Clients(authentication: .request, authorities: "/b"))
        #expect(tls.hosts[2].certificates.count == 1)
        #expect(tls.paths == ["/c", "/k", "/c", "/k", "/a", "/a", "/b"])
    }

    @Test func whatIsWrongIsSaid() {
        let path = "listeners[0].tls"
        #expect(problems("{}") == ["\(path).certificates: it is missing"])
        #expect(problems("{ certificates: [] }") == ["\(path).certificates: there is no certificate"])
        #expect(
            problems("{ certificates: [ { certificate: \"c\" } ] }") == [
                "\(path).certificates[0].key: it is missing",
                "\(path).certificates[0].certificate: \"c\" is not an absolute path",
            ])
        #expect(problems("{ \(Self.pair), clientAuth: \"require\" }") == ["\(path).clientAuth: there is no clientCA"])
        #expect(problems("{ \(Self.pair), clientAuth: \"on\" }").first?.contains("is unknown") == true)
        #expect(problems("{ \(Self.pair), minimumVersion: \"1.1\" }").first?.contains("is unknown") == true)
        #expect(
            problems("{ \(Self.pair), hosts: [ { host: \"*\" } ] }") == [
                "\(path).hosts[0].host: every other host has the listener's own terms"
            ])
        #expect(
            problems("{ \(Self.pair), hosts: [ { host: \"a.b\" }, { host: \"A.B\" } ] }") == [
                "\(path).hosts[1]: another one is for a.b, too"
            ])
        #expect(
            problems("{ \(Self.pair), clientCa: \"/a\" }") == [
                "\(path).clientCa: unknown key, did you mean `clientCA`?"
            ])
    }

    @Test func checkPrintsItSoThatItIsReadAgainAsTheSame() throws {
        let settings = try read(
            "{ \(Self.pair), clientCA: \"/a\", hosts: [ { host: \"*.b.c\", clientAuth: \"off\" }, { host: \"d.e\", \(Self.pair) } ] }"
        ).get()
        #expect(try SettingsReader.read(Array(settings.text.utf8), file: "f").get() == settings)
    }

    @Test func aServiceOverTLSExpectsTheNameUnderWhichItIsFound() throws {
        func read(_ service: String) -> Result<Settings, ConfigurationProblems> {
            let text = "{ listeners: [ { address: \"127.0.0.1:1\" } ], services: { s: { \(service) } }, routes: [] }"
            return SettingsReader.read(Array(text.utf8), file: "f")
        }
        func problems(_ service: String) -> [String] {
            guard case .failure(let found) = read(service) else { return [] }
            return found.problems.map { "\($0.path): \($0.wrong)" }
        }
        let cluster = "kubernetes: { namespace: \"shop\", service: \"api\", port: 443 }"
        let endpoints = "endpoints: [ \"10.0.0.1:443\" ]"
        #expect(try read("\(cluster), scheme: \"http\"").get().services[0].tls == nil)
        let found = try read("\(cluster), scheme: \"https\"").get()
        #expect(found.services[0].tls == UpstreamTLSSettings(serverName: "api.shop.svc"))
        let named = try read("dns: { name: \"a.b.\", port: 443 }, scheme: \"https\"").get()
        #expect(named.services[0].tls?.serverName == "a.b")
        let full = try read(
            "\(endpoints), scheme: \"https\", tls: { ca: \"/a\", serverName: \"C.D\", certificate: \"/c\", key: \"/k\" }"
        ).get()
        #expect(
            full.services[0].tls
                == UpstreamTLSSettings(
                    authorities: "/a", serverName: "c.d",
                    certificate: TLSSettings.Files(certificate: "/c", key: "/k")))
        #expect(full.materialPaths == ["/a", "/c", "/k"])
        for settings in [found, named, full] {
            #expect(try SettingsReader.read(Array(settings.text.utf8), file: "f").get() == settings)
        }
        #expect(problems("\(endpoints), scheme: \"https\"") == ["services.s: tls.serverName is missing"])
        #expect(problems("\(endpoints), tls: { serverName: \"a.b\" }") == ["services.s.tls: the scheme is not https"])
        #expect(
            problems("\(cluster), scheme: \"https\", tls: { certificate: \"/c\" }") == [
                "services.s.tls: certificate and key belong together"
            ])
        #expect(problems("\(cluster), scheme: \"htps\"").first?.contains("is unknown") == true)
    }

    @Test func filesThatDoNotHoldWhatTheyShouldAreNamed() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let authority = try CertificateAuthority(name: "ca")
        let one = try authority.issue(.server, name: "one", dnsNames: ["a.b"])
        let two = try authority.issue(.server, name: "two", dnsNames: ["a.b"])
        func file(_ name: String, _ bytes: [UInt8]) throws -> String {
            let url = folder.appending(path: name)
            try Data(bytes).write(to: url)
            return url.path
        }
        let certificate = try file("one.pem", one.certificateChain)
        let key = try file("one-key.pem", one.key)
        let wrongKey = try file("two-key.pem", two.key)
        let text = try file("text", Array("no PEM".utf8))
        func problems(_ tls: String) throws -> [String] {
            let text =
                "{ listeners: [ { address: \"127.0.0.1:1\", tls: \(tls) } ], services: {}, routes: [] }"
            let path = try file("hdproxy.json5", Array(text.utf8))
            guard case .failure(let found) = loadConfiguration(path: path) else { return [] }
            #expect(found.areOfNamedFiles)
            return found.problems.map { "\($0.path): \($0.wrong)" }
        }
        let path = "listeners[0].tls"
        func pair(_ certificate: String, _ key: String) -> String {
            "certificates: [ { certificate: \"\(certificate)\", key: \"\(key)\" } ]"
        }
        #expect(try problems("{ \(pair(certificate, key)) }") == [])
        #expect(
            try problems("{ \(pair(certificate, wrongKey)) }") == [
                "\(path).certificates[0].key: \(wrongKey) is not usable: key values mismatch"
            ])
        #expect(
            try problems("{ \(pair(text, key)) }") == [
                "\(path).certificates[0].certificate: \(text) is not usable: no certificate in PEM form"
            ])
        #expect(
            try problems("{ \(pair(certificate, key)), clientCA: \"\(text)\" }") == [
                "\(path).clientCA: \(text) is not usable: no certificate in PEM form"
            ])
        #expect(
            try problems("{ \(pair("/absent", key)) }") == [
                "\(path).certificates[0].certificate: /absent cannot be read: No such file or directory"
            ])
    }
}
