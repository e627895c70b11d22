// A request's way out: a connection is opened where there is none, and the bytes go as fast as the socket takes them.

import CLinux
import Glibc
import ProxyCore

extension LoadGenerator {
    /// Starts the next request on connection `i`, which has none in flight.
    mutating func issue(_ i: Int, intended: UInt64?) {
        guard issued < limit else { return }
        issued += 1
        inFlight += 1
        let now = monotonicNow()
        let host = nextHost
        nextHost = nextHost + 1 == requests.perTarget ? 0 : nextHost + 1
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        unsafe connection.pointee.request = Int32(Int(connection.pointee.target) * requests.perTarget + host)
        unsafe connection.pointee.sent = 0
        unsafe connection.pointee.intendedAt = intended ?? now
        unsafe connection.pointee.hasRequest = true
        if unsafe connection.pointee.phase == .idle {
            unsafe connection.pointee.startedAt = now
            begin(i)
        } else if unsafe connection.pointee.phase == .closed {
            connect(i)
        }
    }

    mutating func connect(_ i: Int) {
        // Safety: `i` is within the slab.
        let connection = unsafe connections + i
        let address = unsafe plan.targets[Int(connection.pointee.target)].address
        let fd = makeSocket(for: address, isNonblocking: true)
        unsafe connection.pointee.fd = fd
        unsafe connection.pointee.generation &+= 1
        unsafe connection.pointee.phase = .connecting
        unsafe connection.pointee.isEnding = false
        unsafe connection.pointee.startedAt = monotonicNow()
        unsafe connection.pointee.input.removeAll()
        guard fd >= 0 else { return fail(i, .connect) }
        // One small send on a new connection goes out at once anyway.
        if !plan.newConnections || plan.bodyBytes > 0 { setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        let refused = unsafe withSocketAddress(address) { unsafe Glibc.connect(fd, $0, $1) } != 0
        if refused && errno != EINPROGRESS { return fail(i, .connect) }
        let token = unsafe UInt64(connection.pointee.generation) << 32 | UInt64(i)
        if !watch(poller, fd, events: allEvents, token: token) { fail(i, .connect) }
    }

    mutating func connected(_ i: Int) {
        // Safety: `i` is within the slab.
        if plan.messageBytes != nil {
            unsafe connections[i].phase = .handshake
            unsafe connections[i].sent = 0
            sendOn(i)
        } else {
            ready(i)
        }
    }

    /// Connected, and shaken hands if need be: sends the request that waits for this, if any.
    mutating func ready(_ i: Int) {
        // Safety: `i` is within the slab.
        unsafe connections[i].phase = .idle
        if unsafe connections[i].hasRequest {
            unsafe connections[i].sent = 0
            begin(i)
        }
    }

    mutating func begin(_ i: Int) {
        // Safety: `i` is within the slab.
        unsafe connections[i].phase = plan.messageBytes == nil ? .head : .echo
        unsafe connections[i].remaining = 0
        sendOn(i)
    }

    func isSent(_ i: Int) -> Bool {
        // Safety: `i` is within the slab.
        let sent = unsafe connections[i].sent
        if unsafe connections[i].phase == .echo { return sent == message.count }
        return unsafe sent == requests.request(Int(connections[i].request)).count + requests.trailingBytes
    }

    mutating func sendOn(_ i: Int) {
        // Safety: `i` is within the slab; every send reads bytes within the buffer that it names.
        let connection = unsafe connections + i
        let isEcho = unsafe connection.pointee.phase == .echo
        let trailing = isEcho ? 0 : requests.trailingBytes
        let head = unsafe requests.request(Int(connection.pointee.request))
        let headCount = isEcho ? message.count : head.count
        while true {
            let sent = unsafe connection.pointee.sent
            let written: Int
            if sent < headCount {
                let flags = Int32(MSG_NOSIGNAL) | (trailing > 0 ? Int32(MSG_MORE) : 0)
                if isEcho {
                    written = unsafe message.withUnsafeBufferPointer {
                        unsafe send(connection.pointee.fd, $0.baseAddress! + sent, headCount - sent, flags)
                    }
                } else {
                    written = unsafe send(connection.pointee.fd, head.baseAddress! + sent, headCount - sent, flags)
                }
            } else {
                let left = min(trailing - (sent - headCount), Self.bufferBytes)
                if left == 0 { return }
                written = unsafe send(connection.pointee.fd, body, left, Int32(MSG_NOSIGNAL))
            }
            if written < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { fail(i, .reset) }
                return
            }
            unsafe connection.pointee.sent += written
            if unsafe connection.pointee.sent == headCount + trailing { return }
        }
    }
}
