// Those who keep a proxy waiting: connections of one kind, held open for as long as the proxy lets them, and opened anew.

import CLinux
import Glibc
import ProxyCore

/// The hidden command `crowd`.
func crowdCommand() -> Command {
    Command(
        name: "crowd", summary: "",
        help: """
            usage: hdproxy-bench crowd --kind KIND --connections N --port PORT --pace TIME

            For the harness itself: one process of a crowd. SIGTERM lets it stop coming back; it ends with its last
            connection.
            """,
        options: [
            OptionSpec("--kind", "KIND", "head, body, reader, handshake"), OptionSpec("--connections", "N", "how many"),
            OptionSpec("--port", "N", "of the proxy"), OptionSpec("--pace", "TIME", "between two bytes"),
        ],
        isListed: false
    ) { arguments in
        guard let kind = CrowdKind(rawValue: arguments.text("--kind") ?? "") else { throw UsageError("--kind?") }
        _ = signal(SIGPIPE, SIG_IGN)
        catchStopSignals()
        raiseDescriptorLimit()
        var crowd = try Crowd(
            kind, count: try arguments.number("--connections", 1, in: 1...100_000),
            port: UInt16(try arguments.number("--port", 1, in: 1...65535)),
            pace: try arguments.time("--pace", 1_000_000_000))
        try crowd.run()
        return 0
    }
}

/// The connections of one process.
struct Crowd {
    /// New connections that are begun in one step of 10 ms, until all have come and afterwards: it is slowness that is
    /// measured, not a flood of connections.
    private static let beginsPerStep = (first: 25, later: 5)
    private static let step: UInt64 = 10_000_000

    private struct Member {
        var fd: Int32 = -1
        var hasSpoken = false
        var hasCome = false
    }

    private let kind: CrowdKind
    private let address: NetworkAddress
    private let pace: UInt64
    private let poller: Int32
    private var members: [Member]
    private var words: [UInt8]
    /// Whose turn it is to send a byte, and to come back.
    private var cursor = 0
    private var missing: [Int]
    private var closed = 0
    private var come = 0
    private var hasTold = false
    private var room = [UInt8](repeating: 0, count: 4096)

    init(_ kind: CrowdKind, count: Int, port: UInt16, pace: UInt64) throws {
        self.kind = kind
        self.pace = pace
        address = loopback(port)
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard poller >= 0 else { throw SystemFailure("epoll_create1") }
        members = Array(repeating: Member(), count: count)
        missing = Array((0..<count).reversed())
        words = Self.firstWords(kind)
    }

    /// Goes on until it is told to stop and nobody is left.
    mutating func run() throws {
        // Safety: room for as many events as epoll_wait is told.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 512)
        var next = monotonicNow()
        while true {
            let now = monotonicNow()
            if now >= next {
                next = max(next + Self.step, now)
                if stopWasAsked {
                    if come == 0 || missing.count == members.count { break }
                } else {
                    begin()
                }
                speak()
                tell()
            }
            let wait = Int32(next > now ? min(10, (next - now) / 1_000_000 + 1) : 0)
            // Safety: as above.
            let count = unsafe epoll_wait(poller, &events, Int32(events.count), wait)
            for i in 0..<max(0, Int(count)) {
                // Safety: data was stored as u64.
                let (index, bits) = unsafe (Int(events[i].data.u64), events[i].events)
                look(index, bits)
            }
        }
        printOut("closed \(closed)")
    }

    private mutating func begin() {
        for _ in 0..<(hasTold ? Self.beginsPerStep.later : Self.beginsPerStep.first) {
            guard let index = missing.popLast() else { return }
            let fd = makeSocket(for: address, isNonblocking: true)
            guard fd >= 0 else {
                missing.append(index)
                return
            }
            if kind == .reader { setOption(fd, SOL_SOCKET, SO_RCVBUF, 4096) }
            // Safety: the kernel reads the address.
            _ = unsafe withSocketAddress(address) { unsafe connect(fd, $0, $1) }
            members[index] = Member(fd: fd, hasCome: members[index].hasCome)
            guard watch(poller, fd, events: allEvents, token: UInt64(index)) else {
                close(fd)
                missing.append(index)
                return
            }
        }
    }

    /// Something happened to a member: it is connected, or it is told to go.
    private mutating func look(_ index: Int, _ bits: UInt32) {
        guard members[index].fd >= 0 else { return }
        let isOver = bits & endEvents != 0
        // To all but readers an answer is the end.
        if isOver || (bits & EPOLLIN.rawValue != 0 && members[index].hasSpoken && kind != .reader && kind != .handshake)
        {
            return leave(index)
        }
        if kind == .handshake, bits & EPOLLIN.rawValue != 0 {
            // What the server says of itself is read, and not answered.
            // Safety: as much room as is said.
            while unsafe recv(members[index].fd, &room, room.count, 0) > 0 {}
        }
        guard bits & EPOLLOUT.rawValue != 0, !members[index].hasSpoken else { return }
        members[index].hasSpoken = true
        if !members[index].hasCome {
            members[index].hasCome = true
            come += 1
        }
        // Safety: send reads the bytes of `words`.
        let sent = unsafe words.withUnsafeBytes {
            unsafe send(members[index].fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if sent < 0 { leave(index) }
    }

    private mutating func leave(_ index: Int) {
        close(members[index].fd)
        members[index].fd = -1
        members[index].hasSpoken = false
        missing.insert(index, at: 0)
        closed += 1
    }

    /// Lets each member have its byte once in a while.
    private mutating func speak() {
        if kind == .handshake { return }
        let share = max(1, members.count * Int(Self.step) / max(1, Int(pace)))
        for _ in 0..<share {
            cursor = (cursor + 1) % members.count
            let member = members[cursor]
            guard member.fd >= 0, member.hasSpoken else { continue }
            var byte = UInt8(ascii: "x")
            // Safety: one byte to read or to write.
            let n =
                unsafe kind == .reader
                ? recv(member.fd, &byte, 1, 0) : send(member.fd, &byte, 1, Int32(MSG_NOSIGNAL))
            if n == 0 || (n < 0 && errno != EAGAIN) { leave(cursor) }
        }
    }

    private mutating func tell() {
        guard !hasTold, come == members.count || (come > members.count * 9 / 10 && closed > members.count / 4) else {
            return
        }
        hasTold = true
        printOut("all have come: \(come)")
    }

    private static func firstWords(_ kind: CrowdKind) -> [UInt8] {
        switch kind {
        case .head: Array("GET / HTTP/1.1\r\nHost: a.test\r\nX-Slow: ".utf8)
        case .body: Array("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n".utf8)
        case .reader: Array("GET /bytes/1048576 HTTP/1.1\r\nHost: a.test\r\n\r\n".utf8)
        case .handshake: clientHello
        }
    }

    /// A client's first word in TLS 1.2 (RFC 5246 §7.4.1.2), which the server answers with a certificate and a signature.
    private static let clientHello: [UInt8] = {
        let extensions: [UInt8] =
            // Groups: x25519, P-256. Formats: uncompressed. Signatures: ECDSA and RSA with SHA-256, PSS.
            [0x00, 0x0A, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1D, 0x00, 0x17]
            + [0x00, 0x0B, 0x00, 0x02, 0x01, 0x00]
            + [0x00, 0x0D, 0x00, 0x08, 0x00, 0x06, 0x04, 0x03, 0x04, 0x01, 0x08, 0x04]
        let body: [UInt8] =
            [0x03, 0x03] + (0..<32).map { UInt8($0 &* 7 &+ 1) } + [0x00]
            + [0x00, 0x04, 0xC0, 0x2B, 0xC0, 0x2F] + [0x01, 0x00]
            + [UInt8(extensions.count >> 8), UInt8(extensions.count & 255)] + extensions
        let message: [UInt8] = [0x01, 0x00, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
        return [0x16, 0x03, 0x01, UInt8(message.count >> 8), UInt8(message.count & 255)] + message
    }()
}
