// What must hold between two turns, and when all is over? Nothing is lost, mixed up or left over.

@testable import ProxyCore

extension World {
    /// What holds between any two turns.
    func checkTurn() {
        var lent = 0
        for c in used(connections.clients) {
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
        for u in used(connections.upstreams) {
            if connections.upstreams[u].input.hasMemory { lent += 1 }
            if connections.upstreams[u].state == .idle, connections.upstreams[u].input.hasMemory {
                fail("upstream \(u) is idle and holds a buffer")
            }
        }
        var made: [Int32: Int32] = [:]
        for u in used(connections.upstreams) { made[connections.upstreams[u].endpoint, default: 0] += 1 }
        for e in used(connections.directory.endpoints)
        where connections.directory.endpoints[e].connections != made[e] ?? 0 {
            fail("endpoint \(e) counts \(connections.directory.endpoints[e].connections), there are \(made[e] ?? 0)")
        }
        if lent != connections.buffers.lent { fail("\(connections.buffers.lent) buffers are lent, \(lent) are held") }
    }

    /// Upstream connections whose endpoint is gone. Such a one was sent a request before, or answers already.
    func gatherFarewells() -> Set<SlotID> {
        var found: Set<SlotID> = []
        for u in used(connections.upstreams) {
            guard connections.directory.endpoints[connections.upstreams[u].endpoint].standing == .gone else { continue }
            found.insert(connections.upstreams.id(u))
            let c = connections.upstreams[u].client
            let isWanted = connections.upstreams[u].wasSentTo || c >= 0 && !connections.clients[c].exchange.isUnanswered
            if connections.upstreams[u].state != .active || !isWanted {
                fail("upstream \(u) is \(connections.upstreams[u].state) at an endpoint that is gone")
            }
        }
        return found
    }

    /// Nothing new begins at an endpoint after the turn in which its departure was read.
    func checkFarewells() {
        let found = gatherFarewells()
        if !found.isSubset(of: farewells) { fail("\(found.subtracting(farewells)) began at endpoints that are gone") }
        farewells = found
    }

    /// The slots that are in use.
    func used<Element: ~Copyable>(_ slab: Slab<Element>) -> [Int32] {
        var found: [Int32] = []
        var index: Int32 = 0
        while found.count < slab.count {
            if slab.isUsed(index) { found.append(index) }
            index += 1
        }
        return found
    }

    /// What holds when all clients are gone.
    func checkEnd() {
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

    func checkPipes() {
        let open = OpenDescriptors.pipeCount()
        var taken: [Int32] = []
        for _ in 0..<open - pipesBefore { taken.append(connections.pipes.take()) }
        // All that exist are free, so none was made.
        if OpenDescriptors.pipeCount() != open || taken.contains(-1) { fail("a pipe is left") }
        for var pipe in taken { connections.pipes.give(back: &pipe) }
    }

    func checkDirectory() {
        let services = connections.directory.services
        for s in used(services) {
            if services[s].inFlight != 0 || !services[s].isCurrent { fail("service \(services[s].name) is left") }
        }
        let endpoints = connections.directory.endpoints
        for e in used(endpoints) {
            if endpoints[e].inFlight != 0 || endpoints[e].connections != 0 || endpoints[e].idleCount != 0
                || !endpoints[e].isCurrent
            {
                fail("endpoint \(endpoints[e].id) is left")
            }
        }
    }

    func checkLog() {
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
        if lines < counters.requests || lines > counters.requests + timeouts {
            fail("\(counters.requests) requests, \(lines) lines")
        }
        if counters.acceptedConnections != UInt64(accepted) || counters.closedConnections != UInt64(accepted) {
            fail("\(accepted) connections, \(counters)")
        }
        if counters.openTunnels != 0 || counters.shedConnections != 0 || counters.exhaustions != 0 {
            fail("\(counters)")
        }
        checkTelemetry(lines)
        for ticket in tickets.values { check(ticket) }
    }

    /// Everything is told, once, and nothing is under way any more.
    func checkTelemetry(_ lines: UInt64) {
        let told = connections.telemetry()
        let requests = told.routes.flatMap(\.requests).reduce(0) { $0 + $1.count }
        let durations = told.routes.reduce(0) { $0 + $1.duration.count }
        if requests != lines || durations != lines {
            fail("\(lines) lines, \(requests) requests told, \(durations) times")
        }
        for service in told.services {
            let connections = service.idleConnections + service.activeConnections + service.connectingConnections
            if service.inFlight != 0 || connections != 0 { fail("\(service)") }
        }
        for endpoint in told.endpoints where endpoint.inFlight != 0 || endpoint.idleConnections != 0 {
            fail("\(endpoint)")
        }
        let scripts = tickets.values.reduce(0) { $0 + $1.scripts.count }
        let attempts = told.attempts.reduce(0) { sum, attempt in
            sum + Outcome.Kind.allCases.reduce(0) { $0 + attempt.outcomes[$1] }
        }
        // Each request that reached an upstream is an attempt, and so is one that did not get that far; but those of
        // endpoints that went long ago are forgotten.
        if jumped < 500_000, attempts < UInt64(scripts) {
            fail("\(scripts) requests came, \(attempts) attempts are told")
        }
        let refused = told.refusals.reduce(0) { $0 + $1.count }
        if refused < connections.counters.rejected {
            fail("\(connections.counters.rejected) rejected, \(refused) told")
        }
    }

    func check(_ ticket: Ticket) {
        if ticket.outcomes.count > 1 { fail("ticket \(ticket.id) ended twice: \(ticket.outcomes)") }
        let outcome = ticket.outcomes.first
        switch ticket.result {
        case .upstream: if outcome != "ok" { fail("ticket \(ticket.id) was answered, but \(outcome ?? "not logged")") }
        case .own(let status):
            // What could not be read as a request has no target in the log.
            let isLogged = outcome != nil || ticket.expectation == .refusal || status == 408
            if !isLogged || outcome == "ok" {
                fail("ticket \(ticket.id) got our \(status), but \(outcome ?? "not logged")")
            }
        case .cut: break
        case .tunnel:
            if ticket.excuse == nil, ticket.tunnelUpArrived != ticket.tunnelUpCount {
                fail(
                    "ticket \(ticket.id): \(ticket.tunnelUpArrived) of \(ticket.tunnelUpCount) bytes came through the tunnel"
                )
            }
        case nil: break
        }
    }
}
