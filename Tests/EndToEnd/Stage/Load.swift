// Clients that ask again and again, each on a connection of its own, until they are told to stop: the load under which
// something happens to the proxy's surroundings.

import Foundation

/// A steady load of GET requests.
final class Load: Sendable {
    /// What came of it.
    struct Report: Sendable {
        /// Whole answers with status 200, by what they said: the backend's name.
        var answers: [String: Int] = [:]
        /// Everything else, as sentences.
        var failures: [String] = []
        /// The longest that one answer took.
        var longest = Duration.zero

        /// Answers with status 200.
        var count: Int { answers.values.reduce(0, +) }
    }

    private struct State {
        var report = Report()
        var isOver = false
        var running = 0
    }

    private let state = Locked(State())
    private let start = Deadline.now

    /// Starts `clients` that ask for `host` on `port`, each as soon as it is answered and has rested for `pause`.
    init(on port: UInt16, host: String, clients: Int = 4, pause: Duration = .milliseconds(1)) {
        let (state, start) = (state, start)
        state.withLock { $0.running = clients }
        for _ in 0..<clients {
            Detached {
                Self.ask(state, port, host, pause, since: start)
                state.withLock { $0.running -= 1 }
            }.start()
        }
    }

    deinit { state.withLock { $0.isOver = true } }

    /// What has come so far.
    var report: Report { state.withLock(\.report) }

    /// Ends it; all that came.
    func stop() -> Report {
        state.withLock { $0.isOver = true }
        while state.withLock({ $0.running > 0 }) { usleep(500) }  // Clients end by themselves, within their patience.
        return report
    }

    /// Waits until `count` more answers have come.
    func awaitAnswers(_ count: Int, within patience: Duration = .seconds(20)) throws {
        let wanted = report.count + count
        let deadline = Deadline.after(patience)
        while report.count < wanted {
            guard deadline > .now else { throw StageError("no answers: \(report)") }
            usleep(500)  // Answers come to other threads.
        }
    }

    private static func ask(
        _ state: Locked<State>, _ port: UInt16, _ host: String, _ pause: Duration, since start: Deadline
    ) {
        var client: Peer?
        while !state.withLock(\.isOver) {
            let asked = Deadline.now
            var failure: String?
            do {
                let peer = try client ?? Peer(connectedTo: port)
                peer.says(request(host: host))
                let answer = try peer.hearsAnswer(within: .seconds(15))
                client = answer.head.members("Connection").contains("close") ? nil : peer
                if answer.head.status == 200 && answer.isComplete {
                    let took = asked.duration(to: .now)
                    state.withLock { state in
                        state.report.answers[answer.body.latin1, default: 0] += 1
                        state.report.longest = max(state.report.longest, took)
                    }
                } else {
                    failure = "status \(answer.head.status): \(answer.body.latin1)"
                }
            } catch {
                failure = "\(error)"
                client = nil
            }
            if let failure {
                let when = start.duration(to: asked) / .milliseconds(1)
                state.withLock { $0.report.failures.append("\(Int(when)) ms after the start: \(failure)") }
            }
            // A client that asks without a pause would take the time of all others.
            if pause > .zero { usleep(UInt32(pause / .microseconds(1))) }
        }
    }
}
