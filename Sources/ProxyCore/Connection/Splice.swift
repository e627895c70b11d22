// Must a long body pass through our memory? Not where its length is known and nothing has to be written anew: then
// pages move from socket to pipe to socket (splice(2)), which saves two copies.

/// Pipes that bodies are moved through, kept by one worker.
struct PipePool: ~Copyable {
    /// Pipes of one worker at most: each takes two descriptors and a share of the user's pipe memory.
    static let pipesMax = 64
    /// Bytes that a pipe holds.
    static let capacity = 256 * 1024

    struct Entry: ~Copyable {
        var pipe: Pipe?
        var held = 0
    }

    private let entries = Slab<Entry>(capacity: pipesMax) { Entry() }
    private var free: [Int32] = []
    /// Whether the system refused; then copying has to do until a pipe comes back.
    private var isExhausted = false

    deinit { entries.destroy() }

    /// Takes a free pipe; -1 where there is none, and bytes have to be copied.
    mutating func take() -> Int32 {
        if let index = free.popLast() { return index }
        guard entries.count < Self.pipesMax, !isExhausted else { return -1 }
        guard let pipe = Pipe(capacity: Self.capacity), pipe.capacity >= 65_536,
            let id = entries.insert(Entry(pipe: consume pipe))
        else {
            isExhausted = true
            return -1
        }
        return id.index
    }

    /// Bytes that a pipe holds now.
    func held(_ index: Int32) -> Int { entries[index].held }

    /// Gives a pipe back. One that still holds bytes is closed: they must never reach anybody else.
    mutating func give(back index: inout Int32) {
        if index < 0 { return }
        isExhausted = false
        if entries[index].held > 0 {
            entries.remove(index)
        } else {
            free.append(index)
        }
        index = -1
    }

    /// Moves bytes from a socket into a pipe.
    mutating func fill(_ index: Int32, from socket: borrowing Socket, limit: Int) -> Transfer {
        guard let transfer = entries[index].pipe?.fill(from: socket, limit: limit) else { return .broken }
        if case .bytes(let n) = transfer { entries[index].held &+= n }
        return transfer
    }

    /// Moves what a pipe holds into a socket.
    mutating func drain(_ index: Int32, into socket: borrowing Socket) -> Transfer {
        let held = entries[index].held
        guard let transfer = entries[index].pipe?.drain(into: socket, limit: held) else { return .broken }
        if case .bytes(let n) = transfer { entries[index].held &-= n }
        return transfer
    }
}

extension Pipe {
    borrowing func fill(from socket: borrowing Socket, limit: Int) -> Transfer {
        socket.splice(into: self, limit: limit)
    }
    borrowing func drain(into socket: borrowing Socket, limit: Int) -> Transfer {
        socket.splice(from: self, limit: limit)
    }
}

extension Connections {
    /// From how many bytes to come a body is spliced.
    static var spliceMin: UInt64 { 64 * 1024 }
    /// How much of an answer must have come before, which is more than the kernel takes for a client that does not read: a
    /// pipe holds a lot, there are few, and they are for those who do.
    static var spliceAfter: UInt64 { 256 * 1024 }

    /// Moves a piece of the response by splice; nil where it has to be copied.
    mutating func spliceResponse(_ c: Int32, _ budget: inout Int) -> Fill? {
        // While a body still goes up the pipe is not ours.
        guard clients[c].exchange.request == .complete, clients[c].secure.isNone else { return nil }
        let u = clients[c].upstream
        let isUnderWay = clients[c].pipe >= 0
        if !isUnderWay {
            guard case .length = clients[c].responseBody.framing, clients[c].responseBody.remaining >= Self.spliceMin,
                clients[c].responseBody.byteCount >= Self.spliceAfter, upstreams[u].secure.isNone,
                upstreams[u].input.isEmpty, upstreams[u].isReadable
            else { return nil }
            clients[c].pipe = pipes.take()
            if clients[c].pipe < 0 { return nil }
            buffers.reclaim(&clients[c].responseOut)
        }
        let pipe = clients[c].pipe
        if pipes.held(pipe) == 0 {
            guard upstreams[u].isReadable else { return .nothing }
            let limit = Int(min(clients[c].responseBody.remaining, UInt64(PipePool.capacity)))
            switch pipes.fill(pipe, from: upstreams[u].socket, limit: limit) {
            case .bytes(let n):
                clients[c].moved = true
                clients[c].responseBody.byteCount &+= UInt64(n)
                clients[c].responseBody.remaining &-= UInt64(n)
            case .wouldBlock:
                upstreams[u].isReadable = false
                return .nothing
            case .end, .broken:
                upstreamGone(c)
                return .gone
            }
        }
        guard clients[c].isWritable else { return .nothing }
        switch pipes.drain(pipe, into: clients[c].socket) {
        case .bytes(let n):
            clients[c].moved = true
            clients[c].bytesOut &+= UInt64(n)
            budget &-= n
            if pipes.held(pipe) > 0 { return .moved }
            guard clients[c].responseBody.remaining == 0 else { return .moved }
            pipes.give(back: &clients[c].pipe)
            endOfResponse(c, u)
            return .moved
        case .wouldBlock:
            clients[c].isWritable = false
            return .nothing
        case .end, .broken:
            clientBroke(c)
            return .gone
        }
    }

    /// Moves a piece of the request's body by splice; nil where it has to be copied.
    mutating func spliceRequest(_ c: Int32) -> Fill? {
        let u = clients[c].upstream
        if clients[c].pipe < 0 {
            guard case .length = clients[c].requestBody.framing, clients[c].requestBody.remaining >= Self.spliceMin,
                // Of what trickles there is too little at a time.
                clients[c].input.isEmpty, clients[c].isReadable, !clients[c].isParked, clients[c].secure.isNone, u >= 0,
                !clients[c].exchange.isConnecting,
                upstreams[u].secure.isNone
            else { return nil }
            clients[c].pipe = pipes.take()
            if clients[c].pipe < 0 { return nil }
            // From here on the request cannot be sent again.
            clients[c].canReplay = false
            buffers.reclaim(&clients[c].requestOut)
        }
        let pipe = clients[c].pipe
        if pipes.held(pipe) == 0 {
            guard clients[c].isReadable else { return .nothing }
            // The body's last bytes are copied: so the body never ends in the pipe, but in the code that ends bodies.
            let limit = Int(min(clients[c].requestBody.remaining &- 1, UInt64(PipePool.capacity)))
            let transfer = pipes.fill(pipe, from: clients[c].socket, limit: limit)
            guard case .bytes(let n) = transfer else {
                // While it is the client that we wait for, others can have the pipe.
                pipes.give(back: &clients[c].pipe)
                return bodyStopped(c, transfer)
            }
            clients[c].exchange.requestBodyBegan()
            countBody(c, n)
        }
        guard upstreams[u].isWritable else { return .nothing }
        switch pipes.drain(pipe, into: upstreams[u].socket) {
        case .bytes:
            clients[c].sentAt = now
            upstreams[u].wasSentTo = true
            if pipes.held(pipe) == 0, clients[c].requestBody.remaining == 1 { pipes.give(back: &clients[c].pipe) }
            return .moved
        case .wouldBlock:
            upstreams[u].isWritable = false
            return .nothing
        case .end:
            upstreamRefuses(u)
            return .nothing
        case .broken:
            upstreams[u].wasReset = true
            upstreamRefuses(u)
            return .nothing
        }
    }
}
