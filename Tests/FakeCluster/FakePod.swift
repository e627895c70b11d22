// What is in the cluster? Pods and ports, as the state API takes them.

import ProxyCore

/// A pod behind a Service, as the endpoints' controller sees it.
public struct FakePod: Sendable, Hashable {
    /// Its address.
    public var ip: String
    /// What makes it itself; a new pod with the same address has another one.
    public var uid: String
    /// Its name, as in `api-6f975d8f8f-4dbjr`.
    public var name: String
    /// The node that it runs on.
    public var node: String
    /// The node's zone; nil where nodes have no such label, as on K3s without a cloud's controller.
    public var zone: String?
    /// Whether new requests may go to it.
    public var ready: Bool
    /// Whether it answers, also while it is on its way out.
    public var serving: Bool
    /// Whether it was told to stop.
    public var terminating: Bool

    /// A pod; one that is ready, if nothing else is said. `serving` is as `ready`, unless it is said.
    public init(
        ip: String, uid: String = FakeNames.uid(), name: String = "pod-" + FakeNames.suffix(), node: String = "node1",
        zone: String? = nil, ready: Bool = true, serving: Bool? = nil, terminating: Bool = false
    ) {
        self.ip = ip
        self.uid = uid
        self.name = name
        self.node = node
        self.zone = zone
        self.ready = ready
        self.serving = serving ?? ready
        self.terminating = terminating
    }

    /// The same pod with other conditions.
    public func with(ready: Bool, serving: Bool, terminating: Bool) -> FakePod {
        var pod = self
        pod.ready = ready
        pod.serving = serving
        pod.terminating = terminating
        return pod
    }
}

/// A port of a Service.
public struct FakePort: Sendable, Hashable {
    /// Its name; nil for the only port of a Service, which needs none.
    public var name: String?
    /// The Service's port.
    public var port: UInt16
    /// The pods' port: what slices hold.
    public var targetPort: UInt16
    /// The name that the Service has for the pods' port; nil where it has the number.
    public var targetName: String?

    /// A TCP port.
    public init(_ name: String?, port: UInt16, targetPort: UInt16, targetName: String? = nil) {
        self.name = name
        self.port = port
        self.targetPort = targetPort
        self.targetName = targetName
    }
}

/// What the fake serves.
public enum FakeResource: String, Sendable, Hashable, CaseIterable {
    /// `discovery.k8s.io/v1` EndpointSlices.
    case endpointSlices = "endpointslices"
    /// `v1` Services.
    case services
    /// `v1` Endpoints.
    case endpoints

    /// Its API group; empty for the core one.
    var group: String { self == .endpointSlices ? "discovery.k8s.io" : "" }
    /// Its `apiVersion`.
    var apiVersion: String { self == .endpointSlices ? "discovery.k8s.io/v1" : "v1" }
    /// The kind of one.
    var kind: String {
        switch self {
        case .endpointSlices: "EndpointSlice"
        case .services: "Service"
        case .endpoints: "Endpoints"
        }
    }
    /// The kind of a list. (The kind of many Endpoints is EndpointsList, too.)
    var listKind: String { kind + "List" }
    /// How messages name it, as in `endpointslices.discovery.k8s.io`.
    var qualifiedName: String { group.isEmpty ? rawValue : "\(rawValue).\(group)" }
}

/// Names as the real servers make them.
public enum FakeNames {
    /// A random UID, version 4.
    public static func uid() -> String {
        let (high, low) = (systemRandom(), systemRandom())
        let text = hex((high & ~0xF000) | 0x4000) + hex((low & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000)
        let digits = Array(text)
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
    }

    /// Five letters for the end of a generated name: no vowels, nothing that can be misread.
    public static func suffix() -> String {
        let letters = Array("bcdfghjklmnpqrstvwxz2456789")
        var random = systemRandom()
        return String(
            (0..<5).map { _ in
                defer { random /= UInt64(letters.count) }
                return letters[Int(random % UInt64(letters.count))]
            })
    }

    private static func hex(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    /// This second, as objects write it.
    static func time() -> String {
        let now = CivilTime(unixSeconds: Clock.wallMicroseconds() / 1_000_000)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(now.year)-\(two(now.month))-\(two(now.day))T\(two(now.hour)):\(two(now.minute)):\(two(now.second))Z"
    }
}
