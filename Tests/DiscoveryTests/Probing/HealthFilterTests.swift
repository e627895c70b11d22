import ProxyCore
import Testing

@testable import Discovery

@Suite struct HealthFilterTests {
    /// One letter an endpoint: `U`p, `D`own, `G`host, `?` unknown.
    private static func left(of letters: String, panicBelow percent: Int = 25) -> (String, Bool) {
        let all = Array(letters)
        let endpoints = all.indices.map { index in
            Endpoint(id: EndpointID("\(index)"), address: NetworkAddress(ip: IPAddress(v4: 1), port: UInt16(index)))
        }
        let result = HealthFilter(panicBelowPercent: percent).apply(to: endpoints) { id in
            switch all[Int(id.description) ?? 0] {
            case "U": (.up, false)
            case "D": (.down, false)
            case "G": (.down, true)
            default: (.unknown, false)
            }
        }
        return (String(result.endpoints.map { all[Int($0.address.port)] }), result.isPanic)
    }

    @Test(
        "probes take endpoints out unless they leave too few, and ghosts always",
        arguments: [
            ("", "", false), ("UUU", "UUU", false), ("UDU", "UU", false), ("U?D", "U?", false), ("???", "???", false),
            // The last hope stays, and so do all when nobody is well.
            ("D", "D", true), ("DDD", "DDD", true), ("UDD", "U", false), ("UDDD", "U", false), ("?DDD", "?", false),
            ("UDDDD", "UDDDD", true), ("UUDDDDDDDD", "UUDDDDDDDD", true), ("UUUDDDDDDD", "UUU", false),
            // A ghost is no endpoint of this service.
            ("G", "", false), ("GG", "", false), ("GU", "U", false), ("GD", "D", true), ("GGGGGGUD", "U", false),
            ("GU?", "U?", false),
        ])
    func left(_ letters: String, _ left: String, _ isPanic: Bool) { #expect(Self.left(of: letters) == (left, isPanic)) }

    @Test("the share is for whoever configures it")
    func shares() {
        #expect(Self.left(of: "UDDDDDDDDD", panicBelow: 0) == ("U", false))
        #expect(Self.left(of: "DD", panicBelow: 0) == ("DD", true))
        #expect(Self.left(of: "UUD", panicBelow: 100) == ("UUD", true))
        #expect(Self.left(of: "UUU", panicBelow: 100) == ("UUU", false))
    }
}
