// Who stands between visitors and nodes? A client as Cloudflare is one: it picks a node at random for each request, keeps
// connections for up to 900 s, sends many visitors' requests over one, and does not ask twice for what may have been done.

import CLinux
import Glibc
import ProxyCore

/// The loop of the client, on a thread of its own.
struct EdgeClient: ~Copyable {
    /// A connection to a node.
    private final class Line {
        let node: Int
        let isSecure: Bool
        let born = monotonicNow()
        var fd: Int32
        var session: TLSSession?
        var isReady = false
        var input = ByteBuffer(capacity: 32768)
        var output = ByteBuffer(capacity: 262_144)
        /// The request under way; 0 for none.
        var request = 0
        var digest = ""
        var visitor = ""
        var sentAt: UInt64 = 0
        var answer = AnswerCheck()

        init(node: Int, isSecure: Bool, fd: Int32) {
            self.node = node
            self.isSecure = isSecure
            self.fd = fd
        }
    }

    private enum Movement { case bytes, wait, end(String) }

    private let plan: EdgePlan
    private let board: EdgeBoard
    private let terms: TLSContext
    private let poller: Int32
    private let pattern = makePattern()
    private let start = monotonicNow()
    /// By the number that its events carry.
    private var lines: [Int: Line] = [:]
    private var nextLine = 1
    /// Numbers of connections that rest, by node and scheme.
    private var resting: [[Int]]
    private var openCounts: [Int]
    private var nextID = 1
    private var underWay = 0

    /// Starts it; what comes of it stands on the board that is returned.
    static func start(_ plan: EdgePlan, trust: TLSTrust, identity: TLSIdentity) throws -> EdgeBoard {
        let board = EdgeBoard()
        board.change { $0.perNode = Array(repeating: 0, count: plan.nodes.count) }
        let terms = try TLSContext(client: trust, identity: identity)
        _ = try Thread(name: "edge") {
            var client = EdgeClient(plan, board, terms)
            client.run()
            board.finish()
        }
        return board
    }

    private init(_ plan: EdgePlan, _ board: EdgeBoard, _ terms: TLSContext) {
        self.plan = plan
        self.board = board
        self.terms = terms
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        resting = Array(repeating: [], count: plan.nodes.count * 2)
        openCounts = Array(repeating: 0, count: plan.nodes.count * 2)
    }

    deinit {
        for line in lines.values { close(line.fd) }
        close(poller)
    }

    private mutating func run() {
        // Safety: the kernel writes at most as many events as the array has, and does not keep the time.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 256)
        var looksAt = start
        while !board.isStopping || underWay > 0 {
            var time = timespec(tv_sec: 0, tv_nsec: 500_000)
            let count = unsafe epoll_pwait2(poller, &events, 256, &time, nil)
            for index in 0..<max(0, Int(count)) {
                // Safety: the kernel filled these.
                move(Int(unsafe events[index].data.u64))
            }
            let now = monotonicNow()
            if !board.isStopping { sendDue(now) }
            if now >= looksAt {
                looksAt = now + 20_000_000
                for (number, line) in lines where line.request != 0 && now > line.sentAt + plan.timeout {
                    lose(number, line, "no answer in time")
                }
            }
        }
    }

    // MARK: Asking

    private mutating func sendDue(_ now: UInt64) {
        while start + UInt64(Double(nextID) / plan.rate * 1e9) <= now {
            let mix = scrambled(UInt64(nextID) &+ 0x5EED)
            let node = Int(mix % UInt64(plan.nodes.count))
            let isSecure = Int(mix >> 32 % 1000) < board.securePermille
            let pool = node * 2 + (isSecure ? 1 : 0)
            let number = takeResting(pool, now) ?? connect(node, isSecure)
            // As Cloudflare's own workers, it waits for a connection where there may be no more.
            guard let number else { return }
            ask(number)
        }
    }

    private mutating func takeResting(_ pool: Int, _ now: UInt64) -> Int? {
        while let number = resting[pool].popLast() {
            guard let line = lines[number] else { continue }
            if now < line.born + plan.age { return number }
            drop(number, line)
        }
        return nil
    }

    private mutating func connect(_ node: Int, _ isSecure: Bool) -> Int? {
        let pool = node * 2 + (isSecure ? 1 : 0)
        guard openCounts[pool] < plan.connections, let ip = IPAddress(plan.nodes[node]) else { return nil }
        let address = NetworkAddress(ip: ip, port: isSecure ? plan.securePort : plan.plainPort)
        let fd = makeSocket(for: address, isNonblocking: true)
        guard fd >= 0 else { return nil }
        setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        let line = Line(node: node, isSecure: isSecure, fd: fd)
        let number = nextLine
        nextLine += 1
        // Safety: connect reads the address.
        let result = unsafe withSocketAddress(address) { unsafe Glibc.connect(fd, $0, $1) }
        guard result == 0 || errno == EINPROGRESS, watch(poller, fd, events: allEvents, token: UInt64(number)) else {
            close(fd)
            board.change { $0.lost["connect: errno \(errno)", default: 0] += 1 }
            return nil
        }
        if isSecure {
            line.session = try? TLSSession(client: terms, descriptor: fd, verifying: .dns("api.test"))
        } else {
            line.isReady = true
        }
        lines[number] = line
        openCounts[pool] += 1
        board.change { $0.opened += 1 }
        return number
    }

    private mutating func ask(_ number: Int) {
        guard let line = lines[number] else { return }
        let id = nextID
        nextID += 1
        underWay += 1
        let shape = RequestShape(id)
        let visitor = EdgeVisitor(of: id)
        var digest = BodyDigest()
        var text = "\(shape.isPost ? "POST" : "GET") /r/\(id) HTTP/1.1\r\nHost: api.test\r\nConnection: Keep-Alive\r\n"
        text += "Accept-Encoding: br, gzip\r\nCDN-Loop: cloudflare\r\nCF-IPCountry: DE\r\n"
        text += "CF-Ray: \(String(scrambled(UInt64(id)), radix: 16))-FRA\r\nCF-Visitor: {\"scheme\":\"https\"}\r\n"
        text += "X-Forwarded-Proto: https\r\n\(visitor.fields)"
        if shape.isPost {
            digest.add(pattern.span, shape.bodyStart..<shape.bodyStart + shape.bodyBytes)
            text += shape.isChunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: \(shape.bodyBytes)\r\n"
        }
        text += "\r\n"
        if shape.isChunked { text += String(shape.bodyBytes, radix: 16) + "\r\n" }
        line.request = id
        line.digest = digest.text
        line.visitor = visitor.address
        line.sentAt = monotonicNow()
        line.answer = AnswerCheck()
        line.output.clear()
        line.output.append(utf8: text)
        if shape.bodyBytes > 0 { line.output.append(pattern.span, from: shape.bodyStart, count: shape.bodyBytes) }
        if shape.isChunked { line.output.append("\r\n0\r\n\r\n") }
        board.change {
            $0.sent += 1
            $0.posts += shape.isPost ? 1 : 0
            $0.perNode[line.node] += 1
        }
        move(number)
    }

    // MARK: Moving

    /// Does whatever the socket lets be done now.
    private mutating func move(_ number: Int) {
        guard let line = lines[number] else { return }
        if !line.isReady {
            switch line.session!.handshake() {
            case .done:
                line.isReady = true
                board.change { $0.handshakes += 1 }
            case .wantRead, .wantWrite: return
            case .failed(let error): return lose(number, line, "handshake: \(error.reason)")
            }
        }
        sending: while !line.output.isEmpty {
            switch send(line) {
            case .bytes: continue
            case .wait: break sending
            // There may still be an answer to read.
            case .end: break sending
            }
        }
        while lines[number] === line {
            switch receive(line) {
            case .bytes: take(number, line)
            case .wait: return
            case .end(let how): return end(number, line, how)
            }
        }
    }

    private func send(_ line: Line) -> Movement {
        if line.isSecure {
            switch line.session!.write(&line.output) {
            case .bytes: return .bytes
            case .wantRead, .wantWrite: return .wait
            case .end: return .end("closed")
            case .failed(let error): return .end(error.reason)
            }
        }
        let fd = line.fd
        let sent = line.output.withReadable { bytes in
            // Safety: send reads the bytes of the buffer.
            unsafe bytes.withUnsafeBytes { unsafe Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        }
        guard sent > 0 else { return errno == EAGAIN || errno == ENOTCONN ? .wait : .end("errno \(errno)") }
        line.output.consume(sent)
        return .bytes
    }

    private func receive(_ line: Line) -> Movement {
        line.input.clear()
        if line.isSecure {
            switch line.session!.read(into: &line.input) {
            case .bytes: return .bytes
            case .wantRead, .wantWrite: return .wait
            case .end: return .end("closed")
            case .failed(let error): return .end(error.reason)
            }
        }
        var buffer = [UInt8](repeating: 0, count: 16384)
        // Safety: the kernel writes at most as many bytes as the array has.
        let count = unsafe recv(line.fd, &buffer, buffer.count, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { return .wait }
        guard count > 0 else { return .end(count == 0 ? "closed" : "errno \(errno)") }
        line.input.append(buffer.span, from: 0, count: count)
        return .bytes
    }

    private mutating func take(_ number: Int, _ line: Line) {
        guard line.request != 0 else { return end(number, line, "bytes that nobody asked for") }
        let bytes = line.input.withReadable { span in span.indices.map { span[$0] } }
        guard line.answer.take(bytes[...], to: line.request, pattern) else { return }
        let answer = line.answer
        if let wrong = answer.judge(service: EdgeRun.service, id: line.request, digest: line.digest) {
            return lose(number, line, "\(wrong.kind): \(wrong.detail)")
        }
        if answer.saw != "\(line.visitor) https" {
            return lose(number, line, "another visitor: \(answer.saw), not \(line.visitor) https")
        }
        let took = UInt32(min((monotonicNow() - line.sentAt) / 1000, 4_000_000_000))
        board.change {
            if line.isSecure { $0.answered.secure += 1 } else { $0.answered.plain += 1 }
            $0.latencies.append(took)
        }
        underWay -= 1
        line.request = 0
        if answer.closes {
            board.change { $0.ended += 1 }
            return drop(number, line)
        }
        resting[line.node * 2 + (line.isSecure ? 1 : 0)].append(number)
    }

    /// The node has ended the connection.
    private mutating func end(_ number: Int, _ line: Line, _ how: String) {
        if line.request != 0 { return lose(number, line, "\(how) after \(line.answer.received) bytes") }
        board.change { $0.endedUnannounced += 1 }
        drop(number, line)
    }

    private mutating func lose(_ number: Int, _ line: Line, _ how: String) {
        board.change { $0.lost[how, default: 0] += 1 }
        if line.request != 0 { underWay -= 1 }
        drop(number, line)
    }

    private mutating func drop(_ number: Int, _ line: Line) {
        line.session = nil
        close(line.fd)
        lines[number] = nil
        openCounts[line.node * 2 + (line.isSecure ? 1 : 0)] -= 1
    }
}
