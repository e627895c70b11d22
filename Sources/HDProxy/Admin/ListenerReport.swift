// What is spoken at a listener, and with whom? The part of a status that tells of listeners, TLS and who may connect.

import ProxyCore

/// A listener.
struct ListenerReport: Decodable, Equatable, Sendable {
    var name: String
    /// The address that it has got.
    var address: String
    /// Client connections that are open.
    var connections: Int
    /// On what terms it speaks TLS; nil: it does not.
    var tls: TLSReport?
    /// `required` where each connection begins with a PROXY header, else `off`; nil from a process that knows no such thing.
    var proxyProtocol: String?
}

/// On what terms a listener speaks TLS.
struct TLSReport: Decodable, Equatable, Sendable {
    /// Hosts whose clients have terms of their own.
    struct Host: Decodable, Equatable, Sendable {
        var host: String
        var clientAuth: String
    }

    /// The least version.
    var minimumVersion: String
    /// Certificates, those of its hosts included.
    var certificates: Int
    /// When the first of its certificates and authorities ends, and which file that is in.
    var nextExpiry: String?
    var nextExpiryFile: String?
    /// `require`, `request` or `off`.
    var clientAuth: String
    var hosts: [Host]
    /// Whether clients that ask for a name that nobody has are refused.
    var strictSNI: Bool
    /// Whether records are left to the kernel (kTLS); if not, why.
    var kernel: Bool
    var kernelAbsence: String?

    /// `2 certificates, the first ends in 89 days`.
    func certificatesText(now: String) -> String {
        let count = counted(certificates, "certificate")
        guard let nextExpiry else { return count }
        let subject = certificates == 1 && !hasAuthorities ? "it" : "the first"
        if Self.hasPassed(nextExpiry, now) {
            return "\(count), \(subject) ended \(Age.text(of: nextExpiry, now: now)) ago"
        }
        return "\(count), \(subject) ends in \(Age.text(of: now, now: nextExpiry))"
    }

    private var hasAuthorities: Bool { clientAuth != "off" || hosts.contains { $0.clientAuth != "off" } }

    /// `certificate required`, with the hosts that are otherwise.
    var clientsText: String {
        let others = hosts.filter { $0.clientAuth != clientAuth }
        if others.isEmpty { return Self.clients(clientAuth) }
        let shown = others.prefix(4).map { "\(Self.clients($0.clientAuth)) for \($0.host)" }.joined(separator: ", ")
        let more = others.count > 4 ? ", and \(counted(others.count - 4, "other host")) with their own" : ""
        return "\(Self.clients(clientAuth)); \(shown)\(more)"
    }

    private static func clients(_ authentication: String) -> String {
        switch authentication {
        case "require": "certificate required"
        case "request": "certificate asked for"
        default: "no certificate"
        }
    }

    /// `by the kernel`, or why not.
    var kernelText: String {
        kernel ? "records by the kernel" : "records by the process: \(kernelAbsence ?? "the kernel was not asked")"
    }

    /// How much somebody should care about its next end: nil, not yet.
    func alarm(now: String) -> (isUrgent: Bool, text: String)? {
        guard let nextExpiry, let end = Age.seconds(nextExpiry), let present = Age.seconds(now) else { return nil }
        let left = end - present
        if left > 30 * 86_400 { return nil }
        let file = nextExpiryFile ?? "a certificate"
        let text =
            left < 0
            ? "\(file) has ended \(Age.text(of: nextExpiry, now: now)) ago"
            : "\(file) ends in \(Age.text(of: now, now: nextExpiry))"
        return (left < 7 * 86_400, text)
    }

    private static func hasPassed(_ time: String, _ now: String) -> Bool {
        (Age.seconds(time) ?? .max) < (Age.seconds(now) ?? 0)
    }
}

extension TLSReport {
    /// The terms of one listener; `material` is what its files held.
    init(_ settings: TLSSettings, _ material: TLSTermsSpec?) {
        let first = material?.datedFiles(settings).min { $0.notAfter < $1.notAfter }
        self.init(
            minimumVersion: settings.minimumVersion.word.description,
            certificates: settings.certificates.count + settings.hosts.reduce(0) { $0 + $1.certificates.count },
            nextExpiry: first.map { CivilTime.timestamp(wallMicroseconds: $0.notAfter &* 1_000_000) },
            nextExpiryFile: first?.name, clientAuth: settings.clients.authentication.rawValue,
            hosts: settings.hosts.map {
                Host(host: $0.pattern.description, clientAuth: $0.clients.authentication.rawValue)
            },
            strictSNI: settings.isStrict, kernel: KernelTLS.isAvailable, kernelAbsence: KernelTLS.absence)
    }
}

/// Who may connect.
struct AccessReport: Decodable, Equatable, Sendable {
    /// Whose word about the client is believed, as the configuration spells it.
    var trustedProxies: [String]
    /// Whether only those may connect, and these; nil: everybody may.
    var originLockdown: [String]?

    /// The same as a sentence.
    var text: String {
        let trusted = trustedProxies.joined(separator: ", ")
        guard let originLockdown else {
            return "everybody; " + (trusted.isEmpty ? "nobody is believed" : "\(trusted) believed about the client")
        }
        let believed = trusted.isEmpty ? "" : "\(trusted), believed about the client"
        let others = originLockdown.joined(separator: ", ")
        return "only " + [believed, others].filter { !$0.isEmpty }.joined(separator: "; and ")
    }
}

extension ListenerReport {
    func write(into text: inout JSONText) {
        text.object {
            $0.member("name", name)
            $0.member("address", address)
            $0.member("connections", connections)
            $0.member("proxyProtocol", proxyProtocol)
            $0.member("tls", tls) { $0.write(into: &$1) }
        }
    }
}

extension TLSReport {
    fileprivate func write(into text: inout JSONText) {
        text.object {
            $0.member("minimumVersion", minimumVersion)
            $0.member("certificates", certificates)
            $0.member("nextExpiry", nextExpiry)
            $0.member("nextExpiryFile", nextExpiryFile)
            $0.member("clientAuth", clientAuth)
            $0.member("hosts", hosts) { text, host in
                text.object {
                    $0.member("host", host.host)
                    $0.member("clientAuth", host.clientAuth)
                }
            }
            $0.member("strictSNI", strictSNI)
            $0.member("kernel", kernel)
            $0.member("kernelAbsence", kernelAbsence)
        }
    }
}

extension AccessReport {
    func write(into text: inout JSONText) {
        text.object {
            $0.member("trustedProxies", trustedProxies)
            if let originLockdown {
                $0.member("originLockdown", originLockdown)
            } else {
                $0.member("originLockdown", String?.none)
            }
        }
    }
}
