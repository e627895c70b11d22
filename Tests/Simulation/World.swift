// What does the proxy make of all this? One thread owns clients, upstreams, time and the proxy's connections, and moves
// them step by step as the dice say; then everybody does what can still be done; then everything must be as at first.

import Glibc
import Synchronization

@testable import ProxyCore

/// One simulation.
final class World {
    /// Steps in which anything may happen.
    private static let stepsMax = 1500
    /// Rounds in which all that can be done is done; each moves on, or moves time.
    private static let roundsMax = 3000
    /// Times that run out: jumps at the end are longer than the one before.
    private static let jumps: [Int64] = [1, 6, 35, 65, 100, 1000, 4000]

    let seed: UInt64
    let dice: Dice
    let ip: IPAddress
    /// Whether nobody does anything wrong, so that each request must get its right answer.
    let isCalm: Bool
    private(set) var tickets: [Int: Ticket] = [:]
    private(set) var failure: String?
    private var trace: [String] = []
    /// Lines of it that are told.
    private let lineCount: Int

    private let front: Socket
    private let frontAddress: NetworkAddress
    private var upstreams: [SimulatedUpstream] = []
    private var clients: [SimulatedClient] = []
    private var clientsLeft: Int
    private var accepted = 0
    private let log = LogBook()

    private var connections: Connections
    private var now = Instant(nanoseconds: 1_000_000_000_000)
    private var snapshot = Snapshot()
    private var reloadsLeft: Int
    private let isJumpy: Bool
    private let drainsAt: Int
    /// Pipes that were there before.
    private let pipesBefore = OpenDescriptors.pipeCount()
    private var isDraining = false
    private var turns = 0

    var isUnbroken: Bool { failure == nil }

    init(seed: UInt64, lineCount: Int) throws {
        self.seed = seed
        self.lineCount = lineCount
        dice = Dice(seed: seed)
        ip = IPAddress(v4: 127 << 24 | UInt32(64 + seed >> 8 & 63) << 16 | UInt32(seed & 255) << 8 | 1)
        isCalm = dice.chance(25)
        isJumpy = !isCalm && dice.chance(25)
        drainsAt = dice.chance(15) ? dice.below(800) : .max
        reloadsLeft = dice.chance(50) ? dice.within(1...4) : 0
        clientsLeft = dice.within(1...8)
        front = try Socket.listening(on: NetworkAddress(ip: ip, port: 0))
        guard let address = front.localAddress() else { throw WireFault("no address") }
        frontAddress = address
        let log = log
        connections = try Connections(
            Snapshot(), now: now, seed: seed, connectionsMax: 512, log: AccessLog { log.add($0) })
        for i in 0..<dice.within(1...4) { upstreams.append(try SimulatedUpstream(name: "u\(i)", ip: ip, world: self)) }
        reload()
    }

    // MARK: Telling

    /// Notes what happened, for the trace of a failure.
    func note(_ line: @autoclosure () -> String) {
        if trace.count >= 2 * lineCount { trace.removeFirst(lineCount) }
        trace.append(line())
    }

    /// Something is not as it must be. The first one counts.
    func fail(_ reason: String) {
        if failure != nil { return }
        note("FAILED: \(reason)")
        failure = reason
        connections.log.flush()
        for line in log.lines { note(line.text) }
    }

    /// What happened last.
    var story: String { trace.suffix(lineCount + tickets.count).joined(separator: "\n    ") }

    // MARK: The play

    /// Plays it to its end.
    func run() {
        var step = 0
        while step < Self.stepsMax, isUnbroken, clientsLeft > 0 || clients.contains(where: { !$0.isOver }) {
            if step == drainsAt { beginDrain() }
            now = now + Instant.Span(nanoseconds: Int64(dice.below(50_000)))
            takeStep()
            step += 1
        }
        finish()
        if isUnbroken { checkEnd() }
        for client in clients { client.leave() }
        for upstream in upstreams { upstream.closeAll() }
    }

    private func takeStep() {
        switch dice.below(100) {
        case 0..<40: turn()
        case 40..<68: if let client = clients.isEmpty ? nil : dice.pick(clients) { client.act() }
        case 68..<95: dice.pick(upstreams).act()
        case 95: if reloadsLeft > 0 { reload() }
        case 96: if isJumpy { jump(milliseconds: dice.pick([10, 10, 300, 1100, 5000, 31_000, 61_000, 100_000, 1_000_000])) }
        default: if clientsLeft > 0 { connect() }
        }
        clients.removeAll { $0.isOver }
    }

    /// One turn, as a worker takes it.
    func turn(waiting milliseconds: Int32 = 0) {
        turns += 1
        let count = connections.poller.wait(milliseconds: milliseconds)
        connections.turnBegins(now)
        if count > 0 { note("turn: \(count) events") }
        for i in 0..<count {
            let (token, readiness) = connections.poller.event(i)
            switch token.kind {
            case .client: connections.clientReady(token.slot, readiness)
            case .upstream: connections.upstreamReady(token.slot, readiness)
            case .listener, .wake: fail("an event of nobody")
            }
        }
        connections.servePending()
        connections.fireTimers()
        if isDraining { stepDrain() }
        if turns % 8 == 0 { checkTurn() }
    }

    private func connect() {
        clientsLeft -= 1
        if isDraining { return }
        accepted += 1
        let buffer: Int32? = dice.chance(30) ? dice.pick([2304, 8192]) : nil
        guard let end = LoopbackEnd.connected(to: frontAddress, receiveBuffer: buffer) else { return fail("connect: \(errno)") }
        switch front.accept() {
        case .connection(let socket, let peer):
            if dice.chance(30) { LoopbackEnd.set(socket.number, SOL_SOCKET, SO_SNDBUF, 4608) }
            connections.turnBegins(now)
            connections.accepted(socket, from: peer, listener: 0)
        case .wouldBlock: return fail("nobody to accept")
        case .gone: return fail("accept: gone")
        case .exhausted(let code): return fail("accept: \(code)")
        }
        let name = "c\(accepted)"
        let requests = (0..<dice.within(1...5)).map { _ in makeTicket() }
        note("\(name) connects and will ask for \(requests.map { "\($0.id) \($0.method)" })")
        clients.append(SimulatedClient(name: name, world: self, end: end, tickets: Self.inOrder(requests)))
    }

    /// What ends a connection stands last on it.
    private static func inOrder(_ tickets: [Ticket]) -> [Ticket] {
        func isLast(_ ticket: Ticket) -> Bool {
            ticket.closes || ticket.isHTTP10 || ticket.asksUpgrade || ticket.isBroken || ticket.expectation == .refusal
        }
        return tickets.filter { !isLast($0) } + tickets.filter(isLast).prefix(1)
    }

    // MARK: Time

    private func jump(milliseconds: Int64) {
        note("time: \(milliseconds) ms later")
        now = now + .milliseconds(milliseconds)
        // Shorter ones are no reason for anything.
        if milliseconds >= 200 { for client in clients { client.excuseAll("time jumped by \(milliseconds) ms") } }
    }

    private func beginDrain() {
        note("drain")
        isDraining = true
        connections.isDraining = true
        connections.closeAllIdleUpstreams()
        for client in clients { client.excuseUnsent("drain") }
    }

    private func stepDrain() {
        if dice.chance(5) { _ = connections.closeOldestIdle() }
    }

    /// Everybody does what can be done, until nothing can; then time goes on, for which there must be a reason.
    private func finish() {
        note("the end begins")
        reloadsLeft = 0
        clientsLeft = 0
        var quiet = 0
        var jumps = 0
        for _ in 0..<Self.roundsMax where isUnbroken {
            clients.removeAll { $0.isOver }
            var moved = false
            for client in clients where client.push() { moved = true }
            turn()
            for upstream in upstreams where upstream.push() { moved = true }
            turn()
            if connections.hasPending { moved = true }
            if moved {
                quiet = 0
                continue
            }
            for client in clients where client.isIdle { client.leave() }
            clients.removeAll { $0.isOver }
            quiet += 1
            if quiet < 3 { continue }
            if connections.isEmpty, clients.allSatisfy({ $0.waiting.allSatisfy { $0.excuse != nil } }) { return }
            // The kernel may owe us something still.
            if quiet < 20, clients.contains(where: { $0.waiting.contains { $0.excuse == nil } }) {
                turn(waiting: 25)
                continue
            }
            for client in clients {
                for ticket in client.waiting.prefix(1) where ticket.excuse == nil {
                    return fail("\(client.name): ticket \(ticket.id) waits for nothing, sent \(ticket.sentCount)/\(ticket.byteCount)")
                }
                client.excuseAll("the end")
            }
            guard jumps < Self.jumps.count else { return fail("\(connections.clients.count) clients do not go") }
            jump(milliseconds: Self.jumps[jumps] * 1000)
            jumps += 1
            quiet = 0
        }
        fail("it does not come to its end in \(Self.roundsMax) rounds")
    }

    // MARK: What is served

    private func reload() {
        note("reload")
        reloadsLeft -= 1
        let isFirst = snapshot.services.isEmpty
        var endpoints: [Endpoint] = []
        for (i, upstream) in upstreams.enumerated() where dice.chance(70) {
            // Now and then another one lives at the same address.
            let identity = "u\(i)-\(isFirst || dice.chance(70) ? 0 : dice.below(100))"
            endpoints.append(Endpoint(id: EndpointID(identity), address: upstream.address))
        }
        if endpoints.isEmpty { endpoints = [Endpoint(id: EndpointID("u0-0"), address: upstreams[0].address)] }
        let dead = (0..<2).map { i in
            Endpoint(id: EndpointID("dead\(i)"), address: NetworkAddress(ip: ip, port: UInt16(1 + i)))
        }
        let some = dice.chance(30) ? endpoints + dead.prefix(dice.within(1...2)) : endpoints
        let host = { (name: String, service: Int) in
            Route(host: .exact(name), action: .forward([WeightedService(service: service)]))
        }
        snapshot = Snapshot(
            generation: snapshot.generation + 1,
            services: [
                Service(name: "main", endpoints: some), Service(name: "dead", endpoints: dead),
                Service(name: "empty", endpoints: []), Service(name: "second", endpoints: [endpoints[0]]),
            ],
            routes: [
                host("main.test", 0), host("dead.test", 1), host("empty.test", 2), host("second.test", 3),
                Route(
                    host: .exact("moved.test"),
                    action: .redirect(Redirect(location: "http://main.test", status: 308, appendsPath: true))),
            ])
        connections.adopt(snapshot)
    }

    private func makeTicket() -> Ticket {
        let ticket = Ticket(id: tickets.count + 1)
        tickets[ticket.id] = ticket
        ticket.method = dice.pick(["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
        ticket.host = dice.chance(30) ? "second.test" : "main.test"
        ticket.isHTTP10 = dice.chance(5)
        ticket.closes = dice.chance(5)
        ticket.fillerCount = dice.chance(15) ? dice.pick([100, 3500, 4000, 33_000, 60_000]) : 0
        let hasBody = ["POST", "PUT", "PATCH"].contains(ticket.method) || dice.chance(10)
        if hasBody {
            ticket.bodyCount = dice.bodyCount()
            ticket.body = ticket.isHTTP10 || dice.chance(60) ? .length(ticket.bodyCount) : .chunked
            ticket.hasTrailer = ticket.body == .chunked && dice.chance(30)
            ticket.expectsContinue = !ticket.isHTTP10 && ticket.bodyCount > 0 && dice.chance(20)
        } else if ticket.method == "GET", !ticket.isHTTP10, !ticket.closes, dice.chance(10) {
            ticket.asksUpgrade = true
            ticket.tunnelUpCount = dice.bodyCount()
        }
        switch dice.below(40) {
        case 0:
            ticket.host = "nowhere.test"
            ticket.expectation = .own(404)
        case 1:
            ticket.host = "dead.test"
            ticket.expectation = .own(502)
        case 2:
            ticket.host = "empty.test"
            ticket.expectation = .own(503)
        case 3:
            ticket.host = "moved.test"
            ticket.expectation = .own(308)
        case 4: if !isCalm { spoil(ticket) }
        default: break
        }
        if ticket.expectation != .upstream {
            ticket.mayStopBody = true
            ticket.asksUpgrade = false
        }
        return ticket
    }

    /// Makes a request none.
    private func spoil(_ ticket: Ticket) {
        if ticket.body == .chunked {
            ticket.isBroken = true
            ticket.hasTrailer = false
            return ticket.excuse("broken chunks")
        }
        ticket.expectation = .refusal
        ticket.method = dice.pick(["CONNECT", "TRACE", "B@D", ""])
        ticket.excuse("no request")
    }

    /// What an upstream does with a request that has just come.
    func script(for ticket: Ticket) -> Script {
        var script = Script()
        script.isHTTP10 = dice.chance(6)
        script.status = dice.pick([200, 200, 200, 200, 200, 201, 404, 500, 503, 204, 304])
        script.framing = dice.chance(script.isHTTP10 ? 50 : 10) ? .untilClose : .length(0)
        if !script.isHTTP10, dice.chance(35) { script.framing = .chunked }
        script.bodyCount = dice.bodyCount()
        script.hasTrailer = script.framing == .chunked && dice.chance(30)
        script.fillerCount = dice.chance(15) ? dice.pick([100, 900, 1100, 3900, 20_000, 40_000]) : 0
        if !script.isHTTP10, dice.chance(12) { script.interims = dice.pick([[100], [103], [103, 103], [102, 100]]) }
        if ticket.asksUpgrade, dice.chance(80) {
            script.switches = true
            script.tunnelDownCount = dice.bodyCount()
            if !isCalm, dice.chance(10) { script.fault = .reset(1000) }
        } else {
            script.ending = ending(script)
            script.isEarly = ticket.bodyCount > 0 && dice.chance(20)
            if !isCalm, dice.chance(15) { script.fault = fault(script) }
            if case .silence = script.fault { script.isEarly = false }
            if case .badChunk = script.fault { script.hasTrailer = false }
            if !script.isWhole { script.ending = .keep }
        }
        excuse(ticket, script)
        return script
    }

    private func ending(_ script: Script) -> Script.Ending {
        if script.framing == .untilClose { return .keep }
        return switch dice.below(100) {
        case 0..<65: .keep
        case 65..<75: .announcedClose
        case 75..<88: .silentClose
        case 88..<94: isCalm ? .keep : .excess
        default: isCalm ? .keep : .lateExcess
        }
    }

    private func fault(_ script: Script) -> Script.Fault {
        switch dice.below(7) {
        case 0: .silence
        case 1, 2: .end(dice.below(1000))
        case 3, 4: .reset(dice.below(1000))
        case 5: .malformed
        default: script.framing == .chunked ? .badChunk : .malformed
        }
    }

    /// What a script lets happen to its request.
    private func excuse(_ ticket: Ticket, _ script: Script) {
        if script.isEarly {
            ticket.mayStopBody = true
            // A close while bytes are unread is a reset, which may overtake the answer.
            switch script.ending {
            case .announcedClose, .silentClose: ticket.excuse("early answer and close")
            case .keep: if script.framing == .untilClose { ticket.excuse("early answer and close") }
            case .excess, .lateExcess: break
            }
        }
        switch script.fault {
        case .none: break
        case .silence, .end, .reset, .malformed, .badChunk: ticket.excuse("upstream: \(script.fault)")
        }
    }

    func hasNoBody(_ ticket: Ticket, _ script: Script) -> Bool {
        ticket.method == "HEAD" || script.status == 204 || script.status == 304
    }

    // MARK: Checks

    /// What holds between any two turns.
    private func checkTurn() {
        var lent = 0
        for c in 0..<connections.clients.slotCount where connections.clients.isUsed(c) {
            if connections.clients[c].input.hasMemory { lent += 1 }
            if connections.clients[c].requestOut.hasMemory { lent += 1 }
            if connections.clients[c].responseOut.hasMemory { lent += 1 }
            if connections.clients[c].record.hasMemory { lent += 1 }
            let u = connections.clients[c].upstream
            if u >= 0, connections.upstreams[u].client != c { fail("client \(c) has upstream \(u), which has another") }
            if connections.clients[c].phase == .idle, connections.clients[c].requestOut.hasMemory {
                fail("client \(c) is idle and holds a buffer")
            }
        }
        for u in 0..<connections.upstreams.slotCount where connections.upstreams.isUsed(u) {
            if connections.upstreams[u].input.hasMemory { lent += 1 }
            if connections.upstreams[u].state == .idle, connections.upstreams[u].input.hasMemory {
                fail("upstream \(u) is idle and holds a buffer")
            }
        }
        if lent != connections.buffers.lent { fail("\(connections.buffers.lent) buffers are lent, \(lent) are held") }
    }

    /// What holds when all clients are gone.
    private func checkEnd() {
        turn()
        checkTurn()
        connections.closeAllIdleUpstreams()
        if connections.upstreams.count != 0 { fail("\(connections.upstreams.count) upstream connections are left") }
        if connections.buffers.lent != 0 { fail("\(connections.buffers.lent) buffers are left") }
        if connections.idleClientCount != 0 || connections.idleUpstreamCount != 0 { fail("idle counts are left") }
        if connections.nextTimer != .never { fail("a timer is left") }
        checkPipes()
        checkDirectory()
        checkLog()
    }

    private func checkPipes() {
        let open = OpenDescriptors.pipeCount()
        var taken: [Int32] = []
        for _ in 0..<open - pipesBefore { taken.append(connections.pipes.take()) }
        // All that exist are free, so none was made.
        if OpenDescriptors.pipeCount() != open || taken.contains(-1) { fail("a pipe is left") }
        for var pipe in taken { connections.pipes.give(back: &pipe) }
    }

    private func checkDirectory() {
        let services = connections.directory.services
        for s in 0..<services.slotCount where services.isUsed(s) {
            if services[s].inFlight != 0 || !services[s].isCurrent { fail("service \(services[s].name) is left") }
        }
        let endpoints = connections.directory.endpoints
        for e in 0..<endpoints.slotCount where endpoints.isUsed(e) {
            if endpoints[e].inFlight != 0 || endpoints[e].connections != 0 || endpoints[e].idleCount != 0
                || !endpoints[e].isCurrent
            {
                fail("endpoint \(endpoints[e].id) is left")
            }
        }
    }

    private func checkLog() {
        connections.log.flush()
        var timeouts: UInt64 = 0
        var lines: UInt64 = 0
        for line in log.lines {
            lines += 1
            guard let outcome = line.value(of: "outcome") else { return fail("no outcome: \(line.text)") }
            // What was not complete in time is no request, and has no target.
            if line.value(of: "target") == nil, outcome != "rejected" { timeouts += 1 }
            guard let target = line.value(of: "target"), target.hasPrefix("/r/"), let id = Int(target.dropFirst(3)),
                let ticket = tickets[id]
            else { continue }
            ticket.outcomes.append(outcome)
        }
        let counters = connections.counters
        if lines < counters.requests || lines > counters.requests + timeouts { fail("\(counters.requests) requests, \(lines) lines") }
        if counters.acceptedConnections != UInt64(accepted) || counters.closedConnections != UInt64(accepted) {
            fail("\(accepted) connections, \(counters)")
        }
        if counters.openTunnels != 0 || counters.shedConnections != 0 || counters.exhaustions != 0 { fail("\(counters)") }
        for ticket in tickets.values { check(ticket) }
    }

    private func check(_ ticket: Ticket) {
        if ticket.outcomes.count > 1 { fail("ticket \(ticket.id) ended twice: \(ticket.outcomes)") }
        let outcome = ticket.outcomes.first
        switch ticket.result {
        case .upstream: if outcome != "ok" { fail("ticket \(ticket.id) was answered, but \(outcome ?? "not logged")") }
        case .own(let status):
            // What could not be read as a request has no target in the log.
            let isLogged = outcome != nil || ticket.expectation == .refusal || status == 408
            if !isLogged || outcome == "ok" { fail("ticket \(ticket.id) got our \(status), but \(outcome ?? "not logged")") }
        case .cut: break
        case .tunnel:
            if ticket.excuse == nil, ticket.tunnelUpArrived != ticket.tunnelUpCount {
                fail("ticket \(ticket.id): \(ticket.tunnelUpArrived) of \(ticket.tunnelUpCount) bytes came through the tunnel")
            }
        case nil: break
        }
    }
}

/// The access log's lines, as they were handed over.
final class LogBook: Sendable {
    struct Line {
        let text: String

        /// The text of a member, which has no quotes inside.
        func value(of name: String) -> String? {
            let parts = text.split(separator: "\"", omittingEmptySubsequences: false)
            guard let at = parts.firstIndex(of: name[...]), at + 2 < parts.count else { return nil }
            return String(parts[at + 2])
        }
    }

    private let bytes = Mutex<[UInt8]>([])

    func add(_ more: [UInt8]) -> Bool {
        bytes.withLock { $0 += more }
        return true
    }

    var lines: [Line] {
        bytes.withLock { $0 }.split(separator: 10).map { Line(text: String(decoding: $0, as: UTF8.self)) }
    }
}
