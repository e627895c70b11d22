// How do bytes go to one client? Over TLS or plain, never waiting without hearing the bell, and cut into chunks as Go's
// HTTP server cuts them.

import Glibc
import ProxyCore

/// Why a conversation ends without a word.
enum WireEnd: Error {
    /// The client left, or broke TLS.
    case gone
    /// The test wants the connection closed, by a reset or a clean end.
    case killed(reset: Bool)
}

/// One client's connection.
struct Wire: ~Copyable {
    let socket: Socket
    let listening: Listening
    private var tls: TLSSession?
    private var input = ByteBuffer(capacity: 16_384)
    private var output = ByteBuffer(capacity: 65_536)
    private var hasEnded = false

    /// Takes over a connection of `server`'s.
    init(_ socket: consuming Socket, bell: Bell) {
        self.socket = socket
        listening = Listening(to: bell)
        tls = nil
    }

    /// Begins TLS.
    mutating func secure(_ context: TLSContext, check: () throws(WireEnd) -> Void) throws(WireEnd) {
        guard var session = try? TLSSession(server: context, descriptor: socket.number) else { throw .gone }
        handshaking: while true {
            switch session.handshake() {
            case .done: break handshaking
            case .wantRead: try wait(POLLIN, check)
            case .wantWrite: try wait(POLLOUT, check)
            case .failed: throw .gone
            }
        }
        tls = consume session
    }

    /// Waits for the socket; `check` is asked whenever the bell rings.
    private borrowing func wait(_ events: Int32, _ check: () throws(WireEnd) -> Void) throws(WireEnd) {
        while listening.wait(for: events, on: socket.number) == .rang { try check() }
    }

    /// The bytes up to and with the next empty line; nil at a clean end before the first.
    mutating func readHead(check: () throws(WireEnd) -> Void) throws(WireEnd) -> String? {
        while true {
            let bytes = input.withReadable { span in span.indices.map { span[$0] } }
            if let end = Self.headEnd(bytes) {
                input.consume(end)
                return String(decoding: bytes[..<end], as: UTF8.self)
            }
            input.compact()
            guard input.writableCount > 0 else { throw .gone }
            if try !receive(check) { return nil }
        }
    }

    private static func headEnd(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4) where bytes[index] == 13 {
            if bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10 { return index + 4 }
        }
        return nil
    }

    /// Reads once; false at the end.
    private mutating func receive(_ check: () throws(WireEnd) -> Void) throws(WireEnd) -> Bool {
        while true {
            if tls != nil {
                switch tls!.read(into: &input) {
                case .bytes: return true
                case .wantRead: try wait(POLLIN, check)
                case .wantWrite: try wait(POLLOUT, check)
                case .end: return false
                case .failed: throw .gone
                }
            } else {
                switch socket.receive(into: &input) {
                case .bytes: return true
                case .wouldBlock: try wait(POLLIN, check)
                case .end: return false
                case .broken: throw .gone
                }
            }
        }
    }

    /// Whether the client has left, as far as can be seen without waiting. What it sends early is kept for later.
    mutating func isGone() -> Bool {
        if hasEnded { return true }
        input.compact()
        guard input.writableCount > 0 else { return false }
        if tls != nil {
            switch tls!.read(into: &input) {
            case .bytes, .wantRead, .wantWrite: break
            case .end, .failed: hasEnded = true
            }
        } else {
            switch socket.receive(into: &input) {
            case .bytes, .wouldBlock: break
            case .end, .broken: hasEnded = true
            }
        }
        return hasEnded
    }

    /// Sends all of `bytes`.
    mutating func send(_ bytes: [UInt8], check: () throws(WireEnd) -> Void) throws(WireEnd) {
        var at = 0
        while at < bytes.count || !output.isEmpty {
            if output.isEmpty { output.clear() }
            let n = min(output.writableCount, bytes.count - at)
            if n > 0 {
                output.append(bytes.span, from: at, count: n)
                at += n
            }
            if tls != nil {
                switch tls!.write(&output) {
                case .bytes: break
                case .wantRead: try wait(POLLIN, check)
                case .wantWrite: try wait(POLLOUT, check)
                case .end, .failed: throw .gone
                }
            } else {
                switch socket.send(&output) {
                case .bytes: break
                case .wouldBlock: try wait(POLLOUT, check)
                case .end, .broken: throw .gone
                }
            }
        }
    }

    /// Says goodbye: by a reset, or by TLS's end and TCP's.
    consuming func close(reset: Bool) {
        if reset {
            socket.resetOnClose()
        } else {
            if tls != nil { _ = tls!.shutdown() }
            socket.shutdownSending()
        }
    }
}

/// Go's `http.Server` as a writer of bodies: a buffer of 2,048 bytes whose flushes become chunks. What does not fit is
/// cut where the buffer is full, and what comes to an empty buffer in a piece longer than it goes out as one chunk.
struct BodyWriter {
    private var buffered: [UInt8] = []
    /// What goes to the client.
    private(set) var out: [UInt8] = []
    /// Whether anything was flushed.
    private(set) var hasFlushed = false

    static let bufferBytes = 2048

    /// Takes one write of the handler's.
    mutating func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while rest.count > Self.bufferBytes - buffered.count {
            if buffered.isEmpty {
                chunk(rest)
                rest = []
            } else {
                let n = Self.bufferBytes - buffered.count
                buffered.append(contentsOf: rest.prefix(n))
                rest = rest.dropFirst(n)
                flush()
            }
        }
        buffered.append(contentsOf: rest)
    }

    /// Sends what is buffered as one chunk.
    mutating func flush() {
        guard !buffered.isEmpty else { return }
        chunk(buffered[...])
        buffered.removeAll(keepingCapacity: true)
    }

    /// What is to be sent by now.
    mutating func take() -> [UInt8] {
        defer { out.removeAll(keepingCapacity: true) }
        return out
    }

    /// The whole body, if none of it was flushed: then it goes with a length.
    var unflushed: [UInt8]? { hasFlushed ? nil : buffered }

    /// The last chunk.
    static let end = Array("0\r\n\r\n".utf8)

    private mutating func chunk(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        hasFlushed = true
        out.append(contentsOf: String(bytes.count, radix: 16).utf8)
        out.append(13)
        out.append(10)
        out.append(contentsOf: bytes)
        out.append(13)
        out.append(10)
    }
}
