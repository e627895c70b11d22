// How does it end? Exchanges are closed out and their connections kept, cut or closed; deadlines say when waiting is
// over. RFC 9112 §9.6.

extension Connections {
    // MARK: Ends of exchanges

    /// Both messages are over.
    mutating func finish(_ c: Int32, keepClient: Bool) {
        closeOut(c)
        guard keepClient else {
            clients[c].phase = .lingering
            return closeGently(c)
        }
        clients[c].phase = .idle
        clients[c].moved = false
        enterIdle(c, isNewcomer: false)
        if clients[c].input.isEmpty {
            buffers.reclaim(&clients[c].input)
        } else {
            addPending(c)
        }
        clients[c].waiting = .nextRequest
        awaitNext(c)
        // What arrived while nobody looked tells no second time.
        if clients[c].isReadable { addPending(c) }
    }

    /// Gives back what the exchange held, and writes its line.
    @inline(__always)
    private mutating func closeOut(_ c: Int32) {
        if clients[c].exchange.wasTunnel { forgetTunnel(c) }
        countEnd(c)
        leaveSlow(c)
        if clients[c].isQueued { leaveQueue(c) }
        discardUpstream(c)
        buffers.reclaim(&clients[c].requestOut)
        buffers.reclaim(&clients[c].responseOut)
        pipes.give(back: &clients[c].pipe)
        let service = clients[c].service
        if service >= 0 {
            directory.services[service].inFlight &-= 1
            directory.releaseServiceIfUnused(service)
        }
        if clients[c].record.hasMemory { endRecord(c) }
        if clients[c].givenID >= 0 {
            givenIDs.remove(clients[c].givenID)
            clients[c].givenID = -1
        }
        clients[c].service = -1
    }

    private mutating func endRecord(_ c: Int32) {
        // It was put aside while the client kept us waiting.
        if clients[c].record.capacity == BufferPool.smallCapacity { buffers.refit(&clients[c].record, to: .head) }
        AccessRecord.end(
            &clients[c].record,
            AccessRecord.End(
                status: Int(clients[c].status),
                bytesIn: clients[c].requestBody.byteCount, bytesOut: clients[c].bytesOut,
                duration: now - clients[c].openedAt,
                upstream: clients[c].sentAt != .never && clients[c].answeredAt != .never
                    ? clients[c].answeredAt - clients[c].sentAt : nil,
                attempts: Int(clients[c].exchange.attempts), retried: clients[c].retried,
                outcome: clients[c].outcome,
                endpoint: clients[c].endpointAddress))
        log.write(clients[c].record, id: requestID(c), wallMicroseconds: Clock.wallMicroseconds(), at: now)
        buffers.reclaim(&clients[c].record)
    }

    /// Part of the response went out and the rest will not: the client has to see that.
    mutating func cutClient(_ c: Int32) {
        // With a length or chunks the missing rest shows; where only the end marks the end it must not look like one.
        switch clients[c].responseBody.framing {
        case .none, .length: break
        case .chunked, .untilClose: if !clients[c].responseBody.emitsChunks { clients[c].socket.resetOnClose() }
        }
        closeClient(c)
    }

    // MARK: Ends of connections

    /// Closes a connection whose last answer is out.
    mutating func closeGently(_ c: Int32) {
        // A client that asked for the end, and whose request was read whole, sends nothing that a close could hit.
        let isQuiet =
            clients[c].clientCloses && clients[c].input.isEmpty && !clients[c].isReadable
            && clients[c].exchange.request == .complete
        if clients[c].hasEnded || isQuiet { return closeClient(c) }
        // Whatever comes now is thrown away: bytes that nobody reads would become a reset that overtakes the answer.
        buffers.reclaim(&clients[c].input)
        endSending(c)
        clients[c].waiting = .end
        clients[c].requestBody.byteCount = 0
        clientTimers.arm(c, at: now + lingering)
        linger(c)
    }

    /// Reads and throws away what a client still sends after its last answer.
    mutating func linger(_ c: Int32) {
        if !clients[c].isReadable { return }
        buffers.supply(&clients[c].input, .stream)
        var budget = Self.bytesPerTurn
        while clients[c].isReadable {
            clients[c].input.clear()
            // Nobody looks at it, so TLS need not open it first.
            switch clients[c].socket.receive(into: &clients[c].input) {
            case .bytes(let n):
                budget &-= n
                clients[c].requestBody.byteCount &+= UInt64(n)
                // Enough politeness: it sends on and on.
                if clients[c].requestBody.byteCount > Self.lingerBytesMax { return closeClient(c) }
                if budget <= 0 {
                    buffers.reclaim(&clients[c].input)
                    return addPending(c)
                }
            case .wouldBlock: clients[c].isReadable = false
            case .end, .broken: return closeClient(c)
            }
        }
        buffers.reclaim(&clients[c].input)
    }

    /// Bytes that are read and thrown away after the last answer.
    private static var lingerBytesMax: UInt64 { 16 << 20 }

    /// A client's connection broke both ways.
    mutating func clientBroke(_ c: Int32) {
        switch clients[c].phase {
        case .handshake: handshakeEnds(c, .clientClosed)
        case .idle, .head, .lingering: closeClient(c)
        case .exchange:
            clients[c].socket.resetOnClose()
            perform(clients[c].exchange.clientFailed(), c)
        }
    }

    /// Closes a client's connection, and what hangs on it.
    mutating func closeClient(_ c: Int32) {
        switch clients[c].phase {
        case .idle, .handshake: leaveIdle(c)
        case .exchange: closeOut(c)
        case .head: leaveSlow(c)
        case .lingering: break
        }
        if clients[c].site >= 0 { leaveTLS(c) }
        if clients[c].isParked { parkedCount &-= 1 }
        clientTimers.disarm(c)
        buffers.reclaim(&clients[c].input)
        buffers.reclaim(&clients[c].record)
        if clients[c].isCounted { counts.leave(clients[c].peer.ip) }
        let listener = clients[c].listener
        if totals.listeners.contains(listener) { totals.listeners[listener.index].open &-= 1 }
        clients.remove(c)
        counters.closedConnections &+= 1
    }

    // MARK: Deadlines

    /// Nothing can move for now: buffers that hold nothing go back, and the deadline is set by what is waited for.
    mutating func rest(_ c: Int32) {
        if clients[c].input.isEmpty { buffers.reclaim(&clients[c].input) }
        if clients[c].responseOut.isEmpty { buffers.reclaim(&clients[c].responseOut) }
        if clients[c].requestOut.isEmpty, !clients[c].canReplay { buffers.reclaim(&clients[c].requestOut) }
        let u = clients[c].upstream
        if u >= 0, upstreams[u].input.isEmpty { buffers.reclaim(&upstreams[u].input) }
        // Its time does not begin anew.
        if clients[c].isDismissed { return }

        let waiting = whatFor(c)
        if waiting == clients[c].waiting, !clients[c].moved || waiting == .responseHead || waiting == .room {
            return
        }
        noteWaited(c)
        clients[c].waiting = waiting
        clients[c].moved = false
        let service = clients[c].service
        switch waiting {
        case .firstByte, .head, .nextRequest, .end, .handshake: break
        case .requestBody:
            let sent = clients[c].requestBody.byteCount
            keptWaiting(c, until: clients[c].sending.wait(times.sending, bytes: sent, now: now))
        case .upstreamReads, .responseBody:
            clientTimers.arm(c, at: now + directory.services[service].idleTimeout)
        case .responseHead: armForResponse(c)
        case .clientReads:
            let taken = clients[c].bytesOut
            keptWaiting(c, until: clients[c].reading.wait(times.reading, bytes: taken, now: now))
        case .tunnel:
            buffers.putAside(&clients[c].record)
            clientTimers.arm(c, at: now + times.tunnelIdle)
        case .room: clientTimers.arm(c, at: clients[c].queueDeadline)
        // The upstream connection has a deadline of its own.
        case .upstream: clientTimers.disarm(c)
        }
    }

    /// It is the client that we wait for now. What it may still need is put aside, into as little memory as will do.
    private mutating func keptWaiting(_ c: Int32, until deadline: Instant) {
        clientTimers.arm(c, at: deadline)
        enterSlow(c)
        buffers.putAside(&clients[c].record)
        if clients[c].requestOut.isEmpty { buffers.putAside(&clients[c].requestOut) }
    }

    /// Counts how long the client has kept us waiting until now, if it has.
    @inline(__always)
    private mutating func noteWaited(_ c: Int32) {
        switch clients[c].waiting {
        case .requestBody:
            clients[c].sending.rest(times.sending, bytes: clients[c].requestBody.byteCount, now: now)
            leaveSlow(c)
        case .clientReads:
            clients[c].reading.rest(times.reading, bytes: clients[c].bytesOut, now: now)
            leaveSlow(c)
        case .firstByte, .head, .nextRequest, .upstreamReads, .responseHead, .responseBody, .tunnel, .end, .upstream,
            .room, .handshake:
            break
        }
    }

    // Nothing changes, but a look at all of this would be a copy of it.
    private mutating func whatFor(_ c: Int32) -> ClientConnection.Waiting {
        // Bytes that were taken from one socket and not by the other one.
        let isHeld = clients[c].pipe >= 0 && pipes.held(clients[c].pipe) > 0
        switch clients[c].exchange.response {
        case .connecting where clients[c].isQueued: return .room
        case .connecting: return clients[c].exchange.request == .receiving ? .requestBody : .upstream
        case .awaiting:
            if !clients[c].requestOut.isEmpty || (isHeld && clients[c].exchange.request == .receiving) {
                return .upstreamReads
            }
            return clients[c].exchange.request == .receiving ? .requestBody : .responseHead
        case .relaying:
            let isStuck = !clients[c].responseOut.isEmpty || (isHeld && clients[c].exchange.request == .complete)
            return isStuck ? .clientReads : .responseBody
        case .tunnel: return .tunnel
        case .answered, .complete: return .clientReads
        }
    }

    /// A client's deadline is over.
    mutating func clientIsDue(_ c: Int32) {
        switch clients[c].phase {
        case .idle where clients[c].awaitsProxyHeader: turnAway(c, .proxyTimeout)
        case .idle where clients[c].waiting == .nextRequest && stillReads(c): break
        // Nothing was asked, so nothing is answered.
        case .idle, .lingering: closeClient(c)
        case .handshake: handshakeEnds(c, .timeout)
        case .head:
            clients[c].phase = .exchange
            timeOutHead(c)
        case .exchange:
            if clients[c].waiting == .responseHead { return responseIsDue(c) }
            if clients[c].waiting == .clientReads, reads(c) { return }
            let outcome: Outcome =
                switch clients[c].waiting {
                case .requestBody: .bodyTimeout
                case .upstreamReads, .responseBody: .upstreamStalled
                case .responseHead: .responseTimeout
                case .room: .queueTimeout
                case .clientReads: .clientStalled
                case .tunnel: clients[c].isDismissed ? .drained : .tunnelClosed
                case .firstByte, .head, .nextRequest, .end, .upstream, .handshake: .clientStalled
                }
            if outcome == .upstreamStalled, clients[c].upstream >= 0 {
                noteFailure(upstreams[clients[c].upstream].endpoint, .upstreamStalled)
            }
            // What it did not read would else stay in the kernel for as long as it likes.
            if outcome == .clientStalled { clients[c].socket.resetOnClose() }
            perform(clients[c].exchange.failed(outcome), c)
        }
    }
}
