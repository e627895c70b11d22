// Two ends of a TLS connection in one thread: each gets a step in turn, so nothing waits and nothing sleeps.

import CLinux
import Glibc
import ProxyCore

/// Two connected sockets that do not block.
struct SocketPair: ~Copyable {
    let near: FileDescriptor
    let far: FileDescriptor

    init() {
        var ends: (Int32, Int32) = (-1, -1)
        // Safety: two adjacent Int32 are what socketpair fills.
        let result = unsafe withUnsafeMutablePointer(to: &ends) { pointer in
            unsafe socketpair(
                AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0,
                UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Int32.self))
        }
        precondition(result == 0, "socketpair")
        near = FileDescriptor(owning: ends.0)
        far = FileDescriptor(owning: ends.1)
    }
}

/// A client and a server over two socket pairs, and between the pairs a relay that moves `step` bytes at a time.
struct TLSPair: ~Copyable {
    var client: TLSSession
    var server: TLSSession
    private let clientSide: SocketPair
    private let serverSide: SocketPair
    private let step: Int

    init(
        _ clientContext: TLSContext, _ serverContext: TLSContext, verifying name: TLSPeerName, step: Int = 4096
    ) throws {
        let clientSide = SocketPair()
        let serverSide = SocketPair()
        let client = try TLSSession(client: clientContext, descriptor: clientSide.near.number, verifying: name)
        let server = try TLSSession(server: serverContext, descriptor: serverSide.near.number)
        self.client = client
        self.server = server
        self.clientSide = clientSide
        self.serverSide = serverSide
        self.step = step
    }

    /// Moves at most `step` bytes in each direction; returns how many went.
    mutating func relay() -> Int {
        var moved = 0
        for (from, to) in [
            (clientSide.far.number, serverSide.far.number), (serverSide.far.number, clientSide.far.number),
        ] {
            var bytes = [UInt8](repeating: 0, count: step)
            // Safety: room for `step` bytes; what the other side had no room for stays where it is.
            let n = unsafe recv(from, &bytes, step, Int32(MSG_PEEK))
            let sent = unsafe n > 0 ? send(to, bytes, n, Int32(MSG_NOSIGNAL)) : 0
            if sent > 0 {
                moved += sent
                unsafe _ = recv(from, &bytes, sent, 0)
            }
        }
        return moved
    }

    /// Runs both handshakes until nothing moves any more, and returns what each came to.
    mutating func handshake() -> (client: TLSProgress, server: TLSProgress) {
        var clientResult = TLSProgress.wantRead
        var serverResult = TLSProgress.wantRead
        repeat {
            if clientResult == .wantRead || clientResult == .wantWrite { clientResult = client.handshake() }
            if serverResult == .wantRead || serverResult == .wantWrite { serverResult = server.handshake() }
        } while relay() > 0 || clientResult == .wantWrite || serverResult == .wantWrite
        return (clientResult, serverResult)
    }

    /// Sends `bytes` from client to server, or back, and returns what arrived.
    mutating func transfer(_ bytes: [UInt8], toServer: Bool) -> [UInt8]? {
        var out = ByteBuffer(capacity: bytes.count)
        out.append(bytes.span)
        var got: [UInt8] = []
        var idle = 0
        while got.count < bytes.count, idle < 3 {
            idle += 1
            if !out.isEmpty {
                switch toServer ? client.write(&out) : server.write(&out) {
                case .bytes: idle = 0
                case .wantRead, .wantWrite: break
                case .end, .failed: return nil
                }
            }
            if relay() > 0 { idle = 0 }
            var buffer = ByteBuffer(capacity: 4096)
            reading: while true {
                buffer.clear()
                switch toServer ? server.read(into: &buffer) : client.read(into: &buffer) {
                case .bytes:
                    buffer.withReadable { span in for i in span.indices { got.append(span[i]) } }
                    idle = 0
                case .wantRead, .wantWrite: break reading
                case .end, .failed: return nil
                }
            }
        }
        return got
    }

    /// Closes the client's socket without a word.
    mutating func cutClient() {
        while relay() > 0 {}
        _ = shutdown(serverSide.far.number, Int32(SHUT_WR))
    }
}
