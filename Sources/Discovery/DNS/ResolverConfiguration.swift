// Whom does this machine ask, and which names may a short one stand for? `resolv.conf` as glibc reads it
// (resolv.conf(5)), and the walk through its search list.

import ProxyCore

/// What `resolv.conf` says.
struct ResolverConfiguration: Equatable, Sendable {
    /// The servers in their order, at most three.
    var servers: [NetworkAddress] = []
    /// Suffixes that complete a short name.
    var search: [DomainName] = []
    /// A name with at least so many dots is asked for as it is first.
    var dots = 1
    /// How long a server may take, in seconds. We wait at most one second for an answer over UDP.
    var timeoutSeconds = 5
    /// How often each server is asked.
    var attempts = 2
    /// Whether lookups begin with each of the servers in turn.
    var rotates = false

    static let serversMax = 3
    static let searchMax = 32
    static let port: UInt16 = 53

    /// Nothing is configured.
    init() {}

    /// Reads the text of a `resolv.conf`. A line that makes no sense is passed over, as everywhere. Without `search`
    /// and `domain` there is no search list; glibc would make one of the machine's own name.
    init(_ text: String) {
        // Bytes, for "\r\n" is one Character and no line's end.
        for line in text.utf8.split(whereSeparator: { $0 == 10 || $0 == 13 }) {
            // A keyword stands at the line's beginning, comments too.
            if let first = line.first, [0x20, 0x09, UInt8(ascii: "#"), UInt8(ascii: ";")].contains(first) { continue }
            let words = line.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).map { String(Substring($0)) }
            guard let keyword = words.first else { continue }
            let values = words.dropFirst()
            switch keyword {
            case "nameserver": read(server: values.first)
            case "search": read(search: Array(values))
            case "domain": read(search: Array(values.prefix(1)))
            case "options": for option in values { read(option: option) }
            default: break
            }
        }
    }

    private mutating func read(server: String?) {
        // A scope as in `fe80::1%eth0` is passed over.
        guard servers.count < Self.serversMax, let text = server?.split(separator: "%").first,
            let ip = IPAddress(String(text))
        else { return }
        servers.append(NetworkAddress(ip: ip, port: Self.port))
    }

    private mutating func read(search names: [String]) {
        // The last line of either keyword wins; one without a name is none.
        guard !names.isEmpty else { return }
        search = names.prefix(Self.searchMax).compactMap { $0 == "." ? .root : DomainName($0) }
    }

    private mutating func read(option: String) {
        let parts = option.split(separator: ":", maxSplits: 1)
        guard let name = parts.first else { return }
        guard parts.count == 2 else {
            if name == "rotate" { rotates = true }
            return
        }
        let digits = parts[1].utf8
        guard !digits.isEmpty, digits.allSatisfy({ ASCII.digit($0) != nil }) else { return }
        // More digits than an Int takes are more than any bound, too.
        let value = Int(parts[1]) ?? .max
        switch name {
        case "ndots": dots = min(value, 15)
        case "timeout": timeoutSeconds = min(max(value, 1), 30)
        case "attempts": attempts = min(max(value, 1), 5)
        default: break
        }
    }

    /// The names that `text` may stand for, in the order in which they are asked for; empty: it is no name.
    ///
    /// A dot at the end says that the name is whole. So does an end that is in the search list: `db.prod.example` with
    /// `search example` is not tried as `db.prod.example.example` first, as glibc would do it with many `ndots`: in a
    /// cluster that costs three to six questions each time, and shows our names to strangers.
    func candidates(for text: String) -> [DomainName] {
        guard let name = DomainName(text) else { return [] }
        if text.utf8.last == UInt8(ascii: ".") || search.contains(where: { $0 != .root && name.isWithin($0) }) {
            return [name]
        }
        let completed = search.compactMap { name.completed(by: $0) }.filter { $0 != name }
        let textDots = text.utf8.count { $0 == UInt8(ascii: ".") }
        return textDots >= dots ? [name] + completed : completed + [name]
    }
}
