// How is what is kept spelled? The JSON document and what it must not say: a checksum shows that a file is as it was
// written, not that whoever wrote it was right.

import ProxyCore

/// ``KeptState`` as JSON.
struct KeptDocument: Codable {
    /// The version of this format.
    static let version = 1

    /// The one member that every version has.
    struct Version: Codable { var version: Int }

    struct Service: Codable {
        var kubernetes: Reference?
        var dns: Name?
        var asOfMicroseconds: Int64
        var endpoints: [Endpoint]
        var clusterAddresses: [String]
        var disbelieved: [String]
    }

    struct Reference: Codable {
        var namespace: String
        var service: String
        var portName: String?
        var portNumber: UInt16?
    }

    struct Name: Codable {
        var name: String
        var port: UInt16?
    }

    struct Endpoint: Codable {
        var address: String
        var uid: String?
        var pod: String?
        var node: String?
        var zone: String?
        var ready: Bool
        var serving: Bool
        var terminating: Bool
        var zoneHints: [String]?
        var nodeHints: [String]?
    }

    struct Owner: Codable {
        var ip: String
        var sharedBy: String?
        var claims: [Claim]
    }

    struct Claim: Codable {
        var uid: String
        var owner: String
        var node: String?
        var ports: [UInt16]
        var terminating: Bool
    }

    var version: Int
    var writtenMicroseconds: Int64
    var services: [Service]
    var owners: [Owner]

    /// Something that nobody can have known.
    struct Absurdity: Error { var text: String }

    func state() throws(Absurdity) -> KeptState {
        var state = KeptState(writtenMicroseconds: writtenMicroseconds)
        for service in services {
            var kept = KeptState.Service(
                asOfMicroseconds: service.asOfMicroseconds, endpoints: [], clusterAddresses: [], disbelieved: [])
            kept.kubernetes = try service.kubernetes?.reference()
            kept.dns = service.dns.map { DNSReference(name: $0.name, port: $0.port) }
            for endpoint in service.endpoints { kept.endpoints.append(try endpoint.endpoint()) }
            for text in service.clusterAddresses { kept.clusterAddresses.append(try Self.ip(text)) }
            for text in service.disbelieved { kept.disbelieved.append(try Self.address(text)) }
            state.services.append(kept)
        }
        for owner in owners {
            state.owners.append(
                .init(ip: try Self.ip(owner.ip), sharedBy: owner.sharedBy, claims: owner.claims.map(\.claim)))
        }
        return state
    }

    static func ip(_ text: String) throws(Absurdity) -> IPAddress {
        guard let ip = IPAddress(text), !ip.isUnspecified, !isMulticast(ip) else {
            throw Absurdity(text: "nothing can be reached at \(quoted(text))")
        }
        return ip
    }

    static func address(_ text: String) throws(Absurdity) -> NetworkAddress {
        guard let address = NetworkAddress(text), address.port != 0 else {
            throw Absurdity(text: "nothing can be reached at \(quoted(text))")
        }
        _ = try ip(address.ip.description)
        return address
    }

    private static func isMulticast(_ ip: IPAddress) -> Bool {
        ip.isIPv4 ? ip.v4 >> 28 >= 0xE : ip.high >> 56 == 0xFF
    }

    private static func quoted(_ text: String) -> String { "\"\(text.prefix(64))\"" }
}

extension KeptDocument.Service {
    init(_ service: KeptState.Service) {
        kubernetes = service.kubernetes.map(KeptDocument.Reference.init)
        dns = service.dns.map { KeptDocument.Name(name: $0.name, port: $0.port) }
        asOfMicroseconds = service.asOfMicroseconds
        endpoints = service.endpoints.map(KeptDocument.Endpoint.init)
        clusterAddresses = service.clusterAddresses.map(\.description)
        disbelieved = service.disbelieved.map(\.description)
    }
}

extension KeptDocument.Owner {
    init(_ owner: KeptState.Owner) {
        ip = owner.ip.description
        sharedBy = owner.sharedBy
        claims = owner.claims.map(KeptDocument.Claim.init)
    }
}

extension KeptDocument.Reference {
    init(_ reference: KubernetesReference) {
        namespace = reference.namespace
        service = reference.service
        switch reference.port {
        case .name(let name): portName = name
        case .number(let number): portNumber = number
        }
    }

    func reference() throws(KeptDocument.Absurdity) -> KubernetesReference {
        let port: KubernetesReference.Port
        switch (portName, portNumber) {
        case (let name?, nil): port = .name(name)
        case (nil, let number?): port = .number(number)
        default: throw KeptDocument.Absurdity(text: "\(namespace)/\(service) has no port, or two")
        }
        return KubernetesReference(namespace: namespace, service: service, port: port)
    }
}

extension KeptDocument.Endpoint {
    init(_ endpoint: WitnessedEndpoint) {
        address = endpoint.address.description
        uid = endpoint.uid
        pod = endpoint.pod
        node = endpoint.node
        zone = endpoint.zone
        ready = endpoint.ready
        serving = endpoint.serving
        terminating = endpoint.terminating
        if !endpoint.zoneHints.isEmpty { zoneHints = endpoint.zoneHints }
        if !endpoint.nodeHints.isEmpty { nodeHints = endpoint.nodeHints }
    }

    func endpoint() throws(KeptDocument.Absurdity) -> WitnessedEndpoint {
        WitnessedEndpoint(
            address: try KeptDocument.address(address), uid: uid, pod: pod, node: node, zone: zone, ready: ready,
            serving: serving, terminating: terminating, zoneHints: zoneHints ?? [], nodeHints: nodeHints ?? [])
    }
}

extension KeptDocument.Claim {
    init(_ claim: AddressClaim) {
        uid = claim.uid
        owner = claim.owner
        node = claim.node
        ports = claim.ports.sorted()
        terminating = claim.terminating
    }

    var claim: AddressClaim {
        AddressClaim(uid: uid, owner: owner, node: node, ports: Set(ports), terminating: terminating)
    }
}
