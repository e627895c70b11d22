// What did requests meet at an endpoint that is ill? What a worker tells of it to the control plane, which decides.

/// What requests met at an endpoint.
public struct Sighting: Sendable, Equatable {
    /// What it was.
    public enum Kind: Sendable, Equatable {
        /// So many requests in a row failed in one worker; how the last one did, `ok` for an answer of 502 to 504.
        case failures(Int, last: Outcome.Kind)
        /// An answer came without the service's identity; what stood in its place, cut to what fits a line, printable
        /// ASCII.
        case ghost(seen: String)
    }

    /// The service, by its configured name.
    public var service: String
    /// Which endpoint.
    public var endpoint: EndpointID
    /// Where it is.
    public var address: NetworkAddress
    /// What it was.
    public var kind: Kind

    /// A sighting of `kind`.
    public init(service: String, endpoint: EndpointID, address: NetworkAddress, kind: Kind) {
        self.service = service
        self.endpoint = endpoint
        self.address = address
        self.kind = kind
    }
}
