// From what is configured to what is served: names become indices, and each service gets the endpoints that discovery
// found for it.

import Discovery
import ProxyCore

extension Settings {
    /// What discovery is asked for, service by service.
    var serviceSpecs: [ServiceSpec] {
        services.map {
            ServiceSpec(
                name: $0.name, addresses: $0.endpoints, kubernetes: $0.kubernetes, dns: $0.dns,
                care: $0.care.over(upstreamTerms[$0.name]))
        }
    }

    /// What workers serve from generation `generation` on when nothing but the file is asked: services that have to be
    /// discovered have no endpoints.
    func snapshot(generation: UInt64) -> Snapshot {
        let known = Reconciler(
            services: serviceSpecs, staleAfter: discovery.staleAfter, now: Instant(nanoseconds: 0), wallMicroseconds: 0)
        return snapshot(generation: generation) { known.endpoints(of: $0) }
    }

    /// What workers serve from generation `generation` on; `endpoints` tells those of each service, by its name.
    func snapshot(generation: UInt64, endpoints: (String) -> [Endpoint]) -> Snapshot {
        let services = services.map { service in
            var served = Service(
                name: service.name, endpoints: endpoints(service.name),
                connectTimeout: service.connectTimeout, responseTimeout: service.responseTimeout,
                idleTimeout: service.idleTimeout)
            served.tryTimeout = service.tryTimeout
            served.balance = service.balance
            served.outlier = service.care.outlier
            served.retry = service.retry
            served.identity = service.care.identity
            served.isSecure = service.tls != nil
            return served
        }
        let index = Dictionary(uniqueKeysWithValues: services.enumerated().map { ($1.name, $0) })
        var snapshot = Snapshot(
            generation: generation, listeners: listeners, services: services,
            routes: routes.map { $0.route(serviceIndex: index) }, limits: limits, drain: drain, accessLog: log.access)
        snapshot.trustedProxies = trustedProxies.flatMap(\.ranges)
        snapshot.workerMemory = MemoryBudget.ofWorker(
            MemoryBudget.ofProcess(configured: memory), workers: workers > 0 ? workers : usableProcessors())
        snapshot.lockdown = originLockdown?.allow.flatMap(\.ranges)
        snapshot.proxyHeaderListeners = proxyHeaderListeners
        return snapshot
    }
}

extension RouteSettings {
    /// The rule with its services by index; a name that stands for none is left out.
    func route(serviceIndex: [String: Int]) -> Route {
        let action: RouteAction =
            switch self.action {
            case .redirect(let redirect): .redirect(redirect)
            case .forward(let services):
                .forward(
                    services.compactMap { service in
                        serviceIndex[service.name].map { WeightedService(service: $0, weight: service.weight) }
                    })
            }
        var route = Route(host: host, path: path, allowsAmbiguousPaths: allowsAmbiguousPaths, action: action)
        route.httpsRedirect = httpsRedirect
        return route
    }
}
