// Who waits for the same answer? A question that is under way is asked once, however many want to know; each of them
// waits as long as it likes, and when nobody waits any more, nobody asks any more.

import ProxyCore

/// A lookup that is under way.
@ControlThread
final class Flight {
    /// What was found; nil while it is under way.
    private(set) var finding: Finding?
    /// The task that looks; set by whoever begins the flight.
    var task: Task<Void, Never>?
    private var waiting = 0
    private var sleepers: [Int: Task<Void, Never>] = [:]
    private var nextSleeper = 0

    /// Nothing is found yet.
    init() {}

    /// Tells all who wait.
    func end(_ finding: Finding) {
        self.finding = finding
        for sleeper in sleepers.values { sleeper.cancel() }
        sleepers = [:]
    }

    /// Waits for the end, until `deadline`, or until the caller is cancelled. False: nobody waits any more, and the
    /// looking was ended.
    func wait(until deadline: Instant) async -> Bool {
        if finding != nil { return true }
        let number = nextSleeper
        nextSleeper += 1
        waiting += 1
        let sleeper = ControlThread.spawn { _ = await ControlThread.sleep(until: deadline) }
        sleepers[number] = sleeper
        await Self.end(of: sleeper)
        sleepers[number] = nil
        waiting -= 1
        if finding != nil || waiting > 0 { return true }
        task?.cancel()
        return false
    }

    private static func end(of task: Task<Void, Never>) async {
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
    }
}

/// A door that lets so many through at once, in the order of their coming: each try takes a descriptor, and a thousand
/// services whose server is silent must not take all of them.
@ControlThread
final class Turnstile {
    private var free: Int
    private var queue: [CheckedContinuation<Void, Never>] = []
    /// How many of the queue have been let in; they are removed in bulk.
    private var served = 0

    /// A door for `count` at once.
    init(_ count: Int) { free = count }

    /// Waits for a place. Whoever is inside leaves within the time of one try.
    func enter() async {
        if free > 0 {
            free -= 1
            return
        }
        await withCheckedContinuation { queue.append($0) }
    }

    /// Gives the place to the next one.
    func leave() {
        guard served < queue.count else {
            free += 1
            return
        }
        let next = queue[served]
        served += 1
        if served == queue.count || served >= 1024 {
            queue.removeFirst(served)
            served = 0
        }
        next.resume()
    }
}
