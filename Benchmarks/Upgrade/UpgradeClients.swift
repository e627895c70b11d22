// Who notices an upgrade? Clients of three kinds, turned by one epoll loop a thread: connections that ask once, connections
// that ask again and again, and WebSockets. Each knows when it was opened, so that what a killed process took with it is
// told from what was lost.

import CLinux
import Glibc
import ProxyCore
import Synchronization

/// What the threads of the load and the one that upgrades share.
final class UpgradeStage: Sendable {
    private let state = Mutex((isOver: false, kills: [UInt64](), tally: UpgradeTally(), done: 0))

    /// Whether the load is to end.
    var isOver: Bool { state.withLock { $0.isOver } }
    /// Ends the load.
    func end() { state.withLock { $0.isOver = true } }
    /// A process is killed now.
    func noteKill() { state.withLock { $0.kills.append(monotonicNow()) } }
    /// Whether a process was killed between these moments.
    func wasKill(from: UInt64, to: UInt64) -> Bool { state.withLock { $0.kills.contains { from <= $0 && $0 <= to } } }
    /// Adds what one thread counted, which has ended.
    func add(_ tally: UpgradeTally) {
        state.withLock {
            $0.tally.add(tally)
            $0.done += 1
        }
    }
    /// Threads that have ended.
    var threadsDone: Int { state.withLock { $0.done } }
    /// What was counted.
    var tally: UpgradeTally { state.withLock { $0.tally } }
}

/// What was counted.
struct UpgradeTally: Sendable {
    /// Connections that were opened to ask once, and those that were answered.
    var opened = 0
    var answered = 0
    /// Connections that nobody accepted.
    var refused = 0
    /// Connections that ended, or were reset, before the answer was whole.
    var reset = 0
    /// Connections without an answer for ten seconds.
    var hung = 0
    /// Answers with another status than 200.
    var wrong = 0
    /// Requests on connections that stay, and those whose answer never came.
    var keptRequests = 0
    var keptLost = 0
    /// Connections that stay: closed as announced, and without a word.
    var keptAnnounced = 0
    var keptUnannounced = 0
    /// WebSockets that were open, from when to when those were that ended (nanoseconds of the clock), and how many of them
    /// were told Close 1001 before.
    var socketsOpened = 0
    var socketsEnded: [(opened: UInt64, ended: UInt64)] = []
    var socketsGoingAway = 0
    /// Whatever of the above was on a connection that was there when a process was killed.
    var excused = 0

    /// Adds up.
    mutating func add(_ other: UpgradeTally) {
        opened += other.opened
        answered += other.answered
        refused += other.refused
        reset += other.reset
        hung += other.hung
        wrong += other.wrong
        keptRequests += other.keptRequests
        keptLost += other.keptLost
        keptAnnounced += other.keptAnnounced
        keptUnannounced += other.keptUnannounced
        socketsOpened += other.socketsOpened
        socketsEnded += other.socketsEnded
        socketsGoingAway += other.socketsGoingAway
        excused += other.excused
    }
}

/// The clients of one thread.
struct UpgradeClients: ~Copyable {
    private enum Kind { case once, kept, socket }
    private enum Phase { case vacant, connecting, asking, resting, open }

    private struct Line {
        var kind = Kind.once
        var phase = Phase.vacant
        var fd: Int32 = -1
        var generation: UInt32 = 0
        var opened: UInt64 = 0
        /// When its request was sent, or is to be sent next.
        var at: UInt64 = 0
        var unread: [UInt8] = []
        var wasToldToGo = false
    }

    private let address: NetworkAddress
    private let stage: UpgradeStage
    private let rate: Double
    private let interval: UInt64
    private let poller: Int32
    private var lines: [Line] = []
    private var free: [Int] = []
    private var tally = UpgradeTally()

    private static let patience: UInt64 = 10_000_000_000
    private static let once = Array("GET /bytes/100 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".utf8)
    private static let kept = Array("GET /bytes/100 HTTP/1.1\r\nHost: a.test\r\n\r\n".utf8)
    private static let upgrade = Array(
        ("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").utf8)

    /// Clients of whoever listens on `port`: so many new connections a second, connections that ask every `interval`
    /// nanoseconds, and WebSockets.
    init(port: UInt16, stage: UpgradeStage, rate: Double, kept: Int, interval: UInt64, sockets: Int) throws {
        address = loopback(port)
        self.stage = stage
        self.rate = rate
        self.interval = interval
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard poller >= 0 else { throw SystemFailure("epoll") }
        for _ in 0..<kept { open(.kept) }
        for _ in 0..<sockets { open(.socket) }
    }

    deinit {
        for line in lines where line.fd >= 0 { close(line.fd) }
        close(poller)
    }

    /// Goes on until the stage is over.
    mutating func run() {
        let start = monotonicNow()
        var due = 0
        var looked = start
        while !stage.isOver {
            let now = monotonicNow()
            let wanted = Int(Double(now - start) / 1e9 * rate)
            // After a stall not all at once: a burst would measure the queue.
            for _ in 0..<min(wanted - due, 64) { open(.once) }
            due = wanted
            serveEvents()
            askAgain()
            if now - looked > 500_000_000 {
                looked = now
                giveUpOnTheSilent(now)
            }
        }
        stage.add(tally)
    }

    private mutating func open(_ kind: Kind) {
        let fd = makeSocket(for: address, isNonblocking: true)
        guard fd >= 0 else { return }
        let slot = free.popLast() ?? lines.count
        if slot == lines.count { lines.append(Line()) }
        lines[slot].kind = kind
        lines[slot].phase = .connecting
        lines[slot].fd = fd
        lines[slot].generation &+= 1
        lines[slot].opened = monotonicNow()
        lines[slot].at = lines[slot].opened
        lines[slot].unread.removeAll(keepingCapacity: true)
        lines[slot].wasToldToGo = false
        if kind == .once { tally.opened += 1 }
        setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        // Safety: connect reads the address.
        let result = unsafe withSocketAddress(address) { unsafe connect(fd, $0, $1) }
        if result != 0, errno != EINPROGRESS { return fail(slot, errno) }
        _ = watch(poller, fd, events: allEvents, token: UInt64(lines[slot].generation) << 32 | UInt64(slot))
    }

    private mutating func serveEvents() {
        // Safety: the kernel writes at most as many events as the array has, and does not keep the time.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 256)
        var time = timespec(tv_sec: 0, tv_nsec: 200_000)
        let count = unsafe epoll_pwait2(poller, &events, 256, &time, nil)
        for i in 0..<max(0, Int(count)) {
            let token = unsafe events[i].data.u64
            let bits = unsafe events[i].events
            let slot = Int(token & 0xFFFF_FFFF)
            guard lines[slot].generation == UInt32(token >> 32), lines[slot].phase != .vacant else { continue }
            if lines[slot].phase == .connecting, bits & (EPOLLOUT.rawValue | endEvents) != 0 { connected(slot) }
            if lines[slot].phase != .vacant, bits & (EPOLLIN.rawValue | endEvents) != 0 { receive(slot) }
        }
    }

    private mutating func connected(_ slot: Int) {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        // Safety: SO_ERROR is an int.
        _ = unsafe getsockopt(lines[slot].fd, SOL_SOCKET, SO_ERROR, &code, &length)
        if code != 0 { return fail(slot, code) }
        ask(slot)
    }

    private mutating func ask(_ slot: Int) {
        let request = lines[slot].kind == .once ? Self.once : lines[slot].kind == .kept ? Self.kept : Self.upgrade
        let fd = lines[slot].fd
        lines[slot].phase = .asking
        lines[slot].at = monotonicNow()
        if lines[slot].kind == .kept { tally.keptRequests += 1 }
        // Safety: send reads the request's bytes.
        let sent = unsafe request.withUnsafeBytes { unsafe send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if sent != request.count { fail(slot, errno) }
    }

    private mutating func askAgain() {
        let now = monotonicNow()
        for slot in lines.indices where lines[slot].phase == .resting && lines[slot].at <= now { ask(slot) }
    }

    private mutating func receive(_ slot: Int) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while lines[slot].phase != .vacant {
            // Safety: the kernel writes at most as many bytes as the array has.
            let count = unsafe recv(lines[slot].fd, &buffer, buffer.count, 0)
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            guard count > 0 else { return fail(slot, count == 0 ? 0 : errno) }
            lines[slot].unread += buffer[..<count]
            if lines[slot].phase == .open { hearFrames(slot) } else { hearAnswer(slot) }
        }
    }

    /// A Close frame may come any time (RFC 6455 §5.5.1); nothing else does, for nothing is asked.
    private mutating func hearFrames(_ slot: Int) {
        let bytes = lines[slot].unread
        if bytes.count >= 4, bytes[0] == 0x88 {
            lines[slot].wasToldToGo = Int(bytes[2]) << 8 | Int(bytes[3]) == 1001
        }
    }

    private mutating func hearAnswer(_ slot: Int) {
        let unread = lines[slot].unread
        guard let head = try? MessageHead.parse(unread.span) else { return }
        let line = String(decoding: unread[head.startLine], as: UTF8.self)
        if lines[slot].kind == .socket {
            guard line.hasPrefix("HTTP/1.1 101 ") else { return fail(slot, EPROTO) }
            lines[slot].phase = .open
            lines[slot].unread.removeAll()
            tally.socketsOpened += 1
            return
        }
        guard case .length(let length) = head.framing, unread.count >= head.length + length else { return }
        if !line.hasPrefix("HTTP/1.1 200 ") { tally.wrong += 1 }
        lines[slot].unread.removeAll(keepingCapacity: true)
        let text = String(decoding: unread[..<head.length], as: UTF8.self).lowercased()
        if lines[slot].kind == .once {
            tally.answered += 1
            return vacate(slot)
        }
        if text.contains("\r\nconnection: close\r\n") {
            tally.keptAnnounced += 1
            vacate(slot)
            return open(.kept)
        }
        lines[slot].phase = .resting
        lines[slot].at += interval
    }

    private mutating func giveUpOnTheSilent(_ now: UInt64) {
        for slot in lines.indices
        where (lines[slot].phase == .connecting || lines[slot].phase == .asking)
            && now > lines[slot].at + Self.patience
        {
            fail(slot, ETIMEDOUT)
        }
    }

    /// The connection is no more: why (an errno, 0 for its end), and what that means.
    private mutating func fail(_ slot: Int, _ code: Int32) {
        let line = lines[slot]
        vacate(slot)
        // Who goes with a killed process is told at once; whatever comes later has another reason.
        let now = monotonicNow()
        let isExcused = stage.wasKill(from: max(line.opened, now - 500_000_000), to: now)
        switch line.kind {
        case .socket where line.phase == .open:
            if !isExcused { tally.socketsEnded.append((line.opened, now)) }
            if line.wasToldToGo { tally.socketsGoingAway += 1 }
        case .kept where line.phase == .resting: if !isExcused { tally.keptUnannounced += 1 }
        case .kept where line.phase == .asking: if !isExcused { tally.keptLost += 1 }
        case .once, .kept, .socket:
            if isExcused {
            } else if line.phase == .connecting, code == ECONNREFUSED {
                tally.refused += 1
            } else if code == ETIMEDOUT {
                tally.hung += 1
            } else {
                tally.reset += 1
            }
        }
        if isExcused { tally.excused += 1 }
        if line.kind != .once, !stage.isOver, code != ECONNREFUSED || line.phase != .connecting { open(line.kind) }
    }

    private mutating func vacate(_ slot: Int) {
        close(lines[slot].fd)
        lines[slot].fd = -1
        lines[slot].phase = .vacant
        lines[slot].generation &+= 1
        free.append(slot)
    }
}
