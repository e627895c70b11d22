// An address that belongs to somebody else: what a proxy must never dial, however late or wrong it is told.

import Foundation
import Testing

@Suite("Discovery: ghosts")
struct DiscoveryGhostTests {
    /// How often an address is recycled. `HDPROXY_GHOST_ROUNDS=1000` for the figures.
    private static let rounds = ProcessInfo.processInfo.environment["HDPROXY_GHOST_ROUNDS"].flatMap { Int($0) } ?? 24

    @Test("an address that is recycled under load gets no request once the event has arrived, late as that may be")
    func recycled() async throws {
        try await onThread {
            let stage = try ClusterStage()
            var pods = try (0..<3).map { _ in try stage.startPod(of: "api") }
            try stage.publish("api", pods)
            try stage.start()
            let load = Load(on: stage.port, host: "api.test")
            try load.awaitAnswers(50)

            var lags: [Double] = []
            var strangers = 0
            var afterwards = 0
            for round in 0..<Self.rounds {
                // The pod is gone, and before anybody is told, its address is another's.
                let lost = pods.remove(at: round % pods.count)
                stage.backends.kill(lost.address)
                let stranger = "stranger-\(round)"
                try stage.backends.open(stranger, at: lost.address)
                usleep(UInt32.random(in: 0...500_000))  // The watch is late by that much: it is what is tested.

                // Who tells first: the new owner's slice, or the slice that the pod has left.
                let replacement = try stage.startPod(of: "api")
                let claim = ClusterPod(name: stranger, address: lost.address)
                let sent = Deadline.now
                if round % 2 == 0 {
                    try stage.publish("dozzle", [claim])
                    try stage.awaitNotDialled(lost, in: "api")
                } else {
                    try stage.publish("api", pods + [replacement])
                    try stage.awaitNotDialled(lost, in: "api")
                    try stage.publish("dozzle", [claim])
                }
                // What a worker had begun to send when the change came is answered by now.
                try load.awaitAnswers(20)
                let record = stage.backends.record(of: stranger)
                if let last = record.last { lags.append(max(0, sent.duration(to: last) / .milliseconds(1))) }
                strangers += record.requests

                pods.append(replacement)
                try stage.publish("api", pods)
                try stage.awaitDialled(replacement, in: "api")
                try load.awaitAnswers(20)
                afterwards += stage.backends.record(of: stranger).requests - record.requests
                stage.backends.kill(lost.address)
                try stage.publish("dozzle", [])
            }
            let report = load.stop()
            lags.sort()
            #expect(afterwards == 0, "\(afterwards) requests came to a stranger after its event had arrived")
            // A pod that dies takes the requests with it that it had and did not answer: no more than that may fail.
            let failures = report.failures
            #expect(failures.count <= Self.rounds && failures.allSatisfy { $0.contains("status 502") }, "\(failures)")
            print(
                "ghosts: \(Self.rounds) addresses recycled, \(report.count) answers, \(strangers) of strangers before the",
                "event, \(afterwards) after it; the last request to a stranger came at most",
                lags.last.map { String(format: "%.1f", $0) } ?? "0", "ms after the event was sent, 99 % within",
                lags.isEmpty ? "0" : String(format: "%.1f ms", lags[min(lags.count - 1, lags.count * 99 / 100)]))
        }
    }

    @Test("DNS that gives a foreign address for ever is contradicted aloud, and believed by nobody")
    func seedIncident() async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pod = try stage.startPod(of: "api")
            let foreigner = try stage.startPod(of: "dozzle")
            try stage.publish("api", [pod])
            try stage.publish("dozzle", [foreigner])
            let dns = try stage.startDNS(["api.cluster.local": [pod.address.host]])
            try stage.start()
            let load = Load(on: stage.port, host: "api.test")
            try load.awaitAnswers(50)
            #expect(try stage.status().service("api").disagreements.isEmpty)

            try dns.tell(["api.cluster.local": [pod.address.host, foreigner.address.host]])
            let told = Deadline.now
            let text = try stage.await("a disagreement", within: .seconds(30)) {
                try stage.status().service("api").disagreements.first { $0.address == foreigner.address.description }
            }
            let named = told.duration(to: .now)
            // The next question comes within 5 s, the answer to it is judged within 2 s.
            #expect(named < .seconds(20))
            #expect(text.witness == "dns" && text.text.contains(foreigner.address.host), "\(text)")
            #expect(text.text.contains("honeydue/dozzle"), "\(text)")
            #expect(stage.proxy.awaitOutput("discovery_disagreement"), "\(stage.proxy.output.suffix(2000))")
            #expect(try stage.metric("hdproxy_discovery_disagreement{service=\"api\"}") == 1)

            try load.awaitAnswers(200)
            let report = load.stop()
            #expect(stage.backends.record(of: foreigner.name).requests == 0)
            #expect(report.failures.isEmpty && report.answers.keys.elementsEqual([pod.name]), "\(report)")
            print("seed incident: named \(Int(named / .milliseconds(1))) ms after DNS began to say it")

            // Once DNS is right again, so is the status.
            try dns.tell(["api.cluster.local": [pod.address.host]])
            _ = try stage.await("agreement", within: .seconds(30)) {
                try stage.status().service("api").disagreements.isEmpty ? true : nil
            }
        }
    }
}
