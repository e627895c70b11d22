// `discovery`: whom it asks, and where it keeps what it learned.

import Discovery
import ProxyCore

/// Reads `discovery`.
enum DiscoveryReader {
    /// The settings in the object `item`.
    static func read(_ item: Item) -> DiscoverySettings {
        var settings = DiscoverySettings()
        guard let section = item.section(["kubernetes", "dns", "stateDirectory", "staleAfter"]) else { return settings }
        if let item = section["kubernetes"], let cluster = readCluster(item) { settings.cluster = cluster }
        if let dns = section["dns"]?.section(["servers"]), let servers = dns["servers"] {
            settings.dnsServers = readServers(servers)
        }
        let allowed = "the absolute path of a folder; \"\": nothing is kept over a restart"
        if let path = section["stateDirectory"]?.absolutePath(allowed, orWord: "") {
            settings.stateDirectory = path.isEmpty ? nil : path
        }
        section.set(&settings.staleAfter, "staleAfter")
        return settings
    }

    private static func readCluster(_ item: Item) -> DiscoverySettings.Cluster? {
        let allowed =
            "{} in a cluster, { server: \"https://…\", tokenFile: \"…\", caFile: \"…\" } or { kubeconfig: \"…\" } outside"
        guard let section = item.section(["server", "tokenFile", "caFile", "kubeconfig"]) else { return nil }
        func path(_ key: String) -> String? { section[key]?.absolutePath("the absolute path of a file") }
        if section["kubeconfig"] != nil {
            for other in ["server", "tokenFile", "caFile"] {
                section[other]?.report("`kubeconfig` stands beside it, which says this, too", allowed)
            }
            return path("kubeconfig").map { .kubeconfig($0) }
        }
        let tokenFile = path("tokenFile")
        let caFile = path("caFile")
        if let item = section["server"] {
            return readServer(item).map { .server($0, caFile: caFile, tokenFile: tokenFile) }
        }
        for key in ["tokenFile", "caFile"] {
            section[key]?.report("`server` is missing beside it: in a cluster both files are known", allowed)
        }
        return .inCluster
    }

    /// `https://host[:port]`, without the slash that may end it.
    private static func readServer(_ item: Item) -> String? {
        let allowed = "https:// with a host, perhaps a port, as in \"https://10.0.0.1:6443\""
        guard let text = item.string(allowed) else { return nil }
        func refuse(_ wrong: String) -> String? {
            item.report("\(item.shown) \(wrong)", allowed)
            return nil
        }
        let lower = text.lowercased()
        if lower.hasPrefix("http://") { return refuse("would send the token in the clear") }
        guard lower.hasPrefix("https://") else { return refuse("is no https URL") }
        var authority = String(text.dropFirst("https://".count))
        if authority.hasSuffix("/") { authority.removeLast() }
        if authority.contains(where: { "/?#".contains($0) }) { return refuse("has more behind the host") }
        if let refusal = RedirectText.checkAuthority(authority) { return refuse("is no server: \(refusal.text)") }
        return "https://" + authority
    }

    private static func readServers(_ item: Item) -> [NetworkAddress] {
        let allowed = "an IP address, perhaps with a port, as in \"10.43.0.10\" or \"[fd00::10]:53\""
        guard let items = item.list("a list of servers; empty: those of /etc/resolv.conf") else { return [] }
        var servers: [(address: NetworkAddress, path: String)] = []
        for item in items {
            guard let text = item.string(allowed) else { continue }
            guard let address = serverAddress(text) else {
                item.report("\(item.shown) is not an address", allowed)
                continue
            }
            if address.port == 0 || address.ip.isUnspecified {
                item.report("\(item.shown) is nothing to ask", allowed)
            } else if let other = servers.first(where: { $0.address == address }) {
                item.report("\(item.shown) is \(other.path) again", "each server once")
            } else {
                servers.append((address, item.path))
            }
        }
        return servers.map(\.address)
    }

    private static func serverAddress(_ text: String) -> NetworkAddress? {
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        let bare = isBracketed ? String(text.dropFirst().dropLast()) : text
        guard let ip = IPAddress(bare), !isBracketed || bare.contains(":") else { return NetworkAddress(text) }
        return NetworkAddress(ip: ip, port: 53)
    }
}
