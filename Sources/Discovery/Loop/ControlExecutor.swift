// Whose turn is it on the control thread? Jobs come from any thread (mostly from the control thread itself) and are run
// in their order by the one thread that turns the loop.

import Glibc
import ProxyCore
import Synchronization

/// The executor of ``ControlThread``.
final class ControlExecutor: SerialExecutor, TaskExecutor, Sendable {
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var cancelled: [SlotID] = []
        /// Whether the thread waits in epoll, or is about to, and has to be woken.
        var isAsleep = false
        /// The thread that turns the loop; nil before there is one.
        var owner: pthread_t?
    }

    private let inbox = Mutex(Inbox())
    private let wake: WakeHandle

    init() throws(SystemError) { wake = try WakeHandle() }

    /// The descriptor that becomes readable when something comes while the thread waits.
    var wakeNumber: Int32 { wake.number }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        leave { $0.jobs.append(job) }
    }

    /// Asks for the wait `id` to end. Any thread may call it.
    func cancel(_ id: SlotID) { leave { $0.cancelled.append(id) } }

    private func leave(_ change: (inout sending Inbox) -> Void) {
        let mustWake = inbox.withLock { inbox in
            change(&inbox)
            defer { inbox.isAsleep = false }
            return inbox.isAsleep
        }
        if mustWake { wake.wake() }
    }

    /// The calling thread turns the loop from now on.
    func begin() {
        let me = pthread_self()
        inbox.withLock { $0.owner = me }
    }

    /// Runs the jobs that are ready now. Those that they bring wait for the next turn, so that a task that always has more
    /// to do keeps no descriptor and no deadline waiting.
    func runJobs() {
        let jobs = inbox.withLock { inbox in
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
        for job in jobs {
            // Safety: each job is run once, on the thread that owns this executor.
            unsafe job.runSynchronously(
                isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
        }
    }

    /// What to do before waiting: the cancellations that have come, and whether there is a job already. If not, whoever
    /// comes from now on wakes the thread.
    func fallAsleep() -> (cancelled: [SlotID], hasJobs: Bool) {
        inbox.withLock { inbox in
            let cancelled = inbox.cancelled
            inbox.cancelled = []
            let hasJobs = !inbox.jobs.isEmpty
            inbox.isAsleep = !hasJobs && cancelled.isEmpty
            return (cancelled, hasJobs)
        }
    }

    /// The thread is awake again.
    func wakeUp(wasWoken: Bool) {
        inbox.withLock { $0.isAsleep = false }
        if wasWoken { wake.clear() }
    }

    /// Whether the calling thread is the one that turns the loop.
    private var isOwnThread: Bool {
        let me = pthread_self()
        return inbox.withLock { $0.owner.map { pthread_equal($0, me) != 0 } ?? false }
    }

    func checkIsolated() { precondition(isOwnThread, "this runs on the control thread alone") }

    func isIsolatingCurrentContext() -> Bool? { isOwnThread }
}
