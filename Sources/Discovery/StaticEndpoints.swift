// The witness that never changes its mind: addresses written into the configuration.

import ProxyCore

/// Endpoints that the configuration names by address.
public struct StaticEndpoints {
    private let addresses: [String: [NetworkAddress]]

    /// The addresses of each service, by its name.
    public init(_ addresses: [String: [NetworkAddress]]) { self.addresses = addresses }

    /// `static`.
    public var name: String { "static" }

    /// The configured addresses in the configured order. Nobody tells more about them than service and address, so
    /// these two make an endpoint itself: the same address in another service is another endpoint.
    public func endpoints(of service: String) -> [Endpoint] {
        (addresses[service] ?? []).map { address in
            Endpoint(id: EndpointID("\(service)/\(address)"), address: address)
        }
    }
}
