// Which names does this machine itself know? `/etc/hosts` (hosts(5)), and `localhost` where that file is missing.

import ProxyCore

/// What `/etc/hosts` says.
struct HostsFile: Equatable, Sendable {
    private var addresses: [DomainName: [IPAddress]] = [:]

    /// A file that names nobody.
    init() {}

    /// Reads the text of a hosts file. A name on several lines has all their addresses; a line that makes no sense, or
    /// whose address has a scope, is passed over.
    init(_ text: String) {
        for line in text.utf8.split(whereSeparator: { $0 == 10 || $0 == 13 }) {
            let content = line.prefix { $0 != UInt8(ascii: "#") }
            let words = content.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).map { Substring($0) }
            guard let first = words.first, let ip = IPAddress(String(first)) else { continue }
            for name in words.dropFirst().compactMap({ DomainName($0) })
            where addresses[name]?.contains(ip) != true { addresses[name, default: []].append(ip) }
        }
    }

    /// The addresses of a name of this file; nil where it does not stand there. `localhost` and what is below it is
    /// this machine, whoever says otherwise (RFC 6761 §6.3).
    func addresses(of name: DomainName) -> [IPAddress]? {
        if let known = addresses[name] { return known }
        return name.isWithin(Self.localhost) ? [IPAddress(v4: 0x7F00_0001), IPAddress(high: 0, low: 1)] : nil
    }

    private static let localhost = DomainName(lowercasedWire: [9] + Array("localhost".utf8) + [0])
}
