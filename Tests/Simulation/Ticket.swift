// What is asked, and what came of it? Each request of a simulation has a ticket, on which all sides write what they
// saw; whatever is not as it should be needs an excuse that stands there too.

/// One request, from the client's wish to the log's line.
final class Ticket {
    /// What an undisturbed request gets.
    enum Expectation: Equatable {
        case upstream
        /// An answer of the proxy's own, with this status.
        case own(Int)
        /// It is no request, so it is refused, and reaches nobody.
        case refusal
    }

    enum Result: Equatable {
        case upstream
        case own(Int)
        case cut
        case tunnel
    }

    let id: Int
    var method = "GET"
    var host = "main.test"
    var isHTTP10 = false
    var body = WireFraming.none
    var bodyCount = 0
    var hasTrailer = false
    var expectsContinue = false
    var closes = false
    var asksUpgrade = false
    /// Bytes that the client sends through a tunnel.
    var tunnelUpCount = 0
    /// Filler in a field, so that heads come in all sizes.
    var fillerCount = 0
    var expectation = Expectation.upstream
    /// Whether the upstream may see it begin, but never whole: its body is broken.
    var isBroken = false

    /// What happened that lets the request end in any way but the right one.
    private(set) var excuse: String?
    /// Whether its body may stop, because an answer came early.
    var mayStopBody = false

    /// Bytes of it that the client's kernel took.
    var sentCount = 0
    var byteCount = 0
    /// What the upstreams did, one for each time that the whole head arrived.
    var scripts: [Script] = []
    var tunnelUpArrived = 0
    var result: Result?
    /// Outcomes in the log: at most one.
    var outcomes: [String] = []

    init(id: Int) { self.id = id }

    func excuse(_ reason: String) { if excuse == nil { excuse = reason } }

    var isWholeSent: Bool { byteCount > 0 && sentCount == byteCount }
    /// Whether a connection that was closed at the very moment is no reason for another end: the proxy has it whole.
    var canBeRetried: Bool { isIdempotent && bodyCount < 10_000 }
    var isIdempotent: Bool { !["POST", "PATCH"].contains(method) }

    /// Its bytes, and how many of them are the head.
    func spelled(_ dice: Dice) -> (bytes: [UInt8], headCount: Int) {
        var head = "\(method) /r/\(id) HTTP/1.\(isHTTP10 ? 0 : 1)\r\nHost: \(host)\r\nX-Sim: \(id)\r\n"
        if fillerCount > 0 { head += "X-Filler: \(String(repeating: "f", count: fillerCount))\r\n" }
        if expectsContinue { head += "Expect: 100-continue\r\n" }
        if asksUpgrade { head += "Connection: Upgrade\r\nUpgrade: sim\r\n" }
        if closes { head += "Connection: close\r\n" }
        let content = Pattern.bytes(id, .request, count: bodyCount)
        switch body {
        case .none, .untilClose: return (Array((head + "\r\n").utf8), head.utf8.count + 2)
        case .length:
            head += "Content-Length: \(bodyCount)\r\n\r\n"
            return (Array(head.utf8) + content, head.utf8.count)
        case .chunked:
            head += "Transfer-Encoding: chunked\r\n\r\n"
            var chunks = Chunks.spelled(content, trailer: hasTrailer ? "X-Trail: \(id)\r\n" : "", dice)
            if isBroken { chunks = Array(chunks.dropLast(5)) + Array("zz\r\n".utf8) }
            return (Array(head.utf8) + chunks, head.utf8.count)
        }
    }
}

/// What an upstream answers to one request.
struct Script {
    enum Ending {
        case keep
        /// It says `Connection: close` and does it.
        case announcedClose
        /// It closes without a word.
        case silentClose
        /// More than the answer comes with it.
        case excess
        /// More than the answer comes later, when nothing was asked.
        case lateExcess
    }

    enum Fault {
        case none
        /// It never answers.
        case silence
        /// It closes its connection, which was idle, at the very moment: with an end, or a reset.
        case leaves(byReset: Bool)
        /// The answer stops after so many bytes: with an end, or a reset.
        case end(Int)
        case reset(Int)
        /// It is no answer.
        case malformed
        /// Its last chunk is none.
        case badChunk
    }

    var status = 200
    var isHTTP10 = false
    var interims: [Int] = []
    var framing = WireFraming.none
    var bodyCount = 0
    var hasTrailer = false
    var fillerCount = 0
    var isEarly = false
    /// Whether an upstream that answered early reads the body on.
    var readsOn = true
    var switches = false
    var tunnelDownCount = 0
    var tunnelDownArrived = 0
    var ending = Ending.keep
    var fault = Fault.none

    /// Whether the answer, as it is sent, is a whole one.
    var isWhole: Bool {
        switch fault {
        case .none: true
        case .silence, .leaves, .end, .reset, .malformed, .badChunk: false
        }
    }

    /// Its bytes, with the fault that it has.
    func spelled(_ ticket: Ticket, attempt: Int, _ dice: Dice) -> [UInt8] {
        let marks = "X-Sim: \(ticket.id)\r\nX-Attempt: \(attempt)\r\n"
        var bytes: [UInt8] = []
        for interim in interims { bytes += Array("HTTP/1.1 \(interim) Soon\r\n\(marks)\r\n".utf8) }
        if switches {
            return bytes + Array("HTTP/1.1 101 Yes\r\n\(marks)Connection: Upgrade\r\nUpgrade: sim\r\n\r\n".utf8)
        }
        if case .malformed = fault { return bytes + Self.malformed(dice) }
        var head = "HTTP/1.\(isHTTP10 ? 0 : 1) \(status) Such\r\n\(marks)"
        if fillerCount > 0 { head += "X-Filler: \(String(repeating: "f", count: fillerCount))\r\n" }
        if case .announcedClose = ending { head += "Connection: close\r\n" }
        var content: [UInt8] = []
        let hasNoBody = ticket.method == "HEAD" || status == 204 || status == 304
        if !hasNoBody { content = Pattern.bytes(ticket.id, .response, count: bodyCount) }
        switch framing {
        case .length where status != 204: head += "Content-Length: \(bodyCount)\r\n"
        case .chunked where status != 204:
            head += "Transfer-Encoding: chunked\r\n"
            if !hasNoBody {
                content = Chunks.spelled(content, trailer: hasTrailer ? "X-Trail: \(ticket.id)\r\n" : "", dice)
                if case .badChunk = fault { content = Array(content.dropLast(5)) + Array("-1\r\n\r\n".utf8) }
            }
        case .none, .untilClose, .length, .chunked: break
        }
        bytes += Array((head + "\r\n").utf8) + content
        switch fault {
        case .end(let share), .reset(let share): bytes = Array(bytes.prefix(bytes.count * share / 1000))
        case .none, .silence, .leaves, .malformed, .badChunk: break
        }
        if case .excess = ending { bytes += Self.stray(dice) }
        return bytes
    }

    /// What nobody asked for: it looks like an answer, or like nothing.
    static func stray(_ dice: Dice) -> [UInt8] {
        Array(
            dice.pick([
                "HTTP/1.1 200 OK\r\nX-Sim: 999999\r\nContent-Length: 6\r\n\r\nsecret", "x", "\r\n",
                "HTTP/1.1 100 Continue\r\n\r\n", "0\r\n\r\n",
            ]).utf8)
    }

    private static func malformed(_ dice: Dice) -> [UInt8] {
        Array(
            dice.pick([
                "HTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "HTTP/1.1 99 Low\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
                "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
            ]).utf8)
    }
}

/// Bodies in chunks.
enum Chunks {
    /// `content` in some chunks, and the end with `trailer`.
    static func spelled(_ content: [UInt8], trailer: String, _ dice: Dice) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(content.count + 400)
        let most = dice.pick([10, 500, 5000, 100_000])
        var at = 0
        var left = 24
        while at < content.count {
            // The last one takes all that is left.
            let count = left == 0 ? content.count - at : min(dice.within(1...most), content.count - at)
            left -= 1
            let size = dice.chance(20) ? String(count, radix: 16).uppercased() : String(count, radix: 16)
            bytes += Array((size + (dice.chance(10) ? ";name=\"value\"" : "") + "\r\n").utf8)
            bytes += content[at..<at + count]
            bytes += [13, 10]
            at += count
        }
        return bytes + Array("0\r\n\(trailer)\r\n".utf8)
    }
}
