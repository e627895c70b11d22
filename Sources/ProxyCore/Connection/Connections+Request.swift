// What does this client want? A head is read, checked, routed and rewritten for the upstream; or answered at once.

extension Connections {
    /// Reads from a client that has no exchange under way.
    mutating func readRequest(_ c: Int32) {
        if clients[c].awaitsProxyHeader, !readProxyHeader(c) { return }
        // Bytes of the next request may have come with the last one.
        if !clients[c].input.isEmpty, clients[c].scanned == 0, parseHead(c) { return }
        while clients[c].isReadable {
            if !clients[c].input.hasMemory {
                buffers.supply(&clients[c].input, .stream)
                clients[c].input.clear()
            } else if clients[c].input.isEmpty {
                clients[c].input.clear()
            } else if clients[c].input.capacity < BufferPool.streamCapacity {
                // What had come before was put aside.
                buffers.refit(&clients[c].input, to: .stream)
            } else if clients[c].input.writableCount == 0 {
                guard growInput(c) else { return }
            }
            let room = clients[c].input.writableCount
            switch receive(c, into: &clients[c].input) {
            case .bytes(let n):
                noteRead(c, n, of: room)
                if parseHead(c) { return }
            case .wouldBlock: clients[c].isReadable = false
            // A half request is no request, and nobody is left to be told.
            case .end, .broken: return closeClient(c)
            }
        }
        if clients[c].input.isEmpty {
            buffers.reclaim(&clients[c].input)
        } else {
            buffers.putAside(&clients[c].input)
        }
    }

    /// Makes room for a head that does not fit. The parser has refused what is over the limit before that. Whether there
    /// is any; else the request was refused.
    private mutating func growInput(_ c: Int32) -> Bool {
        if clients[c].input.headroom > 0 {
            clients[c].input.compact()
            return true
        }
        if isShortOfMemory, !relieve() {
            leaveSlow(c)
            clients[c].phase = .exchange
            openExchange(c)
            refuse(c, .overloaded)
            return false
        }
        buffers.grow(&clients[c].input, to: .largeHead)
        return true
    }

    /// Looks for a complete head in the input. Whether the connection now does something else than reading a head.
    private mutating func parseHead(_ c: Int32) -> Bool {
        // A long head that trickles in is parsed again only when another line end has come.
        if clients[c].input.writableCount > 0, !isWorthParsing(clients[c].input, scanned: clients[c].scanned) {
            return false
        }
        var rejection: Rejection?
        var limits = headLimits
        // Those that were dropped while the connection was idle count: it must not matter how the bytes came in.
        limits.emptyLines &-= Int(clients[c].emptyLines)
        let step = clients[c].input.withReadable { bytes in
            do throws(Rejection) {
                return try RequestParser.parse(bytes, into: &requestHead, limits: limits)
            } catch {
                rejection = error
                return .complete
            }
        }
        if step == .needMore {
            if clients[c].phase == .idle, skipEmptyLines(c) { return false }
            clients[c].scanned = Int32(truncatingIfNeeded: clients[c].input.count)
            if clients[c].phase == .idle {
                leaveIdle(c)
                clients[c].phase = .head
                clients[c].waiting = .head
                enterSlow(c)
                clientTimers.arm(c, at: now + times.requestHeader)
            }
            return false
        }
        clients[c].scanned = 0
        clients[c].emptyLines = 0
        if clients[c].phase == .idle { leaveIdle(c) } else { leaveSlow(c) }
        clients[c].phase = .exchange
        counters.requests &+= 1
        openExchange(c)
        if let rejection {
            clients[c].method = requestHead.method
            refuse(c, .rejected(rejection))
        } else {
            route(c)
        }
        return true
    }

    /// Drops line ends that some send behind a request; whether there was nothing else. They begin no request, whose
    /// head would have to follow in time (RFC 9112 §2.2).
    private func skipEmptyLines(_ c: Int32) -> Bool {
        let isEmpty = clients[c].input.withReadable { bytes in
            for i in bytes.indices where bytes[i] != ASCII.cr && bytes[i] != ASCII.lf { return false }
            return bytes.count & 1 == 0
        }
        if isEmpty {
            // The parser has refused more than a few.
            clients[c].emptyLines &+= UInt8(truncatingIfNeeded: clients[c].input.count / 2)
            clients[c].input.consume(clients[c].input.count)
        }
        return isEmpty
    }

    /// Whether an incomplete head can have become complete or wrong: another line end has come, or much else. One that
    /// trickles in is not read from its beginning for each byte.
    @inline(__always)
    func isWorthParsing(_ input: borrowing ByteBuffer, scanned: Int32) -> Bool {
        let from = Int(scanned)
        if from == 0 || input.count &- from >= 1024 { return true }
        return input.withReadable { Scan.firstControl($0, from: from &- 1) < $0.count }
    }

    /// Resets what belongs to one exchange.
    @inline(__always)
    private mutating func openExchange(_ c: Int32) {
        clients[c].ownID = RandomID(high: random.next(), low: random.next())
        clients[c].openedAt = now
        clients[c].sentAt = .never
        clients[c].answeredAt = .never
        clients[c].bytesOut = 0
        clients[c].responseDue = .never
        clients[c].tried = TriedEndpoints()
        clients[c].retried = RetryReasons()
        clients[c].queueDeadline = .never
        clients[c].outcome = .ok
        clients[c].status = 0
        clients[c].upstream = -1
        clients[c].service = -1
        clients[c].endpoint = .none
        clients[c].endpointAddress = nil
        clients[c].totals = unrouted
        clients[c].endpointTotals = .none
        clients[c].avoidsPool = false
        clients[c].canReplay = true
        clients[c].prefersJSON = false
        clients[c].toldClose = false
        clients[c].sending = Patience()
        clients[c].reading = Patience()
        clients[c].takenThen = 0
        clients[c].method = .other
        clients[c].requestBody = BodyProgress()
        clients[c].responseBody = BodyProgress()
    }

    /// A head did not come in time.
    mutating func timeOutHead(_ c: Int32) {
        leaveSlow(c)
        openExchange(c)
        refuse(c, .headTimeout)
    }

    /// Refuses a message that is no request.
    private mutating func refuse(_ c: Int32, _ outcome: Outcome) {
        keepRefused(c, outcome)
        clients[c].exchange = Exchange(Exchange.Opening(keepsClient: false))
        clients[c].clientCloses = false
        if log.isOn {
            if !clients[c].record.hasMemory { buffers.supply(&clients[c].record, .head) }
            // What a broken head says of the client is not read.
            AccessRecord.begin(&clients[c].record, client: clients[c].peer.ip, peer: clients[c].peer.ip)
            if !clients[c].secure.isNone { clients[c].secure.facts.append(to: &clients[c].record) }
        }
        perform(clients[c].exchange.failed(outcome), c)
    }

    /// Finds out what becomes of the request whose head is at hand.
    private mutating func route(_ c: Int32) {
        clients[c].method = requestHead.method
        clients[c].isHTTP10 = requestHead.isHTTP10
        clients[c].clientCloses = requestHead.isHTTP10 || requestHead.connection.close
        if !requestHead.noted.accept.isEmpty {
            clients[c].prefersJSON = clients[c].input.withReadable {
                Accept.prefersJSON($0, requestHead.noted.accept)
            }
        }
        deriveClient(c)
        keepGivenID(c)
        var hasBody = requestHead.framing != .none
        let verdict = decide(c)
        clients[c].totals = verdict.totals ?? unrouted
        if log.isOn { beginRecord(c, verdict) }
        if case .forward(let service) = verdict.result {
            clients[c].exchange = Exchange(opening(c, hasBody: hasBody, service: service))
            return forward(c, to: service)
        }
        var location = ByteBuffer()
        switch verdict.result {
        case .forward, .answer: break
        case .redirect(let index): location = self.location(c, routes.redirects[index])
        case .toHTTPS: location = httpsLocation(c)
        }
        if case .answer(let outcome) = verdict.result { keepRefused(c, outcome) }
        clients[c].input.consume(requestHead.byteCount)
        // A body that is all there can be passed over, so that the connection may go on.
        if case .length(let count) = requestHead.framing, count <= UInt64(clients[c].input.count) {
            clients[c].input.consume(Int(count))
            hasBody = false
        }
        clients[c].exchange = Exchange(opening(c, hasBody: hasBody))
        switch verdict.result {
        case .forward: break
        case .answer(let outcome): perform(clients[c].exchange.failed(outcome), c)
        case .redirect(let index):
            _ = clients[c].exchange.failed(.redirected)
            answer(c, .redirected, status: routes.redirects[index].status, location: location)
        case .toHTTPS(let status):
            _ = clients[c].exchange.failed(.redirected)
            answer(c, .redirected, status: status, location: location)
        }
    }

    /// Finds out who sent the request whose head is at hand.
    private mutating func deriveClient(_ c: Int32) {
        let peer = clients[c].peer.ip
        let isTLS = !clients[c].secure.isNone
        if clients[c].isStranger {
            derivedClient = DerivedClient(peer: peer, isTLS: isTLS)
            return
        }
        derivedClient = clients[c].input.withReadable { bytes in
            DerivedClient.derive(requestHead, bytes, peer: peer, isTLS: isTLS, trusted: trustedProxies)
        }
    }

    /// Keeps the id that a trusted proxy gave the request whose head is at hand. Where it gave several, nobody knows which
    /// one it calls the request by.
    @inline(__always)
    private mutating func keepGivenID(_ c: Int32) {
        guard derivedClient.isFromTrustedProxy, let value = requestHead.noted.xRequestID.only else { return }
        guard let id = clients[c].input.withReadable({ GivenID($0, value) }) else { return }
        clients[c].givenID = givenIDs.insert(id)?.index ?? -1
    }

    private mutating func beginRecord(_ c: Int32, _ verdict: Verdict) {
        if !clients[c].record.hasMemory { buffers.supply(&clients[c].record, .head) }
        clients[c].input.withReadable { bytes in
            AccessRecord.begin(
                &clients[c].record, requestHead, bytes, client: derivedClient, peer: clients[c].peer.ip)
        }
        if !clients[c].secure.isNone { clients[c].secure.facts.append(to: &clients[c].record) }
        if let route = verdict.route { AccessRecord.append(route: routes.names[route], to: &clients[c].record) }
        if case .forward(let service) = verdict.result {
            AccessRecord.append(service: directory.services[service].name, to: &clients[c].record)
        }
    }

    private func opening(_ c: Int32, hasBody: Bool, service: Int32 = -1) -> Exchange.Opening {
        let repetitions = service < 0 ? 0 : directory.services[service].retry.attempts
        return Exchange.Opening(
            hasBody: hasBody,
            // A proxy does not keep HTTP/1.0 clients: too many between us misunderstood `keep-alive` (RFC 9112 §9.3).
            keepsClient: !requestHead.isHTTP10 && !requestHead.connection.close && !isDraining && isUpToDate(c),
            expectsContinue: requestHead.expectsContinue, isHTTP10: requestHead.isHTTP10,
            asksUpgrade: !requestHead.upgrade.isEmpty, isIdempotent: requestHead.method.isIdempotent,
            repetitionsMax: UInt8(clamping: repetitions))
    }

    /// What becomes of a request.
    private struct Verdict {
        enum Result {
            case forward(Int32)
            case answer(Outcome)
            case redirect(Int)
            /// To the same place by https, with this status.
            case toHTTPS(Int)
        }
        var result: Result
        var route: Int?
        /// The slot that counts for it, where a rule was met.
        var totals: SlotID?

        init(_ result: Result, route: Int? = nil, totals: SlotID? = nil) {
            self.result = result
            self.route = route
            self.totals = totals
        }
    }

    private mutating func decide(_ c: Int32) -> Verdict {
        switch requestHead.method {
        case .connect: return Verdict(.answer(.rejected(.connectRefused)))
        case .trace: return Verdict(.answer(.rejected(.traceRefused)))
        case .options:
            // For the server as a whole, or not to go further (RFC 9110 §9.3.7, §7.6.2).
            if requestHead.target.form == .asterisk || requestHead.maxForwards == 0 {
                return Verdict(.answer(.answeredLocally))
            }
        case .get, .head, .post, .put, .delete, .patch, .other: break
        }
        if isShortOfMemory, !relieve() { return Verdict(.answer(.overloaded)) }
        guard requestHead.ownHops < Self.ownHopsMax else { return Verdict(.answer(.rejected(.loop))) }
        if !clients[c].secure.isNone, !isCovered(c) { return Verdict(.answer(.rejected(.misdirected))) }
        if limits.bodyBytes > 0, case .length(let count) = requestHead.framing, count > limits.bodyBytes {
            return Verdict(.answer(.rejected(.bodyTooLarge)))
        }
        let match = clients[c].input.withReadable { bytes in
            let target = requestHead.target
            let host = bytes.extracting(requestHead.authority.host.range)
            if target.path.isEmpty {
                let slash: [1 of UInt8] = [ASCII.slash]
                return routes.table.match(host: host, path: slash.span)
            }
            return routes.table.match(host: host, path: bytes.extracting(target.path.range))
        }
        switch match {
        case .noHost, .noPath: return Verdict(.answer(.noRoute))
        case .ambiguousPath: return Verdict(.answer(.rejected(.ambiguousPath)))
        case .route(let route):
            let secure = routes.httpsRedirect(route)
            if secure.status > 0, !derivedClient.isHTTPS {
                // HTTP/1.0 may name no host, and then there is nowhere to send it to.
                let isNamed = !requestHead.authority.host.isEmpty
                let result = isNamed ? Verdict.Result.toHTTPS(Int(secure.status)) : .answer(.rejected(.badHost))
                return Verdict(result, route: route, totals: secure.totals)
            }
            switch routes.target(route) {
            case .forward(let first, let count, let totalWeight):
                let share = routes.share(first: first, count: count, totalWeight: totalWeight, random: &random)
                return Verdict(.forward(share.service), route: route, totals: share.totals)
            case .redirect(let index, let totals): return Verdict(.redirect(Int(index)), route: route, totals: totals)
            case .nowhere(let totals): return Verdict(.answer(.noEndpoint), route: route, totals: totals)
            }
        }
    }

    /// How often a request may pass through us before it is taken for a loop.
    private static var ownHopsMax: Int { 4 }

    /// Rewrites the head for the upstream, with as much of the body as is there, and sends it off.
    private mutating func forward(_ c: Int32, to service: Int32) {
        let framing = requestHead.framing
        // Each line may grow by the space behind its colon.
        let need =
            requestHead.byteCount + requestHead.fields.lines.count + HeadWriter.requestGrowthMax
            + Authority.bytesMax * 2
        if framing == .none, need <= BufferPool.headCapacity {
            buffers.supply(&clients[c].requestOut, .head)
        } else {
            buffers.supply(&clients[c].requestOut, need <= BufferPool.streamCapacity / 2 ? .stream : .largeHead)
            clients[c].requestOut.clear()
        }
        let forwarding = Forwarding(derivedClient, id: requestID(c))
        clients[c].requestBody = BodyProgress(framing, emitsChunks: framing == .chunked)
        clients[c].input.withReadable { bytes in
            HeadWriter.write(requestHead, bytes, forwarding: forwarding, into: &clients[c].requestOut)
            if requestHead.connection.nominatesFields {
                clients[c].requestBody.nominated.note(requestHead.fields, bytes)
            }
        }
        clients[c].input.consume(requestHead.byteCount)
        clients[c].service = service
        directory.services[service].inFlight &+= 1
        directory.services[service].budget.deposit(
            percent: Int32(truncatingIfNeeded: directory.services[service].retry.budgetPercent), now: now)
        switch framing {
        case .none: requestIsComplete(c)
        case .length(let count): if count <= UInt64(clients[c].input.count) { requestIsComplete(c) }
        case .chunked, .untilClose: break
        }
        connect(c)
    }

    /// Tells the client that it may send its body (RFC 9110 §15.2.1).
    mutating func writeContinue(_ c: Int32) {
        if !clients[c].responseOut.hasMemory { buffers.supply(&clients[c].responseOut, .head) }
        clients[c].responseOut.append("HTTP/1.1 100 Continue\r\n\r\n")
    }

    /// The place that the request at hand asks for, by https: without the port, which is that of http.
    private func httpsLocation(_ c: Int32) -> ByteBuffer {
        let target = requestHead.target
        var location = ByteBuffer(capacity: Authority.bytesMax + Int(target.pathAndQuery.count) + 16)
        location.append("https://")
        clients[c].input.withReadable { bytes in
            location.append(bytes, requestHead.authority.host)
            if target.path.isEmpty { location.append(ASCII.slash) }
            location.append(bytes, target.pathAndQuery)
        }
        return location
    }

    /// Where a redirect points for the request at hand.
    private func location(_ c: Int32, _ redirect: Redirect) -> ByteBuffer {
        let target = requestHead.target.pathAndQuery
        var location = ByteBuffer(capacity: redirect.location.utf8.count + Int(target.count) + 1)
        location.append(utf8: redirect.location)
        guard redirect.appendsPath else { return location }
        if requestHead.target.path.isEmpty { location.append(ASCII.slash) }
        clients[c].input.withReadable { location.append($0, target) }
        return location
    }
}
