// A rule: which requests it meets, and what becomes of them.

/// A rule of the configuration.
public struct Route: Sendable, Equatable {
    /// The rule as metrics and the log name it: host and path, as in `api.example.com/static/`.
    public var name: String
    /// Which hosts it meets.
    public var host: HostPattern
    /// Which paths it meets.
    public var path: PathPattern
    /// Whether paths that can be read in two ways are let through (`paths: "asis"`).
    public var allowsAmbiguousPaths: Bool
    /// The status with which a client that did not come by https is sent to the same place there; nil: it is served.
    public var httpsRedirect: Int?
    /// What becomes of a request.
    public var action: RouteAction

    /// A rule of these parts; its name is made from host and path.
    public init(
        host: HostPattern, path: PathPattern = .any, allowsAmbiguousPaths: Bool = false, action: RouteAction
    ) {
        self.name = host.description + path.description
        self.host = host
        self.path = path
        self.allowsAmbiguousPaths = allowsAmbiguousPaths
        self.action = action
    }
}

/// Which hosts a rule meets. Names are lower case, without a port and without a final dot.
public enum HostPattern: Sendable, Hashable, CustomStringConvertible {
    /// This very name.
    case exact(String)
    /// `*.example.com`, held as `example.com`: exactly one label before it.
    case wildcard(String)
    /// Every host.
    case any

    /// As the configuration spells it.
    public var description: String {
        switch self {
        case .exact(let name): name
        case .wildcard(let parent): "*." + parent
        case .any: "*"
        }
    }
}

/// Which paths a rule meets. Paths begin with a slash and are compared element by element, by what they spell once
/// percent-decoding is done; what travels on is the path as it came.
public enum PathPattern: Sendable, Hashable, CustomStringConvertible {
    /// Every path.
    case any
    /// This path and all below it, by whole elements: `/foo` meets `/foo` and `/foo/bar`, not `/foobar`.
    case prefix(String)
    /// This very path.
    case exact(String)

    /// As the log shows it.
    public var description: String {
        switch self {
        case .any: ""
        case .prefix(let path): path
        case .exact(let path): "=" + path
        }
    }
}

/// What becomes of a request that a rule meets.
public enum RouteAction: Sendable, Equatable {
    /// It goes to one of these services, chosen by weight.
    case forward([WeightedService])
    /// The client is sent elsewhere.
    case redirect(Redirect)
}

/// A service and its share of a rule's requests.
public struct WeightedService: Sendable, Hashable {
    /// Its index in ``Snapshot/services``.
    public var service: Int
    /// Its share: weight over the sum of all weights. 0 gets nothing.
    public var weight: Int

    /// The service at index `service` with `weight`.
    public init(service: Int, weight: Int = 1) {
        self.service = service
        self.weight = weight
    }
}

/// Where a client is sent.
public struct Redirect: Sendable, Hashable {
    /// The target. Where it has no path, the request's own path and query are appended.
    public var location: String
    /// 301, 302, 303, 307 or 308.
    public var status: Int
    /// Whether the request's path and query go behind ``location``.
    public var appendsPath: Bool

    /// A redirect to `location`.
    public init(location: String, status: Int, appendsPath: Bool) {
        self.location = location
        self.status = status
        self.appendsPath = appendsPath
    }
}
