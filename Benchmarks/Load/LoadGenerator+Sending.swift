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
        if isSecure || !plan.newConnections || plan.bodyBytes > 0 { setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        let refused = unsafe withSocketAddress(address) { unsafe Glibc.connect(fd, $0, $1) } != 0
        if refused && errno != EINPROGRESS { return fail(i, .connect) }
        let token = unsafe UInt64(connection.pointee.generation) << 32 | UInt64(i)
        if !watch(poller, fd, events: allEvents, token: token) { fail(i, .connect) }
    }

    /// Connected: TLS begins, where there is any.
    mutating func connected(_ i: Int) {
        guard isSecure else { return opened(i) }
        // Safety: `i` is within the slab.
        unsafe connections[i].phase = .securing
        let name = unsafe plan.targets[Int(connections[i].target)].name
        guard unsafe tls.begin(i, connections[i].fd, name: name) else { return fail(i, .tls) }
        shake(i)
    }

    /// Goes on with TLS's handshake.
    mutating func shake(_ i: Int) {
        switch tls.shake(i) {
        case .waits: break
        case .done: opened(i)
        case .failed: fail(i, .tls)
        case .another: fail(i, .anotherTLS)
        }
    }

    /// Connected, with TLS if that is wanted: a WebSocket begins, or a request.
    mutating func opened(_ i: Int) {
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
            let transfer: LoadTransfer
            if sent < headCount {
                if isEcho {
                    transfer = unsafe message.withUnsafeBufferPointer {
                        unsafe send(i, $0.baseAddress! + sent, headCount - sent)
                    }
                } else {
                    transfer = unsafe send(i, head.baseAddress! + sent, headCount - sent, moreFollows: trailing > 0)
                }
            } else {
                let left = min(trailing - (sent - headCount), Self.bufferBytes)
                if left == 0 { return }
                transfer = unsafe send(i, body, left)
            }
            switch transfer {
            case .bytes(let written):
                unsafe connection.pointee.sent += written
                if unsafe connection.pointee.sent == headCount + trailing { return }
            case .wouldBlock: return
            case .end, .broken: return fail(i, .reset)
            }
        }
    }

    /// Sends at most `count` bytes at `bytes` over connection `i`, through TLS where there is any.
    ///
    /// Safety: there are so many bytes.
    @inline(__always)
    private mutating func send(
        _ i: Int, _ bytes: UnsafePointer<UInt8>, _ count: Int, moreFollows: Bool = false
    ) -> LoadTransfer {
        if isSecure { return unsafe tls.send(i, bytes, count) }
        let flags = Int32(MSG_NOSIGNAL) | (moreFollows ? Int32(MSG_MORE) : 0)
        while true {
            let written = unsafe Glibc.send(connections[i].fd, bytes, count, flags)
            if written >= 0 { return .bytes(written) }
            if errno != EINTR { return errno == EAGAIN ? .wouldBlock : .broken }
        }
    }
}
