// Blocking work beside an async test: the tests' own threads are few, and a play waits most of its time.

import Foundation
import Synchronization

/// A value behind a lock, as a reference.
final class Locked<Value>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: sending Value) { mutex = Mutex(value) }

    func withLock<Result>(_ body: (inout sending Value) throws -> sending Result) rethrows -> sending Result {
        try mutex.withLock(body)
    }
}

/// A thread beside the test, for what goes on while the test tells its play.
struct Detached {
    private let body: @Sendable () -> Void

    /// A thread that will run `body`.
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    /// Starts it. It ends by itself.
    func start() { Thread(block: body).start() }
}

/// Runs each job on a new thread. Unlike a bare thread, a task there still knows which test it belongs to.
private final class ThreadEach: TaskExecutor {
    static let shared = ThreadEach()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        Thread { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }.start()
    }
}

/// Runs `work` on a thread of its own.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await Task(executorPreference: ThreadEach.shared) { try work() }.value
}

/// Does `work` for each of `items` on `atOnce` threads and returns when all are done.
func inParallel<Item: Sendable>(
    _ items: [Item], atOnce: Int, _ work: @escaping @Sendable (Item) -> Void
) async throws {
    let next = Locked(0)
    try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<min(atOnce, items.count) {
            group.addTask {
                try await onThread {
                    while true {
                        let index = next.withLock { next in
                            next += 1
                            return next - 1
                        }
                        guard index < items.count else { return }
                        work(items[index])
                    }
                }
            }
        }
        try await group.waitForAll()
    }
}
