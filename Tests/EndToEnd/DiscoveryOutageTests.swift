// The control plane may be away, late, wrong or mute: what was learned is served on, and a start needs neither the API
// server nor DNS.

import FakeCluster
import Foundation
import Testing

@Suite("Discovery: outages")
struct DiscoveryOutageTests {
    /// What can happen to an API server.
    enum Trouble: String, CaseIterable, Sendable {
        case killed = "is killed and comes back"
        case forgetful = "is restarted with its history lost"
        case paused = "is paused: connections stay open, nothing comes"
        case garbage = "answers garbage"
        case forbids = "forbids what it allowed: 403"
        case overloaded = "has no time: 429"
    }

    /// What a broken server, or something in its place, may send.
    private static let garbage: [FakeAPIServer.Answer] = (0..<200).flatMap { _ -> [FakeAPIServer.Answer] in
        [
            .html, .notJSON, .cutJSON, .wrongChunkSize, .badChunkSize, .close, .status(500),
            .bytes(Array("SSH-2.0-OpenSSH_9.2p1\r\n".utf8)),
        ]
    }

    /// For how long it lasts. `HDPROXY_OUTAGE_SECONDS=60` for the figures.
    private static let length =
        ProcessInfo.processInfo.environment["HDPROXY_OUTAGE_SECONDS"].flatMap { Double($0) } ?? 3

    @Test("no request fails while the API server", arguments: Trouble.allCases)
    func trouble(_ trouble: Trouble) async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pods = try (0..<2).map { _ in try stage.startPod(of: "api") }
            try stage.publish("api", pods)
            try stage.start()
            let load = Load(on: stage.port, host: "api.test")
            try load.awaitAnswers(50)

            switch trouble {
            case .killed: stage.server.crash()
            case .forgetful:
                stage.server.crash()
                stage.cluster.loseHistory()
            case .paused: stage.server.pause()
            case .garbage: for answer in Self.garbage { stage.server.answer(next: 1, with: answer) }
            case .forbids: stage.server.addToken(FakeAPIServer.defaultToken, rights: .none)
            case .overloaded: stage.server.answer(next: 100_000, with: .status(429, retryAfter: 1))
            }
            // An answer is what a request gets: watches that are open would go on.
            if trouble != .paused { stage.server.killConnections() }
            usleep(UInt32(Self.length * 1_000_000))  // The outage itself.
            // Something changed meanwhile: what is heard afterwards is a difference to what was known.
            let later = try stage.startPod(of: "api")
            try stage.publish("api", pods + [later])
            switch trouble {
            case .killed, .forgetful: stage.server.accept()
            case .paused: stage.server.resume()
            case .garbage, .overloaded: stage.server.answerNormally()
            case .forbids: stage.server.addToken(FakeAPIServer.defaultToken)
            }
            let back = Deadline.now
            try stage.awaitDialled(later, in: "api", within: .seconds(90))
            let heard = back.duration(to: .now)
            try stage.awaitAsked(later)
            let report = load.stop()
            #expect(
                report.failures.isEmpty,
                "\(report.failures.count) of \(report.count): \(report.failures.prefix(5).joined(separator: "\n"))")
            print(
                "the API server \(trouble.rawValue), for \(Self.length) s: \(report.count) answers, none failed, the",
                "slowest after \(Int(report.longest / .milliseconds(1))) ms; back in touch within",
                "\(Int(heard / .milliseconds(1))) ms")
        }
    }

    /// What a new process finds.
    enum Surroundings: String, CaseIterable, Sendable {
        case whole = "the API server is up"
        case mute = "the API server takes connections and never answers"
        case gone = "the API server is gone"
        case alone = "the API server and DNS are gone"
    }

    @Test("killed and started again it serves at once where", arguments: Surroundings.allCases)
    func start(_ surroundings: Surroundings) async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pods = try (0..<2).map { _ in try stage.startPod(of: "api") }
            try stage.publish("api", pods)
            let dns = try stage.startDNS(["api.cluster.local": pods.map(\.address.host)])
            try stage.start()
            try stage.awaitAnswer(of: "api.test")
            try stage.awaitStateFile()
            kill(stage.proxy.pid, SIGKILL)
            _ = stage.proxy.awaitExit(within: .seconds(10))

            switch surroundings {
            case .whole: break
            case .mute: stage.server.pause()
            case .gone: stage.server.crash()
            case .alone:
                stage.server.crash()
                dns.stop()
            }
            let began = Deadline.now
            try stage.start(isReady: false)
            try stage.awaitAnswer(of: "api.test")
            let took = began.duration(to: .now)
            // The promise is 200 ms for the release program on a machine of its own.
            #expect(took < .seconds(5))
            #expect(try stage.await("readiness") { try stage.admin("/readyz").status == 200 ? true : nil })
            let page = try stage.status()
            if surroundings != .whole {
                let witness = try #require(page.sources.first { $0.name == "kubernetes" })
                #expect(!witness.synced || witness.stale, "\(witness)")
            }
            #expect(try page.service("api").endpoints.filter(\.usable).count == 2)
            print("a start where \(surroundings.rawValue): first answer after \(Int(took / .milliseconds(1))) ms")
        }
    }

    @Test("without API server, DNS and file it is not ready, says why, and is as soon as it hears")
    func nothingKnown() async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pod = try stage.startPod(of: "api")
            try stage.publish("api", [pod])
            stage.server.crash()
            try stage.start(isReady: false)
            let answer = try stage.await("an admin listener") { try? stage.admin("/readyz?verbose") }
            #expect(answer.status == 503 && answer.text.contains("discovery"), "\(answer)")
            #expect(try stage.admin("/healthz").status == 200)
            stage.server.accept()
            _ = try stage.await("readiness", within: .seconds(60)) {
                try stage.admin("/readyz").status == 200 ? true : nil
            }
            try stage.awaitAnswer(of: "api.test")
        }
    }

    @Test("a damaged file of last known endpoints is refused with a reason, and the start goes on without it")
    func damagedFile() async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pod = try stage.startPod(of: "api")
            try stage.publish("api", [pod])
            try stage.start()
            try stage.awaitStateFile()
            kill(stage.proxy.pid, SIGKILL)
            _ = stage.proxy.awaitExit(within: .seconds(10))
            stage.server.crash()
            var bytes = try Data(contentsOf: stage.stateFile)
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: stage.stateFile)
            try stage.start(isReady: false)
            let answer = try stage.await("an admin listener") { try? stage.admin("/readyz?verbose") }
            #expect(answer.status == 503, "\(answer)")
            #expect(stage.proxy.awaitOutput("state_refused"), "\(stage.proxy.output)")
            stage.server.accept()
            try stage.awaitAnswer(of: "api.test", within: .seconds(60))
        }
    }
}
