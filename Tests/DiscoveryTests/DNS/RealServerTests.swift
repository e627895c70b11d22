import Foundation
import ProxyCore
import Testing

@testable import Discovery

/// The resolver against dnsmasq and Knot DNS.
@Suite(.onControlThread) struct RealServerTests {
    init() { ControlThread.start() }

    @ControlThread
    private func resolver(_ server: RealDNSServer, options: String = "") throws -> Resolver {
        let folder = try TemporaryFolder()
        let files = MachineFiles(
            configuration: try folder.write(options, to: "resolv.conf"), hosts: folder.path("hosts"))
        _ = files.refresh(Clock.now())
        return Resolver(servers: [server.address], files: files, tryLimit: .seconds(5))
    }

    @ControlThread
    private func texts(_ resolver: Resolver, _ name: String, _ family: Resolver.Family = .both) async -> [String] {
        switch await resolver.addresses(of: name, family: family, until: Clock.now() + .milliseconds(20_000)) {
        case .addresses(let addresses, _): addresses.map(\.description)
        case .none: ["none"]
        case .failed(let failure): [failure.reason.rawValue]
        }
    }

    @ControlThread
    private func services(_ resolver: Resolver, _ name: String) async -> [String] {
        switch await resolver.services(of: name, until: Clock.now() + .milliseconds(20_000)) {
        case .addresses(let all, _): all.map { "\($0.address)/\($0.priority)" }
        case .none: ["none"]
        case .failed(let failure): [failure.reason.rawValue]
        }
    }

    @Test("dnsmasq: addresses of both families, aliases, SRV, absences, the search list, a refusal")
    @ControlThread
    func dnsmasq() async throws {
        let many = (1...200).map { "host-record=many.cluster.test,10.1.0.\($0)" }
        let server = try await RealDNSServer.dnsmasq(
            [
                "local=/test/", "local-ttl=20", "host-record=api.ns.cluster.test,10.0.0.1,fd00::1",
                "host-record=api.ns.cluster.test,10.0.0.2", "cname=www.cluster.test,api.ns.cluster.test",
                "srv-host=_http._tcp.api.cluster.test,api.ns.cluster.test,8000",
                "srv-host=_http._tcp.api.cluster.test,lone.cluster.test,8001,1",
                "host-record=lone.cluster.test,10.0.0.9", "edns-packet-max=1232",
            ] + many)
        defer { server.stop() }
        let resolver = try resolver(server, options: "search ns.cluster.test cluster.test\noptions ndots:5")
        #expect(await texts(resolver, "api.ns.cluster.test.") == ["10.0.0.1", "10.0.0.2", "fd00::1"])
        #expect(await texts(resolver, "API", .v4) == ["10.0.0.1", "10.0.0.2"])
        #expect(await texts(resolver, "api.ns", .v6) == ["fd00::1"])
        #expect(await texts(resolver, "www") == ["10.0.0.1", "10.0.0.2", "fd00::1"])
        #expect(await texts(resolver, "lone.cluster.test.", .v6) == ["none"])
        #expect(await texts(resolver, "nobody.cluster.test.") == ["none"])
        // Without a server above it dnsmasq refuses what it does not know.
        #expect(await texts(resolver, "www.example.") == ["refused"])
        #expect(await texts(resolver, "nobody") == ["refused"])
        #expect(
            await services(resolver, "_http._tcp.api.cluster.test.") == [
                "10.0.0.1:8000/0", "10.0.0.2:8000/0", "[fd00::1]:8000/0", "10.0.0.9:8001/1",
            ])
        #expect(await services(resolver, "_none._tcp.api.cluster.test.") == ["none"])
        let all = await texts(resolver, "many.cluster.test.", .v4)
        #expect(all == (1...200).map { "10.1.0.\($0)" })
    }

    @Test("Knot: 200 addresses by TCP after a cut answer, chains and circles of aliases, SERVFAIL, REFUSED, lives")
    @ControlThread
    func knot() async throws {
        var zone = """
            $ORIGIN example.
            $TTL 20
            @ 30 SOA ns root 1 60 60 60 4
            @ NS ns
            ns A 127.0.0.1
            api 5 A 10.0.0.1
            api 5 A 10.0.0.2
            api 7 AAAA fd00::1
            four A 10.0.0.4
            w1 CNAME w2
            w2 3 CNAME api
            out CNAME api.broken.
            away CNAME www.elsewhere.
            dangling CNAME nobody
            loop1 CNAME loop2
            loop2 CNAME loop1
            _http._tcp.api SRV 0 1 8000 api
            _http._tcp.api SRV 1 1 8001 four
            _http._tcp.away SRV 0 1 8000 www.elsewhere.
            _http._tcp.none SRV 0 0 0 .
            sub NS ns.sub
            ns.sub A 127.0.0.1

            """
        for k in 1...200 { zone += "many A 10.1.0.\(k)\n" }
        for k in 1...60 { zone += "_http._tcp.many SRV 0 1 8000 pod-\(k).many\npod-\(k).many A 10.2.0.\(k)\n" }
        let server = try await RealDNSServer.knot(zone)
        defer { server.stop() }
        let resolver = try resolver(server)
        #expect(await texts(resolver, "api.example.") == ["10.0.0.1", "10.0.0.2", "fd00::1"])
        #expect(await texts(resolver, "w1.example.", .v4) == ["10.0.0.1", "10.0.0.2"])
        #expect(await texts(resolver, "four.example.", .v6) == ["none"])
        #expect(await texts(resolver, "nobody.example.") == ["none"])
        #expect(await texts(resolver, "dangling.example.") == ["none"])
        #expect(await texts(resolver, "loop1.example.") == ["alias_loop"])
        #expect(await texts(resolver, "out.example.") == ["servfail"])
        #expect(await texts(resolver, "away.example.") == ["refused"])
        #expect(await texts(resolver, "x.sub.example.") == ["lame"])
        #expect(await texts(resolver, "many.example.", .v4) == (1...200).map { "10.1.0.\($0)" })
        #expect(
            await services(resolver, "_http._tcp.api.example.") == [
                "10.0.0.1:8000/0", "10.0.0.2:8000/0", "[fd00::1]:8000/0", "10.0.0.4:8001/1",
            ])
        #expect(await services(resolver, "_http._tcp.many.example.") == (1...60).map { "10.2.0.\($0):8000/0" })
        #expect(await services(resolver, "_http._tcp.away.example.") == ["refused"])
        #expect(await services(resolver, "_http._tcp.none.example.") == ["none"])

        // Lives: of the shortest link of the chain, and of the SOA's minimum.
        let soon = Clock.now() + .milliseconds(20_000)
        guard
            case .addresses(_, let life) = await resolver.addresses(
                of: "w1.example", family: .v4, freshly: true, until: soon),
            case .none(let noLife) = await resolver.addresses(of: "new.example", family: .v4, until: soon)
        else {
            Issue.record("no answers")
            return
        }
        #expect(life > .seconds(2) && life <= .seconds(3))
        #expect(noLife > .seconds(3) && noLife <= .seconds(4))
    }
}
