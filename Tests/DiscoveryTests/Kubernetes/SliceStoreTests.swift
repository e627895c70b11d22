import ProxyCore
import Testing

@testable import Discovery

@Suite struct SliceStoreTests {
    private static func spec(
        _ name: String, _ service: String, _ port: KubernetesReference.Port = .name("http"),
        in namespace: String = "shop"
    ) -> ServiceSpec {
        ServiceSpec(name: name, kubernetes: KubernetesReference(namespace: namespace, service: service, port: port))
    }

    private static let service = #"{"clusterIP":"10.43.0.7","ports":[{"name":"http","port":80}]}"#

    private static func pod(_ ip: String, _ uid: String, terminating: Bool = false) -> String {
        """
        {"addresses":["\(ip)"],"nodeName":"n1","conditions":{"ready":\(!terminating),"serving":true,"terminating":\(terminating)},
        "targetRef":{"kind":"Pod","name":"pod-\(uid)","uid":"\(uid)"}}
        """
    }

    private static func ready(_ specs: [ServiceSpec], slices: [SliceObject], services: [ServiceObject]) -> SliceStore {
        var store = SliceStore()
        store.retarget(specs)
        store.replaceSlices(of: "shop", .init(objects: slices))
        store.replaceServices(of: "shop", .init(objects: services))
        return store
    }

    @Test("nothing is told of a service before both its lists are in") func before() throws {
        var store = SliceStore()
        store.retarget([Self.spec("api", "api")])
        #expect(store.takeUpdate() == nil)
        store.replaceSlices(
            of: "shop", .init(objects: [try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")]))
        var update = store.takeUpdate()
        #expect(update?.services.isEmpty != false && update?.isComplete == false)
        #expect(update?.claims[IPAddress("10.0.0.1")!]?.count == 1, "whose an address is, is told at once")
        store.replaceServices(of: "shop", .init(objects: [try TranslationTests.service(Self.service)]))
        update = store.takeUpdate()
        #expect(update?.services["api"]?.count == 1)
        #expect(update?.clusterAddresses == ["api": [IPAddress("10.43.0.7")!]])
        #expect(update?.isComplete == true)
    }

    @Test("a list that lacks what was there is a difference, and only that is told") func difference() throws {
        let a = try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")
        let b = try TranslationTests.slice("b", "[\(Self.pod("10.0.0.2", "u2"))]", service: "web")
        let services = [
            try TranslationTests.service(Self.service), try TranslationTests.service(Self.service, "web"),
        ]
        var store = Self.ready([Self.spec("api", "api"), Self.spec("web", "web")], slices: [a, b], services: services)
        #expect(store.takeUpdate()?.services.count == 2)
        store.replaceSlices(of: "shop", .init(objects: [a, b]))
        var nothing = KubernetesUpdate()
        nothing.isComplete = true
        #expect(store.takeUpdate() == nothing, "that everything is known is news after a gap")
        #expect(store.takeUpdate() == nil)
        store.replaceSlices(of: "shop", .init(objects: [b]))
        let update = store.takeUpdate()
        #expect(update?.services == ["api": []])
        #expect(update?.claims == [IPAddress("10.0.0.1")!: []])
    }

    @Test("what a list has but cannot be read stays as it was") func unreadable() throws {
        let a = try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")
        var store = Self.ready(
            [Self.spec("api", "api")], slices: [a], services: [try TranslationTests.service(Self.service)])
        _ = store.takeUpdate()
        store.replaceSlices(of: "shop", .init(objects: [], unreadable: [a.key]))
        let update = store.takeUpdate()
        #expect(update?.services.isEmpty == true && update?.claims.isEmpty == true)
    }

    @Test("a new version that changes nothing tells nothing") func versions() throws {
        var slice = try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")
        var store = Self.ready(
            [Self.spec("api", "api")], slices: [slice], services: [try TranslationTests.service(Self.service)])
        _ = store.takeUpdate()
        slice.resourceVersion = "9"
        store.keep(slice)
        #expect(store.takeUpdate() == nil)
    }

    @Test("a slice that changes its Service leaves the old one") func relabelled() throws {
        var slice = try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")
        let services = [
            try TranslationTests.service(Self.service), try TranslationTests.service(Self.service, "web"),
        ]
        var store = Self.ready([Self.spec("api", "api"), Self.spec("web", "web")], slices: [slice], services: services)
        #expect(store.takeUpdate()?.services["web"] == [])
        slice.service = "web"
        store.keep(slice)
        let update = store.takeUpdate()
        #expect(update?.services["api"] == [])
        #expect(update?.services["web"]?.count == 1)
        #expect(update?.claims[IPAddress("10.0.0.1")!]?.map(\.owner) == ["shop/web"])
    }

    @Test("an address that goes from one pod to another is claimed by both, then by one") func claims() throws {
        let ip = IPAddress("10.0.0.1")!
        let old = try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1", terminating: true))]")
        let headless = try TranslationTests.slice(
            "h", ports: #"[{"name":"grpc","port":9000}]"#, "[\(Self.pod("10.0.0.1", "u2"))]", service: "a-headless",
            headless: true)
        let new = try TranslationTests.slice("b", "[\(Self.pod("10.0.0.1", "u2"))]", service: "web")
        var store = Self.ready([Self.spec("api", "api")], slices: [old], services: [])
        #expect(store.takeUpdate()?.claims[ip]?.map(\.terminating) == [true])
        store.keep(headless)
        store.keep(new)
        var claims = store.takeUpdate()?.claims[ip]
        #expect(claims?.map(\.uid) == ["u1", "u2"])
        #expect(claims?.map(\.owner) == ["shop/api", "shop/web"], "the headless Service is the lesser name")
        #expect(claims?.last?.ports == [8000, 9000])
        #expect(claims?.last?.node == "n1")
        store.removeSlice(old.key)
        claims = store.takeUpdate()?.claims[ip]
        #expect(claims?.map(\.uid) == ["u2"])
        store.removeSlice(new.key)
        #expect(store.takeUpdate()?.claims[ip]?.map(\.owner) == ["shop/a-headless"])
        store.removeSlice(headless.key)
        #expect(store.takeUpdate()?.claims == [ip: []])
    }

    @Test("a Service that is deleted: a number means nothing any more, a name still does while slices are there")
    func deletedService() throws {
        let slice = try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")
        var store = Self.ready(
            [Self.spec("named", "api"), Self.spec("numbered", "api", .number(80))], slices: [slice],
            services: [try TranslationTests.service(Self.service)])
        #expect(store.takeUpdate()?.services.values.map(\.count) == [1, 1])
        store.removeService(ObjectKey(namespace: "shop", name: "api"))
        var update = store.takeUpdate()
        #expect(update?.services == ["numbered": []])
        #expect(update?.problems.keys.sorted() == ["numbered"])
        store.removeSlice(slice.key)
        update = store.takeUpdate()
        #expect(update?.services["named"] == [])
        #expect(update?.problems["named"] == "there is no Service shop/api")
        store.keep(slice)
        store.keep(try TranslationTests.service(Self.service))
        update = store.takeUpdate()
        #expect(update?.services.values.map(\.count) == [1, 1])
        #expect(update?.problems.isEmpty == true)
    }

    @Test("where Services may not be read, names work and numbers are a problem, not an empty service")
    func servicesMissing() throws {
        var store = SliceStore()
        store.retarget([Self.spec("named", "api"), Self.spec("numbered", "api", .number(80))])
        store.replaceSlices(
            of: "shop", .init(objects: [try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")]))
        store.servicesAreMissing(in: "shop")
        let update = store.takeUpdate()
        #expect(update?.services.keys.sorted() == ["named"])
        #expect(update?.problems.keys.sorted() == ["numbered"])
        #expect(update?.isComplete == true)
    }

    @Test("a reload keeps what is known of namespaces that stay, and forgets the others") func reload() throws {
        let slice = try TranslationTests.slice("a", "[\(Self.pod("10.0.0.1", "u1"))]")
        let other = try TranslationTests.slice("a", "[\(Self.pod("10.0.1.1", "u9"))]", namespace: "old")
        var store = SliceStore()
        store.retarget([Self.spec("api", "api"), Self.spec("gone", "api", in: "old")])
        store.replaceSlices(of: "shop", .init(objects: [slice]))
        store.replaceServices(of: "shop", .init(objects: [try TranslationTests.service(Self.service)]))
        store.replaceSlices(of: "old", .init(objects: [other]))
        store.servicesAreMissing(in: "old")
        #expect(store.takeUpdate()?.isComplete == true)
        store.retarget([Self.spec("api", "api"), Self.spec("again", "api", .number(80))])
        #expect(store.neededNamespaces == ["shop"])
        let update = store.takeUpdate()
        #expect(update?.services.keys.sorted() == ["again"], "known at once, and the other is not told again")
        #expect(update?.services["again"]?.count == 1)
        #expect(update?.claims == [IPAddress("10.0.1.1")!: []])
        #expect(update?.isComplete == true)
        store.keep(other)
        #expect(store.takeUpdate() == nil, "a late event of a namespace that is not in use")
    }
}
