// How did a request end, and what does its connection do next?

import Glibc

extension LoadGenerator {
    /// The socket has ended.
    mutating func ended(_ i: Int, isReset: Bool) {
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        switch unsafe connection.pointee.phase {
        case .end:
            closeSocket(i)
            next(i)
        case .untilClose where !isReset:
            if let expected = plan.expectedBytes, unsafe expected != connection.pointee.remaining {
                return fail(i, .wrongLength)
            }
            unsafe connection.pointee.closes = true
            complete(i)
            closeSocket(i)
            next(i)
        case .idle:
            // Nothing was in flight: a peer may end an idle connection. It is opened again when it is needed.
            reconnects += 1
            closeSocket(i)
        case .connecting: fail(i, .connect)
        case .securing: fail(i, .tls)
        case .closed, .head, .body, .chunks, .untilClose, .handshake, .echo: fail(i, isReset ? .reset : .closedEarly)
        }
    }

    /// The answer is complete and right.
    mutating func complete(_ i: Int) {
        guard isSent(i) else { return fail(i, .tooEarly) }
        if isSecure, plan.newConnections, !tls.keepTicket(i) { return fail(i, .anotherTLS) }
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        latencies.record(unsafe monotonicNow() &- connection.pointee.intendedAt)
        inFlight -= 1
        failuresInRow = 0
        unsafe connection.pointee.hasRequest = false
        if unsafe connection.pointee.closes || plan.newConnections {
            // The peer said that it closes: it does, and the slot waits for that, as a client that reads to the end.
            if !plan.newConnections { reconnects += 1 }
            unsafe connection.pointee.closes = false
            unsafe connection.pointee.phase = .end
            lingering += 1
            return
        }
        unsafe connection.pointee.phase = .idle
        next(i)
    }

    mutating func fail(_ i: Int, _ kind: LoadError) {
        // Safety: `i` is within the slab.
        if unsafe connections[i].phase == .closed { return }
        errors[kind] += 1
        failuresInRow += 1
        let hadRequest = unsafe connections[i].hasRequest
        unsafe connections[i].hasRequest = false
        if hadRequest { inFlight -= 1 }
        closeSocket(i)
        if failuresInRow > 100 + 2 * count {
            gaveUp = "\(failuresInRow) failures in a row (\(errors.text))"
            return
        }
        if hadRequest { next(i) }
    }

    mutating func closeSocket(_ i: Int) {
        // Safety: `i` is within the slab.
        if isSecure { tls.end(i) }
        if unsafe connections[i].fd >= 0 { unsafe close(connections[i].fd) }
        if unsafe connections[i].phase == .end { lingering -= 1 }
        unsafe connections[i].fd = -1
        unsafe connections[i].phase = .closed
        unsafe connections[i].input.removeAll()
    }

    /// Connection `i` is free again: what now?
    mutating func next(_ i: Int) {
        switch mode {
        case .closed: issue(i, intended: nil)
        case .open: waiting.append(Int32(i))
        case .once: if issued < count { issue(issued, intended: nil) }
        case .stopped: break
        }
    }
}
