// The recorded watches, replayed through parser, framer, decoder and store to the endpoints that they must come to.

import FoundationEssentials
import ProxyCore
import Testing

@testable import Discovery

@Suite struct ReplayTests {
    private static func events<Object>(_ name: String, _ manner: Cutter.Manner, as: Object.Type) throws
        -> [WatchEvent<Object>]
    {
        var cutter = Cutter()
        let answer = ReadAnswer(cutter.pieces(try Recording(name).response, manner))
        var framer = EventFramer()
        var events: [WatchEvent<Object>] = []
        for piece in answer.bodyPieces {
            framer.append(piece.span)
            while let event = try framer.next() { events.append(try .read(event, JSONDecoder())) }
        }
        #expect(!framer.isInsideObject)
        return events
    }

    private static var sliceWatches: [String] {
        Recording.all.filter { name in
            (name.hasPrefix("endpointslices/watch") || name.hasPrefix("errors/410-watch"))
                && (try? Recording(name).events) != nil
        }
    }

    @Test(
        "the events of each recorded watch of slices are those that were recorded", arguments: sliceWatches,
        Cutter.Manner.allCases)
    func slices(_ name: String, _ manner: Cutter.Manner) throws {
        let expected = try Recording(name).events
        let events = try Self.events(name, manner, as: SliceObject.self)
        try #require(events.count == expected.count, "seed \(Cutter.seed)")
        for (event, expected) in zip(events, expected) {
            switch event {
            case .present(.object(let slice), let isNew):
                #expect(expected.type == (isNew ? "ADDED" : "MODIFIED"))
                #expect(slice.key == expected.key)
                #expect(slice.resourceVersion == expected.resourceVersion)
                #expect(Self.summary(slice) == expected.summary.replacing("null", with: ""))
            case .deleted(.object(let slice)):
                #expect(expected.type == "DELETED")
                #expect(slice.key == expected.key)
            case .bookmark(let version, let ends):
                #expect(expected.type == "BOOKMARK")
                #expect(version == expected.resourceVersion)
                #expect(ends == expected.summary.contains("initial-events-end=true"))
            case .failed(let status):
                #expect(expected.type == "ERROR")
                #expect(status.code == 410)
            default: Issue.record("\(event) where \(expected) was recorded")
            }
        }
    }

    private static func summary(_ slice: SliceObject) -> String {
        slice.parts[0].members.map {
            "\($0.ip)=\($0.ready ? 1 : 0)\($0.serving ? 1 : 0)\($0.terminating ? 1 : 0)"
        }.joined(separator: " ")
    }

    @Test(
        "Endpoints objects say the same in their own words",
        arguments: [
            "endpoints/watch-rollout", "endpoints/watch-scale-to-zero", "endpoints/watch-service-added-removed",
            "endpoints/watchlist", "stop/endpoints-watch-at-sigterm",
        ])
    func endpoints(_ name: String) throws {
        let expected = try Recording(name).events
        for manner in Cutter.Manner.allCases {
            let events = try Self.events(name, manner, as: EndpointsObject.self)
            try #require(events.count == expected.count)
            for (event, expected) in zip(events, expected) {
                guard case .present(.object(let object), _) = event else { continue }
                #expect(object.key == expected.key)
                let members = object.slice.parts.flatMap(\.members)
                let ready = members.filter(\.ready).map { $0.ip.description }
                let notReady = members.filter { !$0.ready }.map { $0.ip.description }
                let words = expected.summary == "absent" ? "ready  not-ready " : expected.summary
                #expect(
                    "ready \(ready.joined(separator: ",")) not-ready \(notReady.joined(separator: ","))" == words
                        || words.replacing(",", with: " ").split(separator: " ").count == ready.count + notReady.count
                            + 2
                )
            }
        }
    }

    /// A store that holds the recorded lists of namespace honeydue.
    private static func store(_ specs: [ServiceSpec]) throws -> SliceStore {
        var store = SliceStore()
        store.retarget(specs)
        store.replaceSlices(of: "honeydue", Listing.of(try list("endpointslices/list")))
        store.replaceServices(of: "honeydue", Listing.of(try list("services/list")))
        return store
    }

    private static func list<Object>(_ name: String) throws -> ObjectList<Object> {
        try .read(ReadAnswer([try Recording(name).response[...]]).body)
    }

    private static func spec(_ name: String, _ port: KubernetesReference.Port) -> ServiceSpec {
        ServiceSpec(name: name, kubernetes: KubernetesReference(namespace: "honeydue", service: name, port: port))
    }

    private static func words(_ endpoints: [WitnessedEndpoint]?) -> String {
        (endpoints ?? []).map {
            "\($0.address)=\($0.ready ? 1 : 0)\($0.serving ? 1 : 0)\($0.terminating ? 1 : 0)"
        }.joined(separator: " ")
    }

    @Test("the recorded lists come to their endpoints") func lists() throws {
        var store = try Self.store([Self.spec("api", .number(80)), Self.spec("admin", .name("http"))])
        let taken = store.takeUpdate()
        let update = try #require(taken)
        #expect(update.isComplete)
        #expect(update.problems.isEmpty)
        #expect(Self.words(update.services["api"]) == "10.42.0.11:8000=110 10.42.1.11:8000=110 10.42.2.11:8000=110")
        #expect(Self.words(update.services["admin"]) == "10.42.0.12:3000=110")
        let pod = update.services["admin"]?.first
        #expect(pod?.uid == "6f241002-a938-42f1-8c99-8ebf738feeee")
        #expect(pod?.pod == "admin-64fcc9499f-fv7jl" && pod?.node == "hetzner1" && pod?.zone == "fsn1")
        #expect(update.clusterAddresses["api"]?.count == 1)
        let claim = update.claims[IPAddress("10.42.0.11")!]
        #expect(claim?.count == 1)
        #expect(claim?.first?.owner == "honeydue/api", "not api-headless, which has it too")
        #expect(claim?.first?.ports == [8000])
        #expect(store.takeUpdate() == nil, "what was told is not told again")
    }

    @Test(
        "a rollout is followed step by step, and an event changes only its own service",
        arguments: [
            "endpointslices/watch-rollout", "endpointslices/watch-rollout-no-bookmarks",
        ])
    func rollout(_ name: String) throws {
        for manner in Cutter.Manner.allCases {
            var store = try Self.store([Self.spec("api", .name("http")), Self.spec("admin", .name("http"))])
            _ = store.takeUpdate()
            let events = try Self.events(name, manner, as: SliceObject.self)
            for (event, expected) in zip(events, try Recording(name).events) {
                guard case .present(.object(let slice), _) = event else { continue }
                store.keep(slice)
                let update = store.takeUpdate()
                guard slice.service == "api" else {
                    #expect(update?.services.isEmpty ?? true)
                    continue
                }
                #expect(update?.services.keys.sorted() == ["api"])
                let wanted = expected.summary.split(separator: " ").map { entry in
                    let parts = entry.split(separator: "=")
                    return "\(parts[0]):8000=\(parts[1])"
                }.sorted()
                #expect(Self.words(update?.services["api"]).split(separator: " ").map(String.init).sorted() == wanted)
            }
        }
    }

    @Test("scaled to zero, `endpoints` and `ports` are null: no endpoints, and no problem") func scaledToZero() throws {
        let list: ObjectList<SliceObject> = try Self.list("endpointslices/list-scaled-to-zero")
        let name = try #require(Listing.of(list).objects.first?.service)
        var store = SliceStore()
        store.retarget([Self.spec(name, .name("http"))])
        store.replaceSlices(of: "honeydue", Listing.of(list))
        store.replaceServices(of: "honeydue", Listing.of(try Self.list("services/list")))
        let update = store.takeUpdate()
        #expect(update?.services[name] == [])
        #expect(update?.problems.isEmpty == true)
    }

    @Test("two slices of a service are one set of endpoints") func twoSlices() throws {
        let list: ObjectList<SliceObject> = try Self.list("endpointslices/list-130-pods-two-slices")
        let slices = Listing.of(list)
        let first = try #require(slices.objects.first)
        var store = SliceStore()
        store.retarget([
            ServiceSpec(
                name: "many",
                kubernetes: KubernetesReference(
                    namespace: first.key.namespace, service: first.service!,
                    port: .name(first.parts[0].ports.first?.name ?? "")))
        ])
        store.replaceSlices(of: first.key.namespace, slices)
        store.servicesAreMissing(in: first.key.namespace)
        #expect(store.takeUpdate()?.services["many"]?.count == 130)
    }

    @Test("the pages of a list are one list") func pages() throws {
        var objects: [SliceObject] = []
        for page in 1...3 {
            let list: ObjectList<SliceObject> = try Self.list("endpointslices/list-limit1-page\(page)")
            #expect(list.continueToken.isEmpty == (page == 3))
            objects += Listing.of(list).objects
        }
        let whole: ObjectList<SliceObject> = try Self.list("endpointslices/list")
        #expect(objects == Listing.of(whole).objects)
    }

    @Test(
        "a list that is none is refused, whatever it lacks",
        arguments: [
            "{}", "[]", "null", "<html>", "{\"kind\":\"Status\",\"metadata\":{},\"items\":[]}",
            "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"1\"}}",
            "{\"kind\":\"EndpointSliceList\",\"metadata\":{},\"items\":[]}",
            "{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}",
            "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[",
        ])
    func noList(_ text: String) {
        #expect(throws: JSONProblem.self) { try ObjectList<SliceObject>.read(Array(text.utf8)) }
    }

    @Test("one bad object is named and costs the others nothing") func badObject() throws {
        let text = """
            {"kind":"EndpointSliceList","metadata":{"resourceVersion":"1"},"items":[
             {"metadata":{"name":"a","namespace":"n","resourceVersion":"5"},"addressType":7},
             {"metadata":{"name":"b","namespace":"n"},"addressType":"IPv4","endpoints":null,"ports":null},
             5]}
            """
        let listing = Listing.of(try ObjectList<SliceObject>.read(Array(text.utf8)))
        #expect(listing.objects.map(\.key.name) == ["b"])
        #expect(listing.unreadable == [ObjectKey(namespace: "n", name: "a")])
    }
}

/// What ``ObjectList`` holds, sorted into what could be read and what not.
enum Listing {
    static func of<Object>(_ list: ObjectList<Object>) -> SliceStore.Listing<Object> {
        var listing = SliceStore.Listing<Object>(objects: [])
        for item in list.items { listing.add(item) }
        return listing
    }
}
