import Foundation
import ProxyCore
import Testing

@testable import Discovery

/// The witness against servers that do what a script says.
@Suite(.onControlThread) struct DNSSourceTests {
    init() { ControlThread.start() }

    /// A witness that runs, what it said, and a wait for what it says next.
    @ControlThread
    private final class Listener {
        private(set) var said: [DNSTestimony] = []
        private(set) var notices: [Notice] = []
        private(set) var source: DNSSource!
        private var run: Task<Void, Never>?

        init(_ servers: [NetworkAddress], _ services: [ServiceSpec], options: String = "") throws {
            let folder = try TemporaryFolder()
            let files = MachineFiles(
                configuration: try folder.write(options, to: "resolv.conf"), hosts: folder.path("hosts"))
            _ = files.refresh(Clock.now())
            let resolver = Resolver(servers: servers, files: files, tryLimit: .milliseconds(1000))
            source = DNSSource(
                resolver: resolver, services: services,
                heard: { [weak self] in if case .dns(let testimony) = $0 { self?.said.append(testimony) } },
                note: { [weak self] in self?.notices.append($0) })
        }

        func start() { run = ControlThread.spawn { await self.source.run() } }

        func stop() async {
            run?.cancel()
            await run?.value
        }

        /// What is said of `service` from `count` words on: the first that `isWanted`.
        func next(
            _ service: String = "api", from count: Int = 0,
            where isWanted: (DNSTestimony.Answer) -> Bool = { _ in true }
        ) async -> DNSTestimony.Answer? {
            let deadline = Clock.now() + .milliseconds(15_000)
            while Clock.now() < deadline {
                let found = said.dropFirst(count).first { $0.service == service && isWanted($0.answer) }
                if let found { return found.answer }
                _ = await ControlThread.sleep(for: .milliseconds(2))
            }
            return nil
        }
    }

    private static func spec(_ name: String, _ dns: String?, port: UInt16? = 8000) -> ServiceSpec {
        ServiceSpec(name: name, dns: dns.map { DNSReference(name: $0, port: port) })
    }

    private static func texts(_ answer: DNSTestimony.Answer?) -> [String] {
        switch answer {
        case .addresses(let addresses, _): addresses.map(\.description)
        case .none?: ["none"]
        case .failed(let reason): [String(reason.prefix { $0 != " " })]
        case nil: ["nothing"]
        }
    }

    @Test("addresses, absences and failures are told apart; the status counts them and names the first")
    @ControlThread
    func telling() async throws {
        let server = try ScriptedDNS { asked in
            switch asked.name {
            case "api.example":
                [asked.type == .a ? asked.addresses(["10.0.0.2", "10.0.0.1"], life: 4) : asked.absent(0)]
            case "ghost.example": [asked.addresses(["0.0.0.0"])]
            case "broken.example": [.send(asked.reply(0x8182).bytes)]
            default: [asked.absent(3, life: 4)]
            }
        }
        let listener = try Listener(
            [server.address],
            [
                Self.spec("api", "api.example."), Self.spec("none", "nobody.example."), Self.spec("static", nil),
                Self.spec("ghost", "ghost.example."), Self.spec("broken", "broken.example."),
                Self.spec("literal", "127.0.0.1"), Self.spec("six", "::1"), Self.spec("bad", "no name"),
            ])
        #expect(listener.source.name == "dns" && !listener.source.status.synced)
        listener.start()
        let api = await listener.next("api")
        #expect(Self.texts(api) == ["10.0.0.1:8000", "10.0.0.2:8000"])
        guard case .addresses(_, let life)? = api else { return }
        #expect(life > .seconds(3) && life <= .seconds(4))
        #expect(Self.texts(await listener.next("none")) == ["none"])
        #expect(Self.texts(await listener.next("ghost") { Self.texts($0) != ["none"] }) == ["unusable"])
        #expect(Self.texts(await listener.next("broken")) == ["servfail"])
        #expect(Self.texts(await listener.next("literal") { Self.texts($0) != ["none"] }) == ["127.0.0.1:8000"])
        #expect(Self.texts(await listener.next("six") { Self.texts($0) != ["none"] }) == ["[::1]:8000"])
        #expect(Self.texts(await listener.next("bad")) == ["bad_name"])
        #expect(!listener.said.contains { $0.service == "static" })

        let status = listener.source.status
        #expect(!status.synced && !status.stale && status.lastEventMicroseconds != nil)
        #expect(status.error == "bad: bad_name")
        #expect(Set(status.errorCounts.keys) == ["unusable", "servfail", "bad_name"])

        listener.source.update([Self.spec("api", "api.example."), Self.spec("none", "nobody.example.")])
        #expect(listener.source.status.synced && listener.source.status.error == nil)
        await listener.stop()
        await server.stop()
    }

    @Test("ports come from SRV records where the reference has none, of the lowest priority alone")
    @ControlThread
    func services() async throws {
        let server = try ScriptedDNS { asked in
            var writer = asked.reply(answers: 3, additionals: 3)
            writer.service(asked.name, "t1.example", port: 8001)
            writer.service(asked.name, "t2.example", port: 8002)
            writer.service(asked.name, "t3.example", port: 8003, priority: 1)
            for k in 1...3 { writer.a("t\(k).example", "10.0.0.\(k)") }
            return [.send(writer.bytes)]
        }
        let listener = try Listener([server.address], [Self.spec("api", "_http._tcp.api.example.", port: nil)])
        listener.start()
        #expect(Self.texts(await listener.next()) == ["10.0.0.1:8001", "10.0.0.2:8002"])
        await listener.stop()
        await server.stop()
    }

    @Test("it asks again when the answer ends, and a change is told; failures are noted once, and their end too")
    @ControlThread
    func changes() async throws {
        let server = try ScriptedDNS { asked in
            if asked.type == .aaaa { return [asked.absent(3, life: 1)] }
            if (2...5).contains(asked.number) { return [.send(asked.reply(0x8185).bytes)] }
            return asked.number < 2
                ? [asked.addresses(["10.0.0.1"], life: 1)] : [asked.addresses(["10.0.0.2"], life: 1)]
        }
        let listener = try Listener([server.address], [Self.spec("api", "api.example.")])
        listener.start()
        #expect(Self.texts(await listener.next()) == ["10.0.0.1:8000"])
        // From its third question on the server refuses for a while; nobody takes that for an absence.
        #expect(Self.texts(await listener.next { Self.texts($0) == ["refused"] }) == ["refused"])
        #expect(
            Self.texts(await listener.next { Self.texts($0) == ["10.0.0.2:8000"] }) == ["10.0.0.2:8000"])
        #expect(!listener.said.contains { Self.texts($0.answer) == ["none"] })
        #expect(listener.notices.map(\.event) == ["discovery_dns_failing", "discovery_dns_answering"])
        #expect(listener.notices.first?.level == .warn)
        #expect(listener.source.status.errorCounts["refused", default: 0] >= 1)
        #expect(listener.source.status.error == nil && listener.source.status.synced)
        await listener.stop()
        await server.stop()
    }

    @Test("services that come are asked for, those that go are not; what stays is not disturbed")
    @ControlThread
    func updating() async throws {
        let server = try ScriptedDNS { asked in
            asked.type == .a ? [asked.addresses(["10.0.0.1"], life: 1)] : [asked.absent(0, life: 1)]
        }
        let listener = try Listener([server.address], [Self.spec("api", "api.example.")])
        listener.start()
        _ = await listener.next()
        listener.source.update([Self.spec("admin", "admin.example.", port: 3000)])
        #expect(Self.texts(await listener.next("admin")) == ["10.0.0.1:3000"])
        let apiQuestions = server.asked.count { $0.name == "api.example" }
        listener.source.update([Self.spec("admin", "other.example.", port: 3001)])
        #expect(Self.texts(await listener.next("admin", from: listener.said.count)) == ["10.0.0.1:3001"])
        // Two more rounds: the old names do not come back.
        let count = server.asked.count
        while server.asked.count < count + 4 { _ = await ControlThread.sleep(for: .milliseconds(5)) }
        #expect(server.asked.suffix(4).allSatisfy { $0.name == "other.example" })
        #expect(server.asked.count { $0.name == "api.example" } == apiQuestions)
        listener.source.update([])
        #expect(listener.source.status.synced)
        await listener.stop()
        #expect(listener.said.allSatisfy { Self.texts($0.answer) != ["none"] })
        await server.stop()
    }

    @Test("without a server, and with one that is silent, all that is said is a failure")
    @ControlThread
    func nobody() async throws {
        let without = try Listener([], [Self.spec("api", "api.example.")])
        without.start()
        #expect(Self.texts(await without.next()) == ["no_server"])
        await without.stop()
        let silent = try ScriptedDNS { _ in [.pause(.seconds(30))] }
        let listener = try Listener([silent.address], [Self.spec("api", "api.example.")])
        listener.start()
        #expect(Self.texts(await listener.next()) == ["timeout"])
        #expect(listener.said.allSatisfy { Self.texts($0.answer) == ["timeout"] })
        #expect(listener.source.status.error == "api: timeout from \(silent.address)")
        await listener.stop()
        await silent.stop()
    }

    @Test("against dnsmasq: an address that moves is told within the life of the old answer")
    @ControlThread
    func moving() async throws {
        let folder = try TemporaryFolder()
        try folder.write("10.0.0.1 api.test\n10.0.0.2 api.test\n", to: "hosts")
        let server = try await RealDNSServer.dnsmasq(["local=/test/", "local-ttl=1", "hostsdir=\(folder.url.path)"])
        defer { server.stop() }
        let listener = try Listener([server.address], [Self.spec("api", "api.test.")])
        listener.start()
        #expect(
            Self.texts(await listener.next { Self.texts($0) != ["none"] }) == ["10.0.0.1:8000", "10.0.0.2:8000"])
        // dnsmasq watches the folder and adds what a new file says.
        try Data("10.0.0.3 api.test\n".utf8).write(to: URL(filePath: folder.path("more")))
        let moved = await listener.next { Self.texts($0).contains("10.0.0.3:8000") }
        #expect(Self.texts(moved) == ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"])
        await listener.stop()
    }
}
