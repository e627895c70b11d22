// What moves after a 101? Bytes, both ways, not looked at but for where the frames of a WebSocket begin; each side may end
// by itself. RFC 9110 §7.8.

extension Connections {
    /// The upstream has switched protocols, and its 101 is on its way out.
    mutating func openTunnel(_ c: Int32, isWebSocket: Bool) {
        clients[c].status = 101
        clients[c].answeredAt = now
        countFirstByte(c)
        clients[c].moved = true
        upstreams[clients[c].upstream].mustClose = true
        clients[c].canReplay = false
        buffers.reclaim(&clients[c].requestOut)
        counters.openTunnels &+= 1
        // Where there is no room for it, it is a tunnel like any other.
        if isWebSocket { clients[c].webSocket = webSockets.insert(WebSocket())?.index ?? -1 }
        // What the client has sent behind its request lies in the input; it was held back until now.
        pumpTunnel(c)
    }

    /// A tunnel is over.
    mutating func forgetTunnel(_ c: Int32) {
        counters.openTunnels &-= 1
        if clients[c].webSocket >= 0 { webSockets.remove(clients[c].webSocket) }
        clients[c].webSocket = -1
    }

    /// Moves what can be moved both ways.
    mutating func pumpTunnel(_ c: Int32) {
        let u = clients[c].upstream
        var budget = Self.bytesPerTurn
        var isUpwardMoving = true
        var isDownwardMoving = true
        while isUpwardMoving || isDownwardMoving {
            if isUpwardMoving {
                switch pumpUpwards(c, u, &budget) {
                case .moved: break
                case .nothing: isUpwardMoving = false
                case .gone: return
                }
            }
            if isDownwardMoving {
                switch pumpDownwards(c, u, &budget) {
                case .moved: break
                case .nothing: isDownwardMoving = false
                case .gone: return
                }
            }
            if budget <= 0 {
                addPending(c)
                break
            }
        }
        if isTunnelOver(c, u) {
            clients[c].outcome = clients[c].isDismissed ? .drained : .tunnelClosed
            // Whoever has answered, or was not listened to any more, is waited for as after a last answer.
            if clients[c].isDismissed { clients[c].hasEnded = false }
            return perform(clients[c].exchange.responseBodyEnded(), c)
        }
        rest(c)
    }

    private mutating func pumpUpwards(_ c: Int32, _ u: Int32, _ budget: inout Int) -> Fill {
        if !clients[c].requestOut.isEmpty {
            if !upstreams[u].isWritable { return .nothing }
            switch sendUp(u, &clients[c].requestOut) {
            case .bytes: clients[c].moved = true
            case .wouldBlock: break
            case .end, .broken: return endTunnel(c)
            }
            if !clients[c].requestOut.isEmpty {
                upstreams[u].isWritable = false
                return .nothing
            }
            if clients[c].hasEnded { endSendingUp(u) }
        }
        if clients[c].isDismissed {
            sayCloseUp(c)
            if !clients[c].requestOut.isEmpty { return .moved }
        }
        if !clients[c].input.isEmpty {
            // Whole buffers change hands; the input's memory is given back with the bytes.
            buffers.reclaim(&clients[c].requestOut)
            swap(&clients[c].input, &clients[c].requestOut)
            clients[c].requestBody.byteCount &+= UInt64(clients[c].requestOut.count)
            followUp(c, clients[c].requestOut.count)
            return .moved
        }
        guard clients[c].isReadable, !clients[c].hasEnded else { return .nothing }
        if !clients[c].requestOut.hasMemory { buffers.supply(&clients[c].requestOut, .stream) }
        clients[c].requestOut.clear()
        let room = clients[c].requestOut.writableCount
        switch receive(c, into: &clients[c].requestOut) {
        case .bytes(let n):
            noteRead(c, n, of: room)
            clients[c].moved = true
            clients[c].requestBody.byteCount &+= UInt64(n)
            budget &-= n
            followUp(c, n)
            return .moved
        case .wouldBlock: clients[c].isReadable = false
        case .end:
            clients[c].isReadable = false
            clients[c].hasEnded = true
            endSendingUp(u)
        case .broken: return endTunnel(c)
        }
        return .nothing
    }

    private mutating func pumpDownwards(_ c: Int32, _ u: Int32, _ budget: inout Int) -> Fill {
        if !clients[c].responseOut.isEmpty {
            if !clients[c].isWritable { return .nothing }
            switch send(c, &clients[c].responseOut) {
            case .bytes(let n):
                clients[c].moved = true
                clients[c].bytesOut &+= UInt64(n)
            case .wouldBlock: break
            case .end, .broken: return endTunnel(c)
            }
            if !clients[c].responseOut.isEmpty {
                clients[c].isWritable = false
                return .nothing
            }
            if upstreams[u].hasEnded { endSending(c) }
        }
        if clients[c].isDismissed {
            sayCloseDown(c)
            if !clients[c].responseOut.isEmpty { return .moved }
        }
        if !upstreams[u].input.isEmpty {
            buffers.reclaim(&clients[c].responseOut)
            swap(&upstreams[u].input, &clients[c].responseOut)
            followDown(c, clients[c].responseOut.count)
            return .moved
        }
        guard upstreams[u].isReadable, !upstreams[u].hasEnded else { return .nothing }
        if !clients[c].responseOut.hasMemory { buffers.supply(&clients[c].responseOut, .stream) }
        clients[c].responseOut.clear()
        let room = clients[c].responseOut.writableCount
        switch receiveUp(u, into: &clients[c].responseOut) {
        case .bytes(let n):
            noteReadUp(u, n, of: room)
            clients[c].moved = true
            budget &-= n
            followDown(c, n)
            return .moved
        case .wouldBlock: upstreams[u].isReadable = false
        case .end:
            upstreams[u].isReadable = false
            upstreams[u].hasEnded = true
            endSending(c)
        case .broken: return endTunnel(c)
        }
        return .nothing
    }

    /// One side broke, so both end.
    private mutating func endTunnel(_ c: Int32) -> Fill {
        perform(clients[c].exchange.failed(clients[c].isDismissed ? .drained : .tunnelClosed), c)
        return .gone
    }
}
