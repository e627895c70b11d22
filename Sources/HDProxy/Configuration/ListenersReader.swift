// `listeners`: where we accept.

import ProxyCore

/// Reads `listeners`.
enum ListenersReader {
    /// What is read of them.
    struct Reading {
        /// The valid ones.
        var listeners: [ListenerSpec] = []
        /// On what terms they speak TLS.
        var tls: [TLSSettings] = []
        /// Names of those whose connections begin with a PROXY header.
        var proxyHeader: Set<String> = []
    }

    /// The valid ones of the list `item`; `isTrusting` tells whether anybody is trusted to write a PROXY header.
    static func read(_ item: Item, isTrusting: Bool) -> Reading {
        var reading = Reading()
        guard let items = item.list("a list of listeners") else { return reading }
        if items.isEmpty { item.report("there is no listener", "at least one, as in { address: \"[::]:80\" }") }
        var listeners: [(spec: ListenerSpec, path: String)] = []
        for item in items {
            guard let section = item.section(["name", "address", "proxyProtocol", "tls"]) else { continue }
            let needsProxyHeader = section["proxyProtocol"]?.choice(["off", "required"]) == "required"
            if needsProxyHeader, !isTrusting {
                section["proxyProtocol"]?.report("nobody is trusted to write its header", "trustedProxies that are")
            }
            guard let spec = read(section) else { continue }
            if needsProxyHeader { reading.proxyHeader.insert(spec.name) }
            for other in listeners {
                if other.spec.name == spec.name {
                    section["name"]?.report(
                        "\(other.path) has the name \(JSON5Writer.quoted(spec.name)), too", "a name of its own")
                }
                if let wrong = clash(spec.address, other.spec.address) {
                    section["address"]?.report("\(other.path) \(wrong)", "an address of its own")
                }
            }
            listeners.append((spec, item.path))
            if let item = section["tls"], let terms = TLSReader.read(item, listener: spec.name) {
                reading.tls.append(terms)
            }
        }
        reading.listeners = listeners.map(\.spec)
        return reading
    }

    private static func read(_ section: Section) -> ListenerSpec? {
        let allowed = "an IP address and a port, as in \"[::]:80\" (IPv4, too) or \"127.0.0.1:8080\""
        // The name that is missing is the address, as `check --print` shows it.
        let name = section["name"].flatMap { readName($0, default: section["address"]) }
        guard let item = section.required("address", allowed), let text = item.string(allowed) else { return nil }
        guard let address = NetworkAddress(text) else {
            item.report("\(item.shown) is not an address with a port", allowed)
            return nil
        }
        return ListenerSpec(name: name ?? address.description, address: address, isSecure: section["tls"] != nil)
    }

    private static func readName(_ item: Item, default address: Item?) -> String? {
        guard let text = item.string(NameText.allowed) else { return nil }
        if NameText.isValid(text) || address?.node.value == .string(text) { return text }
        item.report("\(item.shown) is not a name", NameText.allowed)
        return nil
    }

    /// Why two listeners cannot stand side by side, or nil. Port 0 is a new port each time.
    private static func clash(_ a: NetworkAddress, _ b: NetworkAddress) -> String? {
        guard a.port == b.port, a.port != 0 else { return nil }
        if a == b { return "has this address, too" }
        let areBothWide = a.ip.isUnspecified && b.ip.isUnspecified
        return areBothWide ? "is on this port, too, and [::] accepts IPv4" : nil
    }
}

/// Names of listeners and services: they become label values, log fields and parts of key paths.
enum NameText {
    /// What is allowed, for messages.
    static let allowed = "1 to 63 letters, digits, - and _"

    /// Whether `text` is such a name.
    static func isValid(_ text: String) -> Bool {
        1...63 ~= text.utf8.count
            && text.unicodeScalars.allSatisfy { scalar in
                switch scalar {
                case "a"..."z", "A"..."Z", "0"..."9", "-", "_": true
                default: false
                }
            }
    }
}
