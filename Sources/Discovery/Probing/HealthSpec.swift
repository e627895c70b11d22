// How is an endpoint asked whether it is well? The `health` section of a service, as a value.

import ProxyCore

/// How the endpoints of a service are probed: the `health` section of a service.
public struct HealthSpec: Sendable, Hashable {
    /// What is asked for by GET; nil: a connection that comes about is answer enough.
    public let path: String?
    /// What `Host` says; nil: the endpoint's own address, as the kubelet's probes have it.
    public let host: String?
    /// From the beginning of one probe to that of the next, when the last results agree.
    public let interval: Duration
    /// From the beginning of a probe to the end of its answer's head.
    public let timeout: Duration
    /// So many good results in a row bring an endpoint back.
    public let healthyAfter: Int
    /// So many bad results in a row take an endpoint out.
    public let unhealthyAfter: Int
    /// The statuses of a good answer.
    public let expectStatus: ExpectedStatuses

    /// A specification with the contract's times unless told otherwise. Whoever reads one from a file checks it first:
    /// ``isPath(_:)``, ``isHost(_:)``, times above zero and counts above zero.
    public init(
        path: String? = nil, host: String? = nil, interval: Duration = .seconds(5), timeout: Duration = .seconds(2),
        healthyAfter: Int = 2, unhealthyAfter: Int = 3, expectStatus: ExpectedStatuses = .success
    ) {
        precondition(path.map(Self.isPath) ?? true, "a probe's path begins with a slash and has no space or control")
        precondition(host.map(Self.isHost) ?? true, "a probe's host has no space or control")
        precondition(interval > .zero && timeout > .zero, "a probe's times are above zero")
        precondition(healthyAfter > 0 && unhealthyAfter > 0, "it takes a result to change a health")
        self.path = path
        self.host = host
        self.interval = interval
        self.timeout = timeout
        self.healthyAfter = healthyAfter
        self.unhealthyAfter = unhealthyAfter
        self.expectStatus = expectStatus
    }

    /// Whether `text` can be asked for: `/` and what may follow in a target (RFC 9112 §3.2.1), at most 1024 bytes.
    public static func isPath(_ text: String) -> Bool {
        text.utf8.first == UInt8(ascii: "/") && isPlain(text) && !text.utf8.contains(UInt8(ascii: "#"))
    }

    /// Whether `text` can be the value of `Host`, at most 1024 bytes.
    public static func isHost(_ text: String) -> Bool { !text.isEmpty && isPlain(text) }

    private static func isPlain(_ text: String) -> Bool {
        text.utf8.count <= 1024 && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    /// How long to wait when the last result speaks against the health that is known, or none could be had: a quarter,
    /// so that the confirmation comes soon; not below 100 ms, where the interval itself is not.
    var fastInterval: Duration { max(interval / 4, min(interval, .milliseconds(100))) }
}

/// A set of statuses, spelled `200-299,301`.
public struct ExpectedStatuses: Sendable, Hashable, CustomStringConvertible {
    /// The ranges, as they were given.
    public let ranges: [ClosedRange<Int>]

    /// 200 to 299.
    public static let success = ExpectedStatuses([200...299])

    /// The statuses of `ranges`.
    public init(_ ranges: [ClosedRange<Int>]) { self.ranges = ranges }

    /// Reads statuses and ranges of them, from 200 to 599, between commas. Nil for anything else: none is empty.
    public init?(_ text: String) {
        var ranges: [ClosedRange<Int>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Self.status($0) }
            guard ends.count <= 2, let low = ends[0], let high = ends[ends.count - 1], low <= high else { return nil }
            ranges.append(low...high)
        }
        self.init(ranges)
    }

    private static func status(_ text: Substring) -> Int? {
        let digits = text.trimmingSpaces.utf8.map { ASCII.digit($0) }
        guard digits.count == 3, !digits.contains(nil) else { return nil }
        let status = digits.reduce(0) { $0 * 10 + Int($1 ?? 0) }
        return (200...599).contains(status) ? status : nil
    }

    /// Whether `status` is one of them.
    public func contains(_ status: Int) -> Bool { ranges.contains { $0.contains(status) } }

    /// As it is written in a configuration.
    public var description: String {
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}

extension Substring {
    /// Without the spaces around it.
    fileprivate var trimmingSpaces: Substring {
        var rest = self.drop { $0 == " " }
        while rest.last == " " { rest.removeLast() }
        return rest
    }
}
