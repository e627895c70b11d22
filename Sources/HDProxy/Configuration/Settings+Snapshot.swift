// From what is configured to what is served: names become indices, and the witness of each service is asked where it
// lives. Today the only witness is the configuration itself.

import Discovery
import ProxyCore

extension Settings {
    /// What workers serve from generation `generation` on.
    func snapshot(generation: UInt64) -> Snapshot {
        let witness = StaticEndpoints(
            Dictionary(uniqueKeysWithValues: services.map { ($0.name, $0.endpoints) }))
        let services = services.map { service in
            Service(
                name: service.name, endpoints: witness.endpoints(of: service.name),
                connectTimeout: service.connectTimeout, responseTimeout: service.responseTimeout,
                idleTimeout: service.idleTimeout)
        }
        let index = Dictionary(uniqueKeysWithValues: services.enumerated().map { ($1.name, $0) })
        return Snapshot(
            generation: generation, listeners: listeners, services: services,
            routes: routes.map { $0.route(serviceIndex: index) }, limits: limits, drain: drain, accessLog: log.access)
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
        return Route(host: host, path: path, allowsAmbiguousPaths: allowsAmbiguousPaths, action: action)
    }
}
