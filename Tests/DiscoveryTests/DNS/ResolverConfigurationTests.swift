import ProxyCore
import Testing

@testable import Discovery

@Suite struct ResolverConfigurationTests {
    @Test("the file of a pod is read")
    func pod() {
        let configuration = ResolverConfiguration(
            """
            search honeydue.svc.cluster.local svc.cluster.local cluster.local example.net
            nameserver 10.43.0.10
            options ndots:5
            """)
        #expect(configuration.servers == [NetworkAddress("10.43.0.10:53")!])
        #expect(
            configuration.search.map(\.description)
                == ["honeydue.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.net"])
        #expect(configuration.dots == 5 && configuration.attempts == 2 && configuration.timeoutSeconds == 5)
        #expect(!configuration.rotates)
    }

    @Test("three servers, the last of search and domain, all options, and nothing of what makes no sense")
    func details() {
        let configuration = ResolverConfiguration(
            "# comment\r\n;another\r\nnameserver\t192.0.2.1 # first\nnameserver fe80::1%eth0\n nameserver 192.0.2.9\n"
                + "nameserver\nnameserver 192.0.2\nnameservers 192.0.2.8\nnameserver 2001:db8::1\nnameserver 192.0.2.4\n"
                + "domain one.example two.example\nsearch\noptions rotate ndots:99 timeout:0\noptions attempts:9 edns0\n"
                + "options ndots:x timeout: attempts:-1\nsortlist 1.2.3.4\nlookup file bind\n")
        #expect(
            configuration.servers.map(\.description) == ["192.0.2.1:53", "[fe80::1]:53", "[2001:db8::1]:53"])
        #expect(configuration.search.map(\.description) == ["one.example"])
        #expect(configuration.rotates && configuration.dots == 15)
        #expect(configuration.timeoutSeconds == 1 && configuration.attempts == 5)

        #expect(ResolverConfiguration("domain a.example\nsearch b.example c.example").search.count == 2)
        #expect(ResolverConfiguration("search b.example c.example\ndomain a.example").search.count == 1)
        #expect(ResolverConfiguration("options timeout:99999999999999999999999").timeoutSeconds == 30)
        #expect(ResolverConfiguration("") == ResolverConfiguration())
        let long = (0..<100).map { "d\($0).example" }.joined(separator: " ")
        #expect(ResolverConfiguration("search \(long)").search.count == 32)
    }

    @Test(
        "the walk through the search list",
        arguments: [
            ("api", 5, ["api.a.example", "api.example", "api"]),
            ("api.", 5, ["api"]),
            ("x.y.z", 5, ["x.y.z.a.example", "x.y.z.example", "x.y.z"]),
            ("x.y.z", 2, ["x.y.z", "x.y.z.a.example", "x.y.z.example"]),
            ("x.y.z.", 5, ["x.y.z"]),
            ("x.y.z", 0, ["x.y.z", "x.y.z.a.example", "x.y.z.example"]),
            ("db.example", 5, ["db.example"]),
            ("DB.A.Example", 5, ["db.a.example"]),
            ("no name", 5, []), ("", 5, []), (".", 5, []),
        ] as [(String, Int, [String])])
    func candidates(name: String, dots: Int, expected: [String]) {
        let configuration = ResolverConfiguration("search a.example example\noptions ndots:\(dots)")
        #expect(configuration.candidates(for: name).map(\.description) == expected)
    }

    @Test("a search list with the root, or with names that become too long, adds nothing")
    func oddSearch() {
        let label = String(repeating: "a", count: 60)
        let long = [label, label, label, label].joined(separator: ".")
        let configuration = ResolverConfiguration("search . \(long)\noptions ndots:5")
        #expect(
            configuration.candidates(for: "a.b.some.other.example").map(\.description) == ["a.b.some.other.example"])
        #expect(configuration.candidates(for: "\(label).other").count == 1)
    }

    @Test("hosts: several names, several lines, comments, either case; what makes no sense is passed over")
    func hosts() {
        let hosts = HostsFile(
            "127.0.0.1 localhost\n# 10.0.0.9 api\n10.0.0.1\tApi api.example # first\r\n\n10.0.0.2 api\n"
                + "10.0.0.1 API\nfd00::1 api\nfe80::1%eth0 link\n10.0.0 broken\n010.0.0.1 octal\n10.0.0.3\nname 10.0.0.4\n"
        )
        func texts(_ name: String) -> [String]? { hosts.addresses(of: DomainName(name)!)?.map(\.description) }
        #expect(texts("api") == ["10.0.0.1", "10.0.0.2", "fd00::1"])
        #expect(texts("API.EXAMPLE.") == ["10.0.0.1"])
        #expect(texts("localhost") == ["127.0.0.1"])
        #expect(texts("x.localhost") == ["127.0.0.1", "::1"])
        for name in ["link", "broken", "octal", "name", "first"] { #expect(texts(name) == nil) }
        #expect(HostsFile().addresses(of: DomainName("LocalHost")!)?.count == 2)
    }
}
