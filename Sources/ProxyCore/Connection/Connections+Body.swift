// How does the request's body get to the upstream? Only as fast as the upstream reads, through one buffer; and while
// that buffer still holds the whole request it can be sent a second time.

extension Connections {
    /// Moves what can be moved of the request. Whether the exchange still stands.
    mutating func pumpRequest(_ c: Int32) -> Bool {
        var budget = Self.bytesPerTurn
        while true {
            let isConnected = !clients[c].exchange.isConnecting
            if isConnected, !clients[c].requestOut.isEmpty {
                sendRequest(c)
                // Back-pressure: what the upstream does not take is not read from the client.
                if !clients[c].requestOut.isEmpty { return true }
            }
            guard clients[c].exchange.request == .receiving else { return true }
            if clients[c].requestBody.isEnded {
                clients[c].exchange.requestBodyEnded()
                requestIsComplete(c)
                continue
            }
            guard isConnected || !clients[c].input.isEmpty else { return true }
            if clients[c].upstream >= 0, upstreams[clients[c].upstream].refusesBytes { return true }
            let before = clients[c].requestBody.byteCount
            switch spliceRequest(c) ?? fillRequest(c) {
            case .moved: break
            case .nothing: return true
            case .gone: return false
            }
            clients[c].moved = true
            budget &-= Int(truncatingIfNeeded: clients[c].requestBody.byteCount &- before)
            if budget <= 0 {
                addPending(c)
                return true
            }
        }
    }

    /// What filling a buffer came to.
    enum Fill {
        /// Something moved, or ended.
        case moved
        /// Nothing can move now.
        case nothing
        /// The exchange, or the connection, is over.
        case gone
    }

    /// Sends what is ready. A failure is not the end: the upstream may have answered before it stopped reading.
    private mutating func sendRequest(_ c: Int32) {
        let u = clients[c].upstream
        if !upstreams[u].isWritable { return }
        switch sendUp(u, &clients[c].requestOut) {
        case .bytes:
            clients[c].moved = true
            upstreams[u].wasSentTo = true
            if !clients[c].requestOut.isEmpty { upstreams[u].isWritable = false }
            clients[c].sentAt = now
        case .wouldBlock: upstreams[u].isWritable = false
        case .end: upstreamRefuses(u)
        case .broken:
            upstreams[u].wasReset = true
            upstreamRefuses(u)
        }
    }

    /// The upstream takes no more. What it said before can still be read.
    mutating func upstreamRefuses(_ u: Int32) {
        upstreams[u].refusesBytes = true
        upstreams[u].mustClose = true
        upstreams[u].isReadable = true
        upstreams[u].isWritable = false
    }

    /// Brings more of the body into the buffer.
    private mutating func fillRequest(_ c: Int32) -> Fill {
        if !prepareRequestOut(c) { return .nothing }
        if clients[c].input.isEmpty {
            switch readBody(c) {
            case .moved: break
            case .nothing: return .nothing
            case .gone: return .gone
            }
            if clients[c].requestBody.framing != .chunked { return .moved }
        }
        return takeBody(c)
    }

    /// Makes sure that the buffer has room. Whether it has.
    private mutating func prepareRequestOut(_ c: Int32) -> Bool {
        if clients[c].requestOut.hasMemory {
            // What was sent before was put aside, in case it has to be sent again.
            if clients[c].requestOut.capacity == BufferPool.smallCapacity {
                buffers.refit(&clients[c].requestOut, to: .stream)
            }
            if clients[c].requestOut.writableCount >= BodyCoder.roomMin { return true }
            // Full and sent: from here on the request cannot be sent again.
            guard clients[c].requestOut.isEmpty, !clients[c].exchange.isConnecting else { return false }
            clients[c].canReplay = false
            clients[c].requestOut.clear()
            return true
        }
        clients[c].canReplay = false
        buffers.supply(&clients[c].requestOut, .stream)
        clients[c].requestOut.clear()
        return true
    }

    /// Reads from the client: straight into the outgoing buffer where nothing has to be decoded.
    private mutating func readBody(_ c: Int32) -> Fill {
        guard clients[c].isReadable else { return .nothing }
        let transfer: Transfer
        let room: Int
        if case .length = clients[c].requestBody.framing {
            // Never beyond the body's end: what follows is the next request, and stays in the socket.
            let remaining = clients[c].requestBody.remaining
            let writable = clients[c].requestOut.writableCount
            room = UInt64(writable) < remaining ? writable : Int(truncatingIfNeeded: remaining)
            transfer = receive(c, into: &clients[c].requestOut, limit: room)
        } else {
            if !clients[c].input.hasMemory { buffers.supply(&clients[c].input, .stream) }
            clients[c].input.clear()
            room = clients[c].input.writableCount
            transfer = receive(c, into: &clients[c].input)
        }
        switch transfer {
        case .bytes(let n):
            noteRead(c, n, of: room)
            clients[c].exchange.requestBodyBegan()
            if case .length = clients[c].requestBody.framing { countBody(c, n) }
            return .moved
        case .wouldBlock, .end, .broken: return bodyStopped(c, transfer)
        }
    }

    /// What it means for an exchange that a read of its body brought no bytes.
    mutating func bodyStopped(_ c: Int32, _ transfer: Transfer) -> Fill {
        switch transfer {
        case .bytes: return .moved
        case .wouldBlock:
            clients[c].isReadable = false
            return .nothing
        case .end:
            clients[c].hasEnded = true
            perform(clients[c].exchange.clientEnded(), c)
            return .gone
        case .broken:
            clientBroke(c)
            return .gone
        }
    }

    mutating func countBody(_ c: Int32, _ n: Int) {
        clients[c].requestBody.byteCount &+= UInt64(n)
        clients[c].requestBody.remaining &-= UInt64(n)
        if clients[c].requestBody.remaining == 0 { clients[c].requestBody.isEnded = true }
    }

    /// Moves body bytes that lie in the input into the outgoing buffer.
    private mutating func takeBody(_ c: Int32) -> Fill {
        switch clients[c].requestBody.framing {
        case .length:
            clients[c].exchange.requestBodyBegan()
            let limit = Int(min(clients[c].requestBody.remaining, UInt64(clients[c].input.count)))
            let n = clients[c].requestOut.append(from: clients[c].input, limit: limit)
            clients[c].input.consume(n)
            countBody(c, n)
            return n > 0 ? .moved : .nothing
        case .chunked:
            clients[c].exchange.requestBodyBegan()
            switch BodyCoder.recode(
                &clients[c].requestBody, from: &clients[c].input, to: &clients[c].requestOut, trailers: &trailers,
                limits: headLimits)
            {
            case .malformed(let rejection):
                perform(clients[c].exchange.requestMalformed(rejection), c)
                return .gone
            case .moved:
                if isBodyTooLarge(c) { return .gone }
                return .moved
            case .needInput:
                if isBodyTooLarge(c) { return .gone }
                return readMoreOfChunks(c)
            case .needRoom:
                if clients[c].exchange.isConnecting { return .nothing }
                // What is there is sent first; then the buffer is free.
                if clients[c].requestOut.isEmpty {
                    clients[c].canReplay = false
                    clients[c].requestOut.clear()
                }
                return .moved
            }
        case .none, .untilClose:
            clients[c].requestBody.isEnded = true
            return .moved
        }
    }

    /// Whether the chunks so far, the one announced included, are more than allowed. Then the exchange is over.
    private mutating func isBodyTooLarge(_ c: Int32) -> Bool {
        let ahead = clients[c].requestBody.decoder.dataBytesAhead
        let (total, overflow) = clients[c].requestBody.byteCount.addingReportingOverflow(ahead)
        guard limits.bodyBytes > 0, overflow || total > limits.bodyBytes else { return false }
        perform(clients[c].exchange.requestMalformed(.bodyTooLarge), c)
        return true
    }

    /// Reads on where the input holds a piece of a frame or of trailers that cannot be taken yet.
    private mutating func readMoreOfChunks(_ c: Int32) -> Fill {
        guard clients[c].isReadable else { return .nothing }
        if clients[c].input.writableCount == 0 {
            if clients[c].input.headroom > 0 {
                clients[c].input.compact()
            } else if clients[c].input.capacity < buffers.largeHeadCapacity {
                buffers.grow(&clients[c].input, to: .largeHead)
            } else {
                perform(clients[c].exchange.requestMalformed(.headerTooLarge), c)
                return .gone
            }
        }
        let room = clients[c].input.writableCount
        let transfer = receive(c, into: &clients[c].input)
        switch transfer {
        case .bytes(let n):
            noteRead(c, n, of: room)
            return .moved
        case .wouldBlock, .end, .broken: return bodyStopped(c, transfer)
        }
    }
}
