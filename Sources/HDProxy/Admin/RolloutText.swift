// How is a rollout told? As JSON with all of its figures at `/api/v1/rollouts`, and as one sentence in the log, in status
// and on the page.

import Discovery
import ProxyCore

/// A rollout for people and for programs.
enum RolloutText {
    /// What it was like, in one line.
    static func summary(of report: RolloutReport) -> String {
        var words = "\(report.came.count) in, \(report.went.count) out"
        let span = report.endedMicroseconds - report.beganMicroseconds
        if span >= 1000 { words += " in \(seconds(span))" }
        words += "; \(report.moved) moved, \(report.retried) retried, \(report.failed) failed"
        if report.stillInFlight > 0 { words += ", \(report.stillInFlight) still in flight" }
        if report.latencyBefore != nil || report.latencyNow != nil {
            words += "; first byte \(milliseconds(report.latencyBefore)) before, \(milliseconds(report.latencyNow)) now"
        }
        return words
    }

    /// A report with all of its figures.
    static func write(_ report: RolloutReport, into text: inout JSONText) {
        text.object {
            $0.member("service", report.service)
            $0.member("began", CivilTime.timestamp(wallMicroseconds: report.beganMicroseconds))
            $0.member("ended", CivilTime.timestamp(wallMicroseconds: report.endedMicroseconds))
            $0.member("in", report.came) { write($1, isIn: true, into: &$0) }
            $0.member("out", report.went) { write($1, isIn: false, into: &$0) }
            $0.member("moved", Int(clamping: report.moved))
            $0.member("retried", Int(clamping: report.retried))
            $0.member("failed", Int(clamping: report.failed))
            $0.member("stillInFlight", report.stillInFlight)
            $0.member("latencyBeforeMs") { write(report.latencyBefore, into: &$0) }
            $0.member("latencyNowMs") { write(report.latencyNow, into: &$0) }
            $0.member("summary", summary(of: report))
        }
    }

    private static func write(_ pod: RolloutReport.Pod, isIn: Bool, into text: inout JSONText) {
        func time(_ microseconds: Int64?) -> String? {
            microseconds.map { CivilTime.timestamp(wallMicroseconds: $0) }
        }
        text.object {
            $0.member("pod", pod.name)
            $0.member("id", pod.id.description)
            $0.member("address", pod.address.description)
            $0.member("at", time(pod.atMicroseconds))
            $0.member("firstRequest", time(pod.firstRequestMicroseconds))
            $0.member("lastRequest", time(pod.lastRequestMicroseconds))
            // How long the newcomer waited for its first request; by how much the other one's last one preceded its end.
            let asked = isIn ? pod.firstRequestMicroseconds : pod.lastRequestMicroseconds
            $0.member(
                isIn ? "firstRequestAfterMs" : "lastRequestAfterMs",
                asked.map { Double($0 - pod.atMicroseconds) / 1000 })
            $0.member("answered", Int(clamping: pod.answered))
        }
    }

    private static func write(_ latency: RolloutReport.Latency?, into text: inout JSONText) {
        func milliseconds(_ nanoseconds: Int64?) -> Double? { nanoseconds.map { Double($0) / 1e6 } }
        text.object {
            $0.member("mean", milliseconds(latency?.meanNanoseconds))
            $0.member("p50", milliseconds(latency?.p50Nanoseconds))
            $0.member("p99", milliseconds(latency?.p99Nanoseconds))
        }
    }

    private static func seconds(_ microseconds: Int64) -> String { tenths(microseconds / 100_000) + " s" }

    private static func milliseconds(_ latency: RolloutReport.Latency?) -> String {
        latency.map { tenths($0.meanNanoseconds / 100_000) + " ms" } ?? "unknown"
    }

    private static func tenths(_ count: Int64) -> String { "\(count / 10).\(count % 10)" }
}

/// The latest rollout of a service.
struct RolloutLine: Decodable, Equatable, Sendable {
    /// The service.
    var service: String
    /// When its last endpoint came or went.
    var ended: String
    /// What it was like.
    var summary: String
}

extension RolloutLine {
    /// The latest one of each service, of `reports`, which begin with the latest.
    static func latest(_ reports: [RolloutReport]) -> [RolloutLine] {
        var seen: Set<String> = []
        return reports.filter { seen.insert($0.service).inserted }.map { report in
            RolloutLine(
                service: report.service, ended: CivilTime.timestamp(wallMicroseconds: report.endedMicroseconds),
                summary: RolloutText.summary(of: report))
        }
    }
}
