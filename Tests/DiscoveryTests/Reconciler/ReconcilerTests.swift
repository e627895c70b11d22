import ProxyCore
import Testing

@testable import Discovery

@Suite("The reconciler: who is believed, and who is usable")
struct ReconcilerTests {
    @Test("the usable set is the ready ones, else those serving and terminating, else none")
    func usableSet() {
        let cases: [(name: String, endpoints: [WitnessedEndpoint], usable: [String])] = [
            ("ready ones alone", [pod("a", "10.42.0.1:80"), pod("b", "10.42.0.2:80", "000")], ["a/10.42.0.1:80"]),
            (
                "not a terminating one beside a ready one",
                [pod("a", "10.42.0.1:80", "011"), pod("b", "10.42.0.2:80")],
                ["b/10.42.0.2:80"]
            ),
            (
                "serving and terminating ones where none is ready",
                [pod("a", "10.42.0.1:80", "011"), pod("b", "10.42.0.2:80", "001"), pod("c", "10.42.0.3:80", "000")],
                ["a/10.42.0.1:80"]
            ),
            ("serving alone is not enough", [pod("a", "10.42.0.1:80", "010")], []),
            (
                "ready counts though it is terminating (published not ready)", [pod("a", "10.42.0.1:80", "111")],
                ["a/10.42.0.1:80"]
            ),
            ("nobody", [], []),
        ]
        for test in cases {
            var clerk = Clerk([.apiWithoutDNS])
            clerk.slices(test.endpoints)
            #expect(clerk.ids() == test.usable, "\(test.name)")
        }
    }

    @Test("an endpoint is its pod with its address, or else its service with its address")
    func identity() {
        var clerk = Clerk([.apiWithoutDNS, .old])
        var unnamed = pod("", "10.42.0.2:80")
        unnamed.uid = nil
        clerk.slices([pod("9f0c", "10.42.0.1:80"), unnamed])
        #expect(clerk.ids() == ["9f0c/10.42.0.1:80", "api/10.42.0.2:80"])
        #expect(clerk.ids("old") == ["old/127.0.0.1:8001", "old/127.0.0.1:8002"])
        #expect(clerk.view("old").truth == .static)
        clerk.slices([pod("77aa", "10.42.0.1:80")])
        #expect(clerk.ids() == ["77aa/10.42.0.1:80"])
    }

    @Test("a change is told only of services whose usable endpoints are others, and once a turn")
    func changes() {
        var other = ServiceSpec.apiWithoutDNS
        other.name = "other"
        var clerk = Clerk([.apiWithoutDNS, other])
        clerk.slices([pod("a", "10.42.0.1:80")], isComplete: false)
        #expect(clerk.changeCount == 1)
        clerk.slices([pod("a", "10.42.0.1:80"), pod("b", "10.42.0.2:80", "000")], isComplete: false)
        #expect(clerk.changeCount == 1)
        clerk.slices([pod("a", "10.42.0.1:80"), pod("b", "10.42.0.2:80")], isComplete: false)
        #expect(clerk.changeCount == 2)
        #expect(clerk.served["api"] == ["a/10.42.0.1:80", "b/10.42.0.2:80"])
        #expect(clerk.served["other"] == [])
    }

    @Test("configured addresses always count, beside slices and beside DNS")
    func configuredAddresses() {
        var spec = ServiceSpec.api
        spec.addresses = [NetworkAddress("192.0.2.1:80")!]
        var clerk = Clerk([spec])
        #expect(clerk.ids() == ["api/192.0.2.1:80"])
        #expect(!clerk.reconciler.hasFirstAnswer)
        clerk.dns(["10.42.0.9:8000"])
        #expect(clerk.ids() == ["api/192.0.2.1:80", "api/10.42.0.9:8000"])
        clerk.slices([pod("a", "10.42.0.1:8000")], claims: ["192.0.2.1": [claim("z", "other/z")]])
        #expect(clerk.ids() == ["api/192.0.2.1:80", "a/10.42.0.1:8000"])
        // One that slices name as well is one endpoint.
        clerk.slices([pod("a", "192.0.2.1:80", "000")])
        #expect(clerk.ids() == ["api/192.0.2.1:80"])
        #expect(clerk.view().endpoints[0].sources == ["static", "kubernetes"])
    }

    // MARK: DNS

    @Test("where DNS is the only witness its definite word counts, and a failure changes nothing")
    func onlyDNS() {
        var clerk = Clerk([.admin])
        #expect(!clerk.reconciler.hasFirstAnswer)
        #expect(clerk.reconciler.missing == ["admin: no answer from DNS for admin.honeydue.svc.cluster.local"])
        clerk.dnsFailed("admin")
        #expect(!clerk.reconciler.hasFirstAnswer)
        clerk.dns(of: "admin", ["10.42.0.5:3000"])
        #expect(clerk.reconciler.hasFirstAnswer)
        #expect(clerk.ids("admin") == ["admin/10.42.0.5:3000"])
        clerk.dnsFailed("admin")
        #expect(clerk.ids("admin") == ["admin/10.42.0.5:3000"])
        clerk.dnsNone("admin")
        #expect(clerk.ids("admin") == [])
    }

    @Test("before the API is reached DNS is believed; slices take over in the turn in which they are told")
    func beforeTheAPI() {
        var clerk = Clerk([.api])
        clerk.dnsNone()
        #expect(!clerk.reconciler.hasFirstAnswer, "the API may answer at any moment")
        clerk.lost()
        #expect(clerk.reconciler.hasFirstAnswer)
        clerk.dns(["10.42.0.1:8000"])
        #expect(clerk.ids() == ["api/10.42.0.1:8000"])
        #expect(clerk.view().truth == .dns)
        #expect(
            clerk.view().truthReason == "The Kubernetes API was never reached (connection refused), so DNS is believed."
        )
        clerk.slices([pod("a", "10.42.0.1:8000")])
        #expect(clerk.ids() == ["a/10.42.0.1:8000"])
        #expect(clerk.view().truth == .kubernetes)
    }

    @Test("an API that never answers is given up after two seconds: that DNS has none is an answer then")
    func apiThatHangs() {
        var clerk = Clerk([.api])
        clerk.dnsNone()
        clerk.wait(milliseconds: 1999)
        #expect(!clerk.reconciler.hasFirstAnswer)
        clerk.wait(milliseconds: 1)
        #expect(clerk.reconciler.hasFirstAnswer)
    }

    @Test("the API may be away for staleAfter; then DNS is believed, and pods keep their identity")
    func fallback() {
        var clerk = Clerk([.api])
        clerk.slices([pod("a", "10.42.0.1:8000"), pod("b", "10.42.0.2:8000")])
        clerk.dns(["10.42.0.1:8000", "10.42.0.2:8000"])
        clerk.lost()
        clerk.wait(30)
        clerk.dns(["10.42.0.2:8000", "10.42.0.3:8000"])
        clerk.wait(milliseconds: 29_999)
        #expect(clerk.ids() == ["a/10.42.0.1:8000", "b/10.42.0.2:8000"])
        #expect(clerk.view().truth == .kubernetes)
        clerk.wait(milliseconds: 1)
        #expect(clerk.served["api"] == ["b/10.42.0.2:8000", "api/10.42.0.3:8000"])
        #expect(clerk.view().truth == .dns)
        #expect(clerk.verdict("10.42.0.1:8000") == .notInDNS)
        #expect(clerk.lines("discovery_stale") == ["source=kubernetes reason=connection refused"])
        #expect(clerk.reconciler.isKubernetesStale(now: clerk.now))

        // Neither nothing nor a failure empties the table.
        clerk.dnsNone()
        clerk.dnsFailed()
        #expect(clerk.ids() == ["b/10.42.0.2:8000", "api/10.42.0.3:8000"])

        // Heard again is not told yet; a complete update is.
        clerk.heard()
        #expect(clerk.view().truth == .dns)
        clerk.slices([pod("b", "10.42.0.2:8000"), pod("c", "10.42.0.3:8000")])
        #expect(clerk.ids() == ["b/10.42.0.2:8000", "c/10.42.0.3:8000"])
        #expect(clerk.view().truth == .kubernetes)
        #expect(clerk.lines("discovery_recovered").count == 1)
    }

    @Test(
        "an update that is not complete ends no fallback, nor does being heard for a moment; a watch that goes on does")
    func recovery() {
        var clerk = Clerk([.api])
        clerk.slices([pod("a", "10.42.0.1:8000")])
        clerk.lost()
        clerk.wait(10)
        clerk.dns(["10.42.0.9:8000"])
        clerk.wait(60)
        #expect(clerk.ids() == ["api/10.42.0.9:8000"])
        clerk.heard()
        clerk.wait(4)
        clerk.lost()
        clerk.wait(10)
        #expect(clerk.ids() == ["api/10.42.0.9:8000"])
        var update = KubernetesUpdate()
        update.claims = [:]
        clerk.hear(.kubernetes(update))
        #expect(clerk.ids() == ["api/10.42.0.9:8000"])
        clerk.wait(milliseconds: 5000)
        #expect(clerk.ids() == ["a/10.42.0.1:8000"])
    }

    @Test("short losses do not add up, and silence alone counts only after the pace of bookmarks")
    func silence() {
        var clerk = Clerk([.api])
        clerk.slices([pod("a", "10.42.0.1:8000")])
        for _ in 0..<5 {
            clerk.lost()
            clerk.wait(59)
            clerk.heard()
        }
        #expect(clerk.lines("discovery_stale").isEmpty)
        clerk.wait(209)
        #expect(clerk.lines("discovery_stale").isEmpty)
        clerk.wait(1)
        #expect(clerk.lines("discovery_stale") == ["source=kubernetes reason=it says nothing"])
        // DNS has never answered: the last good slices stay.
        #expect(clerk.ids() == ["a/10.42.0.1:8000"])
        #expect(clerk.view().truth == .kubernetes)
    }

    @Test("an answer of DNS from before the API was heard last is older than the slices")
    func oldAnswer() {
        var clerk = Clerk([.api])
        clerk.dns(["10.42.0.9:8000"])
        clerk.wait(1)
        clerk.slices([pod("a", "10.42.0.1:8000")])
        clerk.dnsFailed()
        clerk.lost()
        clerk.wait(61)
        #expect(clerk.ids() == ["a/10.42.0.1:8000"])
        clerk.dns(["10.42.0.2:8000"])
        #expect(clerk.ids() == ["api/10.42.0.2:8000"])
    }

    @Test("the Service's own address brings no news about pods, and is good where no pod is known")
    func clusterAddress() {
        var clerk = Clerk([.api])
        clerk.dns(["10.43.0.80:8000"])
        #expect(clerk.ids() == ["api/10.43.0.80:8000"])
        var update = KubernetesUpdate()
        update.services["api"] = [pod("a", "10.42.0.1:8000")]
        update.clusterAddresses["api"] = [IPAddress("10.43.0.80")!]
        update.isComplete = true
        clerk.hear(.kubernetes(update))
        #expect(clerk.verdict("10.43.0.80:8000") == .clusterAddress)
        clerk.wait(20)
        clerk.dns(["10.43.0.80:8000"])
        #expect(clerk.lines("discovery_disagreement").isEmpty)
        clerk.lost()
        clerk.wait(30)
        clerk.dns(["10.43.0.80:8000"])
        clerk.wait(60)
        #expect(clerk.ids() == ["a/10.42.0.1:8000"])
    }

    // MARK: Problems

    @Test("a service that Kubernetes cannot tell keeps its endpoints while slices speak of them")
    func problems() {
        var clerk = Clerk([.apiWithoutDNS])
        let pods = [pod("a", "10.42.0.1:8000"), pod("b", "10.42.0.2:8000")]
        clerk.slices(pods, claims: ["10.42.0.1": [claim("a")], "10.42.0.2": [claim("b")]])
        var update = KubernetesUpdate()
        update.problems["api"] = "the Service honeydue/api has no port http"
        update.isComplete = true
        clerk.hear(.kubernetes(update))
        #expect(clerk.ids().count == 2)
        #expect(clerk.view().problem == "the Service honeydue/api has no port http")
        clerk.slices([], problem: "the Service honeydue/api has no port http")
        #expect(clerk.ids().count == 2)
        #expect(clerk.lines("discovery_problem").count == 1)
        // One pod goes, then the other: nobody speaks of them any more.
        clerk.claims(["10.42.0.1": []])
        #expect(clerk.ids() == ["b/10.42.0.2:8000"])
        clerk.claims(["10.42.0.2": []])
        #expect(clerk.ids() == [])
        clerk.slices([pod("c", "10.42.0.3:8000")])
        #expect(clerk.view().problem == nil)
        #expect(clerk.lines("discovery_problem_over") == ["service=api"])
    }

    @Test("that everything is empty at once is believed, with a warning; that one service is, without")
    func allEmpty() {
        var other = ServiceSpec.apiWithoutDNS
        other.name = "other"
        var clerk = Clerk([.apiWithoutDNS, other])
        clerk.slices([pod("a", "10.42.0.1:8000")])
        clerk.slices(of: "other", [pod("b", "10.42.0.2:8000")])
        clerk.slices([])
        #expect(clerk.lines("discovery_all_empty").isEmpty)
        clerk.slices([pod("a", "10.42.0.1:8000")])
        var update = KubernetesUpdate()
        update.services = ["api": [], "other": []]
        update.isComplete = true
        clerk.hear(.kubernetes(update))
        #expect(clerk.lines("discovery_all_empty") == ["source=kubernetes services=2"])
        #expect(clerk.ids() == [] && clerk.ids("other") == [])
    }

    // MARK: Reload

    @Test("a reload keeps what is known where the reference is the same, and forgets the rest")
    func reload() {
        var clerk = Clerk([.api, .admin])
        clerk.slices([pod("a", "10.42.0.1:8000")])
        clerk.dns(of: "admin", ["10.42.0.5:3000"])
        var next = ServiceSpec.api
        next.addresses = [NetworkAddress("192.0.2.1:80")!]
        var turn = clerk.reconciler.update(
            [next, .old], staleAfter: .seconds(60), now: clerk.now, wallMicroseconds: clerk.wall)
        #expect(clerk.ids() == ["api/192.0.2.1:80", "a/10.42.0.1:8000"])
        #expect(Set(turn.changes.map(\.service)) == ["api", "old"])
        #expect(clerk.reconciler.view(of: "admin", now: clerk.now, wallMicroseconds: clerk.wall) == nil)
        next.kubernetes?.port = .number(80)
        turn = clerk.reconciler.update(
            [next], staleAfter: .seconds(60), now: clerk.now, wallMicroseconds: clerk.wall)
        #expect(clerk.ids() == ["api/192.0.2.1:80"])
        #expect(!clerk.reconciler.hasFirstAnswer)
        turn = clerk.reconciler.update(
            [next], staleAfter: .seconds(60), now: clerk.now, wallMicroseconds: clerk.wall)
        #expect(turn.changes.isEmpty)
    }

    // MARK: To see it

    @Test("the view has every endpoint with its witnesses, its verdict and since when")
    func view() {
        var clerk = Clerk([.api])
        clerk.slices([pod("a", "10.42.0.1:8000"), pod("b", "10.42.0.2:8000", "000")])
        let begin = clerk.wall
        clerk.wait(3)
        clerk.dns(["10.42.0.1:8000"])
        clerk.slices([pod("a", "10.42.0.1:8000"), pod("b", "10.42.0.2:8000")])
        let view = clerk.view()
        #expect(view.truthReason == "The Kubernetes API tells its slices.")
        #expect(view.endpoints.map(\.verdict) == [.ready, .ready])
        #expect(view.endpoints.map(\.sinceMicroseconds) == [begin, begin + 3_000_000])
        #expect(view.endpoints.map(\.sources) == [["kubernetes", "dns"], ["kubernetes"]])
        #expect(view.endpoints[0].uid == "a" && view.endpoints[0].node == "hetzner1")
        #expect(view.endpoints[0].reason == "ready")
    }
}
