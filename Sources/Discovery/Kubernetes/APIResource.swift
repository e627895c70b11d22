// Which objects does a request ask for? The paths of the API, by group, resource and namespace.

/// One resource of the API.
struct APIResource: Equatable, Sendable {
    /// The path of its group, which tells whether the server has it.
    var group: String
    /// Its name in paths.
    var plural: String

    static let endpointSlices = APIResource(group: "/apis/discovery.k8s.io/v1", plural: "endpointslices")
    static let endpoints = APIResource(group: "/api/v1", plural: "endpoints")
    static let services = APIResource(group: "/api/v1", plural: "services")

    /// The path of all of them in a namespace, with these parameters.
    func path(in namespace: String, _ query: [(name: String, value: String)]) -> String {
        var path = "\(group)/namespaces/\(Self.escaped(namespace))/\(plural)"
        var separator = "?"
        for (name, value) in query {
            path += "\(separator)\(name)=\(Self.escaped(value))"
            separator = "&"
        }
        return path
    }

    /// Percent-encoded but for what never means anything in a path or a query (RFC 3986 §2.3).
    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                escaped += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return escaped
    }
}
