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
    private(set) var latencies = Histogram()
    /// What failed.
    private(set) var errors = LoadErrors()
    /// Body or message bytes that came.
    private(set) var receivedBytes = 0
    /// Connections that the other side ended between two requests.
    private(set) var reconnects = 0
    /// From the start to the last answer, in nanoseconds.
    private(set) var elapsed: UInt64 = 0
    /// Requests that an open loop sent later than a millisecond after their time.
    private(set) var late = 0
    /// Why the run was given up, if it was.
    private(set) var gaveUp: String?

    private let plan: LoadPlan
    private let requests: RequestSet
    private let poller: Int32
    private let timer: Int32
    private let connections: UnsafeMutablePointer<LoadConnection>
    private let count: Int
    private let events: UnsafeMutablePointer<epoll_event>
    private let buffer: UnsafeMutablePointer<UInt8>
    private let body: UnsafeMutablePointer<UInt8>
    /// A masked message as it is sent, and as it must come back.
    private let message: [UInt8]
    private let echo: [UInt8]
    private let accept: [UInt8]

    private var waiting: IndexRing
    private var mode = Mode.stopped
    private var issued = 0
    private var limit = Int.max
    private var deadline = UInt64.max
    private var inFlight = 0
    /// Connections whose answer is complete and whose end has not come yet.
    private var lingering = 0
    private var nextHost = 0
    private var failuresInRow = 0
    private var startedAt: UInt64 = 0

    private enum Mode { case stopped, closed, open(interval: Double), once }

    private static let bufferBytes = 1 << 20
    private static let eventsAtOnce = 256
    private static let timerToken = UInt64.max

    /// A generator for `plan`; nothing is opened yet.
    init(_ plan: LoadPlan) throws {
        precondition(!plan.targets.isEmpty && plan.connections > 0, "a plan has targets and connections")
        self.plan = plan
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
    }

    // MARK: The turn

    private mutating func turn(wait: Int32) throws {
        // Safety: epoll_wait fills at most as many events as there is room for.
        let number = unsafe epoll_wait(poller, events, Int32(Self.eventsAtOnce), wait)
        if number < 0 && errno != EINTR { throw SystemFailure("epoll_wait") }
        for k in 0..<max(0, Int(number)) {
            let flags = unsafe events[k].events
            let token = unsafe events[k].data.u64
            if token == Self.timerToken {
                rearmTimer()
                continue
            }
            let i = Int(token & 0xFFFF_FFFF)
            // Safety: tokens carry only slots of the slab; the generation tells a stale event.
            guard unsafe connections[i].generation == UInt32(token >> 32), unsafe connections[i].fd >= 0 else {
                continue
            }
            arrived(i, flags)
        }
    }

    private mutating func arrived(_ i: Int, _ flags: UInt32) {
        // Safety: `i` is within the slab.
        if unsafe connections[i].phase == .connecting {
            if flags & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { return fail(i, .connect) }
            guard flags & EPOLLOUT.rawValue != 0 else { return }
            connected(i)
        } else if flags & EPOLLOUT.rawValue != 0, unsafe connections[i].phase != .idle, !isSent(i) {
            sendOn(i)
        }
        if flags & endEvents != 0 { unsafe connections[i].isEnding = true }
        if flags & (EPOLLIN.rawValue | endEvents) != 0 { receive(i) }
    }

    private mutating func dropOverdue(_ now: UInt64) {
        for i in 0..<count {
            // Safety: `i` is within the slab.
            let phase = unsafe connections[i].phase
            if phase == .closed || phase == .idle { continue }
            if unsafe now > connections[i].startedAt + plan.timeout { fail(i, .timeout) }
        }
    }

    /// Wakes the turn at the pace of an open loop.
    private func setTimer(interval: Double) {
        let nanoseconds = Int(max(interval, interval == 0 ? 0 : 20_000))
        let time = timespec(tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000)
        var setting = itimerspec(it_interval: time, it_value: time)
        // Safety: the kernel reads the setting.
        _ = unsafe timerfd_settime(timer, 0, &setting, nil)
    }

    /// A periodic timer goes on only once it was read.
    private func rearmTimer() {
        var expirations: UInt64 = 0
        // Safety: read writes the eight bytes of the count.
        _ = unsafe read(timer, &expirations, MemoryLayout<UInt64>.size)
    }

    private mutating func issueDue(_ now: UInt64, _ interval: Double) {
        while issued < limit, !waiting.isEmpty {
            let intended = startedAt + UInt64(Double(issued) * interval)
            guard intended <= now, let i = waiting.popFirst() else { return }
            if now > intended + 1_000_000 { late += 1 }
            issue(Int(i), intended: intended)
        }
    }

    // MARK: A request's way

    /// Starts the next request on connection `i`, which has none in flight.
    private mutating func issue(_ i: Int, intended: UInt64?) {
        guard issued < limit else { return }
        issued += 1
        inFlight += 1
        let now = monotonicNow()
        let host = nextHost
        nextHost = nextHost + 1 == requests.perTarget ? 0 : nextHost + 1
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        unsafe connection.pointee.request = Int32(Int(connection.pointee.target) * requests.perTarget + host)
        unsafe connection.pointee.sent = 0
        unsafe connection.pointee.intendedAt = intended ?? now
        unsafe connection.pointee.hasRequest = true
        if unsafe connection.pointee.phase == .idle {
            unsafe connection.pointee.startedAt = now
            begin(i)
        } else if unsafe connection.pointee.phase == .closed {
            connect(i)
        }
    }

    private mutating func connect(_ i: Int) {
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        let address = unsafe plan.targets[Int(connection.pointee.target)].address
        let fd = makeSocket(for: address, isNonblocking: true)
        unsafe connection.pointee.fd = fd
        unsafe connection.pointee.generation &+= 1
        unsafe connection.pointee.phase = .connecting
        unsafe connection.pointee.isEnding = false
        unsafe connection.pointee.startedAt = monotonicNow()
        unsafe connection.pointee.input.removeAll()
        guard fd >= 0 else { return fail(i, .connect) }
        // One small send on a new connection goes out at once anyway.
        if !plan.newConnections || plan.bodyBytes > 0 { setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        let refused = unsafe withSocketAddress(address) { unsafe Glibc.connect(fd, $0, $1) } != 0
        if refused && errno != EINPROGRESS { return fail(i, .connect) }
        let token = unsafe UInt64(connection.pointee.generation) << 32 | UInt64(i)
        if !watch(poller, fd, events: allEvents, token: token) { fail(i, .connect) }
    }

    private mutating func connected(_ i: Int) {
        // Safety: `i` is within the slab.
        if plan.messageBytes != nil {
            unsafe connections[i].phase = .handshake
            unsafe connections[i].sent = 0
            sendOn(i)
        } else {
            ready(i)
        }
    }

    /// Connected, and shaken hands if need be: sends the request that waits for this, if any.
    private mutating func ready(_ i: Int) {
        // Safety: `i` is within the slab.
        unsafe connections[i].phase = .idle
        if unsafe connections[i].hasRequest {
            unsafe connections[i].sent = 0
            begin(i)
        }
    }

    private mutating func begin(_ i: Int) {
        // Safety: `i` is within the slab.
        unsafe connections[i].phase = plan.messageBytes == nil ? .head : .echo
        unsafe connections[i].remaining = 0
        sendOn(i)
    }

    private func isSent(_ i: Int) -> Bool {
        // Safety: `i` is within the slab.
        let sent = unsafe connections[i].sent
        if unsafe connections[i].phase == .echo { return sent == message.count }
        return unsafe sent == requests.request(Int(connections[i].request)).count + requests.trailingBytes
    }

    private mutating func sendOn(_ i: Int) {
        // Safety: `i` is within the slab; every send reads bytes within the buffer that it names.
        let connection = unsafe connections + i
        let isEcho = unsafe connection.pointee.phase == .echo
        let trailing = isEcho ? 0 : requests.trailingBytes
        let head = unsafe requests.request(Int(connection.pointee.request))
        let headCount = isEcho ? message.count : head.count
        while true {
            let sent = unsafe connection.pointee.sent
            let written: Int
            if sent < headCount {
                let flags = Int32(MSG_NOSIGNAL) | (trailing > 0 ? Int32(MSG_MORE) : 0)
                if isEcho {
                    written = unsafe message.withUnsafeBufferPointer {
                        unsafe send(connection.pointee.fd, $0.baseAddress! + sent, headCount - sent, flags)
                    }
                } else {
                    written = unsafe send(connection.pointee.fd, head.baseAddress! + sent, headCount - sent, flags)
                }
            } else {
                let left = min(trailing - (sent - headCount), Self.bufferBytes)
                if left == 0 { return }
                written = unsafe send(connection.pointee.fd, body, left, Int32(MSG_NOSIGNAL))
            }
            if written < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { fail(i, .reset) }
                return
            }
            unsafe connection.pointee.sent += written
            if unsafe connection.pointee.sent == headCount + trailing { return }
        }
    }

    /// Reads until the socket is drained.
    private mutating func receive(_ i: Int) {
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        let generation = unsafe connection.pointee.generation
        while true {
            // A long body is thrown away in the kernel, to leave the core to others.
            let phase = unsafe connection.pointee.phase
            let discards = unsafe phase == .body && connection.pointee.remaining >= 65536
            let room = unsafe discards ? min(connection.pointee.remaining, Self.bufferBytes) : Self.bufferBytes
            // Safety: recv writes at most `room` bytes into the buffer, or nothing for MSG_TRUNC.
            let number = unsafe recv(
                connection.pointee.fd, buffer, room, discards ? Int32(MSG_TRUNC) : 0)
            if number < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { ended(i, isReset: true) }
                return
            }
            if number == 0 { return ended(i, isReset: false) }
            let isDrained = unsafe number < room && !connection.pointee.isEnding
            if discards {
                receivedBytes += number
                unsafe connection.pointee.remaining -= number
                if unsafe connection.pointee.remaining == 0 { complete(i) }
            } else {
                take(i, phase, number)
            }
            // Gone, or gone and opened again: the new socket will have an event of its own.
            if unsafe connection.pointee.fd < 0 || connection.pointee.generation != generation { return }
            if isDrained { return }
        }
    }

    /// Takes in `number` bytes of the buffer.
    private mutating func take(_ i: Int, _ phase: LoadConnection.Phase, _ number: Int) {
        // Safety: `i` is within the slab; the buffer holds `number` bytes.
        let connection = unsafe connections + i
        do {
            switch phase {
            case .head, .handshake:
                if unsafe connection.pointee.input.isEmpty {
                    let bytes = unsafe UnsafeBufferPointer(start: buffer, count: number)
                    if try unsafe !takeHead(i, bytes) { unsafe connection.pointee.input.append(bytes) }
                    return
                }
                unsafe connection.pointee.input.append(UnsafeBufferPointer(start: buffer, count: number))
                var held = unsafe connection.pointee.input
                unsafe connection.pointee.input = Stash()
                if try unsafe takeHead(i, UnsafeBufferPointer(held.bytes)) {
                    held.release()
                } else {
                    unsafe connection.pointee.input = held
                }
            case .body, .chunks, .untilClose:
                try unsafe takeBody(i, UnsafeBufferPointer(start: buffer, count: number), from: 0)
            case .echo:
                let place = unsafe connection.pointee.remaining
                let isEqual = unsafe echo.withUnsafeBufferPointer { echo in
                    unsafe place + number <= echo.count && memcmp(echo.baseAddress! + place, buffer, number) == 0
                }
                guard isEqual else { return fail(i, .wrongEcho) }
                unsafe connection.pointee.remaining = place + number
                if place + number == echo.count {
                    receivedBytes += plan.messageBytes ?? 0
                    complete(i)
                }
            case .end, .idle: fail(i, .excess)
            case .closed, .connecting: break
            }
        } catch {
            fail(i, .malformed)
        }
    }

    /// Takes in an answer's head and what follows it. False: there is more to come.
    private mutating func takeHead(_ i: Int, _ bytes: UnsafeBufferPointer<UInt8>) throws(MalformedMessage) -> Bool {
        // Safety: `i` is within the slab; the bytes live through the call.
        let connection = unsafe connections + i
        let span = unsafe bytes.span
        guard let head = try MessageHead.parse(span) else { return false }
        let line = head.startLine
        guard line.count >= 12, matches(span, line.lowerBound, "http/1.1 ") else { throw MalformedMessage() }
        if unsafe connection.pointee.phase == .handshake {
            let isRight = matches(span, line.lowerBound + 9, "101") && hasAccept(head, span)
            if isRight && head.length == bytes.count { ready(i) } else { fail(i, .handshake) }
            return true
        }
        if span[line.lowerBound + 9] == UInt8(ascii: "1") {
            // An interim answer: the final one is still to come (RFC 9110 §15.2).
            guard span[line.lowerBound + 11] != UInt8(ascii: "1") else { throw MalformedMessage() }
            let rest = unsafe UnsafeBufferPointer(rebasing: bytes[head.length...])
            if rest.count == 0 { return true }
            if try unsafe !takeHead(i, rest) { unsafe connection.pointee.input.append(rest) }
            return true
        }
        guard span[line.lowerBound + 9] == UInt8(ascii: "2") else {
            fail(i, .badStatus)
            return true
        }
        unsafe connection.pointee.closes = head.closes
        switch plan.method == "HEAD" ? .length(0) : head.framing {
        case .length(let length):
            if let expected = plan.expectedBytes, expected != length {
                fail(i, .wrongLength)
                return true
            }
            unsafe connection.pointee.remaining = length
            unsafe connection.pointee.phase = .body
        case .chunked:
            unsafe connection.pointee.chunks = ChunkedBody()
            unsafe connection.pointee.phase = .chunks
        case .untilClose, .none:
            unsafe connection.pointee.remaining = 0
            unsafe connection.pointee.phase = .untilClose
        }
        try unsafe takeBody(i, bytes, from: head.length)
        return true
    }

    private func hasAccept(_ head: MessageHead, _ bytes: Span<UInt8>) -> Bool {
        guard let place = head.webSocketKey, place.count == accept.count else { return false }
        return place.allSatisfy { bytes[$0] == accept[$0 - place.lowerBound] }
    }

    private mutating func takeBody(
        _ i: Int, _ bytes: UnsafeBufferPointer<UInt8>, from start: Int
    ) throws(MalformedMessage) {
        // Safety: `i` is within the slab; the bytes live through the call.
        let connection = unsafe connections + i
        let left = bytes.count - start
        switch unsafe connection.pointee.phase {
        case .body:
            let remaining = unsafe connection.pointee.remaining
            if left > remaining { return fail(i, .excess) }
            receivedBytes += left
            unsafe connection.pointee.remaining = remaining - left
            if left == remaining { complete(i) }
        case .chunks:
            let end = try unsafe connection.pointee.chunks.consume(bytes.span, from: start)
            guard unsafe connection.pointee.chunks.isComplete else { return }
            let total = unsafe connection.pointee.chunks.total
            receivedBytes += total
            if end != bytes.count { return fail(i, .excess) }
            if let expected = plan.expectedBytes, expected != total { return fail(i, .wrongLength) }
            complete(i)
        case .untilClose:
            receivedBytes += left
            unsafe connection.pointee.remaining += left
        case .closed, .connecting, .idle, .head, .end, .handshake, .echo: break
        }
    }

    /// The socket has ended.
    private mutating func ended(_ i: Int, isReset: Bool) {
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        switch unsafe connection.pointee.phase {
        case .end:
            closeSocket(i)
            next(i)
        case .untilClose where !isReset:
            if let expected = plan.expectedBytes, unsafe expected != connection.pointee.remaining {
                return fail(i, .wrongLength)
            }
            unsafe connection.pointee.closes = true
            complete(i)
            closeSocket(i)
            next(i)
        case .idle:
            // Nothing was in flight: a peer may end an idle connection. It is opened again when it is needed.
            reconnects += 1
            closeSocket(i)
        case .connecting: fail(i, .connect)
        case .closed, .head, .body, .chunks, .untilClose, .handshake, .echo: fail(i, isReset ? .reset : .closedEarly)
        }
    }

    /// The answer is complete and right.
    private mutating func complete(_ i: Int) {
        guard isSent(i) else { return fail(i, .tooEarly) }
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        latencies.record(unsafe monotonicNow() &- connection.pointee.intendedAt)
        inFlight -= 1
        failuresInRow = 0
        unsafe connection.pointee.hasRequest = false
        if unsafe connection.pointee.closes || plan.newConnections {
            // The peer said that it closes: it does, and the slot waits for that, as a client that reads to the end.
            if !plan.newConnections { reconnects += 1 }
            unsafe connection.pointee.closes = false
            unsafe connection.pointee.phase = .end
            lingering += 1
            return
        }
        unsafe connection.pointee.phase = .idle
        next(i)
    }

    private mutating func fail(_ i: Int, _ kind: LoadError) {
        // Safety: `i` is within the slab.
        if unsafe connections[i].phase == .closed { return }
        errors[kind] += 1
        failuresInRow += 1
        let hadRequest = unsafe connections[i].hasRequest
        unsafe connections[i].hasRequest = false
        if hadRequest { inFlight -= 1 }
        closeSocket(i)
        if failuresInRow > 100 + 2 * count {
            gaveUp = "\(failuresInRow) failures in a row (\(errors.text))"
            return
        }
        if hadRequest { next(i) }
    }

    private mutating func closeSocket(_ i: Int) {
        // Safety: `i` is within the slab.
        if unsafe connections[i].fd >= 0 { unsafe close(connections[i].fd) }
        if unsafe connections[i].phase == .end { lingering -= 1 }
        unsafe connections[i].fd = -1
        unsafe connections[i].phase = .closed
        unsafe connections[i].input.removeAll()
    }

    /// Connection `i` is free again: what now?
    private mutating func next(_ i: Int) {
        switch mode {
        case .closed: issue(i, intended: nil)
        case .open: waiting.append(Int32(i))
        case .once: if issued < count { issue(issued, intended: nil) }
        case .stopped: break
        }
    }
}

/// Slots that wait for their turn: first in, first out, in memory taken once.
@safe private struct IndexRing: ~Copyable {
    private let slots: UnsafeMutablePointer<Int32>
    private let capacity: Int
    private var first = 0
    private var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        unsafe slots = .allocate(capacity: capacity)
        // Safety: initialised to its full length.
        unsafe slots.initialize(repeating: 0, count: capacity)
    }

    deinit {
        // Safety: allocated in init, never given away.
        unsafe slots.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    mutating func append(_ slot: Int32) {
        precondition(count < capacity, "a connection waits at most once")
        // Safety: the place is below `capacity`.
        unsafe slots[(first + count) % capacity] = slot
        count += 1
    }

    mutating func popFirst() -> Int32? {
        guard count > 0 else { return nil }
        // Safety: the place is below `capacity`.
        let slot = unsafe slots[first]
        first = (first + 1) % capacity
        count -= 1
        return slot
    }

    mutating func removeAll() { (first, count) = (0, 0) }
}
