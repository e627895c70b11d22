import ProxyCore
import Testing

@testable import Discovery

@Suite struct PlaceTests {
    /// One endpoint: its node, its zone, and for which zones it is meant.
    private static func endpoint(_ text: String) -> WitnessedEndpoint {
        let words = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        var endpoint = pod("a", "10.42.0.1:80", node: words[0].isEmpty ? nil : words[0])
        endpoint.zone = words[1].isEmpty ? nil : words[1]
        endpoint.zoneHints = words[2].map(String.init)
        return endpoint
    }

    @Test(
        "near is who is on our node, in our zone or meant for it; without anybody near all are",
        arguments: [
            (Preference.anywhere, ["n/z/", "m/y/"], nil), (.node, ["n/z/", "m/y/", "n/y/"], "+-+"),
            (.node, ["m/z/", "m/y/"], nil), (.node, ["n/z/", "n/y/"], nil), (.node, ["/z/", "n/y/"], "-+"),
            (.zone, ["n/z/", "m/z/", "m/y/"], "++-"), (.zone, ["n/y/", "m//"], nil),
            // Hints say more, where everybody has some and one is for us.
            (.zone, ["n/z/y", "m/y/z", "m/y/yz"], "-++"), (.zone, ["n/z/y", "m/y/"], "+-"),
            (.zone, ["n/z/y", "m/y/y"], "+-"), (.zone, ["n/y/z", "m/y/z"], nil),
        ] as [(Preference, [String], String?)])
    func near(_ prefer: Preference, _ endpoints: [String], _ near: String?) {
        let found = Place(node: "n", zone: "z").near(prefer, among: endpoints.map(Self.endpoint))
        #expect(found.map { $0.map { $0 ? "+" : "-" }.joined() } == near)
        #expect(Place().near(prefer, among: endpoints.map(Self.endpoint)) == nil)
    }

    @Test("the zone is learned from whoever is on our node, and then told")
    func learned() {
        var spec = ServiceSpec.apiWithoutDNS
        spec.care.prefer = .zone
        var other = ServiceSpec.old
        other.care.weights = [other.addresses[1]: 7]
        var reconciler = Reconciler(
            services: [spec, other], staleAfter: .seconds(60), place: Place(node: "n"), now: Instant(nanoseconds: 1),
            wallMicroseconds: 1)
        #expect(reconciler.endpoints(of: "old").map(\.traits.weight) == [1, 7])
        func hear(_ endpoints: [WitnessedEndpoint]) -> Reconciler.Turn {
            var update = KubernetesUpdate()
            update.services["api"] = endpoints
            update.isComplete = true
            return reconciler.hear(.kubernetes(update), now: Instant(nanoseconds: 2), wallMicroseconds: 2)
        }
        var (near, far) = (pod("a", "10.42.0.1:80", node: "m"), pod("b", "10.42.0.2:80", node: "o"))
        (near.zone, far.zone) = ("z", "y")
        #expect(hear([near, far]).changes[0].endpoints.map(\.traits.isNear) == [true, true])
        var own = pod("c", "10.42.0.3:80", "000", node: "n")
        own.zone = "z"
        #expect(hear([near, far, own]).changes[0].endpoints.map(\.traits.isNear) == [true, false])
        // An endpoint that stays itself and moves nearer is told.
        far.zone = "z"
        #expect(hear([near, far, own]).changes[0].endpoints.map(\.traits.isNear) == [true, true])
        #expect(hear([near, far, own]).changes.isEmpty)
    }
}
