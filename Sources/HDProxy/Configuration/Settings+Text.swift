// The effective configuration, every default spelled out: what `check --print` writes. Reading it again gives the same
// settings.

import Discovery
import ProxyCore

extension Settings {
    /// The settings as JSON.
    var text: String { JSON5Writer.write(tree) }

    private var tree: JSON5Value {
        .members([
            ("workers", .whole(workers)),
            ("memory", memory.map { $0 == 0 ? .whole(0) : .size($0) } ?? .string("auto")),
            (
                "listeners",
                .list(
                    listeners.map { listener in
                        let tls = tls.first { $0.listener == listener.name }
                        let proxyProtocol = proxyHeaderListeners.contains(listener.name) ? "required" : "off"
                        return .members(
                            [
                                ("name", .string(listener.name)), ("address", .string(listener.address.description)),
                                ("proxyProtocol", .string(proxyProtocol)),
                            ] + (tls.map { [("tls", $0.tree)] } ?? []))
                    })
            ),
            ("admin", admin.tree),
            ("trustedProxies", .list(trustedProxies.map { .string($0.text) })),
            ("originLockdown", originLockdown?.tree ?? .bool(false)),
            ("discovery", discovery.tree),
            ("services", .members(services.map { ($0.name, $0.tree) })),
            ("routes", .list(routes.map(\.tree))),
            (
                "timeouts",
                .members([
                    ("tlsHandshake", .duration(limits.handshake)),
                    ("requestHeader", .duration(limits.requestHeader)),
                    ("requestBodyIdle", .duration(limits.requestBodyIdle)),
                    ("responseIdle", .duration(limits.responseIdle)),
                    ("keepAlive", .duration(limits.keepAlive)),
                    ("tunnelIdle", .duration(limits.tunnelIdle)),
                ])
            ),
            (
                "limits",
                .members([
                    ("headerBytes", .size(limits.headerBytes)),
                    ("headers", .whole(limits.headers)),
                    ("requestTarget", .size(limits.requestTargetBytes)),
                    ("connections", .whole(limits.connections)),
                    ("connectionsPerClient", .whole(limits.connectionsPerClient)),
                    ("minRequestRate", limits.minRequestRate == 0 ? .whole(0) : .size(limits.minRequestRate)),
                    ("minResponseRate", limits.minResponseRate == 0 ? .whole(0) : .size(limits.minResponseRate)),
                    ("bodyBytes", limits.bodyBytes == 0 ? .whole(0) : .size(Int(clamping: limits.bodyBytes))),
                ])
            ),
            ("drain", .members([("delay", .duration(drain.delay)), ("timeout", .duration(drain.timeout))])),
            (
                "handoff",
                .members([("socket", .string(handoff.socket)), ("confirm", .duration(handoff.confirm))])
            ),
            (
                "log",
                .members([
                    ("format", .string("json")), ("access", .bool(log.access)),
                    ("level", .string(log.level.rawValue)), ("file", .string(log.file)),
                ])
            ),
        ])
    }
}

extension TLSSettings {
    fileprivate var tree: JSON5Value {
        .members(
            [("certificates", Self.tree(certificates))] + clients.members
                + [
                    ("minimumVersion", .string(minimumVersion.word.description)), ("strictSNI", .bool(isStrict)),
                    (
                        "hosts",
                        .list(
                            hosts.map { host in
                                .members(
                                    [("host", .string(host.pattern.description))]
                                        + (host.certificates.isEmpty
                                            ? [] : [("certificates", Self.tree(host.certificates))])
                                        + host.clients.members)
                            })
                    ),
                ])
    }

    private static func tree(_ files: [Files]) -> JSON5Value {
        .list(files.map { .members([("certificate", .string($0.certificate)), ("key", .string($0.key))]) })
    }
}

extension TLSSettings.Clients {
    fileprivate var members: [(String, JSON5Value)] {
        [("clientAuth", .string(authentication.rawValue))]
            + (authorities.map { [("clientCA", .string($0))] } ?? [])
    }
}

extension OriginLockdown {
    fileprivate var tree: JSON5Value {
        allow.isEmpty ? .bool(true) : .members([("allow", .list(allow.map { .string($0.text) }))])
    }
}

extension AdminSettings {
    fileprivate var tree: JSON5Value {
        .members([
            ("address", .string(address?.description ?? "")), ("socket", .string(socket ?? "")),
        ])
    }
}

extension DiscoverySettings {
    fileprivate var tree: JSON5Value {
        .members([
            ("kubernetes", cluster.tree),
            ("dns", .members([("servers", .list(dnsServers.map { .string($0.description) }))])),
            ("stateDirectory", .string(stateDirectory ?? "")),
            ("staleAfter", .duration(staleAfter)),
        ])
    }
}

extension DiscoverySettings.Cluster {
    fileprivate var tree: JSON5Value {
        switch self {
        case .inCluster: .members([])
        case .kubeconfig(let file): .members([("kubeconfig", .string(file))])
        case .server(let server, let caFile, let tokenFile):
            .members(
                [("server", .string(server))] + (tokenFile.map { [("tokenFile", .string($0))] } ?? [])
                    + (caFile.map { [("caFile", .string($0))] } ?? []))
        }
    }
}

extension ServiceSettings {
    /// Where its endpoints come from.
    private var witnessMembers: [(String, JSON5Value)] {
        var members: [(String, JSON5Value)] = []
        if let kubernetes {
            let port: JSON5Value =
                switch kubernetes.port {
                case .name(let name): .string(name)
                case .number(let number): .whole(Int(number))
                }
            members.append(
                (
                    "kubernetes",
                    .members([
                        ("namespace", .string(kubernetes.namespace)), ("service", .string(kubernetes.service)),
                        ("port", port),
                    ])
                ))
        }
        if let dns {
            let port = dns.port.map { [("port", JSON5Value.whole(Int($0)))] } ?? []
            members.append(("dns", .members([("name", .string(dns.name))] + port)))
        }
        if let tls {
            members.append(("scheme", .string("https")))
            let ca = tls.authorities.map { [("ca", JSON5Value.string($0))] } ?? []
            let files = tls.certificate.map {
                [("certificate", JSON5Value.string($0.certificate)), ("key", .string($0.key))]
            }
            members.append(("tls", .members(ca + [("serverName", .string(tls.serverName))] + (files ?? []))))
        }
        if !endpoints.isEmpty { members.append(("endpoints", .list(endpoints.map(endpointTree)))) }
        return members
    }

    private func endpointTree(_ address: NetworkAddress) -> JSON5Value {
        guard let weight = care.weights[address] else { return .string(address.description) }
        return .members([("address", .string(address.description)), ("weight", .whole(Int(weight)))])
    }

    fileprivate var tree: JSON5Value {
        .members(
            witnessMembers + [
                ("prefer", .string(care.prefer.rawValue)),
                ("balance", .string(balance.method.rawValue)),
                ("slowStart", .duration(balance.slowStart)),
                ("maxConcurrent", .whole(balance.maxConcurrent)),
                ("queue", .whole(balance.queue)),
                ("queueTimeout", .duration(balance.queueTimeout)),
            ] + (care.health.map { [("health", $0.tree)] } ?? [])
                + (care.identity.map { [("identity", $0.tree)] } ?? []) + [
                    ("outlier", care.outlier.tree),
                    (
                        "retry",
                        .members([
                            ("attempts", .whole(retry.attempts)), ("budgetPercent", .whole(retry.budgetPercent)),
                        ])
                    ),
                    (
                        "timeouts",
                        .members([
                            ("connect", .duration(connectTimeout)),
                            ("response", .duration(responseTimeout)),
                            ("idle", .duration(idleTimeout)),
                            ("try", .duration(tryTimeout)),
                        ])
                    ),
                ])
    }
}

extension HealthSpec {
    /// Without a path there is neither a host nor a status.
    fileprivate var tree: JSON5Value {
        .members(
            (path.map { [("path", .string($0))] } ?? []) + (host.map { [("host", .string($0))] } ?? []) + [
                ("interval", .duration(interval)), ("timeout", .duration(timeout)),
                ("healthyAfter", .whole(healthyAfter)), ("unhealthyAfter", .whole(unhealthyAfter)),
            ] + (path == nil ? [] : [("expectStatus", .string(expectStatus.description))]))
    }
}

extension IdentitySpec {
    fileprivate var tree: JSON5Value { .members([("header", .string(header)), ("value", .string(value))]) }
}

extension OutlierSpec {
    fileprivate var tree: JSON5Value {
        .members([
            ("consecutiveFailures", .whole(consecutiveFailures)), ("ejectFor", .duration(ejectFor)),
            ("maxEjectedPercent", .whole(maxEjectedPercent)),
        ])
    }
}

extension RouteSettings {
    fileprivate var tree: JSON5Value {
        var members: [(String, JSON5Value)] = [("host", .string(host.description))]
        switch path {
        case .any: break
        case .prefix(let path): members.append(("path", .string(path)))
        case .exact(let path): members.append(("exactPath", .string(path)))
        }
        if allowsAmbiguousPaths { members.append(("paths", .string("asis"))) }
        switch action {
        case .forward(let services) where services.count == 1 && services[0].weight == 1:
            members.append(("service", .string(services[0].name)))
        case .forward(let services):
            members.append(
                (
                    "services",
                    .list(
                        services.map { service in
                            .members([("name", .string(service.name)), ("weight", .whole(service.weight))])
                        })
                ))
        case .redirect(let redirect):
            members.append(
                (
                    "redirect",
                    .members([
                        ("to", .string(redirect.location)), ("status", .whole(redirect.status)),
                    ])
                ))
        }
        if let httpsRedirect {
            members.append(
                ("redirect", .members([("to", .string("https")), ("status", .whole(httpsRedirect))])))
        }
        members.append(("middlewares", .list([])))
        return .members(members)
    }
}

extension JSON5Value {
    fileprivate static func members(_ members: [(String, JSON5Value)]) -> JSON5Value {
        .object(members.map { JSON5Member(name: $0.0, node: JSON5Node(value: $0.1)) })
    }

    fileprivate static func list(_ values: [JSON5Value]) -> JSON5Value { .array(values.map { JSON5Node(value: $0) }) }

    fileprivate static func whole(_ value: Int) -> JSON5Value { .number(String(value)) }

    fileprivate static func duration(_ value: Duration) -> JSON5Value { .string(DurationText.write(value)) }

    fileprivate static func size(_ value: Int) -> JSON5Value { .string(SizeText.write(value)) }
}
