// What do the objects of the Kubernetes API say? Slices, Services and the older Endpoints as they come in JSON, reduced
// to what decides where a service lives. Reading is tolerant where the API is: a field that is absent or null has the
// meaning that the API gives it, a word that is not known is kept as a word, and an object that cannot be read is named
// and costs nobody else anything.

import FoundationEssentials
import ProxyCore

/// What makes an object itself within one resource.
struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    var namespace: String
    var name: String

    var description: String { "\(namespace)/\(name)" }

    static func < (a: ObjectKey, b: ObjectKey) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
}

/// An object of one of the resources that are watched.
protocol ClusterObject: Decodable, Sendable, Equatable {
    /// As in the field `kind`.
    static var kind: String { get }
    /// What makes it itself.
    var key: ObjectKey { get }
    /// The version of the resource with its last change: opaque, good for equality alone.
    var resourceVersion: String { get }
}

/// What an object says of itself. Only a name is required: the metadata of a bookmark or a list have none.
struct ObjectMetadata: Decodable, Sendable, Equatable {
    var name: String
    var namespace: String
    var resourceVersion: String
    /// The Service that a slice belongs to. Names of slices are generated, so this label is the only way to tell.
    var serviceLabel: String?
    var isHeadless: Bool
    /// Whether a bookmark says that all initial events have been sent.
    var endsInitialEvents: Bool

    private enum Key: String, CodingKey { case name, namespace, resourceVersion, labels, annotations }
    private enum Label: String, CodingKey {
        case serviceName = "kubernetes.io/service-name"
        case headless = "service.kubernetes.io/headless"
    }
    private enum Annotation: String, CodingKey { case initialEventsEnd = "k8s.io/initial-events-end" }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        name = try fields.decodeIfPresent(String.self, forKey: .name) ?? ""
        namespace = try fields.decodeIfPresent(String.self, forKey: .namespace) ?? ""
        resourceVersion = try fields.decodeIfPresent(String.self, forKey: .resourceVersion) ?? ""
        serviceLabel = nil
        isHeadless = false
        if let labels = try? fields.nestedContainer(keyedBy: Label.self, forKey: .labels) {
            serviceLabel = try? labels.decodeIfPresent(String.self, forKey: .serviceName)
            isHeadless = labels.contains(.headless)
        }
        endsInitialEvents = false
        if let annotations = try? fields.nestedContainer(keyedBy: Annotation.self, forKey: .annotations) {
            endsInitialEvents = (try? annotations.decodeIfPresent(String.self, forKey: .initialEventsEnd)) == "true"
        }
    }

    var key: ObjectKey { ObjectKey(namespace: namespace, name: name) }
}

/// A port that pods listen on, under the name of the Service's port.
struct TargetPort: Sendable, Hashable {
    /// The name of the Service's port; none is the empty name.
    var name: String
    /// Whether TCP is spoken there, which is meant where no protocol is given.
    var isTCP: Bool
    /// The number; nil where the slice leaves it open, which only slices made by hand may do.
    var number: UInt16?
}

/// An address of one pod, or of something that is none.
struct SliceMember: Sendable, Hashable {
    var ip: IPAddress
    var uid: String?
    var pod: String?
    var node: String?
    var zone: String?
    var ready: Bool
    var serving: Bool
    var terminating: Bool
    var zoneHints: [String]
    var nodeHints: [String]
}

/// Addresses and ports that belong together: each of the addresses has each of the ports.
struct SlicePart: Sendable, Hashable {
    var ports: [TargetPort]
    var members: [SliceMember]
}

/// Where a part of a Service lives: an EndpointSlice, or an Endpoints object in the same words.
struct SliceObject: ClusterObject {
    static let kind = "EndpointSlice"

    var key: ObjectKey
    var resourceVersion: String
    /// The name of the Service in the same namespace; nil where no label tells.
    var service: String?
    var isHeadless: Bool
    var parts: [SlicePart]

    private enum Key: String, CodingKey { case kind, metadata, addressType, endpoints, ports }
    private enum EndpointKey: String, CodingKey {
        case addresses, conditions, targetRef, nodeName, zone, hints
    }
    private enum ConditionKey: String, CodingKey { case ready, serving, terminating }
    private enum HintsKey: String, CodingKey { case forZones, forNodes }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        let metadata = try Self.metadata(fields, .kind, .metadata)
        key = metadata.key
        resourceVersion = metadata.resourceVersion
        service = metadata.serviceLabel
        isHeadless = metadata.isHeadless
        let family: Bool?
        switch try fields.decode(String.self, forKey: .addressType) {
        case "IPv4": family = true
        case "IPv6": family = false
        // FQDN has no meaning that the API defines, and other words are of the future.
        default: family = nil
        }
        let ports = try fields.decodeIfPresent([PortFields].self, forKey: .ports) ?? []
        var members: [SliceMember] = []
        if let isIPv4 = family, fields.contains(.endpoints), try !fields.decodeNil(forKey: .endpoints) {
            var list = try fields.nestedUnkeyedContainer(forKey: .endpoints)
            members.reserveCapacity(list.count ?? 0)
            while !list.isAtEnd {
                if let member = try Self.member(try list.nestedContainer(keyedBy: EndpointKey.self), isIPv4) {
                    members.append(member)
                }
            }
        }
        parts = [SlicePart(ports: ports.map(\.target), members: members)]
    }

    /// One endpoint; nil where its address is none of the slice's family.
    private static func member(
        _ fields: KeyedDecodingContainer<EndpointKey>, _ isIPv4: Bool
    ) throws -> SliceMember? {
        var addresses = try fields.nestedUnkeyedContainer(forKey: .addresses)
        // The first address is the endpoint; what others would mean is not defined.
        guard !addresses.isAtEnd, let ip = IPAddress(try addresses.decode(String.self)), ip.isIPv4 == isIPv4 else {
            return nil
        }
        var member = SliceMember(
            ip: ip, uid: nil, pod: nil, node: try fields.decodeIfPresent(String.self, forKey: .nodeName),
            zone: try fields.decodeIfPresent(String.self, forKey: .zone), ready: true, serving: true,
            terminating: false, zoneHints: [], nodeHints: [])
        // What is not said counts as ready, as serving and as not terminating.
        if fields.contains(.conditions), try !fields.decodeNil(forKey: .conditions) {
            let conditions = try fields.nestedContainer(keyedBy: ConditionKey.self, forKey: .conditions)
            member.ready = try conditions.decodeIfPresent(Bool.self, forKey: .ready) ?? true
            member.serving = try conditions.decodeIfPresent(Bool.self, forKey: .serving) ?? true
            member.terminating = try conditions.decodeIfPresent(Bool.self, forKey: .terminating) ?? false
        }
        if let target = try fields.decodeIfPresent(TargetFields.self, forKey: .targetRef), target.isPod {
            member.uid = target.uid
            member.pod = target.name
        }
        if fields.contains(.hints), try !fields.decodeNil(forKey: .hints) {
            let hints = try fields.nestedContainer(keyedBy: HintsKey.self, forKey: .hints)
            member.zoneHints = try hints.decodeIfPresent([NameFields].self, forKey: .forZones)?.map(\.name) ?? []
            member.nodeHints = try hints.decodeIfPresent([NameFields].self, forKey: .forNodes)?.map(\.name) ?? []
        }
        return member
    }

    init(
        key: ObjectKey, resourceVersion: String = "", service: String?, isHeadless: Bool = false, parts: [SlicePart]
    ) {
        self.key = key
        self.resourceVersion = resourceVersion
        self.service = service
        self.isHeadless = isHeadless
        self.parts = parts
    }
}

/// An Endpoints object (v1), which servers without slices have: one for each Service, by its name.
struct EndpointsObject: ClusterObject {
    static let kind = "Endpoints"

    /// The same in the words of slices.
    var slice: SliceObject
    var key: ObjectKey { slice.key }
    var resourceVersion: String { slice.resourceVersion }

    private enum Key: String, CodingKey { case kind, metadata, subsets }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        let metadata = try Self.metadata(fields, .kind, .metadata)
        let subsets = try fields.decodeIfPresent([SubsetFields].self, forKey: .subsets) ?? []
        slice = SliceObject(
            key: metadata.key, resourceVersion: metadata.resourceVersion, service: metadata.name,
            isHeadless: metadata.isHeadless, parts: subsets.map(\.part))
    }

    private struct SubsetFields: Decodable {
        var addresses: [AddressFields]?
        var notReadyAddresses: [AddressFields]?
        var ports: [PortFields]?

        /// A pod that is not ready is not told apart from one that terminates: neither is asked.
        var part: SlicePart {
            SlicePart(
                ports: (ports ?? []).map(\.target),
                members: (addresses ?? []).compactMap { $0.member(ready: true) }
                    + (notReadyAddresses ?? []).compactMap { $0.member(ready: false) })
        }
    }

    private struct AddressFields: Decodable {
        var ip: String
        var nodeName: String?
        var targetRef: TargetFields?

        func member(ready: Bool) -> SliceMember? {
            guard let ip = IPAddress(ip) else { return nil }
            let pod = targetRef.flatMap { $0.isPod ? $0 : nil }
            return SliceMember(
                ip: ip, uid: pod?.uid, pod: pod?.name, node: nodeName, zone: nil, ready: ready, serving: ready,
                terminating: false, zoneHints: [], nodeHints: [])
        }
    }
}

/// A Service: which ports it has, and what it asks of those who dial its pods.
struct ServiceObject: ClusterObject {
    static let kind = "Service"

    struct Port: Sendable, Hashable {
        /// None is the empty name.
        var name: String
        var number: UInt16
        var isTCP: Bool
    }

    var key: ObjectKey
    var resourceVersion: String
    var ports: [Port]
    /// Its own addresses; none where it is headless.
    var clusterAddresses: [IPAddress]
    /// Whether it stands for a name outside (`type: ExternalName`), and has no slices.
    var isExternalName: Bool
    /// Whether its slices call everything ready.
    var publishesNotReady: Bool
    /// Whether only pods on the caller's node are meant (`internalTrafficPolicy: Local`).
    var isLocal: Bool

    private enum Key: String, CodingKey { case kind, metadata, spec }
    private struct SpecFields: Decodable {
        var type: String?
        var clusterIP: String?
        var clusterIPs: [String]?
        var ports: [ServicePortFields]?
        var publishNotReadyAddresses: Bool?
        var internalTrafficPolicy: String?
    }
    private struct ServicePortFields: Decodable {
        var name: String?
        var port: Int
        var `protocol`: String?
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        let metadata = try Self.metadata(fields, .kind, .metadata)
        let spec = try fields.decode(SpecFields.self, forKey: .spec)
        key = metadata.key
        resourceVersion = metadata.resourceVersion
        ports = (spec.ports ?? []).compactMap { port in
            UInt16(exactly: port.port).map {
                Port(name: port.name ?? "", number: $0, isTCP: port.protocol.isTCP)
            }
        }
        clusterAddresses = (spec.clusterIPs ?? spec.clusterIP.map { [$0] } ?? []).compactMap { IPAddress($0) }
        isExternalName = spec.type == "ExternalName"
        publishesNotReady = spec.publishNotReadyAddresses ?? false
        isLocal = spec.internalTrafficPolicy == "Local"
    }

    init(
        key: ObjectKey, resourceVersion: String = "", ports: [Port], clusterAddresses: [IPAddress] = [],
        isExternalName: Bool = false, publishesNotReady: Bool = false, isLocal: Bool = false
    ) {
        self.key = key
        self.resourceVersion = resourceVersion
        self.ports = ports
        self.clusterAddresses = clusterAddresses
        self.isExternalName = isExternalName
        self.publishesNotReady = publishesNotReady
        self.isLocal = isLocal
    }
}

extension ClusterObject {
    /// The metadata of an object in a namespace, whose kind, where it is given, is this one.
    fileprivate static func metadata<Key>(
        _ fields: KeyedDecodingContainer<Key>, _ kindKey: Key, _ metadataKey: Key
    ) throws -> ObjectMetadata {
        // The items of a list carry no kind.
        if let kind = try fields.decodeIfPresent(String.self, forKey: kindKey), kind != Self.kind {
            throw DecodingError.dataCorruptedError(
                forKey: kindKey, in: fields, debugDescription: "kind is \(kind), not \(Self.kind)")
        }
        let metadata = try fields.decode(ObjectMetadata.self, forKey: metadataKey)
        guard !metadata.name.isEmpty, !metadata.namespace.isEmpty else {
            throw DecodingError.dataCorruptedError(
                forKey: metadataKey, in: fields, debugDescription: "an object without name or namespace")
        }
        return metadata
    }
}

extension String? {
    /// A protocol that is not given is TCP.
    fileprivate var isTCP: Bool { self == nil || self == "TCP" }
}

private struct PortFields: Decodable {
    var name: String?
    var `protocol`: String?
    var port: Int?

    var target: TargetPort {
        TargetPort(
            name: name ?? "", isTCP: `protocol`.isTCP,
            number: port.flatMap { UInt16(exactly: $0) }.flatMap { $0 == 0 ? nil : $0 })
    }
}

private struct TargetFields: Decodable {
    var kind: String?
    var name: String?
    var uid: String?

    var isPod: Bool { kind == nil || kind == "Pod" }
}

private struct NameFields: Decodable { var name: String }
