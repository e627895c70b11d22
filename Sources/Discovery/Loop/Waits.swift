// Who waits for what on the control thread? A numbered slot for each wait: its continuation, its descriptor, its
// deadline. A descriptor stands in epoll only while somebody waits for it.

import ProxyCore

/// All waits of the control thread.
struct Waits: ~Copyable {
    private struct Wait {
        var generation: UInt32 = 0
        var descriptor: Int32 = -1
        var continuation: CheckedContinuation<Wakeup, Never>?
    }

    private let poller: Poller
    private var timers: TimerWheel
    private var waits: [Wait] = []
    /// Which wait a descriptor stands in epoll for. Whoever closes a descriptor that is still waited for takes it out of
    /// epoll, and its number may be another one's by the time the old wait ends.
    private var holders: [Int32: SlotID] = [:]
    private var free: [Int32] = []

    init(wake: Int32) throws(SystemError) {
        let poller = try Poller()
        guard poller.addLevel(wake, Token(.wake, .none)) else {
            throw SystemError("epoll_ctl", doing: "starting the control thread")
        }
        self.poller = poller
        timers = TimerWheel(now: Clock.now())
    }

    /// A slot for a wait that is about to begin.
    mutating func reserve() -> SlotID {
        if let index = free.popLast() { return SlotID(index: index, generation: waits[Int(index)].generation) }
        waits.append(Wait())
        timers.reserve(waits.count)
        return SlotID(index: Int32(waits.count - 1), generation: 0)
    }

    /// The wait in a reserved slot never begins.
    mutating func abandon(_ id: SlotID) { vacate(id.index) }

    /// Begins a wait. A descriptor that epoll does not take (no memory, or not one that can be waited for) counts as
    /// ready: the call that follows tells what is wrong with it.
    mutating func begin(
        _ id: SlotID, _ descriptor: Int32, forWriting: Bool, until deadline: Instant,
        _ continuation: CheckedContinuation<Wakeup, Never>
    ) {
        if descriptor >= 0 {
            guard poller.add(descriptor, Token(.upstream, id), forWriting: forWriting) else {
                vacate(id.index)
                return continuation.resume(returning: .ready)
            }
            holders[descriptor] = id
        }
        waits[Int(id.index)].descriptor = descriptor
        waits[Int(id.index)].continuation = continuation
        if deadline != .never { timers.arm(id.index, at: deadline) }
    }

    /// Ends a wait, if it is still going on.
    private mutating func end(_ id: SlotID, _ wakeup: Wakeup) {
        guard id.index >= 0, Int(id.index) < waits.count,
            waits[Int(id.index)].generation & Self.generationMask == id.generation & Self.generationMask,
            let continuation = waits[Int(id.index)].continuation
        else { return }
        let descriptor = waits[Int(id.index)].descriptor
        if descriptor >= 0, holders[descriptor]?.index == id.index {
            holders[descriptor] = nil
            poller.remove(descriptor)
        }
        vacate(id.index)
        continuation.resume(returning: wakeup)
    }

    private mutating func vacate(_ index: Int32) {
        timers.disarm(index)
        waits[Int(index)].generation &+= 1
        waits[Int(index)].descriptor = -1
        waits[Int(index)].continuation = nil
        free.append(index)
    }

    /// One turn of the loop: takes cancellations, waits for whatever comes first, and resumes who waited for it.
    mutating func waitAndResume(_ executor: ControlExecutor) {
        let (cancelled, hasJobs) = executor.fallAsleep()
        for id in cancelled { end(id, .cancelled) }
        let count = poller.wait(milliseconds: hasJobs || !cancelled.isEmpty ? 0 : timeout())
        var wasWoken = false
        for i in 0..<count {
            let token = poller.event(i).token
            if token.kind == .wake { wasWoken = true } else { end(token.slot, .ready) }
        }
        executor.wakeUp(wasWoken: wasWoken)
        let now = Clock.now()
        while let index = timers.nextDue(at: now) {
            end(SlotID(index: index, generation: waits[Int(index)].generation), .timedOut)
        }
    }

    private func timeout() -> Int32 {
        let wake = timers.nextWake()
        if wake == .never { return -1 }
        let nanoseconds = (wake - Clock.now()).nanoseconds
        return nanoseconds <= 0 ? 0 : Int32(min((nanoseconds + 999_999) / 1_000_000, 60_000))
    }

    /// A token carries that much of a generation.
    private static let generationMask: UInt32 = 0x3FFF_FFFF
}
