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

/// Runs `work` on a thread of its own.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Swift.Result { try work() }) }.start()
    }
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
