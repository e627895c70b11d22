// What is worth counting? Plain numbers of one worker, added up by whoever asks.

/// What one worker counted.
public struct Counters: Sendable, Equatable {
    /// Client connections that were accepted.
    public var acceptedConnections: UInt64 = 0
    /// Client connections that were closed.
    public var closedConnections: UInt64 = 0
    /// Connections that were closed at once, for want of room.
    public var shedConnections: UInt64 = 0
    /// Requests whose head was complete, or broken.
    public var requests: UInt64 = 0
    /// Requests that the proxy itself refused.
    public var rejected: UInt64 = 0
    /// Connections to endpoints that could not be made.
    public var connectFailures: UInt64 = 0
    /// Requests that were sent a second time.
    public var retries: UInt64 = 0
    /// How often descriptors or memory ran out.
    public var exhaustions: UInt64 = 0
    /// Tunnels now.
    public var openTunnels: UInt64 = 0

    /// Nothing counted.
    public init() {}

    /// The sums of both.
    public static func + (a: Counters, b: Counters) -> Counters {
        var sum = a
        sum.acceptedConnections &+= b.acceptedConnections
        sum.closedConnections &+= b.closedConnections
        sum.shedConnections &+= b.shedConnections
        sum.requests &+= b.requests
        sum.rejected &+= b.rejected
        sum.connectFailures &+= b.connectFailures
        sum.retries &+= b.retries
        sum.exhaustions &+= b.exhaustions
        sum.openTunnels &+= b.openTunnels
        return sum
    }
}

/// What a worker has to say when it is gone.
public struct WorkerReport: Sendable {
    /// What it counted.
    public var counters = Counters()
    /// Requests that were under way when the time was over.
    public var cutExchanges = 0
    /// Tunnels that were open when the time was over.
    public var cutTunnels = 0
    /// All that it had to tell at its end.
    public var telemetry = WorkerTelemetry()

    /// Nothing to say.
    public init() {}
}
