import ProxyCore
import Testing

@testable import Discovery

@Suite("What an earlier process knew")
struct RestartTests {
    /// What a process keeps that has `api` with a foreigner in DNS, and `admin`.
    private func kept() -> KeptState {
        var clerk = Clerk([.api, .admin])
        clerk.slices(
            [pod("a", "10.42.0.1:8000"), pod("b", "10.42.0.2:8000", "000")],
            claims: [
                "10.42.0.1": [claim("a")], "10.42.0.2": [claim("b")],
                "10.42.1.7": [claim("d", "honeydue/dozzle", ports: [8080])],
            ])
        clerk.dns(["10.42.0.1:8000", "10.42.1.7:8000", "10.42.1.9:8000"])
        clerk.dns(of: "admin", ["10.42.0.5:3000"])
        return clerk.reconciler.kept(wallMicroseconds: clerk.wall)
    }

    @Test("is served at once, with its identity, marked as what it is, until the API tells")
    func served() {
        var clerk = Clerk([.api, .admin], kept: kept())
        #expect(clerk.reconciler.hasFirstAnswer)
        #expect(clerk.ids() == ["a/10.42.0.1:8000"] && clerk.ids("admin") == ["admin/10.42.0.5:3000"])
        #expect(clerk.reconciler.isKubernetesStale(now: clerk.now) && clerk.reconciler.isDNSStale)
        clerk.wait(1)
        #expect(
            clerk.view().truthReason
                == "Nobody has told more yet: last known good of 2026-09-21T14:30:00.000000Z, 1 s old.")
        #expect(clerk.view().endpoints[0].sources == ["last known good"])
        clerk.slices([pod("a", "10.42.0.1:8000"), pod("c", "10.42.0.3:8000")])
        #expect(clerk.ids() == ["a/10.42.0.1:8000", "c/10.42.0.3:8000"])
        #expect(clerk.view().truth == .kubernetes && !clerk.reconciler.isKubernetesStale(now: clerk.now))
        clerk.dnsFailed("admin")
        #expect(clerk.ids("admin") == ["admin/10.42.0.5:3000"])
        clerk.dnsNone("admin")
        #expect(clerk.ids("admin") == [] && !clerk.reconciler.isDNSStale)
    }

    @Test("is no answer where it was nothing, as long as the API may tell more")
    func nothing() {
        var earlier = Clerk([.api])
        earlier.slices([])
        #expect(earlier.reconciler.hasFirstAnswer)
        let kept = earlier.reconciler.kept(wallMicroseconds: earlier.wall)
        var told = Clerk([.api], kept: kept)
        #expect(!told.reconciler.hasFirstAnswer)
        told.heard()
        #expect(!told.reconciler.hasFirstAnswer, "heard is not told")
        told.slices([])
        #expect(told.reconciler.hasFirstAnswer)
        var refused = Clerk([.api], kept: kept)
        refused.lost()
        #expect(refused.reconciler.hasFirstAnswer)
        var mute = Clerk([.api], kept: kept)
        mute.wait(milliseconds: 1999)
        #expect(!mute.reconciler.hasFirstAnswer)
        mute.wait(milliseconds: 1)
        #expect(mute.reconciler.hasFirstAnswer)
    }

    @Test("gives way to DNS where the API cannot be reached, and keeps the foreigner out")
    func withoutAPI() {
        for lost in [true, false] {
            var clerk = Clerk([.api], kept: kept())
            clerk.dns(["10.42.0.1:8000", "10.42.0.2:8000", "10.42.1.7:8000", "10.42.1.9:8000"])
            #expect(clerk.ids() == ["a/10.42.0.1:8000"], "the API may answer at any moment")
            if lost { clerk.lost() } else { clerk.wait(2) }
            #expect(clerk.served["api"] == ["a/10.42.0.1:8000", "b/10.42.0.2:8000"])
            #expect(clerk.verdict("10.42.1.7:8000") == .disbelieved)
            #expect(clerk.verdict("10.42.1.9:8000") == .disbelieved)
            // Heard is not told: nothing flips back and forth.
            clerk.heard()
            #expect(clerk.ids() == ["a/10.42.0.1:8000", "b/10.42.0.2:8000"])
            clerk.slices([pod("a", "10.42.0.1:8000")])
            #expect(clerk.ids() == ["a/10.42.0.1:8000"])
        }
    }

    @Test("is void where somebody else is known to have the address since then")
    func takenMeanwhile() {
        var clerk = Clerk([.api], kept: kept())
        var update = KubernetesUpdate()
        update.claims = [IPAddress("10.42.0.1")!: [claim("d", "honeydue/dozzle")]]
        clerk.hear(.kubernetes(update))
        #expect(clerk.ids() == [])
        #expect(clerk.verdict("10.42.0.1:8000") == .taken(owner: "honeydue/dozzle"))
    }

    @Test("claims that the first complete list does not confirm are forgotten")
    func claimsEnd() {
        var clerk = Clerk([.api], kept: kept())
        #expect(!clerk.reconciler.book.claims(on: IPAddress("10.42.1.7")!).isEmpty)
        clerk.slices([pod("n", "10.42.1.7:8000")], claims: ["10.42.1.7": [claim("n")]], isComplete: false)
        #expect(clerk.ids() == ["n/10.42.1.7:8000"])
        #expect(!clerk.reconciler.book.claims(on: IPAddress("10.42.0.1")!).isEmpty)
        clerk.slices([pod("n", "10.42.1.7:8000")])
        #expect(clerk.reconciler.book.claims(on: IPAddress("10.42.0.1")!).isEmpty)
    }

    @Test("counts for a service with the same references, whatever it is called, and for no other")
    func references() {
        var renamed = ServiceSpec.api
        renamed.name = "api2"
        var otherPort = ServiceSpec.api
        otherPort.name = "api3"
        otherPort.kubernetes?.port = .number(80)
        var withoutDNS = ServiceSpec.apiWithoutDNS
        withoutDNS.name = "api4"
        let clerk = Clerk([renamed, otherPort, withoutDNS], kept: kept())
        #expect(clerk.ids("api2") == ["a/10.42.0.1:8000"])
        #expect(clerk.ids("api3") == [] && clerk.ids("api4") == [])
        #expect(clerk.reconciler.missing.count == 2)
    }

    @Test("grows no younger by being kept again")
    func age() {
        let first = kept()
        var clerk = Clerk([.api, .admin], kept: first)
        clerk.wait(10)
        let second = clerk.reconciler.kept(wallMicroseconds: clerk.wall)
        #expect(second.services.map(\.asOfMicroseconds) == first.services.map(\.asOfMicroseconds))
        #expect(second.services.map(\.endpoints) == first.services.map(\.endpoints))
        #expect(second.services[0].disbelieved == first.services[0].disbelieved)
        clerk.slices([pod("a", "10.42.0.1:8000")])
        let third = clerk.reconciler.kept(wallMicroseconds: clerk.wall)
        #expect(third.services[0].asOfMicroseconds == clerk.wall)
        let heard = clerk.wall
        clerk.lost()
        clerk.wait(10)
        #expect(clerk.reconciler.kept(wallMicroseconds: clerk.wall).services[0].asOfMicroseconds == heard)
    }

    @Test("another witness of Kubernetes confirms what is known, or it is forgotten")
    func anotherCluster() {
        var clerk = Clerk([.api])
        clerk.slices(
            [pod("a", "10.42.0.1:8000")],
            claims: ["10.42.0.1": [claim("a")], "10.42.1.7": [claim("d", "honeydue/dozzle")]])
        clerk.reconciler.kubernetesStartsAnew()
        #expect(clerk.ids() == ["a/10.42.0.1:8000"])
        clerk.slices([pod("n", "10.42.1.7:8000")], claims: ["10.42.1.7": [claim("n")]])
        #expect(clerk.ids() == ["n/10.42.1.7:8000"])
        #expect(clerk.reconciler.book.claims(on: IPAddress("10.42.0.1")!).isEmpty)
    }

    @Test("what another cluster had told is served as last known good, and not for longer than DNS needs")
    func otherCluster() {
        var clerk = Clerk([.api])
        clerk.slices([pod("a", "10.42.0.1:8000")], claims: ["10.42.0.1": [claim("a")]])
        clerk.dns(["10.42.0.1:8000"])
        #expect(clerk.view().truth == .kubernetes)
        clerk.reconciler.kubernetesStartsAnew(isOtherCluster: true)
        #expect(clerk.reconciler.isKubernetesStale(now: clerk.now) && clerk.ids() == ["a/10.42.0.1:8000"])
        // The new one cannot be reached: its DNS knows more than the old one's slices.
        clerk.dns(["10.42.7.7:8000"])
        clerk.lost()
        clerk.wait(3)
        #expect(clerk.addresses() == ["10.42.7.7:8000"])
        clerk.slices([pod("n", "10.42.7.7:8000")], claims: ["10.42.7.7": [claim("n")]])
        #expect(clerk.ids() == ["n/10.42.7.7:8000"])
        #expect(!clerk.reconciler.isKubernetesStale(now: clerk.now))
    }
}
