// Who knows where a service lives? `kubernetes` and `dns` of a service.

import Discovery
import ProxyCore

/// Reads the witnesses of a service.
enum WitnessReader {
    // MARK: Kubernetes

    /// The port of a Kubernetes Service that the object `item` names.
    static func kubernetes(_ item: Item) -> KubernetesReference? {
        guard let section = item.section(["namespace", "service", "port"]) else { return nil }
        let namespace = section.required("namespace", labelAllowed).flatMap(label)
        let service = section.required("service", labelAllowed).flatMap(label)
        let port = section.required("port", portAllowed).flatMap(servicePort)
        guard let namespace, let service, let port else { return nil }
        return KubernetesReference(namespace: namespace, service: service, port: port)
    }

    private static func label(_ item: Item) -> String? {
        guard let text = item.string(labelAllowed) else { return nil }
        if isLabel(text) { return text }
        item.report("\(item.shown) is not a name in Kubernetes", labelAllowed)
        return nil
    }

    private static func servicePort(_ item: Item) -> KubernetesReference.Port? {
        switch item.node.value {
        case .number(let text):
            if let number = JSON5Value.integer(text), 1...65535 ~= number { return .number(UInt16(number)) }
            item.report("\(item.shown) is not a port", portAllowed)
        case .string(let text):
            if text.utf8.allSatisfy({ ASCII.digit($0) != nil }), !text.isEmpty {
                item.report("\(item.shown) in quotes would be a name", "the number without quotes: \(portAllowed)")
            } else if isLabel(text) {
                return .name(text)
            } else {
                item.report("\(item.shown) is not the name of a port", portAllowed)
            }
        case .null, .bool, .array, .object: item.report("\(item.node.value.kind) stands here", portAllowed)
        }
        return nil
    }

    /// Whether `text` is a label by RFC 1123, as Kubernetes wants it: lower case.
    private static func isLabel(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard 1...63 ~= bytes.count, bytes[0] != UInt8(ascii: "-"), bytes[bytes.count - 1] != UInt8(ascii: "-") else {
            return false
        }
        return bytes.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || ASCII.digit(byte) != nil || byte == UInt8(ascii: "-")
        }
    }

    private static let labelAllowed = "1 to 63 lower-case letters, digits and -, neither first nor last a -"
    private static let portAllowed = "the name or the number of one of the Service's ports, as in \"http\" or 80"

    // MARK: DNS

    /// The name that the object `item` says.
    static func dns(_ item: Item) -> DNSReference? {
        guard let section = item.section(["name", "port"]) else { return nil }
        let name = section.required("name", nameAllowed).flatMap(dnsName)
        let port = section["port"].map { $0.integer(in: 1...65535) }
        guard let name else { return nil }
        let isSRV = name.hasPrefix("_")
        switch port {
        case .some(.none): return nil
        case .some(.some(let port)):
            if !isSRV { return DNSReference(name: name, port: UInt16(port)) }
            section["port"]?.report("the SRV records of \(JSON5Writer.quoted(name)) tell the port", "leave it out")
            return nil
        case .none:
            if isSRV { return DNSReference(name: name, port: nil) }
            _ = section.required(
                "port", "the port that pods listen on; only a name of SRV records, as in \(srvExample), tells it itself"
            )
            return nil
        }
    }

    /// The name in lower case; a dot at its end stays, since it says that nothing is to be appended.
    private static func dnsName(_ item: Item) -> String? {
        guard let text = item.string(nameAllowed) else { return nil }
        if NetworkAddress(text) != nil || IPAddress(text) != nil {
            item.report("\(item.shown) is an address, not a name", "an address stands in endpoints")
            return nil
        }
        switch HostText.name(text) {
        case .success(let name):
            let labels = name.split(separator: ".")
            if name.hasPrefix("_"), labels.count < 3 || !labels[1].hasPrefix("_") {
                item.report("\(item.shown) is not a name of SRV records", "as in \(srvExample)")
                return nil
            }
            return text.hasSuffix(".") ? name + "." : name
        case .failure(let refusal):
            item.report("\(item.shown) is not a name: \(refusal.text)", nameAllowed)
            return nil
        }
    }

    private static let nameAllowed = "a name, as in \"api-headless.honeydue.svc.cluster.local\""
    private static let srvExample = "\"_http._tcp.api-headless.honeydue.svc.cluster.local\""
}
