// Which endpoints are meant by a Service's port? Objects in, endpoints out: the one place where the words of the API
// become addresses to dial.

import ProxyCore

/// From Service and slices to endpoints.
enum Translation {
    /// What a configured service comes to.
    struct Result: Equatable, Sendable {
        /// In the order of their addresses.
        var endpoints: [WitnessedEndpoint] = []
        /// What is wrong with the port or the Service, for people.
        var problem: String?
    }

    /// The endpoints of `reference`, whose Service is `service` (nil: there is none) and whose slices are `slices`.
    /// `node` is the one we run on, where that is known.
    static func endpoints(
        of reference: KubernetesReference, service: ServiceObject?, slices: [SliceObject], node: String?
    ) -> Result {
        var result = Result()
        let portName: String
        switch targetPortName(of: reference, service) {
        case .name(let name): portName = name
        case .problem(let text):
            result.problem = text
            return result
        }
        var byAddress: [NetworkAddress: Candidate] = [:]
        var hasPorts = false
        var hasPort = false
        for slice in slices {
            for part in slice.parts {
                hasPorts = hasPorts || !part.ports.isEmpty
                for port in part.ports where port.name == portName && port.isTCP {
                    hasPort = true
                    // Open only in slices made by hand, where its meaning is not defined.
                    guard let number = port.number else { continue }
                    for member in part.members {
                        let candidate = Candidate(
                            address: NetworkAddress(ip: member.ip, port: number), member: member, slice: slice.key.name)
                        if let other = byAddress[candidate.address], !candidate.beats(other) { continue }
                        byAddress[candidate.address] = candidate
                    }
                }
            }
        }
        if hasPorts && !hasPort {
            let name = portName.isEmpty ? "without a name" : "\"\(portName)\""
            result.problem = "no slice of \(reference.namespace)/\(reference.service) has a TCP port \(name)"
        }
        result.endpoints = byAddress.values.map { $0.endpoint(service, node) }.sorted {
            $0.address.isBefore($1.address)
        }
        return result
    }

    private enum PortName {
        case name(String)
        case problem(String)
    }

    /// The name under which slices give the target port. The number in a configuration is the Service's and is never
    /// dialled, so without the Service it means nothing; a name is the same in both.
    private static func targetPortName(of reference: KubernetesReference, _ service: ServiceObject?) -> PortName {
        let what = "\(reference.namespace)/\(reference.service)"
        guard let service else {
            switch reference.port {
            case .name(let name): return .name(name)
            case .number(let number): return .problem("port \(number) is the Service's, and \(what) is not known")
            }
        }
        guard !service.isExternalName else {
            return .problem("Service \(what) is an ExternalName, which has no slices")
        }
        let ports =
            switch reference.port {
            case .name(let name): service.ports.filter { $0.name == name }
            case .number(let number): service.ports.filter { $0.number == number }
            }
        if let port = ports.first(where: \.isTCP) { return .name(port.name) }
        guard ports.isEmpty else { return .problem("port \(reference.port) of Service \(what) is not TCP") }
        let known = service.ports.map { $0.name.isEmpty ? "\($0.number)" : "\($0.name) (\($0.number))" }
        return .problem(
            "Service \(what) has no port \(reference.port); it has \(known.isEmpty ? "none" : known.joined(separator: ", "))"
        )
    }

    /// One of maybe several that slices have for an address: a pod stands in two slices while it moves, and the CNI may
    /// give the address of a pod that still terminates to another one.
    private struct Candidate {
        var address: NetworkAddress
        var member: SliceMember
        var slice: String

        /// Who is not on the way out beats who is, as kube-proxy has it. The rest only makes the choice a stable one.
        func beats(_ other: Candidate) -> Bool {
            if member.terminating != other.member.terminating { return !member.terminating }
            if member.ready != other.member.ready { return member.ready }
            if member.serving != other.member.serving { return member.serving }
            return slice < other.slice
        }

        func endpoint(_ service: ServiceObject?, _ node: String?) -> WitnessedEndpoint {
            var ready = member.ready
            var serving = member.serving
            // Where not-ready addresses are published `ready` is true of everything; `serving` still tells.
            if service?.publishesNotReady ?? false { ready = ready && serving }
            // Whoever terminates wants no new requests, even where its slice calls it ready.
            if member.terminating { ready = false }
            // We dial pods ourselves, so it is up to us that a local Service stays on its node. Others stay known.
            if let node, service?.isLocal ?? false, member.node != node {
                ready = false
                serving = false
            }
            return WitnessedEndpoint(
                address: address, uid: member.uid, pod: member.pod, node: member.node, zone: member.zone,
                ready: ready, serving: serving, terminating: member.terminating, zoneHints: member.zoneHints,
                nodeHints: member.nodeHints)
        }
    }
}

extension NetworkAddress {
    /// The order of bytes on the wire: IPv4 addresses stand together.
    func isBefore(_ other: NetworkAddress) -> Bool {
        (ip.high, ip.low, port) < (other.ip.high, other.ip.low, other.port)
    }
}
