// What is counted while connections work, and what is told of it? A request adds to plain numbers in slots; names are
// looked up only when the configuration or endpoints change, and when somebody asks.

extension Connections {
    // MARK: Counting

    /// Counts an exchange that is over.
    @inline(__always)
    mutating func countEnd(_ c: Int32) {
        let kind = clients[c].outcome.kind
        let route = clients[c].totals
        if totals.routes.contains(route) {
            let r = route.index
            totals.routes[r].requests.count(clients[c].method, clients[c].status)
            totals.routes[r].duration.record(now - clients[c].openedAt)
            totals.routes[r].requestBytes &+= clients[c].requestBody.byteCount
            totals.routes[r].responseBytes &+= clients[c].bytesOut
        }
        countAttempt(c, kind)
        if kind == .noEndpoint, let service = serviceTotals(c) { totals.services[service].unanswered &+= 1 }
        if clients[c].exchange.attempts > 1 { countRetries(c, kind) }
    }

    /// Counts how the latest attempt ended, unless that was counted before.
    @inline(__always)
    mutating func countAttempt(_ c: Int32, _ kind: Outcome.Kind) {
        let endpoint = clients[c].endpointTotals
        if endpoint.isNone { return }
        clients[c].endpointTotals = .none
        guard totals.endpoints.contains(endpoint) else { return }
        totals.endpoints[endpoint.index].outcomes[kind] &+= 1
        if kind.isUpstreamFailure { totals.endpoints[endpoint.index].tenure.lastRequest = now }
    }

    /// A try has failed so, and another one follows.
    mutating func noteRetried(_ c: Int32, _ kind: Outcome.Kind) {
        clients[c].retried.append(kind)
        let slot = clients[c].endpointTotals
        if totals.endpoints.contains(slot) { totals.endpoints[slot.index].retried &+= 1 }
    }

    /// All attempts but the last one have failed; nothing but an answer ends a request otherwise.
    private mutating func countRetries(_ c: Int32, _ kind: Outcome.Kind) {
        guard let service = serviceTotals(c) else { return }
        let isAnswered = kind == .ok || kind == .tunnel
        totals.services[service].retriesFailed &+= UInt64(clients[c].exchange.attempts) &- (isAnswered ? 2 : 1)
        if isAnswered { totals.services[service].retriesAnswered &+= 1 }
    }

    /// The first byte of the final head has come.
    @inline(__always)
    mutating func countFirstByte(_ c: Int32) {
        let span = now - clients[c].sentAt
        directory.noteLatency(upstreams[clients[c].upstream].endpoint, span, now: now)
        if let service = serviceTotals(c) { totals.services[service].upstreamDuration.record(span) }
        let endpoint = clients[c].endpointTotals
        if totals.endpoints.contains(endpoint) {
            totals.endpoints[endpoint.index].tenure.noteAnswer(sentAt: clients[c].sentAt, took: span)
        }
    }

    /// A connection for a client was made.
    mutating func countConnected(_ c: Int32) {
        if let service = serviceTotals(c) { totals.services[service].connected &+= 1 }
    }

    /// A connection for a client could not be made.
    mutating func countConnectFailure(_ c: Int32, _ failure: ConnectFailure) {
        counters.connectFailures &+= 1
        countAttempt(c, Outcome.Kind(failure))
        guard let service = serviceTotals(c) else { return }
        switch failure {
        case .refused: totals.services[service].connectRefused &+= 1
        case .timeout: totals.services[service].connectTimeout &+= 1
        case .unreachable: totals.services[service].connectUnreachable &+= 1
        case .insecure: totals.services[service].connectInsecure &+= 1
        }
    }

    @inline(__always)
    private func serviceTotals(_ c: Int32) -> Int32? {
        guard clients[c].service >= 0 else { return nil }
        let slot = directory.services[clients[c].service].totals
        return totals.services.contains(slot) ? slot.index : nil
    }

    /// Keeps what the input of a client whose request is refused begins with.
    mutating func keepRefused(_ c: Int32, _ outcome: Outcome) {
        guard outcome.kind.isRefusal, refusedHeads.wants(now) else { return }
        let lines = clients[c].input.withReadable { RefusedHead.redact($0) }
        let reason = outcome.rejection.map { $0.reason.description } ?? outcome.word.description
        refusedHeads.add(
            RefusedHead(
                wallMicroseconds: Clock.wallMicroseconds(), reason: reason, peer: clients[c].peer.ip, lines: lines))
    }

    // MARK: Names

    /// The slot that counts clients of the listener `name`. One that is closed gives it back.
    mutating func useListener(_ name: String) -> SlotID { totals.use(listener: name) }

    /// A listener accepts no more.
    mutating func releaseListener(_ name: String) {
        totals.release(listener: name, at: now)
        totals.forget(at: now)
    }

    /// Gives each new endpoint the slot that counts for its address.
    mutating func endpointsJoined() {
        for slot in directory.takeNewcomers() {
            let key = EndpointKey(
                service: directory.services[directory.endpoints[slot].service].name,
                address: directory.endpoints[slot].address)
            directory.endpoints[slot].totals = totals.use(key, by: directory.endpoints[slot].id)
        }
    }

    /// Gives the services of a snapshot their slots, and takes those of the one before back.
    mutating func nameServices(_ snapshot: Snapshot, _ slots: [Int32]) {
        let names = snapshot.services.map(\.name)
        for (name, slot) in zip(names, slots) { directory.services[slot].totals = totals.use(service: name) }
        for name in countedServices { totals.release(service: name, at: now) }
        countedServices = names
    }

    // MARK: Telling

    /// What was counted, and how everything is now.
    public mutating func telemetry() -> WorkerTelemetry {
        totals.forget(at: now)
        var telemetry = WorkerTelemetry()
        telemetry.turn = now
        telemetry.counters = counters
        telemetry.droppedLogLines = log.dropped
        telemetry.routes = totals.routeNames.entries.map { key, entry in
            let i = entry.slot.index
            return WorkerTelemetry.Route(
                route: key.route, service: key.service, requests: totals.routes[i].requests.all(),
                duration: totals.routes[i].duration, requestBytes: totals.routes[i].requestBytes,
                responseBytes: totals.routes[i].responseBytes)
        }
        telemetry.listeners = totals.listenerNames.entries.map { name, entry in
            let i = entry.slot.index
            return WorkerTelemetry.ListenerClients(
                listener: name, open: totals.listeners[i].open, accepted: totals.listeners[i].accepted)
        }
        telemetry.attempts = totals.endpointNames.entries.map { key, entry in
            let i = entry.slot.index
            let tenure = totals.endpoints[i].tenure
            return WorkerTelemetry.Attempts(
                service: key.service, address: key.address, outcomes: totals.endpoints[i].outcomes,
                moved: totals.endpoints[i].moved, retried: totals.endpoints[i].retried,
                ghosts: totals.endpoints[i].ghosts, id: tenure.id,
                firstRequest: tenure.firstRequest == .never ? nil : tenure.firstRequest,
                lastRequest: tenure.lastRequest == .never ? nil : tenure.lastRequest, firstByte: tenure.firstByte)
        }
        tellServices(&telemetry)
        tellRefusals(&telemetry)
        telemetry.refusedHeads = refusedHeads.all
        return telemetry
    }

    private func tellServices(_ telemetry: inout WorkerTelemetry) {
        var places: [String: Int] = [:]
        for (name, entry) in totals.serviceNames.entries {
            let i = entry.slot.index
            places[name] = telemetry.services.count
            telemetry.services.append(
                WorkerTelemetry.Service(
                    service: name, upstreamDuration: totals.services[i].upstreamDuration,
                    connected: totals.services[i].connected, connectRefused: totals.services[i].connectRefused,
                    connectTimeout: totals.services[i].connectTimeout,
                    connectUnreachable: totals.services[i].connectUnreachable,
                    connectInsecure: totals.services[i].connectInsecure,
                    retriesAnswered: totals.services[i].retriesAnswered,
                    retriesFailed: totals.services[i].retriesFailed, unanswered: totals.services[i].unanswered))
        }
        for s in 0..<directory.services.slotCount where directory.services.isUsed(s) {
            guard let place = places[directory.services[s].name] else { continue }
            telemetry.services[place].inFlight += Int(directory.services[s].inFlight)
            telemetry.services[place].waiting += Int(directory.services[s].waitingCount)
        }
        for e in 0..<directory.endpoints.slotCount where directory.endpoints.isUsed(e) {
            let slot = directory.endpoints[e].totals
            guard totals.endpoints.contains(slot) else { continue }
            let service = totals.endpoints[slot.index].key.service
            let idle = Int(directory.endpoints[e].idleCount)
            let latency = directory.endpoints[e].load.latencyNanoseconds
            telemetry.endpoints.append(
                WorkerTelemetry.Endpoint(
                    service: service, id: directory.endpoints[e].id, address: directory.endpoints[e].address,
                    isCurrent: directory.endpoints[e].isCurrent, inFlight: Int(directory.endpoints[e].inFlight),
                    idleConnections: idle, latencyNanoseconds: latency < 0 ? nil : latency))
            guard let place = places[service] else { continue }
            let connecting = Int(directory.endpoints[e].connecting)
            telemetry.services[place].idleConnections += idle
            telemetry.services[place].connectingConnections += connecting
            telemetry.services[place].activeConnections +=
                Int(directory.endpoints[e].connections) - idle - connecting
        }
        // Those that are kept to see their end do nothing either.
        for id in observed where upstreams.contains(id) {
            let slot = directory.endpoints[upstreams[id.index].endpoint].totals
            guard totals.endpoints.contains(slot), let place = places[totals.endpoints[slot.index].key.service] else {
                continue
            }
            telemetry.services[place].activeConnections -= 1
            telemetry.services[place].idleConnections += 1
        }
    }

    private func tellRefusals(_ telemetry: inout WorkerTelemetry) {
        for outcome in HandshakeOutcome.allCases {
            for version in TLSVersion.allCases {
                let count = totals.handshakes(outcome, version)
                if count == 0 { continue }
                telemetry.handshakes.append(HandshakeCount(outcome: outcome, version: version, count: count))
            }
        }
        for rejection in Rejection.allCases {
            let count = totals.rejections(rejection)
            if count > 0 { telemetry.refusals.append((rejection.reason, count)) }
        }
        for refusal in ConnectionRefusal.allCases {
            let count = totals.connectionRefusals(refusal)
            if count > 0 { telemetry.refusals.append((refusal.reason, count)) }
        }
        for kind in Outcome.Kind.allCases where kind.isRefusal && kind != .rejected {
            let count = totals.refusals(kind)
            if count > 0 { telemetry.refusals.append((kind.word, count)) }
        }
    }
}
