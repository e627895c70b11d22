// Every page of Tests/Corpus/Plays, told to one real proxy in every way that makes sense.

import Foundation
import Testing

/// The one proxy of all plays, each of which has its own host, service and upstream in its configuration.
private struct PlayHouse: Sendable {
    let proxy: ProxyProcess
    let performances: [String: [Performance]]

    static let open = Result { try PlayHouse() }

    private init() throws {
        let listener = LoopbackAddress(port: try freePort())
        let upstreamPort = try freePort()
        var performances: [String: [Performance]] = [:]
        var services: [String] = []
        var routes: [String] = []
        var number = 0
        for page in try PlayPage.all() {
            for play in page.plays {
                for way in play.possibleWays {
                    number += 1
                    let performance = Performance(
                        play: play, way: way, number: number,
                        upstream: LoopbackAddress(number: UInt16(number), port: upstreamPort), proxy: listener)
                    let part = try performance.configuration()
                    services.append(part.service)
                    routes += part.routes
                    performances[page.name, default: []].append(performance)
                }
            }
        }
        self.performances = performances
        // The limits are small so that a play can meet them; Tests/Corpus/Plays/README.md tells them to its readers.
        let configuration = """
            {
              workers: 1,
              listeners: [ { name: "http", address: "\(listener)" } ],
              services: { \(services.joined(separator: ",\n    ")) },
              routes: [ \(routes.joined(separator: ",\n    ")) ],
              timeouts: { requestHeader: "2s", requestBodyIdle: "1s", keepAlive: "3s", tunnelIdle: "3s" },
              limits: { headerBytes: "8KiB", headers: 64, requestTarget: "2KiB", bodyBytes: "64KiB",
                        minRequestRate: "1B", minResponseRate: "1B" },
              log: { access: false },
              admin: { address: "", socket: "" },
            }
            """
        proxy = try ProxyProcess(configuration: configuration, awaiting: [listener.port])
    }
}

@Suite("Plays")
struct PlayTests {
    @Test("each play on this page goes as written", arguments: try PlayPage.all())
    func page(_ page: PlayPage) async throws {
        let house = try await onThread { try PlayHouse.open.get() }
        // One play alone, for whoever looks for a fault: part of its title.
        let wanted = ProcessInfo.processInfo.environment["HDPROXY_PLAY"]
        let performances = (house.performances[page.name] ?? []).filter { performance in
            wanted.map { performance.play.title.contains($0) } ?? true
        }
        let failures = Locked<[String]>([])
        try await inParallel(performances, atOnce: 8) { performance in
            let failure = PlayRunner.tell(performance)
            if !failure.isEmpty { failures.withLock { $0.append(failure) } }
        }
        for failure in failures.withLock({ $0 }).sorted() { Issue.record(Comment(rawValue: failure)) }
        let ended = house.proxy.exitStatus()
        #expect(ended == nil, "hdproxy has ended with \(ended ?? 0):\n\(house.proxy.output.suffix(2000))")
    }
}
