// What is normal in a cluster: pods are replaced, rights and certificates change.

import Foundation
import Testing

@Suite("Discovery: changes")
struct DiscoveryChangeTests {
    @Test("a rolling update of pods that leave politely loses no request")
    func rollingUpdate() async throws {
        try await onThread {
            let stage = try ClusterStage()
            // Answers take a while, so that some are in flight whenever a pod leaves.
            var pods = try (0..<3).map { _ in try stage.startPod(of: "api", answersAfter: .milliseconds(5)) }
            try stage.publish("api", pods)
            try stage.start()
            let load = Load(on: stage.port, host: "api.test", clients: 8)
            try load.awaitAnswers(100)
            let before = pods.map(\.name)
            for _ in before {
                // maxSurge 1, maxUnavailable 0: the new one is ready before an old one leaves.
                let newcomer = try stage.startPod(of: "api", answersAfter: .milliseconds(5))
                try stage.publish("api", pods + [newcomer.with(ready: false)])
                try stage.publish("api", pods + [newcomer])
                try stage.awaitDialled(newcomer, in: "api")

                let leaver = pods.removeFirst().with(ready: false, serving: true, terminating: true)
                // SIGTERM and the event are unordered: the pod goes on accepting, as it must.
                stage.backends.leave(leaver.address)
                try stage.publish("api", [leaver] + pods + [newcomer])
                try stage.awaitNotDialled(leaver, in: "api")
                try load.awaitAnswers(100)
                stage.backends.kill(leaver.address)
                pods.append(newcomer)
                try stage.publish("api", pods)
            }
            for pod in pods { try stage.awaitAsked(pod) }
            let report = load.stop()
            #expect(
                report.failures.isEmpty,
                "\(report.failures.count) of \(report.count): \(report.failures.prefix(5).joined(separator: "\n"))")
            for pod in pods { #expect(report.answers[pod.name, default: 0] > 0, "\(report.answers)") }
            print("a rolling update of \(before.count) pods: \(report.count) answers, none failed")
        }
    }

    @Test("with no ready pod left, one that is still serving while it terminates is used, and 503 comes only then")
    func lastResort() async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pod = try stage.startPod(of: "api")
            try stage.publish("api", [pod])
            try stage.start()
            try stage.awaitAnswer(of: "api.test")
            try stage.publish("api", [pod.with(ready: false, serving: true, terminating: true)])
            _ = try stage.await("terminating") {
                try stage.status().service("api").endpoints.first { $0.terminating && $0.usable }
            }
            #expect(try stage.ask("api.test").status == 200)
            try stage.publish("api", [pod.with(ready: false)])
            _ = try stage.await("503") { try stage.ask("api.test").status == 503 ? true : nil }
            try stage.publish("api", [])
            #expect(try stage.ask("api.test").status == 503)
        }
    }

    @Test("a token that is replaced on disk is used from then on, also after a 401")
    func token() async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pod = try stage.startPod(of: "api")
            try stage.publish("api", [pod])
            try stage.start()
            try stage.awaitAnswer(of: "api.test")
            let renewed = "token-2"
            stage.server.addToken(renewed)
            stage.server.revokeToken()
            stage.server.killConnections()
            _ = try stage.await("a 401") {
                try stage.status().sources.first { $0.name == "kubernetes" && $0.error?.contains("401") == true }
            }
            #expect(try stage.ask("api.test").status == 200)
            try stage.writeFiles(token: renewed)
            let later = try stage.startPod(of: "api")
            try stage.publish("api", [pod, later])
            try stage.awaitDialled(later, in: "api", within: .seconds(90))
        }
    }

    @Test("a certificate authority that is replaced on disk is believed from then on")
    func certificateAuthority() async throws {
        try await onThread {
            let stage = try ClusterStage()
            let pod = try stage.startPod(of: "api")
            try stage.publish("api", [pod])
            try stage.start()
            try stage.awaitAnswer(of: "api.test")
            try stage.server.rotateAuthority()
            stage.server.killConnections()
            _ = try stage.await("a certificate that is not believed") {
                try stage.status().sources.first { $0.name == "kubernetes" && $0.error != nil }
            }
            #expect(try stage.ask("api.test").status == 200)
            try stage.writeFiles()
            let later = try stage.startPod(of: "api")
            try stage.publish("api", [pod, later])
            try stage.awaitDialled(later, in: "api", within: .seconds(90))
        }
    }
}
