import FoundationEssentials
import ProxyCore
import Testing

@testable import Discovery

@Suite struct TranslationTests {
    /// A slice from the fields of its JSON that matter.
    static func slice(
        _ name: String, ports: String = #"[{"name":"http","port":8000}]"#, type: String = "IPv4", _ endpoints: String,
        namespace: String = "shop", service: String = "api", headless: Bool = false
    ) throws -> SliceObject {
        let label = headless ? #","service.kubernetes.io/headless":"""# : ""
        let text = """
            {"metadata":{"name":"\(name)","namespace":"\(namespace)","labels":
            {"kubernetes.io/service-name":"\(service)"\(label)}},"addressType":"\(type)","endpoints":\(endpoints),
            "ports":\(ports)}
            """
        return try JSONDecoder().decode(SliceObject.self, from: Data(text.utf8))
    }

    static func service(_ spec: String, _ name: String = "api", namespace: String = "shop") throws -> ServiceObject {
        let text = #"{"metadata":{"name":"\#(name)","namespace":"\#(namespace)"},"spec":\#(spec)}"#
        return try JSONDecoder().decode(ServiceObject.self, from: Data(text.utf8))
    }

    static func words(_ endpoints: [WitnessedEndpoint]) -> String {
        endpoints.map {
            "\($0.address)=\($0.ready ? 1 : 0)\($0.serving ? 1 : 0)\($0.terminating ? 1 : 0)"
                + ($0.uid.map { " " + $0 } ?? "")
        }.joined(separator: ", ")
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var service: String? = #"{"ports":[{"name":"http","port":80},{"name":"udp","port":80,"protocol":"UDP"}]}"#
        var port = KubernetesReference.Port.number(80)
        /// Ports and endpoints of each slice.
        var slices: [(ports: String, endpoints: String)]
        var type = "IPv4"
        var node: String?
        var expected: String
        var problem: String?
    }

    static let http = #"[{"name":"http","protocol":"TCP","port":8000}]"#
    static let cases: [Case] = [
        Case(
            testDescription: "the number is the Service's, the address has the target port",
            slices: [(http, #"[{"addresses":["10.0.0.1"]}]"#)], expected: "10.0.0.1:8000=110"),
        Case(
            testDescription: "a name needs no Service", service: nil, port: .name("http"),
            slices: [(http, #"[{"addresses":["10.0.0.1"]}]"#)], expected: "10.0.0.1:8000=110"),
        Case(
            testDescription: "a number without the Service is no guess", service: nil,
            slices: [(http, #"[{"addresses":["10.0.0.1"]}]"#)], expected: "",
            problem: "port 80 is the Service's, and shop/api is not known"),
        Case(
            testDescription: "a port that the Service lacks", port: .number(81),
            slices: [(http, #"[{"addresses":["10.0.0.1"]}]"#)], expected: "",
            problem: "Service shop/api has no port 81; it has http (80), udp (80)"),
        Case(
            testDescription: "a port that is not TCP", port: .name("udp"), slices: [], expected: "",
            problem: "port udp of Service shop/api is not TCP"),
        Case(
            testDescription: "an ExternalName", service: #"{"type":"ExternalName","externalName":"example.com"}"#,
            slices: [], expected: "", problem: "Service shop/api is an ExternalName, which has no slices"),
        Case(
            testDescription: "no name, an empty name and null are the same", service: #"{"ports":[{"port":80}]}"#,
            slices: [
                (#"[{"name":"","port":1}]"#, #"[{"addresses":["10.0.0.1"]}]"#),
                (#"[{"port":2}]"#, #"[{"addresses":["10.0.0.1"]}]"#),
                (#"[{"name":null,"port":3}]"#, #"[{"addresses":["10.0.0.1"]}]"#),
            ], expected: "10.0.0.1:1=110, 10.0.0.1:2=110, 10.0.0.1:3=110"),
        Case(
            testDescription: "an open port is skipped, and so is one of another protocol or none at all",
            slices: [
                (
                    #"[{"name":"http","port":null},{"name":"http","protocol":"UDP","port":9}]"#,
                    #"[{"addresses":["10.0.0.1"]}]"#
                ),
                (#"[{"name":"http","port":70000},{"name":"http","port":0}]"#, #"[{"addresses":["10.0.0.2"]}]"#),
            ], expected: ""),
        Case(
            testDescription: "several ports: the one that is asked for",
            slices: [(#"[{"name":"metrics","port":9},{"name":"http","port":8000}]"#, #"[{"addresses":["10.0.0.1"]}]"#)],
            expected: "10.0.0.1:8000=110"),
        Case(
            testDescription: "a named target port that differs between pods: a slice for each number",
            slices: [
                (http, #"[{"addresses":["10.0.0.1"]}]"#),
                (#"[{"name":"http","port":8001}]"#, #"[{"addresses":["10.0.0.2"]}]"#),
            ], expected: "10.0.0.1:8000=110, 10.0.0.2:8001=110"),
        Case(
            testDescription: "slices of another port name only",
            slices: [(#"[{"name":"web","port":8000}]"#, #"[{"addresses":["10.0.0.1"]}]"#)], expected: "",
            problem: "no slice of shop/api has a TCP port \"http\""),
        Case(
            testDescription: "the placeholder of a service without pods", slices: [("null", "null"), ("[]", "[]")],
            expected: ""),
        Case(
            testDescription: "conditions absent, null or partly there",
            slices: [
                (
                    http,
                    """
                    [{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"],"conditions":null},
                     {"addresses":["10.0.0.3"],"conditions":{}},{"addresses":["10.0.0.4"],"conditions":{"ready":false}},
                     {"addresses":["10.0.0.5"],"conditions":{"ready":null,"serving":null,"terminating":null}},
                     {"addresses":["10.0.0.6"],"conditions":{"ready":false,"terminating":true}}]
                    """
                )
            ],
            expected: "10.0.0.1:8000=110, 10.0.0.2:8000=110, 10.0.0.3:8000=110, 10.0.0.4:8000=010, 10.0.0.5:8000=110, "
                + "10.0.0.6:8000=011"),
        Case(
            testDescription: "only the first address counts, and only one of the slice's family",
            slices: [
                (
                    http,
                    """
                    [{"addresses":["10.0.0.1","10.0.0.9"]},{"addresses":["fd00::1"]},{"addresses":["example"]},
                     {"addresses":[]}]
                    """
                )
            ], expected: "10.0.0.1:8000=110"),
        Case(
            testDescription: "IPv6", slices: [(http, #"[{"addresses":["fd00::1"]}]"#)], type: "IPv6",
            expected: "[fd00::1]:8000=110"),
        Case(
            testDescription: "FQDN is ignored", slices: [(http, #"[{"addresses":["10.0.0.1"]}]"#)], type: "FQDN",
            expected: ""),
        Case(
            testDescription: "a word that is not known yet is ignored", slices: [(http, #"[{"addresses":["x"]}]"#)],
            type: "Onion", expected: ""),
        Case(
            testDescription: "a pod in two slices while it moves: who does not terminate wins, in either order",
            slices: [
                (
                    http,
                    """
                    [{"addresses":["10.0.0.1"],"conditions":{"ready":false,"serving":true,"terminating":true},
                      "targetRef":{"kind":"Pod","uid":"old"}},
                     {"addresses":["10.0.0.2"],"targetRef":{"kind":"Pod","uid":"new"}}]
                    """
                ),
                (
                    http,
                    """
                    [{"addresses":["10.0.0.1"],"targetRef":{"kind":"Pod","uid":"new"}},
                     {"addresses":["10.0.0.2"],"conditions":{"ready":false,"serving":true,"terminating":true},
                      "targetRef":{"kind":"Pod","uid":"old"}}]
                    """
                ),
            ], expected: "10.0.0.1:8000=110 new, 10.0.0.2:8000=110 new"),
        Case(
            testDescription: "the same pod in two slices: ready beats not ready",
            slices: [
                (http, #"[{"addresses":["10.0.0.1"],"conditions":{"ready":false,"serving":false}}]"#),
                (http, #"[{"addresses":["10.0.0.1"]}]"#),
            ], expected: "10.0.0.1:8000=110"),
        Case(
            testDescription: "not-ready addresses published: serving tells who is ready",
            service: #"{"ports":[{"name":"http","port":80}],"publishNotReadyAddresses":true}"#,
            slices: [
                (
                    http,
                    """
                    [{"addresses":["10.0.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false}},
                     {"addresses":["10.0.0.2"],"conditions":{"ready":true,"serving":false,"terminating":false}},
                     {"addresses":["10.0.0.3"],"conditions":{"ready":true,"serving":true,"terminating":true}}]
                    """
                )
            ], expected: "10.0.0.1:8000=110, 10.0.0.2:8000=000, 10.0.0.3:8000=011"),
        Case(
            testDescription: "a local Service is asked on its own node, the others stay known",
            service: #"{"ports":[{"name":"http","port":80}],"internalTrafficPolicy":"Local"}"#,
            slices: [
                (
                    http,
                    """
                    [{"addresses":["10.0.0.1"],"nodeName":"here"},{"addresses":["10.0.0.2"],"nodeName":"there"},
                     {"addresses":["10.0.0.3"]}]
                    """
                )
            ], node: "here", expected: "10.0.0.1:8000=110, 10.0.0.2:8000=000, 10.0.0.3:8000=000"),
        Case(
            testDescription: "a local Service where our node is not known",
            service: #"{"ports":[{"name":"http","port":80}],"internalTrafficPolicy":"Local"}"#,
            slices: [(http, #"[{"addresses":["10.0.0.1"],"nodeName":"here"}]"#)], expected: "10.0.0.1:8000=110"),
        Case(
            testDescription: "a target that is no pod has no UID",
            slices: [(http, #"[{"addresses":["10.0.0.1"],"targetRef":{"kind":"Node","uid":"n"}}]"#)],
            expected: "10.0.0.1:8000=110"),
    ]

    @Test("a Service's port and its slices come to endpoints", arguments: cases)
    func translation(_ example: Case) throws {
        let slices = try example.slices.enumerated().map {
            try Self.slice("api-\($0)", ports: $1.ports, type: example.type, $1.endpoints)
        }
        for slices in [slices, slices.reversed()] {
            let result = Translation.endpoints(
                of: KubernetesReference(namespace: "shop", service: "api", port: example.port),
                service: try example.service.map { try Self.service($0) }, slices: slices, node: example.node)
            #expect(Self.words(result.endpoints) == example.expected)
            #expect(result.problem == example.problem)
        }
    }

    @Test("zone, node and hints come along") func details() throws {
        let slice = try Self.slice(
            "a",
            """
            [{"addresses":["10.0.0.1"],"nodeName":"n1","zone":"z1","hostname":"h","hints":
            {"forZones":[{"name":"z1"},{"name":"z2"}],"forNodes":[{"name":"n1"}]},
            "targetRef":{"kind":"Pod","name":"api-1","namespace":"shop","uid":"u1"}}]
            """)
        let result = Translation.endpoints(
            of: KubernetesReference(namespace: "shop", service: "api", port: .name("http")), service: nil,
            slices: [slice], node: nil)
        #expect(
            result.endpoints == [
                WitnessedEndpoint(
                    address: NetworkAddress("10.0.0.1:8000")!, uid: "u1", pod: "api-1", node: "n1", zone: "z1",
                    zoneHints: ["z1", "z2"], nodeHints: ["n1"])
            ])
    }

    @Test("Endpoints say who is ready, and nothing of who terminates") func endpoints() throws {
        let text = """
            {"kind":"Endpoints","metadata":{"name":"api","namespace":"shop"},"subsets":[
             {"addresses":[{"ip":"10.0.0.1","nodeName":"n1","targetRef":{"kind":"Pod","name":"p1","uid":"u1"}}],
              "notReadyAddresses":[{"ip":"10.0.0.2"}],"ports":[{"name":"http","port":8000,"protocol":"TCP"}]},
             {"addresses":[{"ip":"10.0.0.3"}],"ports":[{"name":"http","port":8001}]},
             {"addresses":null,"ports":null}]}
            """
        let object = try JSONDecoder().decode(EndpointsObject.self, from: Data(text.utf8))
        let result = Translation.endpoints(
            of: KubernetesReference(namespace: "shop", service: "api", port: .name("http")), service: nil,
            slices: [object.slice], node: nil)
        #expect(Self.words(result.endpoints) == "10.0.0.1:8000=110 u1, 10.0.0.2:8000=000, 10.0.0.3:8001=110")
    }
}
