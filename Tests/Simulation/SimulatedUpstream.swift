// What does an upstream see, and what does it answer? It reads requests as strictly as it can, answers each by a
// script that is made up when the request comes, and may do anything that upstreams do: close, stall, lie.

import Glibc
import ProxyCore

/// A server that listens.
final class SimulatedUpstream {
    let name: String
    let address: NetworkAddress
    private let listener: Socket
    private unowned let world: World
    private(set) var connections: [SimulatedUpstreamConnection] = []
    private var accepted = 0

    init(name: String, ip: IPAddress, world: World) throws {
        self.name = name
        self.world = world
        listener = try Socket.listening(on: NetworkAddress(ip: ip, port: 0))
        if world.dice.chance(30) { LoopbackEnd.set(listener.number, SOL_SOCKET, SO_RCVBUF, 4096) }
        if world.dice.chance(30) { LoopbackEnd.set(listener.number, SOL_SOCKET, SO_SNDBUF, 4096) }
        guard let address = listener.localAddress() else { throw WireFault("no address") }
        self.address = address
    }

    func act() {
        let dice = world.dice
        if connections.isEmpty || dice.chance(30) { _ = accept() }
        connections.removeAll { $0.isOver }
        if !connections.isEmpty { dice.pick(connections).act() }
    }

    /// Does all that can be done. Whether anything was.
    func push() -> Bool {
        var moved = false
        while accept() { moved = true }
        for connection in connections where connection.push() { moved = true }
        connections.removeAll { $0.isOver }
        return moved
    }

    private func accept() -> Bool {
        switch listener.accept() {
        case .connection(let socket, _):
            accepted += 1
            let end = LoopbackEnd(owning: socket.release())
            connections.append(
                SimulatedUpstreamConnection(name: "\(name).\(accepted)", of: name, end: end, world: world))
            world.note("\(name).\(accepted) is accepted")
            return true
        case .wouldBlock: return false
        case .gone: return false
        case .exhausted: return false
        }
    }

    /// Whether a tunnel's last bytes may still be on their way.
    var isOwed: Bool { connections.contains(where: \.isOwed) }

    func closeAll() {
        for connection in connections { connection.close() }
        connections = []
        while accept() {}
        for connection in connections { connection.close() }
        connections = []
    }
}

/// A connection that an upstream accepted.
final class SimulatedUpstreamConnection {
    private let name: String
    private let upstream: String
    private let end: LoopbackEnd
    private unowned let world: World
    private let readsSlowly: Bool
    private let writesSlowly: Bool

    private var reader = WireReader()
    /// The request at hand; nil between requests.
    private var ticket: Ticket?
    private var attempt = 0
    private var script = Script()
    private var bodyRead = 0
    private var isRequestOver = true
    private var out: [UInt8] = []
    private var sentCount = 0
    private var isAnswering = false
    /// Requests that came on it.
    private var served = 0
    private var owesExcess = false
    private var isTunnel = false
    private var tunnelRead = 0
    private var tunnelSent = 0
    private var hasEnded = false
    private var hasFinished = false
    private(set) var isOver = false

    init(name: String, of upstream: String, end: LoopbackEnd, world: World) {
        self.name = name
        self.upstream = upstream
        self.end = end
        self.world = world
        readsSlowly = world.dice.chance(20)
        writesSlowly = world.dice.chance(20)
    }

    // MARK: Acting

    func act() {
        if isOver { return }
        let dice = world.dice
        if ticket == nil, misbehave() { return }
        if dice.chance(50) {
            if !readsSlowly || dice.chance(15) { _ = read(limit: dice.pieceCount()) }
        } else if !writesSlowly || dice.chance(15) {
            _ = write(limit: dice.pieceCount())
        }
    }

    func push() -> Bool {
        var moved = false
        for _ in 0..<200 where !isOver && world.isUnbroken {
            let received = read(limit: 1 << 20)
            let sent = !isOver && write(limit: 1 << 20)
            if !sent && !received { break }
            moved = true
        }
        return moved
    }

    var isOwed: Bool { isTunnel && !hasEnded && ticket?.excuse == nil }

    func close() {
        end.reset()
        isOver = true
    }

    /// What an idle upstream may do, as long as no request is on its way to it.
    private func misbehave() -> Bool {
        guard served > 0, reader.isBetweenMessages, end.isSilent else { return false }
        if owesExcess {
            owesExcess = false
            let bytes = Script.stray(world.dice)
            world.note("\(name): \(bytes.count) bytes that nobody asked for")
            _ = end.send(bytes, from: 0, limit: bytes.count)
            return true
        }
        guard world.dice.chance(4) else { return false }
        world.note("\(name): closes while idle")
        if world.dice.chance(50), end.isDelivered { end.reset() } else { end.close() }
        isOver = true
        return true
    }

    // MARK: Reading

    private func read(limit: Int) -> Bool {
        if hasEnded { return false }
        // Who answered early may not care for the rest.
        if isAnswering, !isRequestOver, !script.readsOn { return false }
        switch reader.withBuffer({ end.receive(into: &$0, limit: limit) }) {
        case .bytes(let n):
            world.note("\(name) < \(n)")
            attempt { try readMessages() }
            return true
        case .wouldBlock: return false
        case .end:
            attempt { try connectionEnded(byReset: false) }
            return true
        case .broken:
            attempt { try connectionEnded(byReset: true) }
            return true
        }
    }

    private func attempt(_ body: () throws -> Void) {
        do { try body() } catch { world.fail("\(name), ticket \(ticket?.id ?? 0): \(error)") }
    }

    private func readMessages() throws {
        while !isOver {
            switch try reader.next() {
            case .needMore: return
            case .head(let head): try headArrived(head)
            case .body(let bytes): try bodyArrived(bytes)
            case .end: try requestEnded()
            }
        }
    }

    private func headArrived(_ head: WireHead) throws {
        guard ticket == nil else { throw WireFault("a request before the last one was answered: \(head)") }
        guard head.startLine[2] == "HTTP/1.1", head.startLine[1].hasPrefix("/r/"),
            let id = Int(head.startLine[1].dropFirst(3)), let ticket = world.tickets[id]
        else { throw WireFault("request line \(head.startLine)") }
        self.ticket = ticket
        guard head.startLine[0] == ticket.method, try head.one("x-sim") == "\(id)", try head.one("host") == ticket.host
        else { throw WireFault("not what \(id) asked: \(head)") }
        guard ticket.expectation == .upstream else { throw WireFault("it should not get here: \(head)") }
        guard try head.one("x-request-id")?.count == 32, try head.one("x-forwarded-for") == "127.0.0.1",
            head.fields["expect"] == nil, head.fields["connection"] == (ticket.asksUpgrade ? ["Upgrade"] : nil)
        else { throw WireFault("fields \(head)") }
        guard (head.fields["x-filler"]?.first?.utf8.count ?? 0) == ticket.fillerCount else { throw WireFault("filler") }
        let framing = try head.framing()
        let expected: WireFraming =
            ticket.body == .none
            ? ["POST", "PUT", "PATCH"].contains(ticket.method) ? .length(0) : .untilClose : ticket.body
        guard framing == expected || ticket.body == .length(0) && framing == .untilClose else {
            throw WireFault("framing \(framing), not \(expected)")
        }
        if let before = world.sentBeforeLeaving["\(ticket.host) \(upstream)"], !before.contains(id) {
            throw WireFault("\(id) was begun after \(upstream) had left \(ticket.host)")
        }
        script = world.script(for: ticket, isReused: served > 0)
        ticket.scripts.append(script)
        attempt = ticket.scripts.count
        guard attempt == 1 || ticket.isIdempotent else { throw WireFault("\(ticket.method) \(id) came again") }
        world.note("\(name) < \(ticket.method) \(id), attempt \(attempt): \(script)")
        if case .leaves(let byReset) = script.fault { return leave(byReset: byReset) }
        bodyRead = 0
        isRequestOver = false
        out = script.spelled(ticket, attempt: attempt, world.dice)
        sentCount = 0
        served += 1
        isAnswering = script.isEarly
        reader.begin(framing == .untilClose ? .none : framing)
    }

    private func bodyArrived(_ bytes: [UInt8]) throws {
        guard let ticket else { throw WireFault("\(bytes.count) bytes that belong to no request") }
        if isTunnel {
            guard Pattern.isRight(bytes, ticket.id, .tunnelUp, from: tunnelRead) else {
                throw WireFault("wrong bytes in the tunnel between \(tunnelRead) and \(tunnelRead + bytes.count)")
            }
            tunnelRead += bytes.count
            ticket.tunnelUpArrived = tunnelRead
            return
        }
        guard Pattern.isRight(bytes, ticket.id, .request, from: bodyRead) else {
            throw WireFault("wrong bytes between \(bodyRead) and \(bodyRead + bytes.count)")
        }
        bodyRead += bytes.count
    }

    private func requestEnded() throws {
        guard let ticket else { throw WireFault("an end without a beginning") }
        guard bodyRead == ticket.bodyCount, !ticket.isBroken else {
            throw WireFault("\(bodyRead) of \(ticket.bodyCount) bytes look like all")
        }
        if ticket.hasTrailer, reader.trailers["x-trail"] != ["\(ticket.id)"] {
            throw WireFault("trailers \(reader.trailers)")
        }
        isRequestOver = true
        if case .silence = script.fault { return }
        isAnswering = true
        // An early answer may be out already.
        if sentCount == out.count, !isTunnel { answerIsOut() }
    }

    private func connectionEnded(byReset: Bool) throws {
        world.note("\(name) < \(byReset ? "reset" : "end")")
        if isTunnel, let ticket {
            let isComplete = !byReset && tunnelRead == ticket.tunnelUpCount
            guard isComplete || ticket.excuse != nil else {
                throw WireFault("the tunnel ended after \(tunnelRead) of \(ticket.tunnelUpCount)")
            }
            hasEnded = true
            if byReset { close() } else { closeTunnel() }
            return
        }
        defer { close() }
        guard let ticket else { return }
        if !isRequestOver {
            guard ticket.excuse != nil || ticket.mayStopBody else { throw WireFault("cut after \(bodyRead) bytes") }
        } else if sentCount < out.count || !isAnswering {
            let isExcess: Bool
            if case .excess = script.ending { isExcess = true } else { isExcess = false }
            guard ticket.excuse != nil || isExcess else { throw WireFault("nobody waited for the answer") }
        }
    }

    // MARK: Writing

    private func write(limit: Int) -> Bool {
        if isTunnel { return writeTunnel(limit) }
        guard isAnswering, let ticket else { return false }
        if sentCount < out.count {
            switch end.send(out, from: sentCount, limit: limit) {
            case .bytes(let n):
                sentCount += n
                world.note("\(name) > \(n) for \(ticket.id), \(sentCount)/\(out.count)")
            case .wouldBlock, .end: return false
            case .broken:
                // The proxy may have gone when it had all that was promised; what it read of that the client tells.
                if !hasEnded { _ = read(limit: 1 << 20) }
                if !isOver { close() }
                return true
            }
            if sentCount < out.count { return true }
        } else if script.isEarly, !isRequestOver {
            return false
        }
        answerIsOut()
        return true
    }

    private func answerIsOut() {
        guard let ticket else { return }
        switch script.fault {
        case .none: break
        case .silence, .leaves: return
        case .end, .malformed, .badChunk: return leave(byReset: false)
        case .reset: return leave(byReset: true)
        }
        if script.switches {
            isTunnel = true
            reader.becomeRaw()
            attempt { try readMessages() }
            return
        }
        switch script.ending {
        case .announcedClose, .silentClose: leave(byReset: false)
        case .keep, .excess, .lateExcess:
            if case .untilClose = script.framing, !world.hasNoBody(ticket, script) { return leave(byReset: false) }
            // The rest of its body may come after an early answer, or the end.
            guard isRequestOver else { return }
            if case .lateExcess = script.ending { owesExcess = true }
            isAnswering = false
            self.ticket = nil
        }
    }

    private func leave(byReset: Bool) {
        world.note("\(name) \(byReset ? "resets" : "closes")")
        if byReset { end.reset() } else { end.close() }
        isOver = true
    }

    private func writeTunnel(_ limit: Int) -> Bool {
        guard let ticket, !hasFinished else { return false }
        guard tunnelSent < script.tunnelDownCount else {
            world.note("\(name) ends its half of the tunnel")
            hasFinished = true
            end.finish()
            closeTunnel()
            return true
        }
        let count = min(limit, script.tunnelDownCount - tunnelSent, 50_000)
        let bytes = Pattern.bytes(ticket.id, .tunnelDown, from: tunnelSent, count: count)
        switch end.send(bytes, from: 0, limit: count) {
        case .bytes(let n):
            tunnelSent += n
            world.note("\(name) > \(n) into the tunnel, \(tunnelSent)/\(script.tunnelDownCount)")
            return n > 0
        case .wouldBlock, .end: return false
        case .broken:
            attempt { try connectionEnded(byReset: true) }
            return true
        }
    }

    private func closeTunnel() {
        guard hasEnded, hasFinished else { return }
        end.close()
        isOver = true
    }
}
