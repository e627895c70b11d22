// Who asks, and who looks at every byte that comes back? Connections to the proxy that send numbered requests, all on
// one thread.

import CLinux
import Glibc
import ProxyCore

/// The loop of one load.
struct Asker: ~Copyable {
    private struct Line {
        var fd: Int32 = -1
        var generation: UInt32 = 0
        /// The request under way; 0 for none.
        var request = 0
        var isPost = false
        var digest = ""
        var due: UInt64 = 0
        var sentAt: UInt64 = 0
        var host = 0
        var output: [UInt8] = []
        var outputStart = 0
        var answer = AnswerCheck()
        /// In waves: when it asks again.
        var wakesAt: UInt64 = 0
    }

    private let plan: AskingPlan
    private let board: AskingBoard
    private let poller: Int32
    private let pattern = makePattern()
    private var lines: [Line]
    private var idle: [Int]
    private var idleStart = 0
    /// Microseconds, by host.
    private var latencies: [[UInt32]]
    private var nextID: Int
    private var generation: UInt32 = 0
    private var buffer = [UInt8](repeating: 0, count: 65536)
    private let start = monotonicNow()
    private var sent = 0
    private var open = 0

    /// Starts the load on a thread of its own; what comes of it stands on the board that is returned.
    static func start(_ plan: AskingPlan) throws -> AskingBoard {
        let board = AskingBoard()
        _ = try Thread(name: "asker") {
            var asker = Asker(plan, board)
            asker.run()
            board.finish()
        }
        return board
    }

    private init(_ plan: AskingPlan, _ board: AskingBoard) {
        self.plan = plan
        self.board = board
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        lines = [Line](repeating: Line(), count: plan.connections)
        idle = Array(0..<plan.connections)
        latencies = [[UInt32]](repeating: [], count: plan.hosts.count)
        nextID = plan.firstID
        if case .waves(_, let spread) = plan.pace {
            for index in lines.indices { lines[index].wakesAt = start + scrambled(UInt64(index)) % max(1, spread) }
        }
    }

    deinit {
        for line in lines where line.fd >= 0 { close(line.fd) }
        close(poller)
    }

    private mutating func run() {
        // Safety: the kernel writes at most as many events as the array has, and does not keep the time.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 256)
        var looksAt = start
        while !board.isStopping || open > 0 {
            var time = timespec(tv_sec: 0, tv_nsec: Int(patience()))
            let count = unsafe epoll_pwait2(poller, &events, 256, &time, nil)
            for index in 0..<max(0, Int(count)) {
                // Safety: the kernel filled these.
                serve(unsafe events[index].data.u64, unsafe events[index].events)
            }
            let now = monotonicNow()
            if !board.isStopping { sendDue(now) }
            if now >= looksAt {
                looksAt = now + 20_000_000
                for index in lines.indices where lines[index].request != 0 && now > lines[index].sentAt + plan.timeout {
                    lose(index, .timeout, "nothing whole within \(duration(ns: Double(plan.timeout)))")
                }
            }
        }
        let all = latencies.map { samples in
            let sorted = samples.sorted()
            func quantile(_ part: Double) -> Double {
                sorted.isEmpty ? 0 : Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]) * 1000
            }
            return (quantile(0.5), quantile(0.99), UInt64(sorted.last ?? 0) * 1000)
        }
        board.change { $0.latencies = all }
    }

    // MARK: When

    private func patience() -> UInt64 {
        guard case .open(let rate) = plan.pace, idleStart < idle.count, !board.isStopping else { return 2_000_000 }
        let next = start + UInt64(Double(sent) / rate * 1e9)
        let now = monotonicNow()
        return next <= now ? 0 : min(next - now, 2_000_000)
    }

    private mutating func sendDue(_ now: UInt64) {
        switch plan.pace {
        case .open(let rate):
            while idleStart < idle.count {
                let due = start + UInt64(Double(sent) / rate * 1e9)
                guard due <= now else { return }
                let index = idle[idleStart]
                idleStart += 1
                ask(index, due: due)
                if idleStart > 1000 {
                    idle.removeFirst(idleStart)
                    idleStart = 0
                }
            }
        case .waves(let every, let spread):
            for index in lines.indices where lines[index].wakesAt <= now && lines[index].request == 0 {
                // The next wave is counted from this one's beginning; where in it is chance.
                let wave = (now - start) / every + 1
                lines[index].wakesAt = start + wave * every + scrambled(UInt64(sent)) % max(1, spread)
                ask(index, due: now)
            }
        }
    }

    private mutating func rest(_ index: Int) { if case .open = plan.pace { idle.append(index) } }

    // MARK: Asking

    private mutating func ask(_ index: Int, due: UInt64) {
        let id = nextID
        nextID += 1
        sent += 1
        open += 1
        let shape = RequestShape(id)
        let isPost = shape.isPost && plan.hasPosts
        let elapsed = monotonicNow() - start
        lines[index].host = Int(elapsed / plan.turn % UInt64(plan.hosts.count))
        var digest = BodyDigest()
        var text = "\(isPost ? "POST" : "GET") /r/\(id) HTTP/1.1\r\nHost: \(plan.hosts[lines[index].host])\r\n"
        let body = isPost ? pattern[shape.bodyStart..<shape.bodyStart + shape.bodyBytes] : []
        if isPost {
            digest.add(pattern.span, shape.bodyStart..<shape.bodyStart + shape.bodyBytes)
            text += shape.isChunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: \(shape.bodyBytes)\r\n"
        }
        text += "\r\n"
        if isPost && shape.isChunked { text += String(body.count, radix: 16) + "\r\n" }
        lines[index].request = id
        lines[index].isPost = isPost
        lines[index].digest = digest.text
        lines[index].due = due
        lines[index].sentAt = monotonicNow()
        lines[index].output = Array(text.utf8) + body + (isPost && shape.isChunked ? Array("\r\n0\r\n\r\n".utf8) : [])
        lines[index].outputStart = 0
        lines[index].answer = AnswerCheck()
        board.change {
            $0.sent += 1
            $0.posts += isPost ? 1 : 0
        }
        guard lines[index].fd >= 0 || connect(index) else {
            lose(index, .refused, "connect: errno \(errno)")
            return
        }
        flush(index)
    }

    private mutating func connect(_ index: Int) -> Bool {
        let fd = makeSocket(for: loopback(plan.port), isNonblocking: false)
        // Safety: connect reads the address. On loopback a connect that blocks is over at once.
        guard fd >= 0, unsafe withSocketAddress(loopback(plan.port), { unsafe Glibc.connect(fd, $0, $1) }) == 0,
            fcntl(fd, F_SETFL, O_NONBLOCK) == 0
        else {
            if fd >= 0 { close(fd) }
            return false
        }
        setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        generation &+= 1
        lines[index].fd = fd
        lines[index].generation = generation
        return watch(poller, fd, events: allEvents, token: UInt64(generation) << 32 | UInt64(index))
    }

    private mutating func flush(_ index: Int) {
        while lines[index].outputStart < lines[index].output.count {
            let (fd, start) = (lines[index].fd, lines[index].outputStart)
            // Safety: send reads the rest of the array.
            let sent = unsafe lines[index].output.withUnsafeBytes { bytes in
                unsafe send(fd, bytes.baseAddress! + start, bytes.count - start, Int32(MSG_NOSIGNAL))
            }
            if sent < 0 && errno == EINTR { continue }
            // After an error of sending there may still be an answer to read.
            guard sent > 0 else { return }
            lines[index].outputStart += sent
        }
    }

    // MARK: Answers

    private mutating func serve(_ token: UInt64, _ flags: UInt32) {
        let index = Int(token & 0xFFFF_FFFF)
        guard lines[index].fd >= 0, lines[index].generation == UInt32(token >> 32) else { return }
        if flags & EPOLLOUT.rawValue != 0 { flush(index) }
        while lines[index].fd >= 0, lines[index].generation == UInt32(token >> 32) {
            // Safety: the kernel writes at most as many bytes as the array has.
            let count = unsafe recv(lines[index].fd, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { return }
            guard count > 0 else { return end(index, count == 0 ? "closed" : "errno \(errno)") }
            guard lines[index].request != 0 else { return end(index, "bytes that nobody asked for") }
            let isWhole = lines[index].answer.take(buffer[..<count], to: lines[index].request, pattern)
            if isWhole { finish(index) }
        }
    }

    /// The proxy has ended the connection.
    private mutating func end(_ index: Int, _ how: String) {
        if lines[index].request == 0 {
            disconnect(index)
            board.change { $0.endedUnannounced += 1 }
        } else if lines[index].answer.hasBegun {
            lose(index, .truncated, "\(how) after \(lines[index].answer.received) bytes")
        } else {
            lose(index, .closed, how)
        }
    }

    private mutating func disconnect(_ index: Int) {
        if lines[index].fd >= 0 { close(lines[index].fd) }
        lines[index].fd = -1
    }

    /// A whole answer is there.
    private mutating func finish(_ index: Int) {
        let answer = lines[index].answer
        guard let wrong = answer.judge(service: plan.service, id: lines[index].request, digest: lines[index].digest)
        else {
            let now = monotonicNow()
            let isCounted = plan.turn == .max || (now - start) % plan.turn > plan.settling
            if isCounted {
                latencies[lines[index].host].append(UInt32(min((now - lines[index].due) / 1000, 4_000_000_000)))
            }
            board.change {
                $0.answered += 1
                $0.pods[answer.pod, default: 0] += 1
            }
            return done(index, closes: answer.closes || lines[index].outputStart < lines[index].output.count)
        }
        lose(index, wrong.kind, wrong.detail)
    }

    private mutating func done(_ index: Int, closes: Bool) {
        lines[index].request = 0
        open -= 1
        if closes {
            disconnect(index)
            board.change { $0.ended += 1 }
        }
        rest(index)
    }

    private mutating func lose(_ index: Int, _ kind: Loss.Kind, _ detail: String) {
        let line = lines[index]
        let loss = Loss(
            id: line.request, isPost: line.isPost, kind: kind, began: line.sentAt, ended: monotonicNow(),
            detail: detail)
        board.change { $0.losses.append(loss) }
        // An answer of the proxy's own leaves the connection as it says; whatever else happened, a new one is safer.
        if case .status = kind, !line.answer.closes, line.outputStart == line.output.count {
            done(index, closes: false)
        } else {
            done(index, closes: true)
        }
    }
}
