// What was a rollout like for those who asked? The report that each of them leaves: who came and went, and when the first
// and the last request went there; what was moved, sent again, failed; how fast answers were before and are now.

import ProxyCore

/// One rollout of one service, once it is over.
public struct RolloutReport: Sendable, Equatable {
    /// An endpoint that came or went.
    public struct Pod: Sendable, Equatable {
        /// The pod's name; nil where no witness tells one.
        public var name: String?
        /// What makes it itself.
        public var id: EndpointID
        /// Where it is, or was.
        public var address: NetworkAddress
        /// When it began, or ceased, to be offered requests, in microseconds since 1970.
        public var atMicroseconds: Int64
        /// When the first request that it answered was sent there, in microseconds since 1970; nil: none was.
        public var firstRequestMicroseconds: Int64?
        /// When the last request that it answered was sent there, or the last one failed; nil: none was.
        public var lastRequestMicroseconds: Int64?
        /// Requests that it has answered.
        public var answered: UInt64 = 0
    }

    /// How long the first byte of answers took, in nanoseconds, over the whole time of the pods in question.
    public struct Latency: Sendable, Equatable {
        /// The mean.
        public var meanNanoseconds: Int64
        /// What half of them stayed below.
        public var p50Nanoseconds: Int64
        /// What 99 of 100 stayed below.
        public var p99Nanoseconds: Int64

        /// What `histogram` has seen; nil where that is nothing. Within a bucket answers count as evenly spread.
        init?(_ histogram: Histogram) {
            let count = histogram.count
            guard count > 0 else { return nil }
            meanNanoseconds = Int64(clamping: histogram.sumNanoseconds / count)
            p50Nanoseconds = histogram.quantile(0.5)
            p99Nanoseconds = histogram.quantile(0.99)
        }
    }

    /// The service's configured name.
    public var service: String
    /// When the first endpoint came or went, in microseconds since 1970.
    public var beganMicroseconds: Int64
    /// When the last one did.
    public var endedMicroseconds: Int64
    /// Who came.
    public var came: [Pod] = []
    /// Who went.
    public var went: [Pod] = []
    /// Requests that waited at one that left, had sent it nothing, and were sent elsewhere.
    public var moved: UInt64 = 0
    /// Requests that an endpoint failed, and that were sent again.
    public var retried: UInt64 = 0
    /// Requests that failed, whoever of the service failed them, and those for which there was no endpoint.
    public var failed: UInt64 = 0
    /// Requests and tunnels that those who went still had when the report was made: it does not wait longer for them.
    public var stillInFlight = 0
    /// How fast those were who went; nil where they answered nothing.
    public var latencyBefore: Latency?
    /// How fast those are who came.
    public var latencyNow: Latency?

    /// A report without figures.
    init(service: String, beganMicroseconds: Int64, endedMicroseconds: Int64) {
        self.service = service
        self.beganMicroseconds = beganMicroseconds
        self.endedMicroseconds = endedMicroseconds
    }
}

extension Histogram {
    /// The duration that a share of all stays below, in nanoseconds.
    func quantile(_ share: Double) -> Int64 {
        var rank = Double(count) * share
        var lower = 0.0
        for (index, bound) in Self.bounds.enumerated() {
            let upper = Double(bound.description) ?? lower
            let n = Double(counts[index])
            if n > 0, rank <= n { return Int64((lower + (upper - lower) * rank / n) * 1e9) }
            rank -= n
            lower = upper
        }
        // Beyond the last bound nobody knows more.
        return Int64(lower * 1e9)
    }
}
