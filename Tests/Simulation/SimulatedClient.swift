// What does a client do, and what does it get to read? It sends its requests in pieces, one after the other or in a
// pipeline, reads at its own pace, may go at any moment; and looks at every byte that comes.

/// A client's connection and the requests that it makes on it.
final class SimulatedClient {
    /// How it goes before its time.
    enum Departure {
        case reset
        case close
        /// It says that it sends no more, and reads on.
        case halfClose
    }

    let name: String
    private unowned let world: World
    private let end: LoopbackEnd
    private let tickets: [Ticket]
    private let pipelineMax: Int
    private let readsSlowly: Bool
    private let sendsSlowly: Bool
    /// Whether it sends its body without waiting for a 100 (Continue).
    private let isImpatient: Bool
    /// Whether it goes on with a body that nobody wants any more.
    private let isStubborn: Bool
    private var departure: Departure?
    private let departsAtSent: Int
    private let departsAtRead: Int

    private var reader = WireReader()
    /// The ticket that is being sent, and its bytes.
    private var sending = 0
    private var out: [UInt8] = []
    private var headCount = 0
    private var maySendBody = false
    private var sentInAll = 0
    private var readInAll = 0
    private var hasFinished = false
    /// Whether sending met a reset.
    private var wasReset = false

    /// The ticket whose answer comes next.
    private var answering = 0
    private var answer: WireHead?
    private var script: Script?
    private var bodyRead = 0
    private var saidClose = false
    private var isTunnel = false
    private var tunnelRead = 0
    /// Whether the other half of the tunnel is over.
    private var hasEnded = false
    /// What lets the proxy close the connection while nothing is asked.
    private var mayBeClosed: String?

    /// Whether nothing more will happen on it.
    private(set) var isOver = false

    init(name: String, world: World, end: LoopbackEnd, tickets: [Ticket]) {
        let dice = world.dice
        self.name = name
        self.world = world
        self.end = end
        self.tickets = tickets
        pipelineMax = dice.chance(50) ? 1 : dice.within(2...6)
        readsSlowly = dice.chance(25)
        sendsSlowly = dice.chance(25)
        isImpatient = dice.chance(30)
        isStubborn = dice.chance(50)
        departsAtSent = dice.chance(50) ? dice.within(0...tickets.count * 400) : dice.within(0...100_000)
        departsAtRead = dice.chance(60) ? .max : dice.within(0...tickets.count * 2000)
        if !world.isCalm, dice.chance(20) { departure = dice.pick([.reset, .close, .halfClose, .halfClose]) }
    }

    /// Requests that are not over need no right ending any more.
    func excuseAll(_ reason: String) {
        mayBeClosed = mayBeClosed ?? reason
        for ticket in tickets where ticket.result == nil { ticket.excuse(reason) }
    }

    /// Requests that were not begun may find the connection closed.
    func excuseUnsent(_ reason: String) {
        mayBeClosed = mayBeClosed ?? reason
        for ticket in tickets where ticket.sentCount == 0 { ticket.excuse(reason) }
    }

    /// Tickets that wait for something.
    var waiting: [Ticket] { isOver ? [] : Array(tickets[min(answering, tickets.count)...]) }

    /// Whether the end of the simulation must not wait for it: all was answered, or it stopped on purpose.
    var isIdle: Bool { isOver || answering == tickets.count || saidClose }

    // MARK: Acting

    /// Does something.
    func act() {
        if isOver { return }
        let dice = world.dice
        if depart() { return }
        if dice.chance(50) {
            if !sendsSlowly || dice.chance(20) { _ = send(limit: dice.pieceCount()) }
        } else {
            if !readsSlowly || dice.chance(10) { _ = read(limit: dice.pieceCount()) }
        }
        if answering == tickets.count, !isTunnel, dice.chance(20) { leave() }
    }

    /// Does all that can be done. Whether anything was.
    func push() -> Bool {
        if isOver { return false }
        var moved = false
        for _ in 0..<200 where !isOver && world.isUnbroken {
            let sent = send(limit: 1 << 20)
            let received = !isOver && read(limit: 1 << 20)
            if !sent && !received { break }
            moved = true
        }
        return moved
    }

    /// Goes when all was answered.
    func leave() {
        if isOver { return }
        world.note("\(name) leaves")
        if world.dice.chance(50) { end.reset() } else { end.close() }
        isOver = true
    }

    private func depart() -> Bool {
        guard let departure, sentInAll >= departsAtSent || readInAll >= departsAtRead else { return false }
        self.departure = nil
        world.note("\(name): \(departure) after \(sentInAll) sent, \(readInAll) read")
        switch departure {
        case .halfClose:
            // What was sent whole is still to be answered (RFC 9112 §9.6).
            mayBeClosed = "half-closed"
            for ticket in tickets where !ticket.isWholeSent || ticket.asksUpgrade { ticket.excuse("half-closed") }
            finish()
        case .reset, .close:
            excuseAll("client gone")
            if departure == .reset { end.reset() } else { end.close() }
            isOver = true
        }
        return true
    }

    private func finish() {
        if hasFinished { return }
        hasFinished = true
        end.finish()
    }

    // MARK: Sending

    private func send(limit: Int) -> Bool {
        if hasFinished { return false }
        if isTunnel { return sendTunnel(limit) }
        guard sending < tickets.count, sending - answering < pipelineMax, !saidClose || isStubborn else { return false }
        let ticket = tickets[sending]
        if ticket.byteCount == 0 {
            // Behind a request that asks for another protocol, or ends the connection, nothing follows.
            if saidClose || sending > 0 && tickets[sending - 1].asksUpgrade && answering < sending { return false }
            (out, headCount) = ticket.spelled(world.dice)
            ticket.byteCount = out.count
            maySendBody = !ticket.expectsContinue || isImpatient
        }
        let most = maySendBody ? out.count : headCount
        guard ticket.sentCount < most else { return false }
        switch end.send(out, from: ticket.sentCount, limit: min(limit, most - ticket.sentCount)) {
        case .bytes(let n):
            ticket.sentCount += n
            sentInAll += n
            world.note("\(name) > \(n) of \(ticket.id), \(ticket.sentCount)/\(out.count)")
            if ticket.sentCount == out.count { sending += 1 }
            return n > 0
        case .wouldBlock: return false
        case .broken, .end:
            // What came before the break is read first; reading does not tell it a second time.
            hasFinished = true
            wasReset = true
            return true
        }
    }

    private func sendTunnel(_ limit: Int) -> Bool {
        let ticket = tickets[answering]
        let at = ticket.sentCount - ticket.byteCount
        guard at < ticket.tunnelUpCount else {
            finish()
            closeTunnel()
            return true
        }
        let bytes = Pattern.bytes(ticket.id, .tunnelUp, from: at, count: min(limit, ticket.tunnelUpCount - at, 50_000))
        switch end.send(bytes, from: 0, limit: bytes.count) {
        case .bytes(let n):
            ticket.sentCount += n
            world.note("\(name) > \(n) into the tunnel, \(at + n)/\(ticket.tunnelUpCount)")
            return n > 0
        case .wouldBlock: return false
        case .broken, .end:
            hasFinished = true
            wasReset = true
            closeTunnel()
            return true
        }
    }

    // MARK: Reading

    private func read(limit: Int) -> Bool {
        if hasEnded { return false }
        switch reader.withBuffer({ end.receive(into: &$0, limit: limit) }) {
        case .bytes(let n):
            readInAll += n
            world.note("\(name) < \(n)")
            attempt { try readMessages() }
            return true
        case .wouldBlock: return false
        case .end:
            attempt { try connectionEnded(byReset: wasReset) }
            return true
        case .broken:
            attempt { try connectionEnded(byReset: true) }
            return true
        }
    }

    private func attempt(_ body: () throws -> Void) {
        do { try body() } catch {
            world.fail("\(name), ticket \(answering < tickets.count ? tickets[answering].id : 0): \(error)")
        }
    }

    private func readMessages() throws {
        while !isOver {
            switch try reader.next() {
            case .needMore: return
            case .head(let head): try headArrived(head)
            case .body(let bytes): try bodyArrived(bytes)
            case .end: try answerEnded()
            }
        }
    }

    private func headArrived(_ head: WireHead) throws {
        guard head.startLine[0] == "HTTP/1.1", (100...599).contains(head.status) else {
            throw WireFault("start line \(head.startLine)")
        }
        if saidClose { throw WireFault("an answer after Connection: close: \(head)") }
        guard answering < tickets.count, tickets[answering].sentCount > 0 else {
            guard head.status == 408, mayBeClosed != nil else { throw WireFault("an answer to nothing: \(head)") }
            throw WireFault("an answer to nothing, for lack of time: \(head)")
        }
        let ticket = tickets[answering]
        world.note("\(name) < head \(head.status) for \(ticket.id)")
        if let id = try head.one("x-sim"), id != "\(ticket.id)" {
            throw WireFault("a stranger's answer, of \(id): \(head)")
        }
        if ticket.expectation == .refusal, head.fields["x-sim"] != nil {
            throw WireFault("it was not refused: \(head)")
        }
        script = try head.one("x-attempt").flatMap { Int($0) }.map { ticket.scripts[$0 - 1] }
        if head.status < 200 { return try interimArrived(head, ticket) }
        guard head.says("connection", "close") || ticket.isWholeSent else {
            throw WireFault("the request is not over, but the connection shall go on: \(head)")
        }
        let isOwn = head.fields["proxy-status"] != nil
        guard isOwn != (script != nil) else { throw WireFault("neither ours nor theirs: \(head)") }
        if let script, script.status != head.status { throw WireFault("status \(head.status), not \(script.status)") }
        answer = head
        bodyRead = 0
        let hasNoBody = ticket.method == "HEAD" || head.status == 204 || head.status == 304
        let framing = try head.framing()
        if ticket.isHTTP10, framing == .chunked, !hasNoBody { throw WireFault("chunks for HTTP/1.0") }
        if framing == .untilClose, !hasNoBody, !head.says("connection", "close") { throw WireFault("no end: \(head)") }
        reader.begin(hasNoBody ? .none : framing)
    }

    private func interimArrived(_ head: WireHead, _ ticket: Ticket) throws {
        if ticket.isHTTP10 { throw WireFault("an interim answer for HTTP/1.0") }
        if head.status == 101 {
            guard ticket.asksUpgrade, script?.switches == true, head.says("connection", "upgrade"),
                try head.one("upgrade") == "sim"
            else { throw WireFault("no such switch was agreed on: \(head)") }
            isTunnel = true
            reader.becomeRaw()
            return
        }
        if script == nil {
            guard head.status == 100, ticket.expectsContinue else { throw WireFault("an interim answer: \(head)") }
        } else if script?.interims.contains(head.status) != true {
            throw WireFault("an interim answer that nobody gave: \(head)")
        }
        if head.status == 100, sending < tickets.count, tickets[sending] === ticket { maySendBody = true }
        reader.begin(.none)
        // The reader takes the empty body of an interim answer for an end.
        guard case .end = try reader.next() else { throw WireFault("an interim answer with a body") }
    }

    private func bodyArrived(_ bytes: [UInt8]) throws {
        let ticket = tickets[answering]
        if isTunnel {
            guard Pattern.isRight(bytes, ticket.id, .tunnelDown, from: tunnelRead) else {
                throw WireFault("wrong bytes in the tunnel between \(tunnelRead) and \(tunnelRead + bytes.count)")
            }
            tunnelRead += bytes.count
            return
        }
        if script != nil, !Pattern.isRight(bytes, ticket.id, .response, from: bodyRead) {
            throw WireFault("wrong bytes between \(bodyRead) and \(bodyRead + bytes.count)")
        }
        bodyRead += bytes.count
    }

    private func answerEnded() throws {
        let ticket = tickets[answering]
        guard let head = answer else { throw WireFault("an end without a beginning") }
        if let script {
            let hasNoBody = ticket.method == "HEAD" || head.status == 204 || head.status == 304
            // Where the upstream's close is the only end there is, a short body cannot be told from a whole one.
            let isEndless = script.framing == .untilClose && !hasNoBody
            guard hasNoBody || bodyRead == script.bodyCount || isEndless && !script.isWhole else {
                throw WireFault("\(bodyRead) bytes of \(script.bodyCount) look like all")
            }
            if case .reset = script.fault, isEndless { throw WireFault("a reset looks like an end") }
            if script.hasTrailer, !hasNoBody, try head.framing() == .chunked,
                reader.trailers["x-trail"] != ["\(ticket.id)"]
            {
                throw WireFault("trailers \(reader.trailers)")
            }
            ticket.result = .upstream
        } else {
            try ownAnswerEnded(head.status, ticket)
            ticket.result = .own(head.status)
        }
        world.note("\(name) has \(ticket.id): \(ticket.result!)")
        answer = nil
        if head.says("connection", "close") { saidClose = true }
        answering += 1
        // What the client would say next was for an answer that does not come.
        if ticket.asksUpgrade, answering < tickets.count { maySendBody = true }
    }

    private func ownAnswerEnded(_ status: Int, _ ticket: Ticket) throws {
        switch ticket.expectation {
        case .own(status): break
        case .refusal:
            guard [400, 405, 413, 414, 417, 431, 501, 505, 408].contains(status) else {
                throw WireFault("refused with \(status)")
            }
        case .upstream, .own:
            guard ticket.excuse != nil else {
                throw WireFault("an answer of the proxy's own, \(status), without a reason")
            }
        }
    }

    private func connectionEnded(byReset: Bool) throws {
        world.note("\(name) < \(byReset ? "reset" : "end")")
        if isTunnel { return try tunnelEnded(byReset: byReset) }
        defer {
            end.reset()
            isOver = true
        }
        if answer != nil {
            let ticket = tickets[answering]
            if reader.isUntilClose, !byReset { return try answerEnded() }
            guard ticket.excuse != nil || byReset && isLaterExcused else {
                throw WireFault(
                    "cut by \(byReset ? "a reset" : "an end") after \(bodyRead) of \(script?.bodyCount ?? -1)")
            }
            ticket.result = .cut
            return
        }
        guard reader.unread == 0 || mayBeClosed != nil || tickets[answering].excuse != nil || byReset && isLaterExcused
        else { throw WireFault("cut in a head") }
        if saidClose { return }
        if answering == tickets.count || tickets[answering].sentCount == 0 {
            guard mayBeClosed != nil || hasFinished else { throw WireFault("closed without a word") }
            return
        }
        let ticket = tickets[answering]
        guard ticket.excuse != nil || ticket.expectation == .refusal || byReset && isLaterExcused else {
            throw WireFault("closed without an answer")
        }
        ticket.result = .cut
    }

    /// Whether a later answer of a pipeline may have been cut by a reset, which takes earlier bytes that were not read yet.
    private var isLaterExcused: Bool { tickets[answering...].contains { $0.sentCount > 0 && $0.excuse != nil } }

    private func tunnelEnded(byReset: Bool) throws {
        let ticket = tickets[answering]
        let expected = ticket.scripts.last?.tunnelDownCount ?? 0
        if byReset || tunnelRead != expected, ticket.excuse == nil {
            throw WireFault("the tunnel ended by \(byReset ? "a reset" : "an end") after \(tunnelRead) of \(expected)")
        }
        ticket.scripts[ticket.scripts.count - 1].tunnelDownArrived = tunnelRead
        hasEnded = true
        if byReset { hasFinished = true }
        closeTunnel()
    }

    /// Half of a tunnel may end before the other one.
    private func closeTunnel() {
        guard hasEnded, hasFinished else { return }
        tickets[answering].result = .tunnel
        answering += 1
        end.close()
        isOver = true
    }
}
