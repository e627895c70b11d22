// What else happens while one process follows another: discovery that knows nothing yet, and a configuration that changes.

import Foundation
import Testing

@testable import HDProxy

extension HandoffTests {
    /// Puts another configuration before `proxy`, which reads it; when it has, the log says `word`.
    private func reload(_ proxy: ProxyProcess, _ text: String, awaiting word: String) throws {
        try text.write(to: proxy.configurationFile, atomically: true, encoding: .utf8)
        proxy.signal(SIGHUP)
        #expect(proxy.awaitOutput(word), "\(proxy.output)")
    }

    @Test("who knows nothing of a service does not follow who serves it, and begins when that one leaves")
    func knowsNothingYet() async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start()
            // Nobody answers there, so nobody can tell where it lives.
            let deafPort = try freePort()
            let second = try scene.start(
                scene.text(
                    service: "dns: { name: \"a.test\", port: 80 }",
                    more: "discovery: { dns: { servers: [ \"127.0.0.1:\(deafPort)\" ] } },"))
            #expect(second.awaitOutput("takeover_waits", within: .seconds(15)), "\(second.output)")
            #expect(!second.output.contains("taken_over") && !first.output.contains("handed_over"))
            #expect(scene.isServed())
            #expect(try scene.ask(first, "/readyz").status == 200)
            #expect(try scene.ask(second, "/readyz").status == 503)
            first.signal(SIGTERM)
            #expect(first.awaitExit(within: .seconds(5)) == 0)
            #expect(second.awaitOutput("\"event\":\"listening\""), "\(second.output)")
        }
    }

    @Test("a change of the configuration while somebody is taking over is none of the listeners that are given")
    func reloadMeanwhile() async throws {
        try await onThread {
            let scene = try Scene(ports: 2)
            let first = try scene.start()
            let stranger = try Stranger(scene.name)
            try stranger.takesAll()
            try scene.text(listeners: [0, 1]).write(
                to: first.configurationFile, atomically: true, encoding: .utf8)
            first.signal(SIGHUP)
            usleep(300_000)  // Nothing tells that a reload has come to the point where it waits.
            stranger.says(.received(dropped: []))
            guard case .stopped = stranger.hears() else { throw StageError("it did not stop") }
            #expect(first.awaitOutput("has handed over to another one"), "\(first.output)")
            #expect((try? Peer(connectedTo: scene.ports[1])) == nil, "nobody would accept there")
        }
    }

    @Test("while a configuration is being read, whoever wants to follow waits")
    func takeoverMeanwhile() async throws {
        try await onThread {
            let scene = try Scene(ports: 2)
            let first = try scene.start()
            let deafPort = try freePort()
            // The new service is looked for in vain, for a second.
            let text = scene.text(
                listeners: [0, 1], service: "dns: { name: \"a.test\", port: 80 }",
                more: "discovery: { dns: { servers: [ \"127.0.0.1:\(deafPort)\" ] } },")
            try text.write(to: first.configurationFile, atomically: true, encoding: .utf8)
            try first.awaitListening(on: scene.ports[1])
            let stranger = try Stranger(scene.name)
            stranger.asks()
            #expect(stranger.hears() == .refuse(reason: "busy", version: hdproxyVersion))
            #expect(stranger.hearsEnd(within: .seconds(1)), "it asks again, and does not stay")
            #expect(first.awaitOutput("\"outcome\":\"applied\""))
            let next = try Stranger(scene.name)
            try next.takesAll()
            #expect(next.descriptors.count == 4, "a socket of each listener, admin, handoff")
        }
    }

    @Test("a configuration that changed while another process served is read when this one takes back")
    func changedMeanwhile() async throws {
        try await onThread {
            let scene = try Scene(ports: 2)
            let first = try scene.start()
            do {
                let stranger = try Stranger(scene.name)
                try stranger.takesAll()
                stranger.says(.received(dropped: []))
                guard case .stopped = stranger.hears() else { throw StageError("it did not stop") }
                try reload(first, scene.text(listeners: [0, 1]), awaiting: "has handed over to another one")
            }
            #expect(first.awaitOutput("taken_back"))
            #expect(first.awaitOutput("\"outcome\":\"applied\""), "\(first.output)")
            #expect(scene.isServed(0) && scene.isServed(1))
        }
    }
}
