// How does the answer begin? Its head is read, decided on and rewritten, in one send with the first body bytes. Where the
// framing stays the same it is put in place before a body that is not copied.

extension Connections {
    /// Reads the response's head, and passes it on when it is complete.
    mutating func readResponseHead(_ c: Int32) -> Fill {
        let u = clients[c].upstream
        if u < 0 { return .nothing }
        if !upstreams[u].input.isEmpty, upstreams[u].scanned == 0 {
            switch parseResponseHead(c, u) {
            case .nothing: break
            case .moved: return .moved
            case .gone: return .gone
            }
        }
        while upstreams[u].isReadable {
            if !upstreams[u].input.hasMemory {
                buffers.supply(&upstreams[u].input, .stream)
            } else if upstreams[u].input.writableCount == 0 {
                guard upstreams[u].input.capacity < buffers.largeHeadCapacity else {
                    return malformed(c, .headerTooLarge)
                }
                buffers.grow(&upstreams[u].input, to: .largeHead)
            }
            let room = upstreams[u].input.writableCount
            switch receiveUp(u, into: &upstreams[u].input) {
            case .bytes(let n):
                noteReadUp(u, n, of: room)
                upstreams[u].hasSpoken = true
                switch parseResponseHead(c, u) {
                case .nothing: break
                case .moved: return .moved
                case .gone: return .gone
                }
            case .wouldBlock: upstreams[u].isReadable = false
            case .end, .broken:
                upstreamGone(c)
                return .gone
            }
        }
        return .nothing
    }

    /// Looks for a complete head in the upstream's bytes.
    private mutating func parseResponseHead(_ c: Int32, _ u: Int32) -> Fill {
        if upstreams[u].input.writableCount > 0, !isWorthParsing(upstreams[u].input, scanned: upstreams[u].scanned) {
            return .nothing
        }
        let method = clients[c].method
        var rejection: Rejection?
        let step = upstreams[u].input.withReadable { bytes in
            do throws(Rejection) {
                return try ResponseParser.parse(bytes, into: &responseHead, answering: method, limits: headLimits)
            } catch {
                rejection = error
                return .complete
            }
        }
        if let rejection { return malformed(c, rejection) }
        if step == .needMore {
            upstreams[u].scanned = Int32(truncatingIfNeeded: upstreams[u].input.count)
            return .nothing
        }
        upstreams[u].scanned = 0
        return responseHeadArrived(c, u)
    }

    private mutating func responseHeadArrived(_ c: Int32, _ u: Int32) -> Fill {
        guard isGenuine(c, u) else { return .gone }
        var action = clients[c].exchange.responseHeadArrived(
            status: responseHead.status, offersUpgrade: responseHead.status == 101 && offersUpgrade(c, u))
        // Who says something beforehand, and not who he is, may be a stranger; and nobody waits for it.
        if action == .relayInterim, !isIdentified(c, u) { action = .dropInterim }
        switch action {
        case .relayInterim:
            relayInterim(c, u)
            return .moved
        case .dropInterim:
            upstreams[u].input.consume(responseHead.byteCount)
            return .moved
        case .openTunnel:
            let isWebSocket = upstreams[u].input.withReadable { Scan.equals($0, responseHead.upgrade, "websocket") }
            relayInterim(c, u)
            openTunnel(c, isWebSocket: isWebSocket)
            return .gone
        case .relayHead:
            return relayHead(c, u)
        case .wait, .connect, .sendRequest, .answer, .cut, .abandon, .finish:
            perform(action, c)
            return .gone
        }
    }

    /// Whether a 101 names exactly what the client asked for. What it asked for stands in the request that was sent,
    /// which is still whole: an upgrade has no body.
    private func offersUpgrade(_ c: Int32, _ u: Int32) -> Bool {
        guard responseHead.connection.upgrade, !responseHead.upgrade.isEmpty, clients[c].canReplay else { return false }
        return upstreams[u].input.withReadable { answer in
            clients[c].requestOut.withAppended { request in
                RequestParser.upgradeIsOffered(request, answer, responseHead.upgrade)
            }
        }
    }

    /// Rewrites the head at hand and puts it behind what goes out to the client.
    private mutating func relayInterim(_ c: Int32, _ u: Int32) {
        writeResponseHead(c, u, framing: .none, id: responseHead.status == 101)
        if !clients[c].responseOut.hasMemory {
            let isSmall = headScratch.count <= BufferPool.headCapacity
            buffers.supply(&clients[c].responseOut, isSmall ? .head : .largeHead)
        } else {
            clients[c].responseOut.clear()
        }
        if clients[c].responseOut.writableCount < headScratch.count {
            buffers.grow(&clients[c].responseOut, to: .largeHead)
        }
        _ = clients[c].responseOut.append(from: headScratch)
        upstreams[u].input.consume(responseHead.byteCount)
    }

    /// Writes the head at hand, as the client shall see it, into the scratch buffer.
    private mutating func writeResponseHead(_ c: Int32, _ u: Int32, framing: BodyFraming, id: Bool) {
        // Each line may grow by the space behind its colon.
        let need = responseHead.byteCount + responseHead.fields.lines.count + HeadWriter.responseGrowthMax
        if need > headScratch.capacity { headScratch = ByteBuffer(capacity: need) }
        headScratch.clear()
        clients[c].toldClose = id && !clients[c].exchange.keepsClient && responseHead.status != 101
        let terms = HeadWriter.ResponseTerms(
            framing: framing, id: id ? requestID(c) : nil, closes: clients[c].toldClose,
            isHTTP10: clients[c].isHTTP10)
        upstreams[u].input.withReadable { bytes in
            HeadWriter.write(responseHead, bytes, terms: terms, date: date, into: &headScratch)
        }
    }

    /// Passes the final head on, and notes how the body will come.
    private mutating func relayHead(_ c: Int32, _ u: Int32) -> Fill {
        clients[c].headIsUnsent = true
        clients[c].status = UInt16(truncatingIfNeeded: responseHead.status)
        clients[c].answeredAt = now
        countFirstByte(c)
        noteAnswer(upstreams[u].endpoint, status: responseHead.status)
        clients[c].moved = true
        clients[c].canReplay = false
        if isDraining { clients[c].exchange.endsConnection() }

        var framing = responseHead.framing
        if framing == .chunked || framing == .untilClose {
            framing = clients[c].isHTTP10 ? .untilClose : .chunked
        }
        clients[c].responseBody = BodyProgress(responseHead.framing, emitsChunks: framing == .chunked)
        if responseHead.connection.nominatesFields {
            upstreams[u].input.withReadable { clients[c].responseBody.nominated.note(responseHead.fields, $0) }
        }
        if responseHead.connection.close || responseHead.isHTTP10 || responseHead.framing == .untilClose {
            upstreams[u].mustClose = true
        }
        // A second or less is no time to be used again; 0 stands for one that says nothing.
        upstreams[u].idleSeconds = responseHead.keepAliveSeconds.map { max(1, $0) } ?? 0
        // Nothing may follow an answer whose end only the connection's end marks.
        if framing == .untilClose { clients[c].exchange.endsConnection() }

        writeResponseHead(c, u, framing: framing, id: true)
        upstreams[u].input.consume(responseHead.byteCount)
        var isPlain = false
        switch responseHead.framing {
        case .none, .length: isPlain = true
        case .chunked, .untilClose: break
        }
        if isPlain, headScratch.count <= upstreams[u].input.headroom, !clients[c].responseOut.hasMemory {
            sendInPlace(c, u)
        } else {
            copyHead(c)
            if !clients[c].responseBody.isEnded { return takeResponse(c) == .gone ? .gone : .moved }
        }
        if clients[c].responseBody.isEnded { endOfResponse(c, u) }
        return .moved
    }

    /// Head before body, in the upstream's own buffer, which becomes the client's.
    @inline(__always)
    private mutating func sendInPlace(_ c: Int32, _ u: Int32) {
        let remaining = clients[c].responseBody.remaining
        if UInt64(upstreams[u].input.count) > remaining {
            // More than was announced: those bytes answer nothing that we asked (RFC 9112 §9.3).
            upstreams[u].mustClose = true
            upstreams[u].input.truncate(to: Int(remaining))
        }
        let n = upstreams[u].input.count
        clients[c].responseBody.remaining = remaining &- UInt64(n)
        clients[c].responseBody.byteCount = UInt64(n)
        if clients[c].responseBody.remaining == 0 { clients[c].responseBody.isEnded = true }
        upstreams[u].input.prepend(headScratch)
        swap(&upstreams[u].input, &clients[c].responseOut)
    }

    /// The head into a buffer of its own, to which the body is appended.
    private mutating func copyHead(_ c: Int32) {
        let isLarge = headScratch.count > BufferPool.streamCapacity / 2
        if clients[c].responseOut.hasMemory, clients[c].responseOut.capacity < BufferPool.streamCapacity || isLarge {
            buffers.reclaim(&clients[c].responseOut)
        }
        if !clients[c].responseOut.hasMemory {
            buffers.supply(&clients[c].responseOut, isLarge ? .largeHead : .stream)
        }
        clients[c].responseOut.clear()
        if clients[c].responseOut.writableCount < headScratch.count {
            buffers.grow(&clients[c].responseOut, to: .largeHead)
        }
        _ = clients[c].responseOut.append(from: headScratch)
    }
}
