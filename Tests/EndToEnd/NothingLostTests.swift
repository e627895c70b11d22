// What does an application's own restart cost its clients? Short runs of the harness that `hdproxy-bench rollout` and
// `hdproxy-bench faults` are: pods that are processes and die as such, every answer checked byte by byte, every loss held
// against the proxy's log.

import Foundation
import TestTools
import Testing

@Suite("Nothing is lost", .serialized)
struct NothingLostTests {
    /// What a run of the harness told.
    private struct Report: Decodable {
        var figures: [String: Double]
        var causes: [Cause]
        var examples: [String]

        struct Cause: Decodable {
            var cause: String
            var count: Int
        }

        subscript(_ name: String) -> Int { Int(figures[name] ?? -1) }
    }

    /// What may never happen, whatever goes on behind the proxy.
    private static let never = [
        "gets_failed", "posts_unsent", "posts_twice", "foreign", "garbled", "hung", "unexplained", "status_503",
        "closed_unannounced",
    ]

    @Test("a rolling update of pods that exit at once loses nothing that may be asked again, and does nothing twice")
    func rollout() async throws {
        let report = try await run([
            "rollout", "--updates", "2", "--rate", "200", "--pause", "200ms", "--connections", "16",
        ])
        #expect(report["requests"] > 200 && report["posts"] > 50)
        try expectNone(report)
    }

    @Test("events that come after the pods' end, and strangers at their addresses, change nothing about that")
    func lateEvents() async throws {
        let report = try await run([
            "rollout", "--updates", "2", "--rate", "200", "--pause", "200ms", "--connections", "16", "--event-after",
            "100ms",
        ])
        try expectNone(report)
    }

    @Test("a single pod that is terminating and serves is asked until another one is ready")
    func single() async throws {
        let report = try await run([
            "rollout", "--single", "--updates", "2", "--rate", "100", "--pause", "500ms", "--connections", "8",
        ])
        try expectNone(report)
        #expect(report["posts_begun"] == 0, "\(report.causes)")
    }

    /// Runs the harness with the program under test.
    private func run(_ words: [String]) async throws -> Report {
        try await onThread {
            let program = try ProxyProcess.program()
            let harness = URL(fileURLWithPath: program).deletingLastPathComponent().appending(path: "hdproxy-bench")
                .path
            let (status, output) = try runTool(
                [harness] + words + ["--proxy", program, "--json", "-"], within: .seconds(120))
            guard status == 0, let start = output.firstIndex(of: "{") else { throw StageError("\(words): \(output)") }
            return try JSONDecoder().decode(Report.self, from: Data(output[start...].utf8))
        }
    }

    private func expectNone(_ report: Report) throws {
        for name in Self.never { #expect(report[name] == 0, "\(name): \(report.examples)") }
        #expect(report["answered"] > 0)
    }
}
