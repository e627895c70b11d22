// The load itself: one thread, one epoll, every descriptor registered once and edge-triggered; one send and one read a
// request, nothing allocated while it runs. All that comes back is checked: status, framing, length, echo.
//
// An open loop counts a request's time from the moment at which it was to be sent: a request that had to wait for a
// free connection has waited all the same (no coordinated omission).

import CLinux
import Glibc
import ProxyCore

/// Sends the requests of a plan and measures them.
@safe struct LoadGenerator: ~Copyable {
    /// When a run ends. What is in flight then is waited for and counted.
    enum End {
        /// After so many nanoseconds.
        case after(UInt64)
        /// After so many requests.
        case requests(Int)
        /// After one request on each connection, at most so many at once; the connections stay open.
        case oncePerConnection(window: Int)
    }

    /// Latencies of the answered requests.
    var latencies = Histogram()
    /// What failed.
    var errors = LoadErrors()
    /// Body or message bytes that came.
    var receivedBytes = 0
    /// Connections that the other side ended between two requests.
    var reconnects = 0
    /// From the start to the last answer, in nanoseconds.
    var elapsed: UInt64 = 0
    /// Requests that an open loop sent later than a millisecond after their time.
    var late = 0
    /// Why the run was given up, if it was.
    var gaveUp: String?

    let plan: LoadPlan
    let requests: RequestSet
    let poller: Int32
    let timer: Int32
    let connections: UnsafeMutablePointer<LoadConnection>
    let count: Int
    let events: UnsafeMutablePointer<epoll_event>
    let buffer: UnsafeMutablePointer<UInt8>
    let body: UnsafeMutablePointer<UInt8>
    /// A masked message as it is sent, and as it must come back.
    let message: [UInt8]
    let echo: [UInt8]
    let accept: [UInt8]
    /// TLS, where the plan wants it.
    let isSecure: Bool
    var tls: LoadTLSClient

    var waiting: IndexRing
    var mode = Mode.stopped
    var issued = 0
    var limit = Int.max
    var deadline = UInt64.max
    var inFlight = 0
    /// Connections whose answer is complete and whose end has not come yet.
    var lingering = 0
    var nextHost = 0
    var failuresInRow = 0
    var startedAt: UInt64 = 0

    enum Mode { case stopped, closed, open(interval: Double), once }

    static let bufferBytes = 1 << 20
    static let eventsAtOnce = 256
    static let timerToken = UInt64.max

    /// A generator for `plan`; nothing is opened yet.
    init(_ plan: LoadPlan) throws {
        precondition(!plan.targets.isEmpty && plan.connections > 0, "a plan has targets and connections")
        self.plan = plan
        isSecure = plan.tls != nil
        tls = LoadTLSClient(plan.tls, connections: plan.connections)
        requests = RequestSet(plan)
        count = plan.connections
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        timer = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC) | Int32(TFD_NONBLOCK))
        // Safety: each allocation is initialised to its full length; all are freed in deinit.
        unsafe connections = .allocate(capacity: count)
        unsafe connections.initialize(repeating: LoadConnection(), count: count)
        unsafe events = .allocate(capacity: Self.eventsAtOnce)
        unsafe buffer = .allocate(capacity: Self.bufferBytes)
        unsafe buffer.initialize(repeating: 0, count: Self.bufferBytes)
        unsafe body = .allocate(capacity: Self.bufferBytes)
        unsafe body.initialize(repeating: UInt8(ascii: "u"), count: Self.bufferBytes)
        waiting = IndexRing(capacity: count)
        let payload = (0..<(plan.messageBytes ?? 0)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let mask: [UInt8] = [0x5A, 0xC3, 0x17, 0x88]
        message =
            WebSocketWire.frameHead(count: payload.count, mask: mask)
            + payload.enumerated().map { $0.element ^ mask[$0.offset & 3] }
        echo = WebSocketWire.frameHead(count: payload.count) + payload
        accept = Array(WebSocketWire.accept(for: RequestSet.webSocketKey).utf8)
        if let problem = tls.problem { throw Failure(problem) }
        guard poller >= 0, timer >= 0 else { throw SystemFailure("epoll or timerfd") }
        guard watch(poller, timer, events: EPOLLIN.rawValue | EPOLLET.rawValue, token: Self.timerToken) else {
            throw SystemFailure("epoll_ctl")
        }
        for i in 0..<count {
            // Safety: `i` is within the slab.
            unsafe connections[i].target = Int32(i % plan.targets.count)
        }
    }

    deinit {
        for i in 0..<count {
            // Safety: `i` is within the slab; each pointer was allocated in init and never given away.
            if unsafe connections[i].fd >= 0 { unsafe close(connections[i].fd) }
            unsafe connections[i].input.release()
        }
        close(poller)
        close(timer)
        unsafe connections.deallocate()
        unsafe events.deallocate()
        unsafe buffer.deallocate()
        unsafe body.deallocate()
    }

    /// Opens all connections and waits until each can carry a request (a WebSocket's handshake included). For a plan
    /// with a new connection a request there is nothing to open.
    mutating func open() throws {
        if plan.newConnections { return }
        let giveUpAt = monotonicNow() + plan.timeout
        var next = 0
        while true {
            var opening = 0
            for i in 0..<next where unsafe connections[i].phase != .idle { opening += 1 }
            while next < count, opening < 128 {
                connect(next)
                next += 1
                opening += 1
            }
            if opening == 0 { return }
            if errors.total > count { throw Failure("connections could not be opened: \(errors.text)") }
            if monotonicNow() > giveUpAt || stopWasAsked { throw Failure("connections were not open in time") }
            try turn(wait: 100)
            for i in 0..<next where unsafe connections[i].phase == .closed { connect(i) }
        }
    }

    /// TLS handshakes, full and resumed.
    var handshakes: (full: Int, resumed: Int) { tls.handshakes }

    /// Runs until `end` and until all that is in flight is answered or timed out. Figures add up over several runs; see
    /// `reset`. `tick` is called about once a second.
    mutating func run(_ end: End, tick: ((_ done: Int) -> Void)? = nil) throws {
        (issued, limit, deadline, failuresInRow) = (0, Int.max, UInt64.max, 0)
        waiting.removeAll()
        startedAt = monotonicNow()
        mode = .closed
        if case .open(let rate) = plan.pace { mode = .open(interval: 1e9 / rate) }
        var atFirst = count
        switch end {
        case .after(let time): deadline = startedAt + time
        case .requests(let number): limit = number
        case .oncePerConnection(let window):
            (limit, mode, atFirst) = (count, .once, min(window, count))
        }
        switch mode {
        case .open(let interval):
            // All that is due in the time is sent, however late: who leaves out what a stall held up makes it look good.
            if deadline != .max { limit = max(1, Int(Double(deadline - startedAt) / interval)) }
            for i in 0..<count { waiting.append(Int32(i)) }
            setTimer(interval: interval)
        case .closed, .once: for i in 0..<atFirst { issue(i, intended: nil) }
        case .stopped: break
        }
        var nextLook = startedAt + 1_000_000_000
        while gaveUp == nil, !stopWasAsked {
            let now = monotonicNow()
            if issued >= limit { mode = .stopped }
            if case .open(let interval) = mode {
                issueDue(now, interval)
                if deadline != .max, now > deadline + plan.timeout {
                    gaveUp = "\(grouped(limit - issued)) requests that were due could not be sent in time"
                }
            } else if now >= deadline {
                mode = .stopped
            }
            if case .stopped = mode, inFlight == 0, lingering == 0 { break }
            if now >= nextLook {
                nextLook += 1_000_000_000
                dropOverdue(now)
                tick?(Int(latencies.count))
            }
            let untilDeadline = deadline == .max ? 100 : Int(clamping: (max(deadline, now) - now) / 1_000_000 + 1)
            try turn(wait: Int32(min(100, untilDeadline)))
        }
        mode = .stopped
        setTimer(interval: 0)
        elapsed += monotonicNow() - startedAt
    }

    /// Forgets all figures, not the connections.
    mutating func reset() {
        latencies.reset()
        errors = LoadErrors()
        (receivedBytes, reconnects, elapsed, late, gaveUp) = (0, 0, 0, 0, nil)
        tls.reset()
    }
}
