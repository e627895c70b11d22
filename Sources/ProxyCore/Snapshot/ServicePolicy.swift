// How are the endpoints of a service treated? The sections `balance`, `outlier`, `retry` and `identity`, as values.

/// How requests are shared out among the endpoints of a service.
public struct BalanceSpec: Sendable, Hashable {
    /// How the next endpoint is found.
    public enum Method: String, Sendable, Hashable, CaseIterable {
        /// Of two at random the one that is likely to answer sooner.
        case leastRequest
        /// One after the other.
        case roundRobin
    }

    /// How the next endpoint is found.
    public var method = Method.leastRequest
    /// For how long a new endpoint, or one that comes back, gets less than its share; zero: it begins with all of it.
    public var slowStart = Duration.seconds(10)
    /// Requests that one endpoint has at once, from this whole process; 0: as many as come.
    public var maxConcurrent = 0
    /// Requests of the service that may wait for an endpoint with room, in this whole process.
    public var queue = 128
    /// How long one of them may wait.
    public var queueTimeout = Duration.seconds(5)

    /// The defaults.
    public init() {}
}

/// When an endpoint is let alone because of what requests met there.
public struct OutlierSpec: Sendable, Hashable {
    /// Failures in a row, in one worker; 0: never.
    public var consecutiveFailures = 3
    /// For how long the first time. Each time that follows soon it is as much longer.
    public var ejectFor = Duration.seconds(10)
    /// The share of a service's endpoints that is let alone at most, in percent; the last one never is.
    public var maxEjectedPercent = 50

    /// The defaults of the contract.
    public init() {}
}

/// When a request that an endpoint has, or may have, seen is sent to another one.
public struct RetrySpec: Sendable, Hashable {
    /// How often at most; 0: never. A try that certainly reached nobody does not count.
    public var attempts = 2
    /// How many of a service's requests may be such repetitions, in percent of those of the last ten seconds. A few a
    /// second always may.
    public var budgetPercent = 20

    /// The defaults of the contract.
    public init() {}
}

/// What each answer of a service carries: one without it did not come from this service.
public struct IdentitySpec: Sendable, Hashable {
    /// The field's name, in any letter case.
    public let header: String
    /// The field's whole value, by case. Of several lines of that name one is enough.
    public let value: String

    /// The field `header` with `value`. Whoever reads one from a file checks that the name is a token.
    public init(header: String, value: String) {
        precondition(
            !header.isEmpty && header.utf8.allSatisfy { ASCII.isToken($0) }, "a field's name is a token")
        self.header = header
        self.value = value
    }
}
