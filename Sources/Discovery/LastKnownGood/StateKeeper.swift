// Who writes to the disk? A thread of its own, because a disk may be slow, full or gone, and the control thread waits
// for nobody. It has room for one state, the latest: what it did not get to in time is overtaken, never queued.

import Glibc
import ProxyCore
import Synchronization

/// Keeps the latest state in a directory.
final class StateKeeper: Sendable {
    private struct Slot {
        var waiting: (@Sendable () -> KeptState)?
        var isEnding = false
        var failures = 0
        var writes = 0
    }

    /// After how long a failed write is tried again without a new state.
    static let retryMilliseconds: Int32 = 30_000

    private let directory: String
    private let note: @Sendable (Notice) -> Void
    private let retryMilliseconds: Int32
    private let slot = Mutex(Slot())
    private let wake: WakeHandle
    /// Readable once the thread has written its last.
    private let done: WakeHandle

    /// A keeper for `directory`; its thread starts now and ends with ``end()``. What it notes comes from that thread.
    init(
        directory: String, retryMilliseconds: Int32 = StateKeeper.retryMilliseconds,
        note: @escaping @Sendable (Notice) -> Void
    ) throws(SystemError) {
        self.directory = directory
        self.note = note
        self.retryMilliseconds = retryMilliseconds
        wake = try WakeHandle()
        done = try WakeHandle()
        _ = try Thread(name: "state") { self.run() }
    }

    /// How many writes have failed.
    var failures: Int { slot.withLock { $0.failures } }

    /// How many writes have succeeded.
    var writes: Int { slot.withLock { $0.writes } }

    /// Has `state` written as soon as the disk is free. Any thread may call it. What makes the state is called on the
    /// keeper's thread: with ten thousand endpoints that takes longer than the control thread has for it.
    func keep(_ state: @escaping @Sendable @autoclosure () -> KeptState) {
        slot.withLock { $0.waiting = state }
        wake.wake()
    }

    /// Lets the thread end, after it has written what is waiting, and waits for that so long.
    func end(within milliseconds: Int32 = 0) {
        slot.withLock { $0.isEnding = true }
        wake.wake()
        var wait = pollfd(fd: done.number, events: Int16(POLLIN), revents: 0)
        // Safety: one pollfd.
        _ = unsafe poll(&wait, 1, milliseconds)
    }

    private func run() {
        // Nothing waits for this thread, and in a cluster where something changes all the time it has much to do. What fails
        // here costs order, no more. On Linux the niceness is a thread's own, and 0 is the calling one.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19)
        LastKnownGood.removeLeftovers(directory: directory)
        // What could not be written; it is tried again until something newer is there.
        var failed: KeptState?
        var encoder = KeptEncoder()
        while true {
            let (make, isEnding) = slot.withLock { slot in
                let waiting = slot.waiting
                slot.waiting = nil
                return (waiting, slot.isEnding)
            }
            let waiting = make?()
            if let state = waiting ?? failed {
                let error = write(state, &encoder)
                if let error, failed == nil || waiting != nil {
                    note(Notice(.error, "state_not_kept", ["error": error, "file": path]))
                } else if error == nil, failed != nil {
                    note(Notice(.info, "state_kept_again", ["file": path]))
                }
                failed = error == nil ? nil : state
            }
            if isEnding { return done.wake() }
            if waiting == nil || failed != nil { pause(for: failed == nil ? -1 : retryMilliseconds) }
        }
    }

    private var path: String { "\(directory)/\(LastKnownGood.fileName)" }

    /// Writes; what is wrong, or nil.
    private func write(_ state: KeptState, _ encoder: inout KeptEncoder) -> String? {
        do {
            try LastKnownGood.write(encoder.encode(state), directory: directory)
            slot.withLock { $0.writes += 1 }
            return nil
        } catch {
            slot.withLock { $0.failures += 1 }
            return "\(error)"
        }
    }

    private func pause(for milliseconds: Int32) {
        var descriptor = pollfd(fd: wake.number, events: Int16(POLLIN), revents: 0)
        // Safety: one pollfd.
        _ = unsafe poll(&descriptor, 1, milliseconds)
        wake.clear()
    }
}
