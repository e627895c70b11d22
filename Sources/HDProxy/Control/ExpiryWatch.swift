// Which certificate ends soon? Each is spoken of 30, 7 and 1 days before its end, and when it has ended: values in,
// warnings out.

import ProxyCore

/// A certificate file, or one with authorities, and when the first of its certificates ends.
struct DatedFile: Equatable, Sendable {
    /// The file, as the configuration names it.
    var name: String
    /// In seconds since 1970.
    var notAfter: Int64

    /// When the first of the certificates in `pem` ends.
    static func end(of pem: [UInt8]) -> Int64? {
        (try? CertificateFacts.all(in: pem, doing: "reading it"))?.map(\.notAfter).min()
    }
}

/// Remembers what was said.
struct ExpiryWatch {
    /// A certificate that is to be spoken of.
    struct Warning: Equatable {
        /// Whose.
        var file: DatedFile
        /// Whole days that are left; below 0 once it has ended.
        var days: Int
    }

    /// Days before the end at which it is spoken of.
    private static let marks = [30, 7, 1, 0]
    /// The mark at which each was spoken of last, and the end that it had then.
    private var told: [String: (mark: Int, notAfter: Int64)] = [:]

    /// Which of these are to be spoken of at `now`, in seconds since 1970.
    mutating func warnings(_ files: [DatedFile], at now: Int64) -> [Warning] {
        var warnings: [Warning] = []
        var kept: [String: (mark: Int, notAfter: Int64)] = [:]
        for file in files {
            let left = file.notAfter - now
            // The last mark that has been passed.
            guard let mark = Self.marks.last(where: { left <= Int64($0) * 86_400 }) else { continue }
            let before = told[file.name]
            kept[file.name] = (mark, file.notAfter)
            if before?.mark == mark, before?.notAfter == file.notAfter { continue }
            let days = left >= 0 ? left / 86_400 : (left - 86_399) / 86_400
            warnings.append(Warning(file: file, days: Int(clamping: days)))
        }
        told = kept
        return warnings
    }
}

extension TLSTermsSpec {
    /// All that it holds with an end, by the files of `settings`.
    func datedFiles(_ settings: TLSSettings) -> [DatedFile] {
        var files: [DatedFile] = []
        func add(_ name: String, _ pem: [UInt8]) {
            guard let first = DatedFile.end(of: pem), !files.contains(where: { $0.name == name }) else { return }
            files.append(DatedFile(name: name, notAfter: first))
        }
        for (path, identity) in zip(settings.certificates, identities) {
            add(path.certificate, identity.certificateChain)
        }
        if let path = settings.clients.authorities { add(path, rule.authorities) }
        for (own, host) in zip(settings.hosts, hosts) {
            for (path, identity) in zip(own.certificates, host.identities) {
                add(path.certificate, identity.certificateChain)
            }
            if let path = own.clients.authorities { add(path, host.rule.authorities) }
        }
        return files
    }
}

extension Settings {
    /// All certificates and authorities that are served with, and when they end.
    var datedFiles: [DatedFile] {
        var all: [DatedFile] = []
        for tls in tls {
            for file in tlsMaterial[tls.listener]?.datedFiles(tls) ?? []
            where !all.contains(where: { $0.name == file.name }) {
                all.append(file)
            }
        }
        for service in services {
            guard let tls = service.tls, let terms = upstreamTerms[service.name] else { continue }
            var material: [(String, [UInt8])] = []
            if let path = tls.certificate?.certificate, let identity = terms.identity {
                material.append((path, identity.certificateChain))
            }
            if let path = tls.authorities, case .certificates(let pem) = terms.trust { material.append((path, pem)) }
            for (path, pem) in material where !all.contains(where: { $0.name == path }) {
                if let end = DatedFile.end(of: pem) { all.append(DatedFile(name: path, notAfter: end)) }
            }
        }
        return all
    }
}
