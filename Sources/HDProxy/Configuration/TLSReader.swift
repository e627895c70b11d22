// `tls` of a listener: what is shown to clients, who of them is let in, and which hosts have terms of their own.

import ProxyCore

/// Reads `tls` of a listener.
enum TLSReader {
    private static let path = "an absolute path, as in \"/etc/hdproxy/tls/tls.crt\""

    /// The terms of `listener`; nil where they are wrong.
    static func read(_ item: Item, listener: String) -> TLSSettings? {
        let known = ["certificates", "clientCA", "clientAuth", "minimumVersion", "strictSNI", "hosts"]
        guard let section = item.section(known) else { return nil }
        var settings = TLSSettings(listener: listener)
        let allowed =
            "at least one, as in { certificate: \"/etc/hdproxy/tls/tls.crt\", key: \"/etc/hdproxy/tls/tls.key\" }"
        if let item = section.required("certificates", allowed) {
            settings.certificates = readFiles(item)
            if case .array(let list) = item.node.value, list.isEmpty { item.report("there is no certificate", allowed) }
        }
        settings.clients = readClients(section, default: TLSSettings.Clients())
        if let version = section["minimumVersion"]?.choice(["1.2", "1.3"]) {
            settings.minimumVersion = version == "1.3" ? .v1_3 : .v1_2
        }
        settings.isStrict = section["strictSNI"]?.bool() ?? false
        for item in section["hosts"]?.list("a list of hosts with terms of their own") ?? [] {
            guard let host = readHost(item, default: settings.clients) else { continue }
            if settings.hosts.contains(where: { $0.pattern == host.pattern }) {
                item.report("another one is for \(host.pattern), too", "one for each host")
            }
            settings.hosts.append(host)
        }
        return settings
    }

    private static func readHost(_ item: Item, default clients: TLSSettings.Clients) -> TLSSettings.Host? {
        let allowed = "a host name, or *.example.com for exactly one label"
        guard let section = item.section(["host", "certificates", "clientCA", "clientAuth"]),
            let name = section.required("host", allowed), let text = name.string(allowed)
        else { return nil }
        let pattern: HostPattern
        switch HostText.pattern(text) {
        case .success(.any):
            name.report("every other host has the listener's own terms", allowed)
            return nil
        case .success(let found): pattern = found
        case .failure(let refusal):
            name.report("\(name.shown) is no host: \(refusal.text)", allowed)
            return nil
        }
        return TLSSettings.Host(
            pattern: pattern, certificates: section["certificates"].map(readFiles) ?? [],
            clients: readClients(section, default: clients))
    }

    private static func readFiles(_ item: Item) -> [TLSSettings.Files] {
        (item.list("a list of certificates with their keys") ?? []).compactMap { item in
            guard let section = item.section(["certificate", "key"]) else { return nil }
            let certificate = section.required("certificate", path)?.absolutePath(path)
            let key = section.required("key", path)?.absolutePath(path)
            guard let certificate, let key else { return nil }
            return TLSSettings.Files(certificate: certificate, key: key)
        }
    }

    /// Whoever names an authority and nothing else wants it to be used.
    private static func readClients(_ section: Section, default fallback: TLSSettings.Clients) -> TLSSettings.Clients {
        var clients = fallback
        if let file = section["clientCA"]?.absolutePath(path) {
            clients.authorities = file
            if clients.authentication == .off { clients.authentication = .require }
        }
        if let item = section["clientAuth"],
            let word = item.choice(ClientAuthentication.allCases.map(\.rawValue)),
            let found = ClientAuthentication(rawValue: word)
        {
            clients.authentication = found
            if found != .off, clients.authorities == nil, section["clientCA"] == nil {
                item.report("there is no clientCA", "a clientCA, by which certificates are judged; or \"off\"")
            }
        }
        if clients.authentication == .off { clients.authorities = nil }
        return clients
    }

    // MARK: Services

    /// On what terms the endpoints of `service` are spoken to; nil: in the clear.
    static func readUpstream(_ section: Section, _ service: ServiceSettings) -> UpstreamTLSSettings? {
        let scheme = section["scheme"]?.choice(["http", "https"]) ?? "http"
        guard scheme == "https" else {
            section["tls"]?.report("the scheme is not https", "scheme: \"https\" beside it")
            return nil
        }
        var settings = UpstreamTLSSettings(serverName: Self.serverName(of: service) ?? "")
        let tls = section["tls"]?.section(["ca", "serverName", "certificate", "key"])
        settings.authorities = tls?["ca"]?.absolutePath(path)
        let allowed = "the host name that the certificates of its endpoints have"
        if let item = tls?["serverName"], let text = item.string(allowed) {
            switch HostText.name(text) {
            case .success(let name): settings.serverName = name
            case .failure(let refusal): item.report("\(item.shown) is no host: \(refusal.text)", allowed)
            }
        } else if settings.serverName.isEmpty {
            (tls?.item ?? section.item).report("tls.serverName is missing", allowed)
        }
        let certificate = tls?["certificate"]?.absolutePath(path)
        let key = tls?["key"]?.absolutePath(path)
        if let certificate, let key {
            settings.certificate = TLSSettings.Files(certificate: certificate, key: key)
        } else if let tls, (tls["certificate"] == nil) != (tls["key"] == nil) {
            tls.item.report("certificate and key belong together", "both, or neither")
        }
        return settings
    }

    /// The name under which a service's endpoints would be known: that of DNS, or the Service's own in the cluster.
    private static func serverName(of service: ServiceSettings) -> String? {
        if let dns = service.dns { return dns.name.hasSuffix(".") ? String(dns.name.dropLast()) : dns.name }
        return service.kubernetes.map { "\($0.service).\($0.namespace).svc" }
    }
}
