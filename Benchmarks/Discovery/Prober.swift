// When had every worker heard of a change? When a request through each of them is answered by an endpoint that is usable
// only since then. The prober asks on many connections, which the kernel spreads over the workers, and takes the last.

import CLinux
import Glibc
import ProxyCore

/// Connections to the proxy, enough of them to meet every worker.
struct Prober: ~Copyable {
    private struct Line {
        var fd: Int32
        var unread: [UInt8] = []
        /// Whether an answer is awaited.
        var isAsking = false
        /// Whether the change was seen on it.
        var hasSeen = false
        /// When it may ask again.
        var restsUntil: UInt64 = 0
    }

    private var lines: [Line]
    private let poller: Int32
    /// Requests sent so far.
    private(set) var requests = 0

    /// Opens `count` connections to `port`.
    init(port: UInt16, connections count: Int) throws {
        let poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        var lines: [Line] = []
        for _ in 0..<count {
            let fd = makeSocket(for: loopback(port), isNonblocking: false)
            // Safety: connect reads the address.
            guard fd >= 0, unsafe withSocketAddress(loopback(port), { unsafe connect(fd, $0, $1) }) == 0 else {
                throw SystemFailure("connect to the proxy")
            }
            setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            guard fcntl(fd, F_SETFL, O_NONBLOCK) == 0,
                watch(poller, fd, events: EPOLLIN.rawValue, token: UInt64(lines.count))
            else { throw SystemFailure("watch a connection to the proxy") }
            lines.append(Line(fd: fd))
        }
        self.poller = poller
        self.lines = lines
    }

    deinit {
        for line in lines { close(line.fd) }
        close(poller)
    }

    /// Asks for `host` on every connection, again and again, until each was answered by an address that `isNew` says
    /// yes to. The moment of the last such answer; nil when it is not all there at `deadline`.
    mutating func awaitChange(
        of host: String, until deadline: UInt64, isNew: (Substring) -> Bool
    ) throws -> UInt64? {
        let request = Array("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n".utf8)
        for index in lines.indices {
            lines[index].hasSeen = false
            lines[index].restsUntil = 0
        }
        var last: UInt64 = 0
        // An answer to a question of the change before may still be under way: it counts for nothing.
        while true {
            let now = monotonicNow()
            guard now < deadline else { return nil }
            for index in lines.indices where !lines[index].hasSeen && !lines[index].isAsking {
                if lines[index].restsUntil <= now { try ask(request, on: index) }
            }
            if lines.allSatisfy(\.hasSeen) { return last }
            for index in wait() {
                guard let body = try receive(on: index) else { continue }
                lines[index].isAsking = false
                if isNew(body) {
                    if !lines[index].hasSeen { last = max(last, monotonicNow()) }
                    lines[index].hasSeen = true
                } else {
                    lines[index].restsUntil = monotonicNow() + Self.rest
                }
            }
        }
    }

    private mutating func ask(_ request: [UInt8], on index: Int) throws {
        let fd = lines[index].fd
        // Safety: send reads the request's bytes.
        let sent = unsafe request.withUnsafeBytes { unsafe send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard sent == request.count else { throw SystemFailure("send to the proxy") }
        lines[index].isAsking = true
        requests += 1
    }

    /// Connections that have something to tell, after half a millisecond at most.
    private func wait() -> [Int] {
        // Safety: the kernel writes at most as many events as the array has, and does not keep the time.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 64)
        var time = timespec(tv_sec: 0, tv_nsec: Int(Self.rest))
        let count = unsafe epoll_pwait2(poller, &events, 64, &time, nil)
        return (0..<max(0, Int(count))).map { unsafe Int(events[$0].data.u64) }
    }

    /// The body of the answer on this connection, once it is there.
    private mutating func receive(on index: Int) throws -> Substring? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        // Safety: the kernel writes at most as many bytes as the array has.
        let count = unsafe recv(lines[index].fd, &buffer, buffer.count, 0)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return nil }
        guard count > 0 else { throw Failure("the proxy closed a connection of the prober") }
        lines[index].unread += buffer[..<count]
        let head: MessageHead?
        do {
            let unread = lines[index].unread
            head = try MessageHead.parse(unread.span)
        } catch {
            throw Failure("the proxy's answer is no HTTP")
        }
        guard let head, case .length(let length) = head.framing, lines[index].unread.count >= head.length + length
        else { return nil }
        let line = String(decoding: lines[index].unread[head.startLine], as: UTF8.self)
        let body = String(decoding: lines[index].unread[head.length..<head.length + length], as: UTF8.self)
        lines[index].unread.removeFirst(head.length + length)
        guard line.hasPrefix("HTTP/1.1 200 ") else { throw Failure("the proxy answers “\(line)”: \(body)") }
        return body[...]
    }

    /// How long a connection rests after an answer from an old endpoint: asking without a pause would take the CPU of
    /// what is measured. In nanoseconds; the figures are too large by at most that.
    private static let rest: UInt64 = 500_000
}
