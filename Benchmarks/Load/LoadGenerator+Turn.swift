// What happened, and what is due? One turn of the load: events, connections that take too long, the pace of an open loop.

import CLinux
import Glibc

extension LoadGenerator {
    mutating func turn(wait: Int32) throws {
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

    mutating func arrived(_ i: Int, _ flags: UInt32) {
        // Safety: `i` is within the slab.
        if unsafe connections[i].phase == .connecting {
            if flags & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { return fail(i, .connect) }
            guard flags & EPOLLOUT.rawValue != 0 else { return }
            connected(i)
        } else if unsafe connections[i].phase == .securing {
            shake(i)
            if unsafe connections[i].phase == .securing {
                if flags & endEvents != 0 { fail(i, .tls) }
                return
            }
        } else if flags & EPOLLOUT.rawValue != 0, unsafe connections[i].phase != .idle, !isSent(i) {
            sendOn(i)
        }
        if flags & endEvents != 0 { unsafe connections[i].isEnding = true }
        if flags & (EPOLLIN.rawValue | endEvents) != 0 { receive(i) }
    }

    mutating func dropOverdue(_ now: UInt64) {
        for i in 0..<count {
            // Safety: `i` is within the slab.
            let phase = unsafe connections[i].phase
            if phase == .closed || phase == .idle { continue }
            if unsafe now > connections[i].startedAt + plan.timeout { fail(i, .timeout) }
        }
    }

    /// Wakes the turn at the pace of an open loop.
    func setTimer(interval: Double) {
        let nanoseconds = Int(max(interval, interval == 0 ? 0 : 20_000))
        let time = timespec(tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000)
        var setting = itimerspec(it_interval: time, it_value: time)
        // Safety: the kernel reads the setting.
        _ = unsafe timerfd_settime(timer, 0, &setting, nil)
    }

    /// A periodic timer goes on only once it was read.
    func rearmTimer() {
        var expirations: UInt64 = 0
        // Safety: read writes the eight bytes of the count.
        _ = unsafe read(timer, &expirations, MemoryLayout<UInt64>.size)
    }

    mutating func issueDue(_ now: UInt64, _ interval: Double) {
        while issued < limit, !waiting.isEmpty {
            let intended = startedAt + UInt64(Double(issued) * interval)
            guard intended <= now, let i = waiting.popFirst() else { return }
            if now > intended + 1_000_000 { late += 1 }
            issue(Int(i), intended: intended)
        }
    }
}
