// Pods that die, hang, fail or are replaced by strangers, with nobody telling: what probes find out, and what follows.

import Foundation
import Testing

@Suite("Health")
struct HealthTests {
    /// Two endpoints of one service that are probed every 100 ms, and the program in front of them.
    private final class HealthStage {
        let port: UInt16
        let adminPort: UInt16
        let backends: Backends
        let addresses: [LoopbackAddress]
        let proxy: ProxyProcess

        static let probed =
            "health: { path: \"/health\", interval: \"100ms\", timeout: \"300ms\", healthyAfter: 1, unhealthyAfter: 2 }"
        static let well = Backends.Manner(fields: "X-Service: api\r\n")

        init(_ keys: String = HealthStage.probed) throws {
            port = try freePort()
            adminPort = try freePort()
            backends = try Backends()
            addresses = try [LoopbackAddress(port: freePort()), LoopbackAddress(port: freePort())]
            for (address, name) in zip(addresses, ["one", "two"]) {
                try backends.open(name, at: address)
                backends.behave(Self.well, at: address)
            }
            let text = """
                { workers: 1, listeners: [ { name: "l", address: "127.0.0.1:\(port)" } ],
                  admin: { address: "127.0.0.1:\(adminPort)", socket: "" },
                  services: { api: {
                    endpoints: [ \(addresses.map { "\"\($0)\"" }.joined(separator: ", ")) ],
                    identity: { header: "X-Service", value: "api" }, \(keys) } },
                  routes: [ { host: "*", service: "api" } ] }
                """
            proxy = try ProxyProcess(configuration: text, awaiting: [port])
        }

        func page(_ path: String) throws -> String {
            let client = try Peer(connectedTo: adminPort)
            client.says(request(path, host: "127.0.0.1:\(adminPort)"))
            return String(decoding: try client.hearsAnswer().body, as: UTF8.self)
        }

        /// Waits until a page holds all of `parts`.
        func awaits(_ parts: [String], on path: String = "/api/v1/status") throws {
            let deadline = Deadline.after(.seconds(20))
            var text = ""
            while deadline > .now {
                text = try page(path)
                if parts.allSatisfy(text.contains) { return }
                usleep(10_000)  // A probe tells nobody here.
            }
            throw StageError("no \(parts) in \(text)\n\(proxy.output.suffix(2000))")
        }

        /// What stands in status once nobody is held back.
        let usableAgain = "\"health\":\"up\",\"ejected\":null,\"ejections\":0,\"usable\":true"

        /// Who answers so many requests.
        func answers(_ count: Int) throws -> Set<String> {
            var names: Set<String> = []
            for _ in 0..<count {
                let client = try Peer(connectedTo: port)
                client.says(request(host: "a.test"))
                names.insert(String(decoding: try client.hearsAnswer().body, as: UTF8.self))
            }
            return names
        }
    }

    @Test(
        "an endpoint that is ill is taken out and comes back",
        arguments: ["refuses", "hangs", "answers 503"])
    func ill(_ how: String) async throws {
        try await onThread {
            let stage = try HealthStage()
            // First results are awaited before it listens.
            try stage.awaits(["\"health\":\"up\""])
            switch how {
            case "refuses": stage.backends.kill(stage.addresses[1])
            case "hangs": stage.backends.behave(.init(isSilent: true), at: stage.addresses[1])
            default:
                stage.backends.behave(
                    .init(status: "503 Ill", fields: "X-Service: api\r\n"), at: stage.addresses[1])
            }
            try stage.awaits(["\"health\":\"down\"", "\"usable\":false", "\"reason\":\"probes: "])
            #expect(try stage.answers(20) == ["one"])
            try stage.awaits(
                ["hdproxy_endpoint_up{service=\"api\",endpoint=\"\(stage.addresses[1])\"} 0"], on: "/metrics")
            #expect(stage.proxy.awaitOutput("\"event\":\"endpoint_down\""))

            if how == "refuses" { try stage.backends.open("two", at: stage.addresses[1]) }
            stage.backends.behave(HealthStage.well, at: stage.addresses[1])
            #expect(stage.proxy.awaitOutput("\"event\":\"endpoint_up\"", within: .seconds(20)))
            try stage.awaits([stage.usableAgain])
            // It comes back by and by, as its slowness is forgotten.
            let deadline = Deadline.after(.seconds(20))
            var names: Set<String> = []
            while deadline > .now, names.count < 2 { names.formUnion(try stage.answers(20)) }
            #expect(names == ["one", "two"])
        }
    }

    @Test("what waits at an endpoint that hangs is asked elsewhere once probes know, where that does no harm")
    func freed() async throws {
        try await onThread {
            let stage = try HealthStage("balance: \"roundRobin\", " + HealthStage.probed)
            try stage.awaits(["\"health\":\"up\""])
            stage.backends.behave(.init(isSilent: true), at: stage.addresses[1])
            let clients = try (0..<8).map { number in
                let client = try Peer(connectedTo: stage.port)
                // In turn: half of either kind meets the one that hangs.
                client.says(request("/\(number)", host: "a.test", method: number % 4 < 2 ? "GET" : "POST"))
                return client
            }
            #expect(stage.proxy.awaitOutput("\"event\":\"endpoint_down\""))
            for (number, client) in clients.enumerated() where number % 4 < 2 {
                #expect(String(decoding: try client.hearsAnswer().body, as: UTF8.self) == "one", "request \(number)")
            }
            // The others may have been carried out: they wait for their time to be over.
            let others = clients.enumerated().filter { $0.offset % 4 >= 2 }.map(\.element)
            #expect(others.count { $0.hears(1, within: .zero).isEmpty } == 2)
        }
    }

    @Test("a stranger at a recycled address is named in log, metric and status, though no event tells of him")
    func ghost() async throws {
        try await onThread {
            let stage = try HealthStage()
            try stage.awaits(["\"health\":\"up\""])
            stage.backends.kill(stage.addresses[0])
            try stage.backends.open("dozzle", at: stage.addresses[0])
            stage.backends.behave(.init(fields: "Server: dozzle\r\n"), at: stage.addresses[0])
            let began = Deadline.now
            #expect(stage.proxy.awaitOutput("\"event\":\"ghost\"", within: .seconds(20)))
            print("health: a ghost was named \(Int(began.duration(to: .now) / .milliseconds(1))) ms after it came")
            let line = stage.proxy.output.split(separator: "\n").first { $0.contains("\"event\":\"ghost\"") } ?? ""
            for part in [
                "\"level\":\"warn\"", "\"service\":\"api\"", "\"address\":\"\(stage.addresses[0])\"",
                "\"seen\":\"status 200, no X-Service, Server: dozzle\"", "\"expected\":\"X-Service: api\"",
            ] { #expect(line.contains(part), "\(line)") }
            try stage.awaits(
                ["\"ejected\":\"ghost: status 200, no X-Service, Server: dozzle\"", "\"health\":\"down\""])
            try stage.awaits(
                ["hdproxy_identity_mismatch_total{service=\"api\",endpoint=\"\(stage.addresses[0])\"}"], on: "/metrics")
            try stage.awaits(
                ["hdproxy_endpoint_ejections_total{service=\"api\",reason=\"ghost\"} 1"], on: "/metrics")
            try stage.awaits(["Somebody else answers for api"], on: "/")
            #expect(try stage.answers(20) == ["two"])

            stage.backends.kill(stage.addresses[0])
            try stage.backends.open("one", at: stage.addresses[0])
            stage.backends.behave(HealthStage.well, at: stage.addresses[0])
            #expect(stage.proxy.awaitOutput("\"event\":\"ghost_gone\"", within: .seconds(20)))
        }
    }

    @Test("requests that fail in a row eject an endpoint that nobody probes, for a while and again")
    func ejected() async throws {
        try await onThread {
            // In turn: the likeliest to answer would not be the one that has just failed.
            let stage = try HealthStage(
                "balance: \"roundRobin\", outlier: { consecutiveFailures: 2, ejectFor: \"500ms\" }")
            stage.backends.kill(stage.addresses[1])
            let deadline = Deadline.after(.seconds(20))
            // Each request is answered: what could not be sent goes to the other one.
            while !stage.proxy.output.contains("\"event\":\"endpoint_ejected\""), deadline > .now {
                #expect(try stage.answers(1) == ["one"])
            }
            let lines = stage.proxy.output.split(separator: "\n")
            let line = lines.first { $0.contains("\"event\":\"endpoint_ejected\"") } ?? ""
            for part in [
                "\"level\":\"warn\"", "\"address\":\"\(stage.addresses[1])\"", "\"for\":\"0.5 s\"",
                "2 failures in a row, the last one connect_refused",
            ] { #expect(line.contains(part), "\(line)") }
            try stage.awaits(
                ["hdproxy_endpoint_ejections_total{service=\"api\",reason=\"failures\"}"], on: "/metrics")
            #expect(stage.proxy.awaitOutput("\"event\":\"endpoint_returned\"", within: .seconds(20)))
            try stage.backends.open("two", at: stage.addresses[1])
            stage.backends.behave(HealthStage.well, at: stage.addresses[1])
            try stage.awaits([stage.usableAgain.replacingOccurrences(of: "\"up\"", with: "\"unknown\"")])
        }
    }

    @Test("a stranger whom only a request meets is named, too, and his answer is delivered to nobody")
    func ghostMetByRequests() async throws {
        try await onThread {
            let stage = try HealthStage("outlier: { ejectFor: \"3s\" }")
            stage.backends.kill(stage.addresses[0])
            try stage.backends.open("dozzle", at: stage.addresses[0])
            stage.backends.behave(.init(fields: "X-Service: dozzle\r\n"), at: stage.addresses[0])
            let deadline = Deadline.after(.seconds(20))
            while !stage.proxy.output.contains("\"event\":\"ghost\""), deadline > .now {
                #expect(try stage.answers(1) == ["two"])
            }
            #expect(stage.proxy.output.contains("\"expected\":\"X-Service: api\""))
            try stage.awaits(["\"ejected\":\"ghost: X-Service: \\\"dozzle\\\"\"", "\"usable\":false"])
            #expect(try stage.answers(50) == ["two"])
            #expect(stage.proxy.awaitOutput("\"event\":\"endpoint_returned\"", within: .seconds(20)))
            // One request tries, and it is out again.
            try stage.awaits(["\"ejected\":null,\"ejections\":1"])
            while try !stage.page("/api/v1/status").contains("\"ejections\":2"), deadline > .now {
                #expect(try stage.answers(1) == ["two"])
            }
            try stage.awaits(["\"ejections\":2"])
        }
    }
}
