// What is served, asked and answered in a simulation? The dice say it; and what they say that lets a request go wrong is
// written down as its excuse.

@testable import ProxyCore

extension World {
    func reload() {
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
        if some.count > endpoints.count { hadDead = true }
        let host = { (name: String, service: Int) in
            Route(host: .exact(name), action: .forward([WeightedService(service: service)]))
        }
        readMail()
        let before = snapshot.services
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
        // Where nobody does anything wrong, whoever has to wait gets its answer all the same.
        if isCalm, seed % 3 == 0 {
            snapshot.services[0].balance.maxConcurrent = 1
            snapshot.services[0].balance.queueTimeout = .seconds(90)
        }
        connections.adopt(snapshot)
        for service in snapshot.services {
            noteComingAndGoing(
                service.name, before.first { $0.name == service.name }?.endpoints ?? [], service.endpoints)
        }
        farewells = gatherFarewells()
    }

    /// Endpoints of a service come and go without a new snapshot, and other ones may live at the same addresses.
    func changeEndpoints() {
        changesLeft -= 1
        let isMain = tide.chance(70)
        guard let at = snapshot.services.firstIndex(where: { $0.name == (isMain ? "main" : "second") }) else { return }
        var endpoints: [Endpoint] = []
        for (i, upstream) in upstreams.enumerated() where tide.chance(isMain ? 60 : 30) {
            let traits = EndpointTraits(
                weight: UInt16(tide.below(4)), isNear: tide.chance(70), isHeldBack: tide.chance(20))
            endpoints.append(
                Endpoint(id: EndpointID("u\(i)-\(tide.below(3))"), address: upstream.address, traits: traits))
        }
        if endpoints.isEmpty { endpoints = [Endpoint(id: EndpointID("u0-9"), address: upstreams[0].address)] }
        if tide.chance(30) { endpoints.reverse() }
        snapshot.services[at].endpoints = endpoints
        mail.append(EndpointsChange(service: snapshot.services[at].name, endpoints: endpoints))
        note("mail: \(snapshot.services[at].name) is \(endpoints.map(\.id))")
    }

    /// The proxy reads its mail.
    func readMail() {
        if mail.isEmpty { return }
        let services = connections.directory.services
        for change in mail {
            // What the proxy has, not what it is about to be told.
            guard let slot = used(services).first(where: { services[$0].name == change.service }) else { continue }
            let before = (0..<services[slot].members.count).map {
                connections.directory.endpoints[services[slot].members[$0]].endpoint
            }
            noteComingAndGoing(change.service, before, change.endpoints)
        }
        connections.turnBegins(now)
        connections.adopt(mail)
        mail = []
        farewells = gatherFarewells()
    }

    private func noteComingAndGoing(_ service: String, _ before: [Endpoint], _ after: [Endpoint]) {
        let host = service + ".test"
        let now = Set(after.map(\.address))
        for upstream in upstreams {
            let key = "\(host) \(upstream.name)"
            if now.contains(upstream.address) {
                sentBeforeLeaving[key] = nil
            } else if before.contains(where: { $0.address == upstream.address }) {
                sentBeforeLeaving[key] = Set(tickets.values.filter { $0.sentCount > 0 }.map(\.id))
            }
        }
    }

    func makeTicket() -> Ticket {
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
    func spoil(_ ticket: Ticket) {
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
    func script(for ticket: Ticket, isReused: Bool) -> Script {
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
        if isReused, dice.chance(10), !isCalm || ticket.canBeRetried {
            script.fault = .leaves(byReset: dice.chance(50))
            script.isEarly = false
            script.switches = false
        }
        excuse(ticket, script)
        return script
    }

    func ending(_ script: Script) -> Script.Ending {
        if script.framing == .untilClose { return .keep }
        return switch dice.below(100) {
        case 0..<65: .keep
        case 65..<75: .announcedClose
        case 75..<88: .silentClose
        case 88..<94: isCalm ? .keep : .excess
        default: isCalm ? .keep : .lateExcess
        }
    }

    func fault(_ script: Script) -> Script.Fault {
        switch dice.below(7) {
        case 0: .silence
        case 1, 2: .end(dice.below(1000))
        case 3, 4: .reset(dice.below(1000))
        case 5: .malformed
        default: script.framing == .chunked ? .badChunk : .malformed
        }
    }

    /// What a script lets happen to its request.
    func excuse(_ ticket: Ticket, _ script: Script) {
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
        // Attempts may be used up by those where nobody listens.
        case .leaves: if !ticket.canBeRetried || hadDead { ticket.excuse("closed at the very moment") }
        case .silence, .end, .reset, .malformed, .badChunk: ticket.excuse("upstream: \(script.fault)")
        }
    }

    func hasNoBody(_ ticket: Ticket, _ script: Script) -> Bool {
        ticket.method == "HEAD" || script.status == 204 || script.status == 304
    }
}
