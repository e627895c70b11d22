// What do the files hold that `tls` names? Certificates, keys and authorities are read and tried here, before anything is
// served by them: a pair that does not fit together is a mistake of the configuration, as any other.

import ProxyCore

/// Reads certificates, keys and authorities.
struct TLSMaterial {
    /// Bytes of one file at most.
    private static let bytesMax = 1 << 20

    private let settings: Settings
    private var problems: [ConfigurationProblem] = []
    private var known: [String: [UInt8]?] = [:]

    private init(_ settings: Settings) { self.settings = settings }

    /// `settings` with what the files of listeners and services hold, and all that is wrong with them.
    static func read(_ settings: Settings) -> (settings: Settings, problems: [ConfigurationProblem]) {
        var reader = TLSMaterial(settings)
        var settings = settings
        var material: [String: TLSTermsSpec] = [:]
        for tls in settings.tls {
            let index = settings.listeners.firstIndex { $0.name == tls.listener } ?? 0
            material[tls.listener] = reader.spec(tls, "listeners[\(index)].tls")
        }
        settings.tlsMaterial = material
        for service in settings.services {
            guard let tls = service.tls else { continue }
            settings.upstreamTerms[service.name] = reader.terms(tls, "services.\(service.name).tls")
        }
        return (settings, reader.problems)
    }

    private mutating func spec(_ tls: TLSSettings, _ path: String) -> TLSTermsSpec {
        var spec = TLSTermsSpec(
            identities: identities(tls.certificates, path), rule: rule(tls.clients, path),
            minimumVersion: tls.minimumVersion, isStrict: tls.isStrict)
        for (i, host) in tls.hosts.enumerated() {
            let path = "\(path).hosts[\(i)]"
            spec.hosts.append(
                TLSTermsSpec.Host(
                    host.pattern, identities: identities(host.certificates, path), rule: rule(host.clients, path)))
        }
        return spec
    }

    private mutating func terms(_ tls: UpstreamTLSSettings, _ path: String) -> UpstreamTerms? {
        var trust = TLSTrust.system
        let allowed = "certificates of authorities in PEM form"
        if let file = tls.authorities {
            guard let authorities = bytes(file, "\(path).ca", allowed) else { return nil }
            trust = .certificates(authorities)
        }
        var identity: TLSIdentity?
        if let files = tls.certificate {
            guard let found = pair(files, path) else { return nil }
            identity = found
        }
        do throws(TLSError) {
            return try UpstreamTerms(trust: trust, serverName: tls.serverName, identity: identity)
        } catch {
            report(
                "\(path).ca", "\(tls.authorities ?? "the system's authorities") cannot be used: \(error.reason)",
                allowed)
            return nil
        }
    }

    private mutating func identities(_ files: [TLSSettings.Files], _ path: String) -> [TLSIdentity] {
        var found: [TLSIdentity] = []
        for (i, files) in files.enumerated() {
            if let identity = pair(files, "\(path).certificates[\(i)]") { found.append(identity) }
        }
        return found
    }

    /// A certificate with its key, where they fit together.
    private mutating func pair(_ files: TLSSettings.Files, _ path: String) -> TLSIdentity? {
        let chain = bytes(files.certificate, "\(path).certificate", "a certificate in PEM form")
        let key = bytes(files.key, "\(path).key", "a private key in PEM form, without a password")
        guard let chain, let key else { return nil }
        let identity = TLSIdentity(certificateChain: chain, key: key)
        do throws(TLSError) {
            _ = try TLSContext(server: identity)
            return identity
        } catch {
            let isOfKey = error.doing.contains("key")
            report(
                "\(path).\(isOfKey ? "key" : "certificate")",
                "\(isOfKey ? files.key : files.certificate) is not usable: \(error.reason)",
                isOfKey
                    ? "the key of \(files.certificate)"
                    : "a certificate in PEM form, and what leads to its authority")
            return nil
        }
    }

    private mutating func rule(_ clients: TLSSettings.Clients, _ path: String) -> ClientRule {
        guard clients.authentication != .off, let file = clients.authorities else { return ClientRule() }
        let allowed = "certificates of authorities in PEM form"
        guard let authorities = bytes(file, "\(path).clientCA", allowed) else { return ClientRule() }
        do throws(TLSError) {
            _ = try TLSContext(client: .certificates(authorities))
        } catch {
            report("\(path).clientCA", "\(file) is not usable: \(error.reason)", allowed)
        }
        return ClientRule(clients.authentication, authorities: authorities)
    }

    /// The bytes of a file, which is read once however often it is named.
    private mutating func bytes(_ file: String, _ path: String, _ allowed: String) -> [UInt8]? {
        if let known = known[file] { return known }
        switch readFile(file, bytesMax: Self.bytesMax) {
        case .success(let bytes):
            known[file] = bytes
            return bytes
        case .failure(let refusal):
            known[file] = .some(nil)
            report(path, "\(file) cannot be read: \(refusal.text)", allowed)
            return nil
        }
    }

    private mutating func report(_ path: String, _ wrong: String, _ allowed: String) {
        problems.append(ConfigurationProblem(path: path, wrong: wrong, allowed: allowed))
    }
}
