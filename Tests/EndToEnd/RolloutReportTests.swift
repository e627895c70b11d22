// What a rolling update leaves behind: its report.

import Foundation
import Testing

@Suite("Rollout reports")
struct RolloutReportTests {
    private struct Page: Decodable {
        struct Pod: Decodable {
            var pod: String?
            var address: String
            var at: String
            var firstRequest: String?
            var lastRequest: String?
            var firstRequestAfterMs: Double?
            var lastRequestAfterMs: Double?
            var answered: Int
        }

        struct Latency: Decodable {
            var mean: Double?
            var p50: Double?
            var p99: Double?
        }

        struct Rollout: Decodable {
            var service: String
            var began: String
            var ended: String
            var `in`: [Pod]
            var out: [Pod]
            var moved: Int
            var retried: Int
            var failed: Int
            var latencyBeforeMs: Latency
            var latencyNowMs: Latency
            var summary: String
        }

        var rollouts: [Rollout]
    }

    private struct Summaries: Decodable {
        struct Line: Decodable {
            var service: String
            var summary: String
        }

        var rollouts: [Line]
    }

    @Test("a rolling update of two pods under load is one report, in the log and in status too")
    func rollingUpdate() async throws {
        try await onThread {
            let stage = try ClusterStage()
            var pods = try (0..<2).map { _ in try stage.startPod(of: "api", answersAfter: .milliseconds(12)) }
            let old = pods
            try stage.publish("api", pods)
            try stage.start()
            let load = Load(on: stage.port, host: "api.test", clients: 4)
            try load.awaitAnswers(100)
            for _ in old {
                let newcomer = try stage.startPod(of: "api")
                try stage.publish("api", pods + [newcomer])
                try stage.awaitDialled(newcomer, in: "api")
                let leaver = pods.removeFirst()
                stage.backends.leave(leaver.address)
                try stage.publish(
                    "api", [leaver.with(ready: false, serving: true, terminating: true)] + pods + [newcomer])
                try stage.awaitNotDialled(leaver, in: "api")
                try load.awaitAnswers(50)
                stage.backends.kill(leaver.address)
                pods.append(newcomer)
                try stage.publish("api", pods)
            }
            #expect(try stage.admin("/api/v1/rollouts").text == "{\"rollouts\":[]}\n", "it may not be over")
            let rollout = try stage.await("a report", within: .seconds(30)) {
                let page = try JSONDecoder().decode(
                    Page.self, from: Data(try stage.admin("/api/v1/rollouts").text.utf8))
                if page.rollouts.count > 1 { Issue.record("\(page.rollouts.map(\.summary))") }
                return page.rollouts.first
            }
            let answers = load.stop()
            #expect(answers.failures.isEmpty, "\(answers.failures.prefix(3))")
            #expect(rollout.service == "api" && rollout.failed == 0)
            #expect(rollout.in.map(\.pod) == pods.map(\.name) && rollout.out.map(\.pod) == old.map(\.name))
            #expect(rollout.in.map(\.address) == pods.map(\.address.description))
            #expect(rollout.began == rollout.in.first?.at && rollout.ended == rollout.out.last?.at)
            for pod in rollout.in {
                #expect(pod.firstRequest != nil && pod.answered > 0 && pod.firstRequestAfterMs ?? -999 > -500)
            }
            for pod in rollout.out {
                #expect(pod.lastRequest != nil && pod.answered > 0 && pod.lastRequestAfterMs ?? 999 < 500, "\(pod)")
            }
            #expect(rollout.latencyBeforeMs.mean ?? 0 >= 10, "the old ones took their time")
            #expect(rollout.latencyNowMs.mean ?? 99 < rollout.latencyBeforeMs.mean ?? 0)
            #expect(rollout.latencyNowMs.p50 ?? 99 <= rollout.latencyNowMs.p99 ?? 0)
            let status = try JSONDecoder().decode(
                Summaries.self, from: Data(try stage.admin("/api/v1/status").text.utf8))
            #expect(status.rollouts.map(\.summary) == [rollout.summary])
            #expect(try stage.admin("/").text.contains(rollout.summary))
            let logged = "\"event\":\"rollout\",\"service\":\"api\",\"in\":2,\"out\":2,"
            #expect(stage.proxy.awaitOutput(logged), "\(stage.proxy.output.suffix(2000))")
            print("a rollout: \(rollout.summary)")
        }
    }
}
