// Those who keep a proxy waiting: connections of one kind, held open for as long as the proxy lets them, and opened anew.

import CLinux
import Glibc
import ProxyCore

/// The hidden command `crowd`.
func crowdCommand() -> Command {
    Command(
        name: "crowd", summary: "",
        help: """
            usage: hdproxy-bench crowd --kind KIND --connections N --port PORT --pace TIME --arrivals N --number N

            For the harness itself: one process of a crowd. SIGUSR1 lets it come, SIGUSR2 go at once, all of it. SIGTERM
            lets it stop coming back; it ends with its last connection.
            """,
        options: [
            OptionSpec("--kind", "KIND", "head, body, reader, handshake"), OptionSpec("--connections", "N", "how many"),
            OptionSpec("--port", "N", "of the proxy"), OptionSpec("--pace", "TIME", "between two bytes"),
            OptionSpec("--arrivals", "N", "new connections a second"),
            OptionSpec("--number", "N", "whose addresses it has"),
        ],
        isListed: false
    ) { arguments in
        guard let kind = CrowdKind(rawValue: arguments.text("--kind") ?? "") else { throw UsageError("--kind?") }
        _ = signal(SIGPIPE, SIG_IGN)
        catchStopSignals()
        catchCrowdSignals()
        raiseDescriptorLimit()
        var crowd = try Crowd(
            kind, count: try arguments.number("--connections", 1, in: 1...100_000),
            port: UInt16(try arguments.number("--port", 1, in: 1...65535)),
            pace: try arguments.time("--pace", 1_000_000_000),
            arrivals: try arguments.number("--arrivals", 1000, in: 1...1_000_000),
            number: UInt32(try arguments.number("--number", 0, in: 0...200)))
        try crowd.run()
        return 0
    }
}

/// What a crowd has done so far.
struct CrowdTally: Equatable {
    /// Connections now.
    var here = 0
    /// Connections that were closed by the proxy.
    var closed = 0
    /// Bytes that were sent or read, the first words not counted.
    var bytes = 0

    /// The last line of a crowd's output that tells one.
    init(output: String) {
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 4, words[0] == "tally" else { continue }
            (here, closed, bytes) = (Int(words[1]) ?? 0, Int(words[2]) ?? 0, Int(words[3]) ?? 0)
        }
    }

    init() {}

    static func + (a: CrowdTally, b: CrowdTally) -> CrowdTally {
        var sum = a
        sum.here += b.here
        sum.closed += b.closed
        sum.bytes += b.bytes
        return sum
    }

    /// As a line.
    var line: String { "tally \(here) \(closed) \(bytes)" }
}

/// The connections of one process.
struct Crowd {
    /// Between two looks at what is due. A crowd of strangers does not speak in chorus, so the steps are small.
    private static let step: UInt64 = 1_000_000
    /// What was held up is made up for, up to so much: else a stall of ours became a burst.
    private static let arrearsMax: UInt64 = 20_000_000

    private struct Member {
        var fd: Int32 = -1
        var hasSpoken = false
        var hasCome = false
    }

    private let kind: CrowdKind
    private let port: UInt16
    private let number: UInt32
    private let pace: UInt64
    private let arrivals: Int
    private let poller: Int32
    private var members: [Member]
    private let words: [UInt8]
    /// Whose turn it is to send a byte.
    private var cursor = 0
    /// Those who are not here, whoever left first in front, in a ring.
    private var missing: [Int]
    private var missingFirst = 0
    private var missingCount: Int
    /// Parts of a billionth of a byte, and of a connection, that are due.
    private var byteCredit: UInt64 = 0
    private var arrivalCredit: UInt64 = 0
    private var isWanted = false
    private var come = 0
    private var hasTold = false
    private var tally = CrowdTally()
    private var room = [UInt8](repeating: 0, count: 4096)

    init(_ kind: CrowdKind, count: Int, port: UInt16, pace: UInt64, arrivals: Int, number: UInt32) throws {
        self.kind = kind
        self.port = port
        self.number = number
        self.pace = pace
        self.arrivals = arrivals
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard poller >= 0 else { throw SystemFailure("epoll_create1") }
        members = Array(repeating: Member(), count: count)
        missing = Array(0..<count)
        missingCount = count
        words = kind.firstWords
    }

    /// Goes on until it is told to stop and nobody is left.
    mutating func run() throws {
        // Safety: room for as many events as epoll_wait is told.
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 512)
        var last = monotonicNow()
        var nextTally = last
        while !stopWasAsked || tally.here > 0 {
            let now = monotonicNow()
            if now - last >= Self.step {
                obey()
                let elapsed = min(now - last, Self.arrearsMax)
                last = now
                if isWanted, !stopWasAsked { begin(elapsed) }
                speak(elapsed)
                if now >= nextTally {
                    printOut(tally.line)
                    nextTally = now + 250_000_000
                }
            }
            // Safety: as above.
            let count = unsafe epoll_wait(poller, &events, Int32(events.count), 1)
            for i in 0..<max(0, Int(count)) {
                // Safety: data was stored as u64.
                let (index, bits) = unsafe (Int(events[i].data.u64), events[i].events)
                look(index, bits)
            }
        }
        printOut(tally.line)
    }

    /// Does what signals have asked for.
    private mutating func obey() {
        switch takeCrowdOrder() {
        case .none: break
        case .come:
            (isWanted, hasTold, come) = (true, false, 0)
            for index in members.indices { members[index].hasCome = false }
            printOut("coming")
        case .go:
            isWanted = false
            for index in members.indices where members[index].fd >= 0 { leave(index) }
            printOut(tally.line)
            printOut("all have gone")
        }
    }

    private mutating func begin(_ elapsed: UInt64) {
        arrivalCredit += elapsed * UInt64(arrivals)
        while arrivalCredit >= 1_000_000_000 {
            arrivalCredit -= 1_000_000_000
            guard missingCount > 0 else { continue }
            let index = missing[missingFirst]
            guard connect(index) else { return }
            missingFirst = (missingFirst + 1) % missing.count
            missingCount -= 1
            tally.here += 1
        }
    }

    private mutating func connect(_ index: Int) -> Bool {
        let address = loopback(port)
        let fd = makeSocket(for: address, isNonblocking: true)
        guard fd >= 0 else { return false }
        if kind == .reader { setOption(fd, SOL_SOCKET, SO_RCVBUF, 4096) }
        // An address of loopback for some thousands each, so that none runs out of ports.
        let bindAddressNoPort: Int32 = 24
        setOption(fd, Int32(IPPROTO_IP), bindAddressNoPort, 1)
        let own = NetworkAddress(ip: IPAddress(v4: 0x7F01_0001 + number << 8 + UInt32(index / 4096)), port: 0)
        // Safety: the kernel reads the addresses.
        _ = unsafe withSocketAddress(own) { unsafe bind(fd, $0, $1) }
        _ = unsafe withSocketAddress(address) { unsafe Glibc.connect(fd, $0, $1) }
        members[index] = Member(fd: fd, hasCome: members[index].hasCome)
        guard watch(poller, fd, events: allEvents, token: UInt64(index)) else {
            close(fd)
            members[index].fd = -1
            return false
        }
        return true
    }

    /// Something happened to a member: it is connected, or it is told to go.
    private mutating func look(_ index: Int, _ bits: UInt32) {
        guard members[index].fd >= 0 else { return }
        let isOver = bits & endEvents != 0
        // To all but readers an answer is the end.
        if isOver || (bits & EPOLLIN.rawValue != 0 && members[index].hasSpoken && kind != .reader && kind != .handshake)
        {
            tally.closed += 1
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
            if come >= members.count, !hasTold {
                hasTold = true
                printOut("all have come")
            }
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
        missing[(missingFirst + missingCount) % missing.count] = index
        missingCount += 1
        tally.here -= 1
    }

    /// Lets each member have its byte once in a while.
    private mutating func speak(_ elapsed: UInt64) {
        if kind == .handshake { return }
        byteCredit += elapsed * UInt64(members.count)
        while byteCredit >= pace {
            byteCredit -= pace
            cursor = (cursor + 1) % members.count
            let member = members[cursor]
            guard member.fd >= 0, member.hasSpoken else { continue }
            var byte = UInt8(ascii: "x")
            // Safety: one byte to read or to write.
            let n =
                unsafe kind == .reader
                ? recv(member.fd, &byte, 1, 0) : send(member.fd, &byte, 1, Int32(MSG_NOSIGNAL))
            if n > 0 { tally.bytes += 1 }
            if n == 0 || (n < 0 && errno != EAGAIN) {
                tally.closed += 1
                leave(cursor)
            }
        }
    }
}
