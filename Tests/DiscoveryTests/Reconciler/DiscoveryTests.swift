import Foundation
import ProxyCore
import Testing

@testable import Discovery

/// A witness that says what a test tells it to.
@ControlThread
private final class ScriptedSource: EndpointSource {
    let name: String
    let heard: @ControlThread (Testimony) -> Void
    var services: [ServiceSpec]
    var runs = 0
    var isRunning = false
    var status: SourceStatus

    init(_ name: String, _ services: [ServiceSpec], _ heard: @escaping @ControlThread (Testimony) -> Void) {
        self.name = name
        self.services = services
        self.heard = heard
        status = SourceStatus(name: name)
    }

    func update(_ services: [ServiceSpec]) { self.services = services }

    func run() async {
        runs += 1
        isRunning = true
        _ = await ControlThread.sleep(until: .never)
        isRunning = false
    }
}

/// Discovery with scripted witnesses, and all that it says.
@ControlThread
private final class Stage {
    var kubernetes: [ScriptedSource] = []
    var dns: [ScriptedSource] = []
    var changes: [EndpointsChange] = []
    var notices: [Notice] = []
    var discovery: Discovery?
    private var task: Task<Void, Never>?

    init(_ services: [ServiceSpec], _ settings: DiscoverySettings = DiscoverySettings()) {
        let makers = SourceMakers(
            kubernetes: { [weak self] _, services, heard, _ in
                guard let self else { return nil }
                self.kubernetes.append(ScriptedSource("kubernetes", services, heard))
                return self.kubernetes.last
            },
            dns: { [weak self] _, services, heard, _ in
                guard let self else { return nil }
                self.dns.append(ScriptedSource("dns", services, heard))
                return self.dns.last
            })
        discovery = Discovery(
            settings: settings, services: services, changed: { [weak self] in self?.changes += $0 },
            note: { [weak self] in self?.notices.append($0) }, makers: makers)
    }

    /// Discovery itself.
    var it: Discovery { discovery! }

    func start() async {
        task = ControlThread.spawn { [discovery] in await discovery!.run() }
        // Until it has begun: its tasks are there, or nobody has to be asked.
        for _ in 0..<100 where !it.sources.contains(where: { $0.name != "static" }) { await Task.yield() }
    }

    func stop() async {
        task?.cancel()
        await task?.value
    }

    func slices(of service: String = "api", _ endpoints: [WitnessedEndpoint]) {
        var update = KubernetesUpdate()
        update.services[service] = endpoints
        update.isComplete = true
        kubernetes.last!.heard(.kubernetes(update))
    }

    /// Waits until `condition` holds, for ten seconds at most.
    func settle(_ condition: @ControlThread () -> Bool) async {
        let end = Clock.now() + .milliseconds(10_000)
        while !condition(), Clock.now() < end { _ = await ControlThread.sleep(for: .milliseconds(2)) }
    }
}

@Suite("Discovery: witnesses run, changes are told, state is kept", .onControlThread)
struct DiscoveryTests {
    init() { ControlThread.start() }

    @Test("what witnesses say is told in the same turn, and the first answer is awaited") @ControlThread
    func told() async {
        let stage = Stage([.api, .old])
        #expect(stage.it.endpoints(of: "old").count == 2 && stage.it.endpoints(of: "api").isEmpty)
        #expect(!stage.it.hasFirstAnswer && stage.it.missing.count == 1)
        await stage.start()
        #expect(stage.it.sources.map(\.name) == ["static", "kubernetes", "dns"])
        #expect(await stage.it.firstAnswer(until: Clock.now() + .milliseconds(5)) == false)
        let discovery = stage.it
        let waiting = controlTask { await discovery.firstAnswer() }
        let cancelled = controlTask { await discovery.firstAnswer() }
        await Task.yield()
        cancelled.cancel()
        #expect(await cancelled.value == false)
        stage.slices([pod("a", "10.42.0.1:8000")])
        #expect(stage.changes.map(\.service) == ["api"])
        #expect(stage.it.endpoints(of: "api").map(\.id.description) == ["a/10.42.0.1:8000"])
        #expect(await waiting.value)
        #expect(stage.it.view(of: "api")?.truth == .kubernetes && stage.it.view.count == 2)
        await stage.stop()
        #expect(!stage.kubernetes[0].isRunning && !stage.dns[0].isRunning)
    }

    @Test("deadlines are kept: without another word DNS is believed after staleAfter") @ControlThread
    func deadlines() async {
        var settings = DiscoverySettings()
        settings.staleAfter = .milliseconds(30)
        let stage = Stage([.api], settings)
        await stage.start()
        stage.slices([pod("a", "10.42.0.1:8000")])
        stage.kubernetes[0].heard(.kubernetesLost(reason: "connection refused"))
        let address = NetworkAddress("10.42.0.2:8000")!
        stage.dns[0].heard(
            .dns(.init(service: "api", answer: .addresses([address], timeToLive: .seconds(5)))))
        #expect(stage.it.endpoints(of: "api").map(\.address.description) == ["10.42.0.1:8000"])
        await stage.settle { stage.changes.count == 2 }
        #expect(stage.it.endpoints(of: "api").map(\.address.description) == ["10.42.0.2:8000"])
        #expect(stage.it.sources.first?.stale == true)
        #expect(stage.notices.map(\.event) == ["discovery_stale"])
        await stage.stop()
    }

    @Test("a reload asks the witnesses for other services, or others where its section differs, and forgets nothing")
    @ControlThread
    func reload() async {
        let stage = Stage([.apiWithoutDNS])
        await stage.start()
        stage.slices([pod("a", "10.42.0.1:8000")])
        #expect(stage.dns.isEmpty)
        stage.it.update(settings: DiscoverySettings(), services: [.api, .admin])
        #expect(stage.kubernetes.count == 1 && stage.kubernetes[0].services.count == 2 && stage.dns.count == 1)
        #expect(stage.it.endpoints(of: "api").count == 1)
        await stage.settle { stage.dns[0].isRunning && stage.kubernetes[0].isRunning }

        var settings = DiscoverySettings()
        settings.cluster = .server("https://192.0.2.1", caFile: nil, tokenFile: nil)
        stage.it.update(settings: settings, services: [.api, .admin])
        #expect(stage.kubernetes.count == 2 && stage.dns.count == 2)
        #expect(stage.it.endpoints(of: "api").count == 1)
        await stage.settle { !stage.kubernetes[0].isRunning && stage.kubernetes[1].isRunning }
        // Who was replaced is not heard any more.
        stage.kubernetes[0].heard(.kubernetesLost(reason: "gone"))
        var update = KubernetesUpdate()
        update.services["api"] = []
        stage.kubernetes[0].heard(.kubernetes(update))
        #expect(stage.it.endpoints(of: "api").count == 1)
        stage.slices([pod("b", "10.42.0.2:8000")])
        #expect(stage.it.endpoints(of: "api").map(\.id.description) == ["b/10.42.0.2:8000"])

        stage.it.update(settings: settings, services: [.old])
        #expect(stage.it.sources.map(\.name) == ["static"])
        await stage.settle { !stage.kubernetes[1].isRunning && !stage.dns[1].isRunning }
        #expect(!stage.kubernetes[1].isRunning && !stage.dns[1].isRunning)
        await stage.stop()
    }

    @Test("endpoints are probed, those that fail are held back, and first results are awaited") @ControlThread
    func probed() async throws {
        let well = try Peer(answering: "HTTP/1.1 200 OK\r\nX-Service: old\r\nConnection: close\r\n\r\n")
        let ill = try Peer(answering: "HTTP/1.1 503 Ill\r\nX-Service: old\r\nConnection: close\r\n\r\n")
        var spec = ServiceSpec(name: "old", addresses: [well.address, ill.address])
        spec.care.identity = IdentitySpec(header: "X-Service", value: "old")
        spec.care.health = HealthSpec(path: "/", interval: .milliseconds(40), healthyAfter: 1, unhealthyAfter: 1)
        let stage = Stage([spec])
        func heldBack() -> [Bool] { stage.it.endpoints(of: "old").map(\.traits.isHeldBack) }
        #expect(heldBack() == [false, false])
        await stage.start()
        #expect(await stage.it.firstHealth())
        #expect(heldBack() == [false, true] && stage.changes.last?.endpoints == stage.it.endpoints(of: "old"))
        #expect(Set(stage.notices.map(\.event)).isSuperset(of: ["endpoint_up", "endpoint_down"]))
        let view = stage.it.view(of: "old")
        #expect(view?.endpoints.map(\.health) == [.up, .down] && view?.endpoints.map(\.isUsable) == [true, false])
        #expect(view?.endpoints[1].reason == "probes: status 503")

        // It is well again; and then somebody else has its address, which no event tells.
        ill.behaviour = well.behaviour
        await stage.settle { heldBack() == [false, false] }
        #expect(heldBack() == [false, false])
        ill.behaviour = { visit in
            _ = await visit.request()
            await visit.send("HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: close\r\n\r\n")
        }
        await stage.settle { heldBack() == [false, true] }
        #expect(
            stage.it.view(of: "old")?.endpoints[1].ejected == "ghost: status 200, no X-Service, Server: nginx")
        #expect(stage.notices.last?.event == "ghost" && stage.it.ejectionCounts.map(\.reason) == ["ghost"])
        #expect(stage.it.mismatchCounts.map(\.address) == [ill.address])

        // A ghost that a request has met is asked again soon, and its own answer brings it back.
        ill.behaviour = well.behaviour
        await stage.settle { heldBack() == [false, false] }
        let id = stage.it.endpoints(of: "old")[0].id
        stage.it.take([Sighting(service: "old", endpoint: id, address: well.address, kind: .ghost(seen: "dozzle"))])
        #expect(heldBack() == [true, false] && stage.changes.last?.endpoints == stage.it.endpoints(of: "old"))
        await stage.settle { heldBack() == [false, false] }
        #expect(heldBack() == [false, false])
        // Whoever is not asked for any more is not asked.
        stage.it.update(settings: DiscoverySettings(), services: [.old])
        #expect(await stage.it.firstHealth() && heldBack() == [false, false])
        await stage.stop()
        well.close()
        ill.close()
    }

    @Test("what workers see ejects, its time ends without another word, and a reload keeps it") @ControlThread
    func sighted() async {
        var spec = ServiceSpec.old
        spec.care.outlier.ejectFor = .milliseconds(50)
        let stage = Stage([spec])
        await stage.start()
        let endpoint = stage.it.endpoints(of: "old")[0]
        stage.it.take([
            Sighting(
                service: "old", endpoint: endpoint.id, address: endpoint.address,
                kind: .failures(3, last: .responseTimeout))
        ])
        #expect(stage.it.endpoints(of: "old").map(\.traits.isHeldBack) == [true, false])
        #expect(
            stage.it.view(of: "old")?.endpoints.first?.ejected == "3 failures in a row, the last one timeout")
        stage.it.update(settings: DiscoverySettings(), services: [spec])
        #expect(stage.it.endpoints(of: "old").map(\.traits.isHeldBack) == [true, false])
        await stage.settle { stage.changes.count > 1 }
        #expect(stage.changes.last?.endpoints.map(\.traits.isHeldBack) == [false, false])
        #expect(stage.notices.map(\.event) == ["endpoint_ejected", "endpoint_returned"])
        #expect(stage.it.view(of: "old")?.endpoints[0].ejections == 1)
        await stage.stop()
    }

    @Test("what is known is kept soon, and a start without anybody serves it") @ControlThread
    func kept() async throws {
        let folder = try Folder()
        var settings = DiscoverySettings()
        settings.stateDirectory = folder.path
        let first = Stage([.api], settings)
        await first.start()
        first.slices([pod("a", "10.42.0.1:8000")])
        await first.settle { LastKnownGood.read(directory: folder.path) != .nothing }
        // The promise of a second is for a machine that is not busy with a thousand other tests.
        #expect(LastKnownGood.read(directory: folder.path) != .nothing)
        first.slices([pod("b", "10.42.0.2:8000")])
        // What was not written yet is written at the end.
        await first.stop()
        await first.settle {
            if case .known(let state) = LastKnownGood.read(directory: folder.path) {
                state.services[0].endpoints.first?.uid == "b"
            } else {
                false
            }
        }
        let second = Stage([.api], settings)
        #expect(second.it.hasFirstAnswer)
        #expect(second.it.endpoints(of: "api").map(\.id.description) == ["b/10.42.0.2:8000"])
        #expect(second.notices.map(\.event) == ["state_read"])

        try Data("no JSON".utf8).write(to: URL(fileURLWithPath: folder.file))
        let third = Stage([.api], settings)
        #expect(third.notices.map(\.event) == ["state_refused"])
        #expect(!third.it.hasFirstAnswer)
        // Knowing nothing overwrites nothing.
        await third.start()
        await third.stop()
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file)) == Data("no JSON".utf8))
    }
}
