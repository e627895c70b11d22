// How does a pod answer? Each request with its own number, the hash of the body that came, and a body that follows from
// the number; or wrongly in one of the ways that PodMode names.

import CLinux
import Glibc

/// The server of one pod.
struct PodServer {
    private enum Body {
        case none
        case length(Int)
        case chunked(ChunkedBody)
    }

    private struct Line {
        var fd: Int32
        var generation: UInt32
        var input: [UInt8] = []
        /// The request whose body is being read, or whose answer is due; nil between requests. 0 for a probe.
        var request: Int?
        var body = Body.none
        var digest = BodyDigest()
        var closesAfter = false
        /// The client as the request tells it: address and scheme.
        var client = ""
        /// When the answer is due; nil while the body comes.
        var due: UInt64?
        var output: [UInt8] = []
        var outputStart = 0
        /// Reset once `output` is out.
        var resetsAfter = false
        var lastActive: UInt64
    }

    /// Whether answers tell whom it took for the client.
    var saysClient = false
    private let poller: Int32
    private let listener: Int32
    private let ledger: PodLedger
    private let fixedFields: String
    private let idle: UInt64?
    private let pattern = makePattern()
    private var lines: [Line?] = []
    private var free: [Int] = []
    private var generation: UInt32 = 0
    private var isDeaf = false
    private var buffer = [UInt8](repeating: 0, count: 65536)

    private static let listenerToken = UInt64.max

    /// A pod that accepts from `listener` and shares `ledger` with the harness.
    init(listener: Int32, ledger: PodLedger, service: String, pod: String, idle: UInt64?, saysIdle: Bool) throws {
        self.listener = listener
        self.ledger = ledger
        self.idle = idle
        let seconds = (idle ?? 0) / 1_000_000_000
        let keepAlive = idle != nil && saysIdle ? "Connection: keep-alive\r\nKeep-Alive: timeout=\(seconds)\r\n" : ""
        fixedFields = "X-Service: \(service)\r\nX-Pod: \(pod)\r\n\(keepAlive)"
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard poller >= 0, watch(poller, listener, events: EPOLLIN.rawValue, token: Self.listenerToken) else {
            throw SystemFailure("epoll")
        }
    }

    /// Serves until the process is ended.
    mutating func run() throws {
        // Safety: the kernel writes at most as many events as the array has, and does not keep the time.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 128)
        while true {
            var time = timespec(tv_sec: 0, tv_nsec: Int(patience()))
            let count = unsafe epoll_pwait2(poller, &events, 128, &time, nil)
            if count < 0 && errno != EINTR { throw SystemFailure("epoll_wait") }
            listenOrNot()
            for index in 0..<max(0, Int(count)) {
                // Safety: the kernel filled these.
                let (token, flags) = unsafe (events[index].data.u64, events[index].events)
                if token == Self.listenerToken { acceptAll() } else { serve(token, flags) }
            }
            answerDue()
            closeIdle()
        }
    }

    /// How long nothing can become due, at most 10 ms: what the harness wants is looked at that often.
    private func patience() -> UInt64 {
        let next = lines.lazy.compactMap { $0?.due }.min() ?? .max
        let now = monotonicNow()
        return next <= now ? 0 : min(10_000_000, next - now)
    }

    private mutating func listenOrNot() {
        let wanted = ledger.mode == .deaf
        guard wanted != isDeaf else { return }
        isDeaf = wanted
        // The queue of a listener may be made shorter: one connection waits in it, for others there is no room.
        _ = listen(listener, wanted ? 0 : 4096)
        if wanted {
            _ = epoll_ctl(poller, EPOLL_CTL_DEL, listener, nil)
        } else {
            _ = watch(poller, listener, events: EPOLLIN.rawValue, token: Self.listenerToken)
        }
    }

    private mutating func acceptAll() {
        while !isDeaf {
            let fd = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
            guard fd >= 0 else { return }
            setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            generation &+= 1
            let slot = free.popLast() ?? lines.count
            let line = Line(fd: fd, generation: generation, lastActive: monotonicNow())
            if slot == lines.count { lines.append(line) } else { lines[slot] = line }
            let token = UInt64(generation) << 32 | UInt64(slot)
            if !watch(poller, fd, events: EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue, token: token) {
                drop(slot)
            }
        }
    }

    private mutating func drop(_ slot: Int, resetting: Bool = false) {
        guard let fd = lines[slot]?.fd else { return }
        if resetting {
            var now = linger(l_onoff: 1, l_linger: 0)
            // Safety: the kernel reads the structure.
            unsafe _ = setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        }
        close(fd)
        lines[slot] = nil
        free.append(slot)
    }

    private mutating func serve(_ token: UInt64, _ flags: UInt32) {
        let slot = Int(token & 0xFFFF_FFFF)
        guard slot < lines.count, lines[slot]?.generation == UInt32(token >> 32) else { return }
        if flags & EPOLLOUT.rawValue != 0 && !flush(slot) { return }
        guard flags & ~EPOLLOUT.rawValue != 0 else { return }
        while let fd = lines[slot]?.fd {
            // Safety: the kernel writes at most as many bytes as the array has.
            let count = unsafe recv(fd, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { return }
            guard count > 0 else { return drop(slot) }
            lines[slot]?.input += buffer[..<count]
            lines[slot]?.lastActive = monotonicNow()
            readOn(slot)
        }
    }

    /// Takes what waits in the input as far as it goes: a head, a body.
    private mutating func readOn(_ slot: Int) {
        guard var line = lines[slot], line.due == nil else { return }
        do {
            let input = line.input
            let bytes = input.span
            var at = 0
            if line.request == nil {
                guard let head = try MessageHead.parse(bytes) else { return }
                at = head.length
                let space = find(UInt8(ascii: " "), in: bytes, from: head.startLine.lowerBound) ?? 0
                line.request = requestNumber(bytes, space + 1) ?? 0
                line.closesAfter = head.closes
                if saysClient { line.client = Self.client(String(decoding: input[..<head.length], as: UTF8.self)) }
                line.digest = BodyDigest()
                switch head.framing {
                case .length(let length): line.body = .length(length)
                case .chunked: line.body = .chunked(ChunkedBody(keepsDigest: true))
                case .none, .untilClose: line.body = .none
                }
                if let id = line.request, id > 0 { ledger.note(.begun, id) }
            }
            var isComplete = false
            switch line.body {
            case .none: isComplete = true
            case .length(let left):
                let count = min(left, bytes.count - at)
                line.digest.add(bytes, at..<at + count)
                at += count
                line.body = .length(left - count)
                isComplete = count == left
            case .chunked(var chunks):
                at = try chunks.consume(bytes, from: at)
                line.digest = chunks.digest
                isComplete = chunks.isComplete
                line.body = .chunked(chunks)
            }
            line.input.removeFirst(at)
            if isComplete {
                if let id = line.request, id > 0 { ledger.note(.carriedOut, id) }
                line.due = monotonicNow() + work(line.request ?? 0)
            }
            lines[slot] = line
            if isComplete && ledger.work == 0 { answerDue() }
        } catch {
            drop(slot)
        }
    }

    /// What a head says of the client, in its two fields.
    private static func client(_ head: String) -> String {
        ["x-real-ip", "x-forwarded-proto"].map { name in
            let lines = head.split(separator: "\r\n").filter { $0.lowercased().hasPrefix("\(name): ") }
            // What stands twice may be read either way.
            return lines.count == 1 ? String(lines[0].dropFirst(name.count + 2)) : "\(lines.count) times \(name)"
        }.joined(separator: " ")
    }

    /// How long the answer takes: where it takes time at all, one of forty takes ten times as long.
    private func work(_ id: Int) -> UInt64 {
        if ledger.mode == .slow { return ledger.slowness }
        return ledger.hasTail && scrambled(UInt64(id)) >> 40 % 40 == 0 ? ledger.work * 10 : ledger.work
    }

    private mutating func answerDue() {
        let now = monotonicNow()
        for slot in lines.indices {
            guard let due = lines[slot]?.due, due <= now else { continue }
            answer(slot)
        }
    }

    private mutating func answer(_ slot: Int) {
        guard var line = lines[slot], let id = line.request else { return }
        let shape = RequestShape(id)
        let length = id == 0 ? 3 : shape.answerBytes
        var head = "HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\(fixedFields)"
        head += "X-Id: \(id)\r\nX-Hash: \(line.digest.text)\r\n"
        if saysClient { head += "X-Saw: \(line.client)\r\n" }
        if line.closesAfter { head += "Connection: close\r\n" }
        var answer = Array((head + "\r\n").utf8) + pattern[shape.answerStart..<shape.answerStart + length]
        switch ledger.mode {
        case .healthy, .slow, .deaf: break
        case .resetting:
            line.resetsAfter = true
            answer = id % 2 == 0 ? [] : Array(answer.prefix(answer.count - length / 2 - 1))
        case .garbage:
            line.resetsAfter = false
            line.closesAfter = true
            let texts = [
                "\u{1}\u{2}\u{3} what is this?\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            ]
            answer = Array(texts[id % texts.count].utf8)
        }
        line.due = nil
        line.output = answer
        line.outputStart = 0
        lines[slot] = line
        _ = flush(slot)
    }

    /// Sends what waits. False: the connection is over.
    private mutating func flush(_ slot: Int) -> Bool {
        guard let line = lines[slot], line.request != nil, line.due == nil, !line.output.isEmpty || line.resetsAfter
        else { return true }
        var start = line.outputStart
        while start < line.output.count {
            // Safety: send reads the rest of the array.
            let sent = unsafe line.output.withUnsafeBytes { bytes in
                unsafe send(line.fd, bytes.baseAddress! + start, bytes.count - start, Int32(MSG_NOSIGNAL))
            }
            if sent < 0 && errno == EINTR { continue }
            if sent < 0 && errno == EAGAIN {
                lines[slot]?.outputStart = start
                return true
            }
            guard sent >= 0 else {
                drop(slot)
                return false
            }
            start += sent
        }
        if let id = line.request, id > 0, !line.resetsAfter { ledger.note(.answered, id) }
        if line.resetsAfter || line.closesAfter {
            drop(slot, resetting: line.resetsAfter)
            return false
        }
        lines[slot]?.output = []
        lines[slot]?.request = nil
        lines[slot]?.lastActive = monotonicNow()
        if !line.input.isEmpty { readOn(slot) }
        return true
    }

    /// As Node does it: whoever was silent for too long is closed, without a look at what may just be coming.
    private mutating func closeIdle() {
        guard let idle else { return }
        let now = monotonicNow()
        for slot in lines.indices {
            if let line = lines[slot], line.request == nil, now >= line.lastActive + idle { drop(slot) }
        }
    }
}
