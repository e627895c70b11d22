// A named group of endpoints and how to treat it.

/// A named group of endpoints.
public struct Service: Sendable, Equatable {
    /// The configured name, for routes, metrics and the log.
    public var name: String
    /// Who can answer now. Empty: every request is a 503.
    public var endpoints: [Endpoint]
    /// How long a connect may take before the next endpoint is tried.
    public var connectTimeout: Duration
    /// From the request's last byte to the response's first one, whatever that waits for: a place at an endpoint, a
    /// connection, one try after another. Past it: 504.
    public var responseTimeout: Duration
    /// Between two reads of the response's body.
    public var idleTimeout: Duration
    /// From the start of one try to its response's first byte, as long as another endpoint may be asked; zero: no limit
    /// of its own.
    public var tryTimeout = Duration.zero
    /// How requests are shared out among the endpoints.
    public var balance = BalanceSpec()
    /// When an endpoint is let alone for what requests met there.
    public var outlier = OutlierSpec()
    /// When a request is sent a second time.
    public var retry = RetrySpec()
    /// What each of its responses carries; nil: nothing is looked for.
    public var identity: IdentitySpec?
    /// Whether its endpoints are spoken to over TLS, on terms that reach workers by themselves.
    public var isSecure = false

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
    /// What is known of it now. Changes with the endpoint staying itself.
    public var traits = EndpointTraits()

    /// The endpoint `id` at `address`.
    public init(id: EndpointID, address: NetworkAddress, traits: EndpointTraits = EndpointTraits()) {
        self.id = id
        self.address = address
        self.traits = traits
    }
}

/// What distinguishes endpoints of one service: who it is and where, whatever else is known of it.
struct EndpointIdentity: Hashable {
    var id: EndpointID
    var address: NetworkAddress

    init(_ endpoint: Endpoint) {
        id = endpoint.id
        address = endpoint.address
    }
}

/// What the control plane knows of an endpoint that workers should heed.
public struct EndpointTraits: Sendable, Hashable {
    /// Its share of the requests beside its neighbours'; 0: none as long as another one is there.
    public var weight: UInt16 = 1
    /// Whether it is as near as the service prefers; far ones are for when the near ones are busy or fail.
    public var isNear = true
    /// Whether it gets no new requests though it is the service's: probes or requests found it ill. Its connections and
    /// what it is answering stay.
    public var isHeldBack = false
    /// Whether it is held back because a stranger answers there: it gets nothing even where there is no other.
    public var isGhost = false
    /// Whether it is held back because probes get no answer at all: what waits there for an answer may wait in vain, and
    /// is asked elsewhere where that does no harm.
    public var isSilent = false

    /// An endpoint like any other, unless told otherwise.
    public init(
        weight: UInt16 = 1, isNear: Bool = true, isHeldBack: Bool = false, isGhost: Bool = false,
        isSilent: Bool = false
    ) {
        self.weight = weight
        self.isNear = isNear
        self.isHeldBack = isHeldBack
        self.isGhost = isGhost
        self.isSilent = isSilent
    }
}

/// What makes an endpoint itself: a pod's UID with address and port, or service and address where nobody tells more.
public struct EndpointID: Sendable, Hashable, CustomStringConvertible {
    /// The text that is compared.
    public var description: String

    /// An identity spelled `text`.
    public init(_ text: String) { description = text }
}
