// Which endpoints answer from now on? What the control plane tells the workers of one service.

import ProxyCore

/// The usable endpoints of one service have changed.
public struct EndpointsChange: Sendable, Equatable {
    /// The service, by its configured name.
    public var service: String
    /// Who can answer now. Empty: every request is a 503.
    public var endpoints: [Endpoint]

    /// From now on `service` is answered by `endpoints`.
    public init(service: String, endpoints: [Endpoint]) {
        self.service = service
        self.endpoints = endpoints
    }
}
