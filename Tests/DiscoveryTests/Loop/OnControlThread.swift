// How does a test run on the control thread for good? A wait that ends resumes its task where the task prefers to be, and
// a test's task prefers nothing: it would go through the runtime's pool, where other tests are computing. With the
// control thread as its preference it waits for nobody, as in the program.

import Testing

@testable import Discovery

/// Lets tests prefer the control thread. For tests that are isolated to it; one that blocks would block it.
struct OnControlThread: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        ControlThread.start()
        try await withTaskExecutorPreference(ControlThread.shared.executor) { try await function() }
    }
}

extension Trait where Self == OnControlThread {
    /// The control thread as the tests' preference.
    static var onControlThread: Self { Self() }
}

/// A task on the control thread that stays there, whatever is going on in the runtime's pool.
func controlTask<Value: Sendable>(_ body: @escaping @ControlThread () async -> Value) -> Task<Value, Never> {
    Task(executorPreference: ControlThread.shared.executor) { await body() }
}
