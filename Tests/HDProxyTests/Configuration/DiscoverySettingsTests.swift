import Discovery
import ProxyCore
import Testing

@testable import HDProxy

private func read(_ text: String) -> Result<Settings, ConfigurationProblems> {
    SettingsReader.read(Array(text.utf8), file: "f")
}

/// What `check` says, without the place; empty: it is valid.
private func problems(_ text: String) -> [String] {
    guard case .failure(let problems) = read(text) else { return [] }
    return problems.problems.map { "\($0.path): \($0.wrong); \($0.allowed)" }
}

private func top(_ keys: String) -> String {
    "{ \(keys), listeners: [ { address: \"[::]:80\" } ], services: {}, routes: [] }"
}

private func service(_ keys: String) -> String {
    "{ services: { api: { \(keys) } }, listeners: [ { address: \"[::]:80\" } ], routes: [] }"
}

@Suite struct DiscoverySettingsTests {
    private static let adminAddress = "an IP address and a port, as in \"127.0.0.1:9090\"; \"\": no such listener"
    private static let adminSocket =
        "an absolute path of at most 107 bytes, %p in it for the process id; \"\": no such socket"
    private static let cluster =
        "{} in a cluster, { server: \"https://…\", tokenFile: \"…\", caFile: \"…\" } or { kubeconfig: \"…\" } outside"
    private static let server = "https:// with a host, perhaps a port, as in \"https://10.0.0.1:6443\""
    private static let dnsServer = "an IP address, perhaps with a port, as in \"10.43.0.10\" or \"[fd00::10]:53\""
    private static let label = "1 to 63 lower-case letters, digits and -, neither first nor last a -"
    private static let port = "the name or the number of one of the Service's ports, as in \"http\" or 80"
    private static let name = "a name, as in \"api-headless.honeydue.svc.cluster.local\""
    private static let srv = "\"_http._tcp.api-headless.honeydue.svc.cluster.local\""

    @Test func problemsOfAdminAreSpelledOut() {
        let long = "/" + String(repeating: "x", count: 101)
        let cases: [(keys: String, lines: [String])] = [
            ("1", ["admin: a number stands here; an object with address, socket"]),
            ("{ adress: \"\" }", ["admin.adress: unknown key, did you mean `address`?; known here: address, socket"]),
            (
                "{ address: \"localhost:9090\" }",
                ["admin.address: \"localhost:9090\" is not an address with a port; \(Self.adminAddress)"]
            ),
            ("{ address: 9090 }", ["admin.address: a number stands here; \(Self.adminAddress)"]),
            (
                "{ address: \"127.0.0.1:80\" }",
                ["admin.address: listeners[0] is on [::]:80; an address of its own"]
            ),
            (
                "{ socket: \"admin.sock\" }",
                ["admin.socket: \"admin.sock\" is not an absolute path; \(Self.adminSocket)"]
            ),
            ("{ socket: \"@hdproxy\" }", ["admin.socket: \"@hdproxy\" is not an absolute path; \(Self.adminSocket)"]),
            ("{ socket: \"/run/x/\" }", ["admin.socket: \"/run/x/\" is a folder; \(Self.adminSocket)"]),
            (
                "{ socket: \"\(long)%p\" }",
                ["admin.socket: \"\(long.prefix(60))…\" can become 109 bytes long; \(Self.adminSocket)"]
            ),
            ("{ socket: \"\(long)abcde\" }", []), ("{ address: \"\", socket: \"\" }", []),
            ("{ address: \"[::1]:0\" }", []),
        ]
        for (keys, lines) in cases { #expect(problems(top("admin: \(keys)")) == lines, "\(keys)") }
    }

    @Test func adminHasItsDefaultsAndCanBeSwitchedOff() throws {
        let none = try read(top("workers: 0")).get().admin
        #expect(none.address?.description == "127.0.0.1:9090" && none.socket == "/run/hdproxy/admin.sock")
        #expect(!none.isAddressWritten && !none.isSocketWritten)
        let off = try read(top("admin: { address: \"\", socket: \"\" }")).get().admin
        #expect(off.address == nil && off.socket == nil && off.isAddressWritten && off.isSocketWritten)
        let own = try read(top("admin: { socket: \"/run/%p/a-%p.sock\" }")).get().admin
        #expect(own.socketPath(process: 42) == "/run/42/a-42.sock")
        #expect(!own.isAddressWritten && own.isSocketWritten)
    }

    @Test func problemsOfDiscoveryAreSpelledOut() {
        let cases: [(keys: String, lines: [String])] = [
            (
                "{ kuberntes: {} }",
                [
                    "discovery.kuberntes: unknown key, did you mean `kubernetes`?; "
                        + "known here: kubernetes, dns, stateDirectory, staleAfter"
                ]
            ),
            (
                "{ kubernetes: { server: \"http://10.0.0.1:6443\" } }",
                [
                    "discovery.kubernetes.server: \"http://10.0.0.1:6443\" would send the token in the clear; \(Self.server)"
                ]
            ),
            (
                "{ kubernetes: { server: \"10.0.0.1:6443\" } }",
                ["discovery.kubernetes.server: \"10.0.0.1:6443\" is no https URL; \(Self.server)"]
            ),
            (
                "{ kubernetes: { server: \"https://k8s/clusters/1\" } }",
                ["discovery.kubernetes.server: \"https://k8s/clusters/1\" has more behind the host; \(Self.server)"]
            ),
            (
                "{ kubernetes: { server: \"https://\" } }",
                ["discovery.kubernetes.server: \"https://\" is no server: the host is missing; \(Self.server)"]
            ),
            (
                "{ kubernetes: { server: \"https://me@k8s\" } }",
                [
                    "discovery.kubernetes.server: \"https://me@k8s\" is no server: user names have no place in this URL; \(Self.server)"
                ]
            ),
            (
                "{ kubernetes: { server: \"https://k8s:0\" } }",
                [
                    "discovery.kubernetes.server: \"https://k8s:0\" is no server: "
                        + "its port is not a number from 1 to 65535; \(Self.server)"
                ]
            ),
            (
                "{ kubernetes: { kubeconfig: \"/k\", server: \"https://k8s\", tokenFile: \"/t\", caFile: \"/c\" } }",
                ["server", "tokenFile", "caFile"].map {
                    "discovery.kubernetes.\($0): `kubeconfig` stands beside it, which says this, too; \(Self.cluster)"
                }
            ),
            (
                "{ kubernetes: { tokenFile: \"/t\", caFile: \"/c\" } }",
                ["tokenFile", "caFile"].map {
                    "discovery.kubernetes.\($0): `server` is missing beside it: in a cluster both files are known; \(Self.cluster)"
                }
            ),
            (
                "{ kubernetes: { kubeconfig: \"~/.kube/config\" } }",
                [
                    "discovery.kubernetes.kubeconfig: \"~/.kube/config\" is not an absolute path; the absolute path of a file"
                ]
            ),
            (
                "{ kubernetes: { server: \"https://k8s\", tokenFile: \"t\" } }",
                ["discovery.kubernetes.tokenFile: \"t\" is not an absolute path; the absolute path of a file"]
            ),
            (
                "{ dns: { servers: [\"dns.google\", \"0.0.0.0\", \"10.0.0.1:0\", \"10.0.0.1\", \"10.0.0.1:53\", 8, \"[1.2.3.4]\"] } }",
                [
                    "discovery.dns.servers[0]: \"dns.google\" is not an address; \(Self.dnsServer)",
                    "discovery.dns.servers[1]: \"0.0.0.0\" is nothing to ask; \(Self.dnsServer)",
                    "discovery.dns.servers[2]: \"10.0.0.1:0\" is nothing to ask; \(Self.dnsServer)",
                    "discovery.dns.servers[4]: \"10.0.0.1:53\" is discovery.dns.servers[3] again; each server once",
                    "discovery.dns.servers[5]: a number stands here; \(Self.dnsServer)",
                    "discovery.dns.servers[6]: \"[1.2.3.4]\" is not an address; \(Self.dnsServer)",
                ]
            ),
            (
                "{ stateDirectory: \"state\" }",
                [
                    "discovery.stateDirectory: \"state\" is not an absolute path; "
                        + "the absolute path of a folder; \"\": nothing is kept over a restart"
                ]
            ),
            (
                "{ staleAfter: \"0s\" }",
                [
                    "discovery.staleAfter: \"0s\" is too short; \(DurationText.allowed), from 1ms to 168h"
                ]
            ),
        ]
        for (keys, lines) in cases { #expect(problems(top("discovery: \(keys)")) == lines, "\(keys)") }
    }

    @Test func discoveryIsReadAsItIsMeant() throws {
        func settings(_ keys: String) throws -> DiscoverySettings {
            try read(top("discovery: { \(keys) }")).get().discovery
        }
        #expect(try settings("") == DiscoverySettings())
        #expect(try settings("kubernetes: {}").cluster == .inCluster)
        #expect(
            try settings("kubernetes: { server: \"HTTPS://[fd00::1]:6443/\", tokenFile: \"/t\" }").cluster
                == .server("https://[fd00::1]:6443", caFile: nil, tokenFile: "/t"))
        #expect(try settings("kubernetes: { kubeconfig: \"/k\" }").cluster == .kubeconfig("/k"))
        let all = try settings(
            "dns: { servers: [\"10.43.0.10\", \"10.43.0.11:5353\", \"fd00::1\", \"[fd00::2]\", \"[fd00::3]:54\"] }, "
                + "stateDirectory: \"/s\", staleAfter: \"5s\"")
        #expect(
            all.dnsServers.map(\.description) == [
                "10.43.0.10:53", "10.43.0.11:5353", "[fd00::1]:53", "[fd00::2]:53", "[fd00::3]:54",
            ])
        #expect(all.stateDirectory == "/s" && all.staleAfter == .seconds(5))
        #expect(try settings("stateDirectory: \"\"").stateDirectory == nil)
    }

    @Test func problemsOfAServicesWitnessesAreSpelledOut() {
        let long = String(repeating: "a", count: 64)
        let cases: [(keys: String, lines: [String])] = [
            (
                "kubernetes: {}",
                [
                    "services.api.kubernetes.namespace: it is missing; \(Self.label)",
                    "services.api.kubernetes.service: it is missing; \(Self.label)",
                    "services.api.kubernetes.port: it is missing; \(Self.port)",
                ]
            ),
            (
                "kubernetes: { namespace: \"Honey\", service: \"a.b\", port: \"-x\" }",
                [
                    "services.api.kubernetes.namespace: \"Honey\" is not a name in Kubernetes; \(Self.label)",
                    "services.api.kubernetes.service: \"a.b\" is not a name in Kubernetes; \(Self.label)",
                    "services.api.kubernetes.port: \"-x\" is not the name of a port; \(Self.port)",
                ]
            ),
            (
                "kubernetes: { namespace: \"\", service: \"\(long)\", port: 65536 }",
                [
                    "services.api.kubernetes.namespace: \"\" is not a name in Kubernetes; \(Self.label)",
                    "services.api.kubernetes.service: \"\(long.prefix(60))…\" is not a name in Kubernetes; \(Self.label)",
                    "services.api.kubernetes.port: 65536 is not a port; \(Self.port)",
                ]
            ),
            (
                "kubernetes: { namespace: \"h\", service: \"a\", port: \"80\" }",
                [
                    "services.api.kubernetes.port: \"80\" in quotes would be a name; the number without quotes: \(Self.port)"
                ]
            ),
            (
                "kubernetes: { namespace: \"h\", service: \"a\", port: [80] }",
                ["services.api.kubernetes.port: a list stands here; \(Self.port)"]
            ),
            ("dns: {}", ["services.api.dns.name: it is missing; \(Self.name)"]),
            (
                "dns: { name: \"api.example\" }",
                [
                    "services.api.dns.port: it is missing; the port that pods listen on; "
                        + "only a name of SRV records, as in \(Self.srv), tells it itself"
                ]
            ),
            (
                "dns: { name: \"_http._tcp.api\", port: 80 }",
                ["services.api.dns.port: the SRV records of \"_http._tcp.api\" tell the port; leave it out"]
            ),
            (
                "dns: { name: \"_http.api\" }",
                ["services.api.dns.name: \"_http.api\" is not a name of SRV records; as in \(Self.srv)"]
            ),
            (
                "dns: { name: \"10.0.0.1\", port: 80 }",
                ["services.api.dns.name: \"10.0.0.1\" is an address, not a name; an address stands in endpoints"]
            ),
            (
                "dns: { name: \"*.api\", port: 0 }",
                [
                    "services.api.dns.name: \"*.api\" is not a name: "
                        + "a * stands for the first label only, or alone for every host; \(Self.name)",
                    "services.api.dns.port: 0 is not allowed; a whole number from 1 to 65535",
                ]
            ),
            (
                "endpoints: [\"1.2.3.4:80\"], dns: { name: \"a\", port: 80 }, kubernetes: { namespace: \"h\", service: \"a\", port: 80 }",
                ["kubernetes", "dns"].map {
                    "services.api.endpoints: `\($0)` stands beside it; fixed addresses alone, or kubernetes and dns; "
                        + "a route can share requests out among several services"
                }
            ),
        ]
        for (keys, lines) in cases { #expect(problems(service(keys)) == lines, "\(keys)") }
    }

    @Test func aServiceTellsDiscoveryWhomToAsk() throws {
        let text = """
            { listeners: [ { address: "[::]:80" } ], routes: [],
              services: {
                both: { kubernetes: { namespace: "h", service: "api", port: "http" },
                        dns: { name: "API-Headless.h.svc.cluster.local.", port: 8000 } },
                slices: { kubernetes: { namespace: "h", service: "0api", port: 80 } },
                names: { dns: { name: "_http._tcp.api" } },
                fixed: { endpoints: ["10.0.0.1:80"] } } }
            """
        let settings = try read(text).get()
        #expect(
            settings.serviceSpecs == [
                ServiceSpec(
                    name: "both",
                    kubernetes: KubernetesReference(namespace: "h", service: "api", port: .name("http")),
                    dns: DNSReference(name: "api-headless.h.svc.cluster.local.", port: 8000)),
                ServiceSpec(
                    name: "slices",
                    kubernetes: KubernetesReference(namespace: "h", service: "0api", port: .number(80))),
                ServiceSpec(name: "names", dns: DNSReference(name: "_http._tcp.api", port: nil)),
                ServiceSpec(name: "fixed", addresses: [NetworkAddress("10.0.0.1:80")!]),
            ])
        #expect(settings.snapshot(generation: 1).services.map(\.endpoints.count) == [0, 0, 0, 1])
        let found = Endpoint(id: EndpointID("uid"), address: NetworkAddress("10.42.0.1:8000")!)
        let snapshot = settings.snapshot(generation: 2) { $0 == "both" ? [found] : [] }
        #expect(snapshot.generation == 2 && snapshot.services.map(\.endpoints) == [[found], [], [], []])
    }

    @Test func whatIsPrintedReadsTheSame() throws {
        let cases = [
            top("admin: { address: \"\", socket: \"/run/a-%p.sock\" }"),
            top("admin: { address: \"[::1]:9091\", socket: \"\" }"),
            top("discovery: { kubernetes: { server: \"https://k8s:6443\", tokenFile: \"/t\", caFile: \"/c\" } }"),
            top("discovery: { kubernetes: { server: \"https://k8s\" }, staleAfter: \"90s\" }"),
            top("discovery: { kubernetes: { kubeconfig: \"/k\" }, stateDirectory: \"/s\" }"),
            top("discovery: { dns: { servers: [\"10.43.0.10\", \"[fd00::3]:54\"] } }"),
            service("kubernetes: { namespace: \"h\", service: \"a\", port: 80 }, dns: { name: \"a.\", port: 80 }"),
            service("kubernetes: { namespace: \"h\", service: \"a\", port: \"http\" }"),
            service("dns: { name: \"_http._tcp.a\" }"),
        ]
        for text in cases {
            let settings = try read(text).get()
            #expect(try read(settings.text).get() == settings, "\(text)")
        }
        let defaults = try read(top("workers: 0")).get().text
        #expect(
            defaults.contains("\"admin\": { \"address\": \"127.0.0.1:9090\", \"socket\": \"/run/hdproxy/admin.sock\" }")
        )
        #expect(defaults.contains("\"stateDirectory\": \"\"") && defaults.contains("\"staleAfter\": \"1m\""))
    }
}
