// Where does a service live now? The one thing that changes all the time while the configuration stays; so it travels
// without a new snapshot, and only the services that it names are touched.

/// The present endpoints of one service, all of them. The next ``Snapshot`` carries them too.
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
