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
            "endpoints", "kubernetes", "dns", "prefer", "balance", "health", "identity", "outlier", "retry", "timeouts",
        ]
        guard let section = item.section(known) else { return nil }
        var service = ServiceSettings(name: name)
        section.refuseLater("health", .health)
        section.refuseLater("identity", .identity)
        section.refuseLater("outlier", .outlier)
        section.refuseLater("retry", .retry)
        readChoice(section, "prefer", ["none", "zone", "node"])
        readChoice(section, "balance", ["leastRequest", "roundRobin"])
        readWitnesses(section, &service)
        if let timeouts = section["timeouts"]?.section(["connect", "response", "idle"]) {
            timeouts.set(&service.connectTimeout, "connect")
            timeouts.set(&service.responseTimeout, "response")
            timeouts.set(&service.idleTimeout, "idle")
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
        service.endpoints = readEndpoints(endpoints)
        for other in ["kubernetes", "dns"] where section[other] != nil {
            endpoints.report(
                "`\(other)` stands beside it",
                "fixed addresses alone, or kubernetes and dns; a route can share requests out among several services")
        }
    }

    /// A word of which only the first one is supported yet.
    private static func readChoice(_ section: Section, _ key: String, _ words: [String]) {
        guard let item = section[key], let word = item.choice(words), word != words[0] else { return }
        item.report("\(item.shown) is not supported yet", JSON5Writer.quoted(words[0]))
    }

    private static func readEndpoints(_ item: Item) -> [NetworkAddress] {
        let allowed =
            "an IP address and a port, as in \"10.0.0.1:8000\" or \"[fd00::1]:8000\" (for a name there is dns)"
        guard let items = item.list("a list of addresses: \(allowed)") else { return [] }
        if items.isEmpty { item.report("it is empty", "at least one address: \(allowed)") }
        var addresses: [(address: NetworkAddress, path: String)] = []
        for item in items {
            guard let text = item.string(allowed) else { continue }
            guard let address = NetworkAddress(text) else {
                item.report("\(item.shown) is not an address with a port", allowed)
                continue
            }
            if address.port == 0 || address.ip.isUnspecified {
                item.report("\(item.shown) is nothing to connect to", allowed)
            } else if let other = addresses.first(where: { $0.address == address }) {
                item.report("\(item.shown) is \(other.path) again", "each address once")
            } else {
                addresses.append((address, item.path))
            }
        }
        return addresses.map(\.address)
    }
}
