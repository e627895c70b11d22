// Will clients accept these certificates? What `hdproxy check` says of each beside what is plainly wrong: for which names
// it is, until when, who believes it, whether Cloudflare does in the mode Full (strict), and which hosts of the routes
// have none.

import ProxyCore

/// Looks at the certificates of a valid configuration.
struct CertificateCheck {
    private let settings: Settings
    private let now: Int64
    private var remarks: [CheckRemark] = []

    /// What there is to say of the certificates of `settings` at `now`, in seconds since 1970.
    static func remarks(_ settings: Settings, now: Int64) -> [CheckRemark] {
        var check = CertificateCheck(settings: settings, now: now)
        for tls in settings.tls {
            guard let spec = settings.tlsMaterial[tls.listener],
                let index = settings.listeners.firstIndex(where: { $0.name == tls.listener })
            else { continue }
            check.look(at: spec, "listeners[\(index)].tls")
        }
        for service in settings.services {
            guard let terms = settings.upstreamTerms[service.name] else { continue }
            let path = "services.\(service.name).tls"
            if case .certificates(let pem) = terms.trust { check.lookAtAuthorities(pem, "\(path).ca") }
            if let identity = terms.identity { check.lookAtOurs(identity, "\(path).certificate") }
        }
        return check.remarks
    }

    private init(settings: Settings, now: Int64) {
        self.settings = settings
        self.now = now
    }

    private mutating func look(at spec: TLSTermsSpec, _ path: String) {
        var names: [HostPattern] = []
        for (i, identity) in spec.identities.enumerated() {
            names += describe(identity, "\(path).certificates[\(i)]", hasRoots: false)
        }
        if !spec.rule.authorities.isEmpty { lookAtAuthorities(spec.rule.authorities, "\(path).clientCA") }
        var own: [HostPattern: [HostPattern]] = [:]
        for (h, host) in spec.hosts.enumerated() {
            if !host.rule.authorities.isEmpty, host.rule.authorities != spec.rule.authorities {
                lookAtAuthorities(host.rule.authorities, "\(path).hosts[\(h)].clientCA")
            }
            for (i, identity) in host.identities.enumerated() {
                own[host.pattern, default: []] += describe(
                    identity, "\(path).hosts[\(h)].certificates[\(i)]", hasRoots: false)
            }
        }
        var missing: [String] = []
        for route in settings.routes where route.host != .any && !missing.contains(route.host.description) {
            let special = own[route.host] ?? own.first { Self.covers($0.key, route.host) }?.value
            let shown = special ?? names
            if !shown.contains(where: { Self.covers($0, route.host) }) { missing.append(route.host.description) }
        }
        if missing.isEmpty { return }
        say(path, "no certificate is for \(missing.joined(separator: ", ")), which routes name", isWarning: true)
    }

    /// Whether each name that `pattern` stands for is one of `wide`.
    static func covers(_ wide: HostPattern, _ pattern: HostPattern) -> Bool {
        if wide == pattern { return true }
        guard case .wildcard(let parent) = wide, case .exact(let name) = pattern else { return false }
        return name.split(separator: ".", maxSplits: 1).last.map(String.init) == parent && name.contains(".")
    }

    /// Says what there is to say of one certificate; the names that it is for.
    private mutating func describe(_ identity: TLSIdentity, _ path: String, hasRoots: Bool) -> [HostPattern] {
        guard let chain = try? CertificateFacts.all(in: identity.certificateChain, doing: "reading it"),
            let facts = chain.first
        else { return [] }
        let kind =
            switch facts.kind {
            case .rsa: "RSA"
            case .ecdsa: "ECDSA"
            case .other(let number): "key of OpenSSL's kind \(number)"
            }
        let ends = chain.map(\.notAfter).min() ?? facts.notAfter
        let names = facts.names.map(\.description).joined(separator: ", ")
        say(
            path,
            "\(names.isEmpty ? "no names" : names); \(kind) \(facts.bits); until \(Self.day(ends)); "
                + "issued by \(facts.issuer)", isWarning: false)
        var faults: [String] = []
        if facts.names.isEmpty { faults.append("it has no DNS name; a common name does not count") }
        if facts.notBefore > now { faults.append("it is not valid before \(Self.day(facts.notBefore))") }
        if ends <= now { faults.append("it, or what it leads to, has expired") } else { sayIfSoon(path, ends) }
        if case .rsa = facts.kind, facts.bits < 2048 { faults.append("its key is too short") }
        if !facts.isForServers { faults.append("it is not for servers") }
        for fault in faults { say(path, fault, isWarning: true) }
        sayWhetherFit(path, identity, facts, isSound: faults.isEmpty)
        return facts.names
    }

    /// Says of authorities how many there are, and when the first one ends.
    private mutating func lookAtAuthorities(_ pem: [UInt8], _ path: String) {
        guard let all = try? CertificateFacts.all(in: pem, doing: "reading it"),
            let first = all.min(by: { $0.notAfter < $1.notAfter })
        else { return }
        let count = all.count == 1 ? "1 authority" : "\(all.count) authorities"
        say(path, "\(count), \(first.subject) until \(Self.day(first.notAfter))", isWarning: false)
        if first.notAfter <= now {
            say(path, "\(first.subject) has expired: whom it vouches for is refused", isWarning: true)
        }
        sayIfSoon(path, first.notAfter)
    }

    /// Says of what we show to endpoints whose it is, and until when.
    private mutating func lookAtOurs(_ identity: TLSIdentity, _ path: String) {
        guard let facts = try? CertificateFacts(first: identity.certificateChain, doing: "reading it") else { return }
        say(path, "\(facts.subject) until \(Self.day(facts.notAfter))", isWarning: false)
        if facts.notAfter <= now { say(path, "it has expired", isWarning: true) }
        sayIfSoon(path, facts.notAfter)
    }

    /// Warns where less than thirty days are left.
    private mutating func sayIfSoon(_ path: String, _ end: Int64) {
        let days = (end - now) / 86_400
        guard end > now, days < 30 else { return }
        say(path, "it ends in \(days) day\(days == 1 ? "" : "s")", isWarning: true)
    }

    /// Cloudflare's Full (strict) wants a certificate that is valid, for the name, and of a public authority or of its
    /// own Origin CA.
    private mutating func sayWhetherFit(
        _ path: String, _ identity: TLSIdentity, _ facts: CertificateFacts, isSound: Bool
    ) {
        let subject = "Cloudflare's Full (strict):"
        guard isSound else { return say(path, "\(subject) not fit, see above", isWarning: true) }
        if facts.issuer.contains("CloudFlare Origin SSL") {
            return say(
                path, "\(subject) fit, if Cloudflare's Origin CA did sign it; browsers do not accept it",
                isWarning: false)
        }
        switch try? ChainCheck.verdict(on: identity.certificateChain) {
        case .trusted: say(path, "\(subject) fit, a public authority vouches for it", isWarning: false)
        case .refused(let reason): say(path, "\(subject) not fit: \(reason)", isWarning: true)
        case .unknown, nil:
            say(path, "\(subject) not known, there are no authorities on this machine to ask", isWarning: false)
        }
    }

    private mutating func say(_ path: String, _ text: String, isWarning: Bool) {
        remarks.append(CheckRemark(path: path, text: text, isWarning: isWarning))
    }

    /// The day of a time, as in 2026-11-30.
    private static func day(_ seconds: Int64) -> String {
        String(CivilTime.timestamp(wallMicroseconds: seconds &* 1_000_000).prefix(10))
    }
}
