import ProxyCore
import Testing

@testable import Discovery

@Suite("An address that belongs to another pod now is never dialled")
struct GhostTests {
    /// `api` with pod a at 10.42.1.7, known for a while.
    private func known(ports: Set<UInt16> = [8000], node: String? = "hetzner1") -> Clerk {
        var clerk = Clerk([.apiWithoutDNS])
        clerk.slices(
            [pod("a", "10.42.1.7:8000", node: node)], claims: ["10.42.1.7": [claim("a", node: node, ports: ports)]])
        clerk.wait(100)
        return clerk
    }

    private let stranger = claim("d", "honeydue/dozzle", ports: [8080])

    @Test("the new owner's slice first: the old endpoint is void at once, whatever its port")
    func newOwnerFirst() {
        for port: UInt16 in [8000, 8080] {
            var clerk = known()
            clerk.claims(["10.42.1.7": [claim("a"), claim("d", "honeydue/dozzle", ports: [port])]])
            #expect(clerk.served["api"] == [], "port \(port)")
            #expect(clerk.verdict("10.42.1.7:8000") == .taken(owner: "honeydue/dozzle"))
            #expect(
                clerk.lines("discovery_address_taken") == ["service=api address=10.42.1.7:8000 owner=honeydue/dozzle"])
            clerk.slices([], claims: ["10.42.1.7": [claim("d", "honeydue/dozzle", ports: [port])]])
            #expect(clerk.ids() == [])
        }
    }

    @Test("the old one's removal first: nothing is left to be void")
    func removalFirst() {
        var clerk = known()
        clerk.slices([], claims: ["10.42.1.7": []])
        clerk.claims(["10.42.1.7": [stranger]])
        #expect(clerk.ids() == [] && clerk.view().endpoints.isEmpty)
    }

    @Test("a pod on its way out loses against every other, and gets nothing as last resort")
    func terminating() {
        var clerk = known()
        clerk.slices(
            [pod("a", "10.42.1.7:8000", "011")], claims: ["10.42.1.7": [claim("a", terminating: true)]])
        #expect(clerk.ids() == ["a/10.42.1.7:8000"])
        clerk.claims(["10.42.1.7": [claim("a", terminating: true), claim("d", "honeydue/dozzle", ports: [8080])]])
        #expect(clerk.ids() == [])
    }

    @Test("ours that has taken over the address of another is not void")
    func takenOver() {
        for terminating in [false, true] {
            var clerk = Clerk([.apiWithoutDNS])
            clerk.slices([], claims: ["10.42.1.7": [claim("d", "honeydue/dozzle", terminating: terminating)]])
            clerk.wait(10)
            clerk.slices(
                [pod("a", "10.42.1.7:8000")],
                claims: ["10.42.1.7": [claim("d", "honeydue/dozzle", terminating: terminating), claim("a")]])
            #expect(clerk.ids() == ["a/10.42.1.7:8000"])
        }
    }

    @Test("a claim that comes back after its pod moved from slice to slice is no newer than it was")
    func comesBack() {
        var clerk = known()
        let old = claim("d", "honeydue/dozzle")
        clerk.claims(["10.42.1.7": [old]])
        var update = KubernetesUpdate()
        update.claims[IPAddress("10.42.1.7")!] = [old, claim("n")]
        update.services["api"] = [pod("n", "10.42.1.7:8000")]
        clerk.hear(.kubernetes(update))
        #expect(clerk.ids() == ["n/10.42.1.7:8000"])
        clerk.claims(["10.42.1.7": [claim("n")]])
        clerk.claims(["10.42.1.7": [claim("n"), old]])
        #expect(clerk.ids() == ["n/10.42.1.7:8000"])
    }

    @Test("two pods of one service at one address: the newer has it")
    func withinAService() {
        var clerk = known()
        clerk.slices(
            [pod("a", "10.42.1.7:8000", "011"), pod("b", "10.42.1.7:8000")],
            claims: ["10.42.1.7": [claim("a", terminating: true), claim("b")]])
        #expect(clerk.ids() == ["b/10.42.1.7:8000"])
    }

    @Test(
        "whether an IP is shared",
        arguments: [
            // Both in the first list, on one node: pods in the network of their node.
            (inList: true, nodes: ("n1", "n1"), ports: (8000, 9100), usableAtOnce: true, usableLater: true),
            // The same port is never shared.
            (inList: true, nodes: ("n1", "n1"), ports: (8000, 8000), usableAtOnce: false, usableLater: false),
            // Different nodes never share.
            (inList: true, nodes: ("n1", "n2"), ports: (8000, 9100), usableAtOnce: false, usableLater: false),
            // Later, side by side for 30 s.
            (inList: false, nodes: ("n1", "n1"), ports: (8000, 9100), usableAtOnce: false, usableLater: true),
            (inList: false, nodes: ("n1", "n1"), ports: (8000, 8000), usableAtOnce: false, usableLater: false),
            (inList: false, nodes: ("n1", "n2"), ports: (8000, 9100), usableAtOnce: false, usableLater: false),
        ])
    func shared(
        _ test: (
            inList: Bool, nodes: (String, String), ports: (Int, Int), usableAtOnce: Bool, usableLater: Bool
        )
    ) {
        let ours = claim("a", node: test.nodes.0, ports: [UInt16(test.ports.0)])
        let other = claim("x", "monitoring/exporter", node: test.nodes.1, ports: [UInt16(test.ports.1)])
        var clerk = Clerk([.apiWithoutDNS])
        clerk.slices(
            [pod("a", "10.0.0.1:8000", node: test.nodes.0)], claims: ["10.0.0.1": test.inList ? [ours, other] : [ours]])
        if !test.inList {
            clerk.wait(100)
            clerk.claims(["10.0.0.1": [ours, other]])
        }
        #expect(clerk.ids().isEmpty == !test.usableAtOnce)
        clerk.wait(milliseconds: 29_999)
        #expect(clerk.ids().isEmpty == !test.usableAtOnce)
        clerk.wait(milliseconds: 1)
        #expect(clerk.ids().isEmpty == !test.usableLater)
    }

    @Test("an unknown node is never shared")
    func unknownNode() {
        var clerk = Clerk([.apiWithoutDNS])
        clerk.slices(
            [pod("a", "10.0.0.1:8000", node: nil)],
            claims: ["10.0.0.1": [claim("a", node: nil), claim("x", "monitoring/exporter", node: nil, ports: [9100])]])
        #expect(clerk.ids() == [])
    }

    @Test("a shared IP stays shared while anybody claims it, and no longer")
    func staysShared() {
        let ours = claim("a", node: "n1")
        let first = claim("x", "monitoring/exporter", node: "n1", ports: [9100])
        let second = claim("y", "logging/agent", node: "n1", ports: [9200])
        var clerk = Clerk([.apiWithoutDNS])
        clerk.slices([pod("a", "10.0.0.1:8000", node: "n1")], claims: ["10.0.0.1": [ours, first]])
        clerk.claims(["10.0.0.1": [ours]])
        clerk.wait(10)
        clerk.claims(["10.0.0.1": [ours, second]])
        #expect(clerk.ids() == ["a/10.0.0.1:8000"])
        // Also while ours is on its way out.
        let leaving = claim("a", node: "n1", terminating: true)
        clerk.slices([pod("a", "10.0.0.1:8000", "011", node: "n1")], claims: ["10.0.0.1": [leaving, second]])
        #expect(clerk.ids() == ["a/10.0.0.1:8000"])
        // A claim on another node is another matter.
        let elsewhere = claim("z", "honeydue/dozzle", node: "n2", ports: [8080])
        clerk.slices([pod("a", "10.0.0.1:8000", node: "n1")], claims: ["10.0.0.1": [ours, second, elsewhere]])
        #expect(clerk.ids() == [])
        clerk.slices([], claims: ["10.0.0.1": []])
        clerk.slices([pod("a", "10.0.0.1:8000", node: "n1")], claims: ["10.0.0.1": [ours]])
        clerk.claims(["10.0.0.1": [ours, second]])
        #expect(clerk.ids() == [])
    }

    @Test("pods of a service that a reload adds may be as old as those known")
    func reloadLists() {
        var clerk = known(node: "n1")
        var other = ServiceSpec.apiWithoutDNS
        other.name = "exporter"
        other.kubernetes?.namespace = "monitoring"
        _ = clerk.reconciler.update(
            [.apiWithoutDNS, other], staleAfter: .seconds(60), now: clerk.now, wallMicroseconds: clerk.wall)
        clerk.slices(
            of: "exporter", [pod("x", "10.42.1.7:9100", node: "n1")],
            claims: [
                "10.42.1.7": [claim("a", node: "n1"), claim("x", "monitoring/exporter", node: "n1", ports: [9100])]
            ])
        #expect(clerk.ids() == ["a/10.42.1.7:8000"] && clerk.ids("exporter") == ["x/10.42.1.7:9100"])
    }

    @Test("side by side counts only while the API is heard: without it the news of the end may be missing")
    func sideBySideWithoutAPI() {
        var clerk = known()
        clerk.claims(["10.42.1.7": [claim("a"), stranger]])
        clerk.lost()
        clerk.wait(40)
        #expect(clerk.ids() == [])
        clerk.claims(["10.42.1.7": [stranger]])
        clerk.slices([])
        #expect(clerk.ids() == [])
    }

    @Test("what DNS gives is void too where slices know whose it is, whether DNS is the fallback or the only witness")
    func dnsGivesAStranger() {
        var clerk = Clerk([.api, .admin])
        clerk.slices(
            [pod("a", "10.42.1.1:8000")],
            claims: ["10.42.1.1": [claim("a")], "10.42.1.7": [claim("d", "honeydue/dozzle", ports: [8080])]])
        clerk.dns(of: "admin", ["10.42.1.7:3000", "10.42.1.8:3000"])
        #expect(clerk.addresses("admin") == ["10.42.1.8:3000"])
        clerk.claims(["10.42.1.8": [claim("m", "honeydue/admin-headless", ports: [3000])]])
        #expect(clerk.addresses("admin") == ["10.42.1.8:3000"], "the same pods behind another Service")
        clerk.claims(["10.42.1.8": [claim("m", "other/admin", ports: [3000])]])
        #expect(clerk.addresses("admin") == [])
        #expect(clerk.verdict("10.42.1.8:3000", of: "admin") == .taken(owner: "other/admin"))

        clerk.lost()
        clerk.wait(61)
        clerk.dns(["10.42.1.1:8000", "10.42.1.7:8000"])
        #expect(clerk.addresses() == ["10.42.1.1:8000"])
        #expect(clerk.verdict("10.42.1.7:8000") == .taken(owner: "honeydue/dozzle"))
    }
}
