// How does the answer get to the client? Its body, only as fast as the client reads; and the answers that are our own.

extension Connections {
    /// Moves what can be moved of the response. Whether the exchange still stands.
    mutating func pumpResponse(_ c: Int32) -> Bool {
        var budget = Self.bytesPerTurn
        while true {
            if !clients[c].responseOut.isEmpty {
                let before = clients[c].responseOut.count
                guard sendResponse(c) else { return false }
                if !clients[c].responseOut.isEmpty { return true }
                budget &-= before
            }
            switch clients[c].exchange.response {
            case .connecting, .tunnel, .complete: return true
            case .answered:
                perform(clients[c].exchange.responseBodyEnded(), c)
                return false
            case .awaiting:
                switch readResponseHead(c) {
                case .moved: break
                case .nothing: return true
                case .gone: return false
                }
            case .relaying:
                if clients[c].responseBody.isEnded {
                    perform(clients[c].exchange.responseBodyEnded(), c)
                    return false
                }
                if budget <= 0 {
                    addPending(c)
                    return true
                }
                if let fill = spliceResponse(c, &budget) {
                    switch fill {
                    case .moved: continue
                    case .nothing: return true
                    case .gone: return false
                    }
                }
                switch fillResponse(c) {
                case .moved: break
                case .nothing: return true
                case .gone: return false
                }
            }
        }
    }

    /// Sends what is ready. Whether the connection still stands.
    @inline(__always)
    private mutating func sendResponse(_ c: Int32) -> Bool {
        if !clients[c].isWritable { return true }
        switch send(c, &clients[c].responseOut) {
        case .bytes(let n):
            clients[c].moved = true
            clients[c].headIsUnsent = false
            clients[c].bytesOut &+= UInt64(n)
            if !clients[c].responseOut.isEmpty { clients[c].isWritable = false }
        case .wouldBlock:
            clients[c].isWritable = false
            // A record was made of it, which has to go out as it is.
            if !clients[c].secure.isNone { clients[c].headIsUnsent = false }
        case .end, .broken:
            clientBroke(c)
            return false
        }
        return true
    }

    // MARK: The body

    /// Brings more of the body into the outgoing buffer, which is empty.
    private mutating func fillResponse(_ c: Int32) -> Fill {
        let u = clients[c].upstream
        if !clients[c].responseOut.hasMemory {
            buffers.supply(&clients[c].responseOut, .stream)
        } else {
            clients[c].responseOut.clear(
                headroom: clients[c].responseOut.capacity >= BufferPool.streamCapacity ? Self.frameHeadroom : 0)
        }
        if !upstreams[u].input.isEmpty {
            switch takeResponse(c) {
            case .moved: return .moved
            case .gone: return .gone
            case .nothing: break
            }
        }
        guard upstreams[u].isReadable else { return .nothing }
        switch clients[c].responseBody.framing {
        case .length: return readPlain(c, u)
        case .untilClose: return readUntilClose(c, u)
        case .chunked: return readChunks(c, u)
        case .none:
            endOfResponse(c, u)
            return .moved
        }
    }

    /// What lies free before data that a chunk's size may be put before.
    private static var frameHeadroom: Int { 32 }

    private mutating func readPlain(_ c: Int32, _ u: Int32) -> Fill {
        let room = clients[c].responseOut.writableCount
        switch receiveUp(u, into: &clients[c].responseOut) {
        case .bytes(let n):
            noteReadUp(u, n, of: room)
            countResponse(c, u, n)
            return .moved
        case .wouldBlock:
            upstreams[u].isReadable = false
            return .nothing
        case .end, .broken:
            upstreamGone(c)
            return .gone
        }
    }

    /// Counts `n` bytes that were appended to the outgoing buffer, and drops those beyond the body's end.
    @inline(__always)
    private mutating func countResponse(_ c: Int32, _ u: Int32, _ n: Int) {
        clients[c].moved = true
        let remaining = clients[c].responseBody.remaining
        if UInt64(n) > remaining {
            upstreams[u].mustClose = true
            let excess = n &- Int(remaining)
            clients[c].responseOut.truncate(to: clients[c].responseOut.count &- excess)
        }
        let taken = min(UInt64(n), remaining)
        clients[c].responseBody.byteCount &+= taken
        clients[c].responseBody.remaining = remaining &- taken
        if taken == remaining { endOfResponse(c, u) }
    }

    private mutating func readUntilClose(_ c: Int32, _ u: Int32) -> Fill {
        // Room for the line end behind the data.
        let limit = clients[c].responseOut.writableCount - 8
        switch receiveUp(u, into: &clients[c].responseOut, limit: limit) {
        case .bytes(let n):
            noteReadUp(u, n, of: limit)
            clients[c].moved = true
            clients[c].responseBody.byteCount &+= UInt64(n)
            if clients[c].responseBody.emitsChunks { frame(c, n) }
            return .moved
        case .wouldBlock:
            upstreams[u].isReadable = false
            return .nothing
        case .end where upstreams[u].wasReset:
            upstreamGone(c)
            return .gone
        case .end:
            if clients[c].responseBody.emitsChunks { clients[c].responseOut.append("0\r\n\r\n") }
            upstreams[u].mustClose = true
            endOfResponse(c, u)
            return .moved
        case .broken:
            // A reset is no end (RFC 9112 §8).
            upstreamGone(c)
            return .gone
        }
    }

    /// Makes the `n` bytes that the outgoing buffer holds a chunk.
    private mutating func frame(_ c: Int32, _ n: Int) {
        headScratch.clear()
        headScratch.append(hex: UInt64(n))
        headScratch.append("\r\n")
        clients[c].responseOut.prepend(headScratch)
        clients[c].responseOut.append("\r\n")
    }

    private mutating func readChunks(_ c: Int32, _ u: Int32) -> Fill {
        if !upstreams[u].input.hasMemory {
            buffers.supply(&upstreams[u].input, .stream)
        } else if upstreams[u].input.isEmpty {
            upstreams[u].input.clear()
        } else if upstreams[u].input.writableCount == 0 {
            guard upstreams[u].input.headroom > 0 else { return malformed(c, .headerTooLarge) }
            upstreams[u].input.compact()
        }
        let room = upstreams[u].input.writableCount
        switch receiveUp(u, into: &upstreams[u].input) {
        case .bytes(let n):
            noteReadUp(u, n, of: room)
            clients[c].moved = true
            return takeResponse(c) == .gone ? .gone : .moved
        case .wouldBlock:
            upstreams[u].isReadable = false
            return .nothing
        case .end, .broken:
            upstreamGone(c)
            return .gone
        }
    }

    /// Moves body bytes that lie in the upstream's buffer behind what goes out to the client.
    mutating func takeResponse(_ c: Int32) -> Fill {
        let u = clients[c].upstream
        switch clients[c].responseBody.framing {
        case .length:
            let n = clients[c].responseOut.append(from: upstreams[u].input)
            if n == 0 { return .nothing }
            upstreams[u].input.consume(n)
            countResponse(c, u, n)
            return .moved
        case .untilClose:
            let limit = clients[c].responseOut.writableCount - 64
            let n = min(upstreams[u].input.count, limit)
            guard n > 0 else { return .nothing }
            if clients[c].responseBody.emitsChunks {
                clients[c].responseOut.append(hex: UInt64(n))
                clients[c].responseOut.append("\r\n")
            }
            _ = clients[c].responseOut.append(from: upstreams[u].input, limit: n)
            if clients[c].responseBody.emitsChunks { clients[c].responseOut.append("\r\n") }
            upstreams[u].input.consume(n)
            clients[c].responseBody.byteCount &+= UInt64(n)
            return .moved
        case .chunked:
            switch BodyCoder.recode(
                &clients[c].responseBody, from: &upstreams[u].input, to: &clients[c].responseOut, trailers: &trailers,
                limits: headLimits)
            {
            case .malformed(let rejection):
                // What was decoded before the fault was well-formed, but goes nowhere any more: the body is cut.
                return malformed(c, rejection)
            case .moved:
                if clients[c].responseBody.isEnded { endOfResponse(c, u) }
                return .moved
            case .needInput, .needRoom: return .nothing
            }
        case .none: return .nothing
        }
    }

    /// All of the response was read. The upstream connection is free, whether or not the client has read it all.
    @inline(__always)
    mutating func endOfResponse(_ c: Int32, _ u: Int32) {
        clients[c].responseBody.isEnded = true
        if !upstreams[u].input.isEmpty { upstreams[u].mustClose = true }
        // An early answer ends the upload: nobody wants the rest.
        releaseUpstream(c)
        if clients[c].exchange.request == .complete { buffers.reclaim(&clients[c].requestOut) }
    }

    // MARK: Answers of our own

    /// Answers in the upstream's place.
    mutating func answer(
        _ c: Int32, _ outcome: Outcome, status: Int? = nil, location: consuming ByteBuffer = ByteBuffer()
    ) {
        clients[c].outcome = outcome
        let code = status ?? outcome.status ?? 500
        clients[c].status = UInt16(truncatingIfNeeded: code)
        clients[c].answeredAt = now
        clients[c].toldClose = !clients[c].exchange.keepsClient || isDraining
        if isDraining { clients[c].exchange.endsConnection() }
        if outcome.isRejection { counters.rejected &+= 1 }
        totals.refused(outcome)
        buffers.reclaim(&clients[c].requestOut)
        let need = Answer.bytesMax + location.count
        if clients[c].responseOut.hasMemory, clients[c].responseOut.writableCount < need {
            buffers.grow(&clients[c].responseOut, to: .largeHead)
        } else if !clients[c].responseOut.hasMemory {
            buffers.supply(&clients[c].responseOut, need <= BufferPool.headCapacity ? .head : .largeHead)
        }
        let answer = Answer(
            outcome: outcome, status: code, id: requestID(c), isHead: clients[c].method == .head,
            prefersJSON: clients[c].prefersJSON, closes: clients[c].toldClose)
        answer.write(into: &clients[c].responseOut, date: date, location: location)
        if pumpResponse(c) { rest(c) }
    }
}
