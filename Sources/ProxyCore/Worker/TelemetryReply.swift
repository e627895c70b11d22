// How does a worker answer a question? The question carries this; each worker leaves its answer in it, and whoever asked
// is told when the last one has, or takes what is there when he has waited long enough.

import Synchronization

/// A question to all workers, and their answers.
public final class TelemetryReply: Sendable {
    private struct State {
        var values: [Int: WorkerTelemetry] = [:]
        var missing: Int
        var completion: (@Sendable ([Int: WorkerTelemetry]) -> Void)?
    }

    private let state: Mutex<State>

    /// A question to `workers` workers, at least one. `completion` is called once, with their answers: on the thread of
    /// the last one that answers, within its turn, so it should only wake somebody; or by ``finish()``.
    public init(_ workers: Int, completion: @escaping @Sendable ([Int: WorkerTelemetry]) -> Void = { _ in }) {
        state = Mutex(State(missing: workers, completion: completion))
    }

    /// The answers that have come so far, by the workers' numbers. Any thread may ask.
    public var arrived: [Int: WorkerTelemetry] { state.withLock { $0.values } }

    /// Whether every worker has answered.
    public var isComplete: Bool { state.withLock { $0.missing <= 0 } }

    /// Waits no longer: the completion is called with what has come, unless it was called before. Any thread may call it.
    public func finish() { end { _ in true } }

    /// A worker's answer. Any thread may give it for a worker that is gone; the first one counts.
    public func answer(_ value: WorkerTelemetry, from worker: Int) {
        end { state in
            guard state.values[worker] == nil else { return false }
            state.values[worker] = value
            state.missing -= 1
            return state.missing <= 0
        }
    }

    private func end(_ change: (inout State) -> Bool) {
        let (completion, values) = state.withLock { state in
            guard change(&state) else {
                return (nil, [:]) as ((@Sendable ([Int: WorkerTelemetry]) -> Void)?, [Int: WorkerTelemetry])
            }
            defer { state.completion = nil }
            return (state.completion, state.values)
        }
        completion?(values)
    }
}
