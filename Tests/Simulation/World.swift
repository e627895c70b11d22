// What does the proxy make of all this? One thread owns clients, upstreams, time and the proxy's connections, and moves
// them step by step as the dice say; then everybody does what can still be done; then everything must be as at first.

import Glibc

@testable import ProxyCore

/// One simulation.
final class World {
    /// Steps in which anything may happen.
    static let stepsMax = 1500
    /// Rounds in which all that can be done is done; each moves on, or moves time.
    static let roundsMax = 3000
    /// Times that run out: jumps at the end are longer than the one before.
    static let jumps: [Int64] = [1, 6, 35, 65, 100, 1000, 4000]

    let seed: UInt64
    let dice: Dice
    let ip: IPAddress
    /// Whether nobody does anything wrong, so that each request must get its right answer.
    let isCalm: Bool
    var tickets: [Int: Ticket] = [:]
    var failure: String?
    var trace: [String] = []
    /// Lines of it that are told.
    let lineCount: Int

    let front: Socket
    let frontAddress: NetworkAddress
    var upstreams: [SimulatedUpstream] = []
    var clients: [SimulatedClient] = []
    var clientsLeft: Int
    var accepted = 0
    let log = LogBook()

    var connections: Connections
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var snapshot = Snapshot()
    var reloadsLeft: Int
    /// Chance of the mail, apart from all other, so that plays without it are as they always were.
    let tide: Dice
    var changesLeft: Int
    /// Changes of endpoints that the proxy has not read yet.
    var mail: [EndpointsChange] = []
    /// Requests of which a client had sent something when an upstream left a service: by host and upstream. No other may
    /// reach it as long as it stays away.
    var sentBeforeLeaving: [String: Set<Int>] = [:]
    /// Upstream connections whose endpoint is gone: they finish what they have.
    var farewells: Set<SlotID> = []
    /// Whether there was an endpoint where nobody listens.
    var hadDead = false
    let isJumpy: Bool
    /// By how much time jumped, in milliseconds.
    var jumped: Int64 = 0
    let drainsAt: Int
    /// Pipes that were there before.
    let pipesBefore = OpenDescriptors.pipeCount()
    var isDraining = false
    var turns = 0

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
        tide = Dice(seed: ~seed)
        changesLeft = seed % 5 == 1 || seed % 5 == 3 ? tide.within(1...40) : 0
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
            if changesLeft > 0, tide.chance(10) { changeEndpoints() }
            takeStep()
            step += 1
        }
        finish()
        if isUnbroken { checkEnd() }
        for client in clients { client.leave() }
        for upstream in upstreams { upstream.closeAll() }
    }

    func takeStep() {
        switch dice.below(100) {
        case 0..<40: turn()
        case 40..<68: if let client = clients.isEmpty ? nil : dice.pick(clients) { client.act() }
        case 68..<95: dice.pick(upstreams).act()
        case 95: if reloadsLeft > 0 { reload() }
        case 96:
            if isJumpy { jump(milliseconds: dice.pick([10, 10, 300, 1100, 5000, 31_000, 61_000, 100_000, 1_000_000])) }
        default: if clientsLeft > 0 { connect() }
        }
        clients.removeAll { $0.isOver }
    }

    /// One turn, as a worker takes it.
    func turn(waiting milliseconds: Int32 = 0) {
        turns += 1
        let count = connections.poller.wait(milliseconds: milliseconds)
        connections.turnBegins(now)
        _ = connections.lookOver(count)
        readMail()
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
        checkFarewells()
        if turns % 8 == 0 { checkTurn() }
    }

    func connect() {
        clientsLeft -= 1
        if isDraining { return }
        accepted += 1
        let buffer: Int32? = dice.chance(30) ? dice.pick([2304, 8192]) : nil
        guard let end = LoopbackEnd.connected(to: frontAddress, receiveBuffer: buffer) else {
            return fail("connect: \(errno)")
        }
        switch front.accept() {
        case .connection(let socket, let peer):
            if dice.chance(30) { LoopbackEnd.set(socket.number, SOL_SOCKET, SO_SNDBUF, 4608) }
            connections.turnBegins(now)
            connections.accepted(socket, from: peer, listener: .none)
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
    static func inOrder(_ tickets: [Ticket]) -> [Ticket] {
        func isLast(_ ticket: Ticket) -> Bool {
            ticket.closes || ticket.isHTTP10 || ticket.asksUpgrade || ticket.isBroken || ticket.expectation == .refusal
        }
        return tickets.filter { !isLast($0) } + tickets.filter(isLast).prefix(1)
    }

    // MARK: Time

    func jump(milliseconds: Int64) {
        note("time: \(milliseconds) ms later")
        now = now + .milliseconds(milliseconds)
        jumped += milliseconds
        // Shorter ones are no reason for anything.
        if milliseconds >= 200 { for client in clients { client.excuseAll("time jumped by \(milliseconds) ms") } }
    }

    func beginDrain() {
        note("drain")
        isDraining = true
        connections.isDraining = true
        connections.closeAllIdleUpstreams()
        for client in clients { client.excuseUnsent("drain") }
    }

    func stepDrain() {
        if dice.chance(5) { _ = connections.closeOldestIdle() }
    }

    /// Everybody does what can be done, until nothing can; then time goes on, for which there must be a reason.
    func finish() {
        note("the end begins")
        reloadsLeft = 0
        changesLeft = 0
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
            // The kernel may owe us something still.
            let isOwed =
                clients.contains { $0.waiting.contains { $0.excuse == nil } } || upstreams.contains(where: \.isOwed)
            if quiet < 20, isOwed {
                turn(waiting: 25)
                continue
            }
            if connections.isEmpty, clients.allSatisfy({ $0.waiting.allSatisfy { $0.excuse != nil } }) { return }
            for client in clients {
                for ticket in client.waiting.prefix(1) where ticket.excuse == nil {
                    return fail(
                        "\(client.name): ticket \(ticket.id) waits for nothing, sent \(ticket.sentCount)/\(ticket.byteCount)"
                    )
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
}
