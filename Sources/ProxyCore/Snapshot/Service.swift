// A named group of endpoints and how to treat it.

/// A named group of endpoints.
public struct Service: Sendable, Equatable {
    /// The configured name, for routes, metrics and the log.
    public var name: String
    /// Who can answer now. Empty: every request is a 503.
    public var endpoints: [Endpoint]
    /// How long a connect may take before the next endpoint is tried.
    public var connectTimeout: Duration
    /// From the request's last byte sent to the response's first byte. Past it: 504.
    public var responseTimeout: Duration
    /// Between two reads of the response's body.
    public var idleTimeout: Duration

    /// A service with the times of the contract unless told otherwise.
    public init(
        name: String, endpoints: [Endpoint], connectTimeout: Duration = .seconds(1),
        responseTimeout: Duration = .seconds(95), idleTimeout: Duration = .seconds(60)
    ) {
        self.name = name
        self.endpoints = endpoints
        self.connectTimeout = connectTimeout
        self.responseTimeout = responseTimeout
        self.idleTimeout = idleTimeout
    }
}

/// One address that answers for a service.
public struct Endpoint: Sendable, Hashable {
    /// What makes it itself: connections, load and health belong to this, not to the address.
    public var id: EndpointID
    /// Where to connect.
    public var address: NetworkAddress

    /// The endpoint `id` at `address`.
    public init(id: EndpointID, address: NetworkAddress) {
        self.id = id
        self.address = address
    }
}

/// What makes an endpoint itself: a pod's UID with address and port, or service and address where nobody tells more.
public struct EndpointID: Sendable, Hashable, CustomStringConvertible {
    /// The text that is compared.
    public var description: String

    /// An identity spelled `text`.
    public init(_ text: String) { description = text }
}
