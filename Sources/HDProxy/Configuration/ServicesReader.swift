// `services`: named groups of endpoints and how to treat them.

import Discovery
import ProxyCore

/// Reads `services`.
enum ServicesReader {
    /// The valid ones of the object `item`, and all names that stand there, so that a route to a service with a mistake
    /// in it is not reported as well.
    static func read(_ item: Item) -> ([ServiceSettings], names: Set<String>) {
        guard let members = item.members("an object: the name of each service, then its settings") else {
            return ([], [])
        }
        var services: [ServiceSettings] = []
        for member in members {
            if !NameText.isValid(member.name) {
                member.item.problems.report(
                    member.offset, member.item.path, "\(JSON5Writer.quoted(member.name)) is not a name",
                    NameText.allowed)
            }
            if let service = read(member.item, name: member.name), !services.contains(where: { $0.name == member.name })
            {
                services.append(service)
            }
        }
        return (services, Set(members.map(\.name)))
    }

    private static func read(_ item: Item, name: String) -> ServiceSettings? {
        let known = [
            "endpoints", "kubernetes", "dns", "prefer", "balance", "slowStart", "maxConcurrent", "queue",
            "queueTimeout", "health", "identity", "outlier", "retry", "timeouts", "scheme", "tls",
        ]
        guard let section = item.section(known) else { return nil }
        var service = ServiceSettings(name: name)
        readWitnesses(section, &service)
        PolicyReader.readBalance(section, &service.balance)
        PolicyReader.readCare(section, &service.care)
        service.tls = TLSReader.readUpstream(section, service)
        if let retry = section["retry"] { PolicyReader.readRetry(retry, &service.retry) }
        if let timeouts = section["timeouts"]?.section(["connect", "response", "idle", "try"]) {
            timeouts.set(&service.connectTimeout, "connect")
            timeouts.set(&service.responseTimeout, "response")
            timeouts.set(&service.idleTimeout, "idle")
            timeouts.set(&service.tryTimeout, "try", atLeast: 0)
        }
        return service
    }

    /// Where its endpoints come from: fixed addresses, or whoever knows them.
    private static func readWitnesses(_ section: Section, _ service: inout ServiceSettings) {
        if let kubernetes = section["kubernetes"] { service.kubernetes = WitnessReader.kubernetes(kubernetes) }
        if let dns = section["dns"] { service.dns = WitnessReader.dns(dns) }
        guard let endpoints = section["endpoints"] else {
            if section["kubernetes"] == nil, section["dns"] == nil {
                section.item.report(
                    "nothing says where its endpoints are",
                    "kubernetes: { … }, dns: { … } or both, or endpoints: [ \"10.0.0.1:8000\" ]")
            }
            return
        }
        for endpoint in readEndpoints(endpoints) {
            service.endpoints.append(endpoint.address)
            if endpoint.weight != 1 { service.care.weights[endpoint.address] = endpoint.weight }
        }
        for other in ["kubernetes", "dns"] where section[other] != nil {
            endpoints.report(
                "`\(other)` stands beside it",
                "fixed addresses alone, or kubernetes and dns; a route can share requests out among several services")
        }
    }

    private static let endpointAllowed =
        "an IP address and a port, as in \"10.0.0.1:8000\" or \"[fd00::1]:8000\" (for a name there is dns)"

    private static func readEndpoints(_ item: Item) -> [(address: NetworkAddress, weight: UInt16)] {
        let allowed = "a list of addresses: \(endpointAllowed)"
        guard let items = item.list(allowed) else { return [] }
        if items.isEmpty { item.report("it is empty", "at least one address: \(endpointAllowed)") }
        var endpoints: [(address: NetworkAddress, weight: UInt16, path: String)] = []
        for item in items {
            guard let (text, weight) = readEndpoint(item), let address = readAddress(text) else { continue }
            if let other = endpoints.first(where: { $0.address == address }) {
                text.report("\(text.shown) is \(other.path) again", "each address once")
            } else {
                endpoints.append((address, weight, item.path))
            }
        }
        if !endpoints.isEmpty, endpoints.allSatisfy({ $0.weight == 0 }) {
            item.report("no weight is above 0", "a weight above 0 for at least one of them")
        }
        return endpoints.map { ($0.address, $0.weight) }
    }

    /// An address, or an object with an address and its weight.
    private static func readEndpoint(_ item: Item) -> (address: Item, weight: UInt16)? {
        guard case .object = item.node.value else { return (item, 1) }
        guard let section = item.section(["address", "weight"]) else { return nil }
        let weight = section["weight"].flatMap { $0.integer(in: 0...1000) } ?? 1
        return section.required("address", endpointAllowed).map { ($0, UInt16(weight)) }
    }

    private static func readAddress(_ item: Item) -> NetworkAddress? {
        guard let text = item.string(endpointAllowed) else { return nil }
        guard let address = NetworkAddress(text) else {
            item.report("\(item.shown) is not an address with a port", endpointAllowed)
            return nil
        }
        if address.port != 0, !address.ip.isUnspecified { return address }
        item.report("\(item.shown) is nothing to connect to", endpointAllowed)
        return nil
    }
}
