import Glibc
import ProxyCore
import Testing

@testable import Discovery

/// The resolver against servers that do what a script says.
@Suite(.onControlThread) struct ResolverTests {
    init() { ControlThread.start() }

    typealias Asked = ScriptedDNS.Asked
    typealias Reply = ScriptedDNS.Reply

    @ControlThread
    func resolver(
        _ servers: [ScriptedDNS], options: String = "", hosts: String = "", tryLimit: Duration = .seconds(2)
    ) throws -> Resolver {
        let folder = try TemporaryFolder()
        let files = MachineFiles(
            configuration: try folder.write(options, to: "resolv.conf"), hosts: try folder.write(hosts, to: "hosts"))
        // The folder goes with this function, so what is to be read is read now.
        _ = files.refresh(Clock.now())
        return Resolver(servers: servers.map(\.address), files: files, tryLimit: tryLimit)
    }

    func soon(_ seconds: Int64 = 10) -> Instant { Clock.now() + .milliseconds(seconds * 1000) }

    @ControlThread
    func ask(
        _ resolver: Resolver, _ name: String = "api.example.", _ family: Resolver.Family = .v4, freshly: Bool = false
    ) async -> Resolver.Answer {
        await resolver.addresses(of: name, family: family, freshly: freshly, until: soon())
    }

    /// The addresses as text, or the reason why there are none.
    func texts(_ answer: Resolver.Answer) -> [String] {
        switch answer {
        case .addresses(let addresses, _): addresses.map(\.description)
        case .none: ["none"]
        case .failed(let failure): [failure.reason.rawValue]
        }
    }

    // MARK: Good servers

    @Test(
        "each query has a port, a number and a mix of cases of its own; answers are kept, unless fresh ones are wanted")
    @ControlThread
    func queries() async throws {
        let server = try ScriptedDNS { [$0.addresses(["10.0.0.2", "10.0.0.1"])] }
        let resolver = try resolver([server])
        for _ in 0..<3 { #expect(texts(await ask(resolver)) == ["10.0.0.1", "10.0.0.2"]) }
        #expect(server.counts == [1, 0])
        for _ in 0..<19 { _ = await ask(resolver, freshly: true) }
        #expect(server.asked.count == 20)
        #expect(Set(server.asked.map(\.port)).count > 15)
        #expect(Set(server.asked.map { Array($0.bytes[..<2]) }).count > 15)
        #expect(Set(server.asked.map { Array($0.bytes[12..<24]) }).count > 15)
        #expect(server.asked.allSatisfy { $0.hasEDNS })
        await server.stop()
    }

    @Test("lives are kept within one and thirty seconds, and count down")
    @ControlThread
    func lives() async throws {
        let lives: [String: UInt32] = ["zero.example": 0, "five.example": 5, "hour.example": 3600]
        let server = try ScriptedDNS { [$0.addresses(["10.0.0.1"], life: lives[$0.name] ?? 1)] }
        let resolver = try resolver([server])
        for (name, bounds) in [("zero.", 0.1...1.0), ("five.", 4.0...5.0), ("hour.", 29.0...30.0)] {
            guard case .addresses(_, let life) = await ask(resolver, name + "example.") else {
                Issue.record("no addresses")
                continue
            }
            #expect(bounds.contains(life / .seconds(1)), "\(name) \(life)")
        }
        await server.stop()
    }

    @Test("the recorded answers of a rolling update are what the witness hears, one after the other")
    @ControlThread
    func rollout() async throws {
        let text = try String(contentsOf: RecordedDNS.folder.appending(path: "rollout-answers.tsv"), encoding: .utf8)
        let rows = text.split(separator: "\n").dropFirst().map { $0.split(separator: "\t")[3].split(separator: ",") }
        let answers = rows.map { $0.map(String.init) }
        let server = try ScriptedDNS { [$0.addresses(answers[min($0.number, answers.count - 1)].shuffled(), life: 5)] }
        let resolver = try resolver([server])
        for expected in answers { #expect(texts(await ask(resolver, freshly: true)) == expected) }
        #expect(server.asked.count == 11)
        await server.stop()
    }

    @Test("both families are asked side by side; one that cannot be told does not hide the other")
    @ControlThread
    func families() async throws {
        let server = try ScriptedDNS { asked in
            if asked.name == "six.example" {
                guard asked.type == .aaaa else { return [asked.absent(0)] }
                var writer = asked.reply(answers: 1)
                writer.aaaa("six.example", last: 6)
                return [.send(writer.bytes)]
            }
            if asked.name == "none.example" { return [asked.absent(0)] }
            guard asked.type == .a else { return [.send(asked.reply(0x8182).bytes)] }
            return asked.name == "dark.example" ? [asked.absent(3)] : [asked.addresses(["10.0.0.1"])]
        }
        let resolver = try resolver([server])
        #expect(texts(await ask(resolver, "api.example.", .both)) == ["10.0.0.1"])
        #expect(texts(await ask(resolver, "six.example.", .both)) == ["fd00::6"])
        #expect(texts(await ask(resolver, "none.example.", .both)) == ["none"])
        #expect(texts(await ask(resolver, "dark.example.", .both)) == ["servfail"])
        #expect(await resolver.addressList(of: "api.example.", until: soon()) == [IPAddress("10.0.0.1")!])
        #expect(await resolver.addressList(of: "none.example.", until: soon()) == [])
        await server.stop()
    }

    @Test("literals and hosts need no server, and what is no name is not asked for")
    @ControlThread
    func withoutServer() async throws {
        let server = try ScriptedDNS { _ in [] }
        let resolver = try resolver([server], hosts: "10.9.9.9 Api.Example api\nfd00::9 api")
        #expect(texts(await ask(resolver, "192.0.2.1", .both)) == ["192.0.2.1"])
        #expect(texts(await ask(resolver, "192.0.2.1", .v6)) == ["none"])
        #expect(texts(await ask(resolver, "2001:db8::1", .both)) == ["2001:db8::1"])
        #expect(texts(await ask(resolver, "api", .both)) == ["10.9.9.9", "fd00::9"])
        #expect(texts(await ask(resolver, "API.example.", .v6)) == ["none"])
        #expect(texts(await ask(resolver, "localhost", .both)) == ["127.0.0.1", "::1"])
        for name in ["", "a b", "010.0.0.1", "1.2.3", "x..y"] {
            #expect(texts(await ask(resolver, name, .both)) == ["bad_name"])
        }
        #expect(server.asked.isEmpty)
        await server.stop()
        #expect(texts(await ask(try self.resolver([]))) == ["no_server"])
    }

    // MARK: The search list

    @Test("the search list is walked to the first name that exists; a failure on the way is no absence")
    @ControlThread
    func search() async throws {
        let server = try ScriptedDNS { asked in
            switch asked.name {
            case "found.b.example", "own.other", "both.b.example": [asked.addresses(["10.0.0.1"])]
            case "nodata.a.example": [asked.absent(0)]
            case "broken.a.example": [.send(asked.reply(0x8182).bytes)]
            case "broken.b.example", "nodata.b.example": [asked.addresses(["6.6.6.6"])]
            default: [asked.absent(3)]
            }
        }
        let resolver = try resolver([server], options: "search a.example b.example\noptions ndots:3")
        func names() -> [String] { server.asked.map(\.name) }
        #expect(texts(await ask(resolver, "found")) == ["10.0.0.1"])
        #expect(names() == ["found.a.example", "found.b.example"])
        #expect(texts(await ask(resolver, "own.other")) == ["10.0.0.1"])
        #expect(names().suffix(3) == ["own.other.a.example", "own.other.b.example", "own.other"])
        #expect(texts(await ask(resolver, "nodata")) == ["none"])
        #expect(texts(await ask(resolver, "broken")) == ["servfail"])
        #expect(texts(await ask(resolver, "nobody")) == ["none"])
        let before = server.asked.count
        #expect(texts(await ask(resolver, "whole.")) == ["none"])
        #expect(texts(await ask(resolver, "whole.b.example")) == ["none"])
        #expect(names().suffix(from: before) == ["whole", "whole.b.example"])
        await server.stop()
    }

    // MARK: Aliases

    @Test("an alias that leads out of the answer is asked on, with the shortest life; a circle over answers fails")
    @ControlThread
    func aliases() async throws {
        let server = try ScriptedDNS { asked in
            let targets = [
                "a.example": "b.example", "b.example": "c.example", "loop1.example": "loop2.example",
                "loop2.example": "loop1.example", "gone.example": "nobody.example",
            ]
            if asked.name == "c.example" { return [asked.addresses(["10.0.0.1"])] }
            let next = asked.name.hasPrefix("n") ? "n\(asked.name)" : nil
            guard let target = targets[asked.name] ?? next, asked.name != "nobody.example" else {
                return [asked.absent(3)]
            }
            var writer = asked.reply(answers: 1)
            writer.alias(asked.name, target, life: asked.name == "b.example" ? 3 : 20)
            return [.send(writer.bytes)]
        }
        let resolver = try resolver([server])
        guard case .addresses(let addresses, let life) = await ask(resolver, "a.example.") else {
            Issue.record("no addresses")
            return
        }
        #expect(addresses == [IPAddress("10.0.0.1")!] && life <= .seconds(3) && life > .seconds(1))
        #expect(texts(await ask(resolver, "loop1.example.")) == ["alias_loop"])
        #expect(texts(await ask(resolver, "n.example.")) == ["alias_loop"])
        #expect(texts(await ask(resolver, "gone.example.")) == ["none"])
        await server.stop()
    }

    // MARK: Many who ask

    @Test("who asks the same at the same time shares one query, and leaving hurts nobody else")
    @ControlThread
    func flights() async throws {
        // Long enough for those who leave to have left, on a busy machine, too.
        let server = try ScriptedDNS { [.pause(.milliseconds(4000)), $0.addresses(["10.0.0.1"])] }
        let resolver = try resolver([server], tryLimit: .seconds(30))
        let all = (0..<50).map { _ in controlTask { await self.ask(resolver, freshly: true) } }
        let impatient = controlTask {
            await resolver.addresses(of: "api.example.", family: .v4, until: Clock.now() + .milliseconds(20))
        }
        while server.asked.isEmpty { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        for task in all.prefix(10) { task.cancel() }
        #expect(texts(await impatient.value) == ["timeout"])
        for task in all.prefix(10) { #expect(texts(await task.value) == ["cancelled"]) }
        for task in all.dropFirst(10) { #expect(texts(await task.value) == ["10.0.0.1"]) }
        #expect(server.counts == [1, 0])
        await server.stop()
    }

    @Test("when nobody waits any more, nobody asks any more, and who comes then asks anew")
    @ControlThread
    func abandoned() async throws {
        let server = try ScriptedDNS { $0.number == 0 ? [] : [$0.addresses(["10.0.0.1"])] }
        let resolver = try resolver([server], tryLimit: .seconds(30))
        let task = controlTask { await self.ask(resolver) }
        while server.asked.isEmpty { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        task.cancel()
        #expect(texts(await task.value) == ["cancelled"])
        #expect(texts(await ask(resolver)) == ["10.0.0.1"])
        #expect(server.counts == [2, 0])
        await server.stop()
    }

    @Test("more names at once than there are places are all answered")
    @ControlThread
    func manyNames() async throws {
        let server = try ScriptedDNS { [.pause(.milliseconds(5)), $0.addresses(["10.0.0.1"])] }
        let resolver = try resolver([server], tryLimit: .seconds(5))
        let tasks = (0..<300).map { k in controlTask { await self.ask(resolver, "n\(k).example.") } }
        for task in tasks { #expect(texts(await task.value) == ["10.0.0.1"]) }
        #expect(server.asked.count >= 300)
        await server.stop()
    }

    // MARK: Services

    @Test("services: addresses that came along are used, others asked for; a part that fails fails the whole")
    @ControlThread
    func services() async throws {
        let server = try ScriptedDNS { asked in
            if asked.type == .a || asked.type == .aaaa {
                switch asked.name {
                case "lost.example": return [.send(asked.reply(0x8182).bytes)]
                case "t3.example" where asked.type == .a: return [asked.addresses(["10.0.0.3", "10.0.0.4"])]
                default: return [asked.absent(3)]
                }
            }
            var writer: MessageWriter
            switch asked.name {
            case "added.example":
                writer = asked.reply(answers: 2, additionals: 3)
                writer.service(asked.name, "t1.example", port: 8000)
                writer.service(asked.name, "T2.example", port: 8001, priority: 1)
                writer.a("T1.Example", "10.0.0.1", life: 3)
                writer.a("t2.example", "10.0.0.2")
                writer.a("other.example", "6.6.6.6")
            case "asked.example":
                writer = asked.reply(answers: 2)
                writer.service(asked.name, "t3.example", port: 8000)
                writer.service(asked.name, "nobody.example", port: 8000)
            case "part.example" where asked.isTCP:
                writer = asked.reply(answers: 2, additionals: 2)
                writer.service(asked.name, "t1.example", port: 8000)
                writer.service(asked.name, "t2.example", port: 8000)
                writer.a("t1.example", "10.0.0.1")
                writer.a("t2.example", "10.0.0.2")
            case "part.example", "lost.srv.example":
                writer = asked.reply(answers: 2, additionals: asked.name == "part.example" ? 1 : 0)
                writer.service(asked.name, "t3.example", port: 8000)
                writer.service(asked.name, "lost.example", port: 8000)
                if asked.name == "part.example" { writer.a("t3.example", "10.0.0.1") }
            case "here.example":
                writer = asked.reply(answers: 1)
                writer.service(asked.name, ".", port: 0)
            default: return [asked.absent(asked.name == "nodata.example" ? 0 : 3)]
            }
            return [.send(writer.bytes)]
        }
        let resolver = try resolver([server])
        func texts(_ name: String) async -> [String] {
            switch await resolver.services(of: name, until: soon()) {
            case .addresses(let all, _): all.map { "\($0.address)/\($0.priority)" }
            case .none: ["none"]
            case .failed(let failure): [failure.reason.rawValue]
            }
        }
        #expect(await texts("added.example.") == ["10.0.0.1:8000/0", "10.0.0.2:8001/1"])
        #expect(server.asked.count == 1)
        #expect(await texts("asked.example.") == ["10.0.0.3:8000/0", "10.0.0.4:8000/0"])
        #expect(server.asked.count == 6)
        #expect(await texts("part.example.") == ["10.0.0.1:8000/0", "10.0.0.2:8000/0"])
        #expect(server.asked.count == 8)
        #expect(await texts("lost.srv.example.") == ["servfail"])
        for name in ["here", "nodata", "nobody"] { #expect(await texts("\(name).example.") == ["none"]) }
        #expect(await texts("no name") == ["bad_name"])
        guard case .addresses(_, let life) = await resolver.services(of: "added.example.", until: soon()) else {
            Issue.record("no addresses")
            return
        }
        #expect(life <= .seconds(3))
        await server.stop()
    }

    // MARK: Files

    @Test("another resolv.conf or hosts is noticed, and what was kept of the old servers is forgotten")
    @ControlThread
    func rereading() async throws {
        let first = try ScriptedDNS { [$0.addresses(["10.0.0.1"])] }
        let folder = try TemporaryFolder()
        let files = MachineFiles(
            configuration: try folder.write("nameserver 127.0.0.1\n", to: "resolv.conf"), hosts: folder.path("hosts"),
            port: first.address.port, lookEvery: .zero)
        let resolver = Resolver(servers: [], files: files)
        #expect(texts(await ask(resolver, "api")) == ["10.0.0.1"])
        // A file that is gone or has no server changes nothing.
        try folder.write("", to: "resolv.conf")
        #expect(texts(await ask(resolver, "api", freshly: true)) == ["10.0.0.1"])
        #expect(first.asked.count == 2)
        try folder.write("nameserver 127.0.0.1\nsearch b.example\n", to: "resolv.conf")
        #expect(texts(await ask(resolver, "api")) == ["10.0.0.1"])
        #expect(first.asked.map(\.name) == ["api", "api", "api.b.example"])
        // Nobody listens there, at that port.
        try folder.write("nameserver 127.0.0.77\n", to: "resolv.conf")
        #expect(texts(await ask(resolver, "api.b.example.")) == ["unreachable"])
        try folder.write("10.7.7.7 api.b.example", to: "hosts")
        #expect(texts(await ask(resolver, "api.b.example.")) == ["10.7.7.7"])
        await first.stop()
    }
}
