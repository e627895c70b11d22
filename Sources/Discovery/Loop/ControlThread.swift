// On which thread does the control plane run? On one, the control thread, as structured concurrency: a watch, a lookup
// or an answer of the admin listener reads as straight-line code, and nothing there needs a lock. The thread turns a
// loop of our own, which runs jobs, waits in epoll for whatever they wait for, and resumes them.
//
//     run what is ready ── take cancellations ── wait for descriptors, deadlines or a wake ── resume who waited

import Glibc
import ProxyCore
import Synchronization

/// How a wait ended.
public enum Wakeup: Sendable, Equatable {
    /// What was waited for is there.
    case ready
    /// The deadline came first.
    case timedOut
    /// The task was cancelled.
    case cancelled
}

/// The actor of everything that runs on the control thread.
@globalActor
public actor ControlThread {
    /// The one control thread.
    public static let shared = ControlThread()

    /// Where its jobs wait.
    nonisolated let executor: ControlExecutor
    private var waits: Waits

    private init() {
        do throws(SystemError) {
            executor = try ControlExecutor()
            waits = try Waits(wake: executor.wakeNumber)
        } catch {
            giveUp(error)
        }
    }

    /// Its jobs run where ``run(_:)`` was called.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        // Safety: the executor lives as long as the process.
        unsafe executor.asUnownedSerialExecutor()
    }

    // MARK: Running

    /// Makes the calling thread the control thread until `body` has returned; its value. May be called once at a time.
    public static func run<Value: Sendable>(_ body: @escaping @ControlThread () async -> Value) -> Value {
        let executor = shared.executor
        executor.begin()
        let end = Ending<Value>()
        spawn { end.set(await body()) }
        while true {
            executor.runJobs()
            if let value = end.value { return value }
            shared.assumeIsolated { $0.waits.waitAndResume(executor) }
        }
    }

    /// Starts the loop on a thread of its own, for programs that do not give their main thread: tests. Does nothing
    /// where it runs already.
    public static func start() { _ = background }

    private static let background: Void = {
        do throws(SystemError) {
            _ = try Thread(name: "control") { run { await forever() } }
        } catch {
            giveUp(error)
        }
    }()

    private static func forever() async { while true { _ = await sleep(until: .never) } }

    /// Starts a task on the control thread. Everything that it and its children await stays there: a plain `Task`
    /// would begin on the pool of threads that the language's runtime keeps, and bring that pool to life.
    @discardableResult
    public nonisolated static func spawn(_ body: @escaping @ControlThread () async -> Void) -> Task<Void, Never> {
        Task(executorPreference: shared.executor) { await body() }
    }

    /// Runs `bodies` side by side until all have returned. Cancelling the caller cancels each of them.
    @ControlThread
    public static func concurrently(_ bodies: [@ControlThread () async -> Void]) async {
        let tasks = bodies.map { spawn($0) }
        await withTaskCancellationHandler {
            for task in tasks { await task.value }
        } onCancel: {
            for task in tasks { task.cancel() }
        }
    }

    // MARK: Waiting

    /// Waits until `descriptor` can be read without blocking (its end and an error included).
    @ControlThread
    public static func readable(_ descriptor: Int32, until deadline: Instant = .never) async -> Wakeup {
        await wait(descriptor, forWriting: false, until: deadline)
    }

    /// Waits until `descriptor` can be written without blocking, or is broken.
    @ControlThread
    public static func writable(_ descriptor: Int32, until deadline: Instant = .never) async -> Wakeup {
        await wait(descriptor, forWriting: true, until: deadline)
    }

    /// Waits until `deadline`, at most some milliseconds longer; `.timedOut` in the normal case.
    @ControlThread
    public static func sleep(until deadline: Instant) async -> Wakeup {
        await wait(-1, forWriting: false, until: deadline)
    }

    /// Waits for `duration`.
    @ControlThread
    public static func sleep(for duration: Duration) async -> Wakeup {
        await sleep(until: Clock.now() + Instant.Span(duration))
    }

    @ControlThread
    private static func wait(_ descriptor: Int32, forWriting: Bool, until deadline: Instant) async -> Wakeup {
        let id = await shared.reserve()
        return await withTaskCancellationHandler {
            await shared.suspend(id, descriptor, forWriting: forWriting, until: deadline)
        } onCancel: {
            shared.executor.cancel(id)
        }
    }

    private func reserve() -> SlotID { waits.reserve() }

    private func suspend(
        _ id: SlotID, _ descriptor: Int32, forWriting: Bool, until deadline: Instant
    ) async -> Wakeup {
        await withCheckedContinuation { continuation in
            if Task.isCancelled {
                waits.abandon(id)
                continuation.resume(returning: .cancelled)
            } else {
                waits.begin(id, descriptor, forWriting: forWriting, until: deadline, continuation)
            }
        }
    }
}

/// Ends the process: without descriptors for its own thread it can do nothing at all.
private func giveUp(_ error: SystemError) -> Never {
    let text = "hdproxy: no control thread: \(error)\n"
    // Safety: a NUL-terminated string for the length of the call.
    _ = unsafe write(STDERR_FILENO, text, text.utf8.count)
    exit(1)
}

/// Where the value of ``ControlThread/run(_:)`` arrives.
private final class Ending<Value: Sendable>: Sendable {
    private let arrived = Mutex<Value?>(nil)
    var value: Value? { arrived.withLock { $0 } }
    func set(_ value: Value) { arrived.withLock { $0 = value } }
}
