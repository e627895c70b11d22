// What does TLS make of a worker's socket? The same verbs as `Socket` has, with the same answers: bytes, end, would block,
// broken. OpenSSL reads and writes through a BIO of ours (`SecureSocket+BIO`), which remembers whether the socket is
// drained, so that an edge-triggered poller needs no read in vain.
//
//     handshake ─ done ─► receive, send ─► sayEnd
//
// Whatever a peer does is a value. A step never waits, and handles a bounded number of records.

import COpenSSL
import Glibc

/// TLS over a socket that somebody else owns and closes; or nothing, for a connection without TLS.
///
/// Safety: owns its SSL and the state beside it, both of which only the owner's thread touches.
@safe struct SecureSocket: ~Copyable {
    /// A connection's TLS: what OpenSSL has, and what our BIO and callbacks know.
    ///
    /// Safety: the terms and the keyring outlive the connection, as whoever makes one promises.
    @safe struct State {
        /// Safety: only this state refers to it.
        var ssl: OpaquePointer?
        let descriptor: Int32
        /// The terms on which the client is spoken to.
        let terms: Unmanaged<TLSTerms>?
        /// The keys for its session tickets.
        let keyring: UnsafeMutableRawPointer?
        /// Whether OpenSSL's own BIO is used, which tells nothing of what follows.
        let isByKernel: Bool
        /// Whether the socket has nothing to read until the poller says otherwise.
        var isDrained = false
        /// Whether the poller saw the peer's end, which a short read then does not prove to be far.
        var isEnding = false
        /// Whether the latest read found nothing.
        var foundNothing = false
        /// Whether the socket's end was read.
        var sawEnd = false
        /// Which of the terms' entries the client's name met; -1 before it was looked for.
        var entry: Int32 = -1
        /// Whether the client asked for a name that is not served.
        var wasUnknownName = false
        /// Whether the handshake is over.
        var isOpen = false
        /// Whether nothing can be done with it any more, not even saying good-bye.
        var isBroken = false
        /// Whether reading goes on when the socket takes bytes, and writing when it has some (RFC 8446 §4.6.3).
        var readsWhenWritable = false
        var writesWhenReadable = false
        /// Whether the end was said, or is to be said when the socket takes it.
        var hasSaidEnd = false
        var owesEnd = false
        /// Whether it is being said.
        var isSayingEnd = false
    }

    /// Records without a byte for us that may come in a row. Honest peers send one or two: more is work for nothing.
    private static var emptyRecordsMax: Int { 32 }

    /// Safety: one connection's state, which only this value refers to; nil: no TLS.
    var state: UnsafeMutablePointer<State>?

    /// No TLS.
    @inline(__always) static func none() -> SecureSocket { SecureSocket() }

    @inline(__always) private init() { unsafe state = nil }

    /// A server's end over `descriptor` on these terms, which live longer, as the keyring does. Without memory it is none.
    init(server terms: TLSTerms, descriptor: Int32, keyring: borrowing TicketKeyring) {
        unsafe self.init(
            SSL_new(terms.first),
            State(
                descriptor: descriptor, terms: .passUnretained(terms), keyring: keyring.address,
                isByKernel: terms.usesKernel))
        // Safety: the SSL is ours.
        if let ssl = unsafe state?.pointee.ssl { unsafe SSL_set_accept_state(ssl) }
    }

    /// A client's end over `descriptor`: only a peer whose certificate is for the name of `terms` is spoken to. Without
    /// memory it is none.
    init(client terms: UpstreamTerms, descriptor: Int32) {
        unsafe self.init(
            SSL_new(terms.context.pointer),
            State(descriptor: descriptor, terms: nil, keyring: nil, isByKernel: false))
        // Safety: the SSL is ours; the protocols are copied.
        guard let ssl = unsafe state?.pointee.ssl else { return }
        unsafe SSL_set_connect_state(ssl)
        unsafe hd_read_ahead_alone(ssl)
        let protocols: StaticString = "\u{8}http/1.1"
        unsafe _ = SSL_set_alpn_protos(ssl, protocols.utf8Start, UInt32(protocols.utf8CodeUnitCount))
        // A name that no certificate can have lets nobody in.
        if unsafe TLSSession.expect(.dns(terms.serverName), ssl) != nil { unsafe state?.pointee.isBroken = true }
    }

    private init(_ ssl: OpaquePointer?, _ beginning: State) {
        unsafe state = nil
        guard let ssl = unsafe ssl else { return }
        // Safety: the state is freed with the SSL, which is the only one to know it.
        let new = UnsafeMutablePointer<State>.allocate(capacity: 1)
        unsafe new.initialize(to: beginning)
        unsafe new.pointee.ssl = ssl
        if unsafe Self.connect(ssl, new) {
            unsafe state = new
        } else {
            unsafe SSL_free(ssl)
            unsafe new.deallocate()
        }
    }

    private static func connect(_ ssl: OpaquePointer, _ state: UnsafeMutablePointer<State>) -> Bool {
        // Safety: the SSL and its state are ours, and live equally long.
        guard unsafe SSL_set_ex_data(ssl, 0, state) == 1 else { return false }
        // Only OpenSSL's own BIO can hand a connection over to the kernel.
        if unsafe state.pointee.isByKernel { return unsafe SSL_set_fd(ssl, state.pointee.descriptor) == 1 }
        guard let bio = unsafe BIO_new(secureSocketMethod) else { return false }
        unsafe BIO_set_data(bio, state)
        unsafe BIO_set_init(bio, 1)
        unsafe SSL_set_bio(ssl, bio, bio)
        return true
    }

    deinit {
        guard let state = unsafe state else { return }
        // Safety: nobody else refers to either; the BIO goes with the SSL and closes nothing.
        unsafe SSL_free(state.pointee.ssl)
        unsafe state.deallocate()
    }

    /// Whether there is no TLS.
    @inline(__always) var isNone: Bool { unsafe state == nil }

    // Safety, of all of these: the state is ours.
    /// Whether the handshake is over, and nothing broke since.
    var isOpen: Bool { unsafe state.map { unsafe $0.pointee.isOpen && !$0.pointee.isBroken } ?? false }
    /// Whether reading goes on when the socket takes bytes.
    var readsWhenWritable: Bool { unsafe state?.pointee.readsWhenWritable ?? false }
    /// Whether sending goes on when the socket has bytes.
    var writesWhenReadable: Bool { unsafe state?.pointee.writesWhenReadable ?? false }
    /// Whether the end is to be said when the socket takes it.
    var owesEnd: Bool { unsafe state?.pointee.owesEnd ?? false }

    /// What the callbacks of `ssl` know.
    ///
    /// Safety: `ssl` is one of ours, alive.
    @unsafe static func state(of ssl: OpaquePointer) -> UnsafeMutablePointer<State>? {
        unsafe SSL_get_ex_data(ssl, 0).map { unsafe $0.assumingMemoryBound(to: State.self) }
    }

    /// The keyring of the worker that has `ssl`.
    ///
    /// Safety: `ssl` is one of ours, alive.
    @unsafe static func keyring(of ssl: OpaquePointer) -> UnsafeMutableRawPointer? {
        unsafe state(of: ssl)?.pointee.keyring
    }

    /// The poller saw that the socket has something to read; `isEnding`: its end, maybe behind other things.
    func mayRead(isEnding: Bool) {
        guard let state = unsafe state else { return }
        // Safety: the state is ours.
        unsafe state.pointee.isDrained = false
        if isEnding { unsafe state.pointee.isEnding = true }
    }

    // MARK: Moving bytes

    /// Whether the socket, and TLS before it, have nothing more to read at the moment.
    @inline(__always) var isDrained: Bool {
        guard let state = unsafe state, let ssl = unsafe state.pointee.ssl else { return true }
        return unsafe state.pointee.isDrained && SSL_has_pending(ssl) == 0
    }

    /// Reads into the writable part of `buffer`, at most `limit` bytes and at most what one record holds.
    mutating func receive(into buffer: inout ByteBuffer, limit: Int = .max) -> Transfer {
        guard let state = unsafe state, let ssl = unsafe state.pointee.ssl, isOpen else { return .broken }
        unsafe state.pointee.readsWhenWritable = false
        unsafe state.pointee.foundNothing = state.pointee.isByKernel
        for _ in 0..<Self.emptyRecordsMax {
            forgetErrors()
            var result: Int32 = 0
            // Safety: OpenSSL writes at most as many bytes as there is room for.
            let n = unsafe buffer.withUnsafeWritable(limit: limit) { memory in
                var n = 0
                result = unsafe SSL_read_ex(ssl, memory.baseAddress, memory.count, &n)
                return result == 1 ? n : 0
            }
            if result == 1 { return .bytes(n) }
            switch unsafe SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ:
                // Otherwise a record was read that holds nothing for us. Where the kernel has the records, OpenSSL reads
                // until there is nothing.
                if unsafe state.pointee.foundNothing { return .wouldBlock }
            case SSL_ERROR_WANT_WRITE:
                unsafe state.pointee.readsWhenWritable = true
                return .wouldBlock
            case SSL_ERROR_ZERO_RETURN: return .end
            default:
                unsafe state.pointee.isBroken = true
                ERR_clear_error()
                return .broken
            }
        }
        unsafe state.pointee.isBroken = true
        return .broken
    }

    /// Sends the readable part of `buffer` and consumes what was taken. What is left was not taken by the socket now, and
    /// must be offered again before anything else.
    mutating func send(_ buffer: inout ByteBuffer) -> Transfer {
        guard let state = unsafe state, let ssl = unsafe state.pointee.ssl, isOpen else { return .broken }
        unsafe state.pointee.writesWhenReadable = false
        var sent = 0
        while !buffer.isEmpty {
            forgetErrors()
            var n = 0
            // Safety: OpenSSL reads at most the readable bytes.
            let result = unsafe buffer.withUnsafeReadable { memory in
                unsafe SSL_write_ex(ssl, memory.baseAddress, memory.count, &n)
            }
            if result == 1 {
                buffer.consume(n)
                sent += n
                continue
            }
            switch unsafe SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_WRITE: return sent > 0 ? .bytes(sent) : .wouldBlock
            case SSL_ERROR_WANT_READ:
                unsafe state.pointee.writesWhenReadable = true
                return sent > 0 ? .bytes(sent) : .wouldBlock
            case SSL_ERROR_SYSCALL:
                // What the peer said before it stopped reading can still be read.
                ERR_clear_error()
                return .broken
            default:
                unsafe state.pointee.isBroken = true
                ERR_clear_error()
                return .broken
            }
        }
        return sent > 0 ? .bytes(sent) : .wouldBlock
    }

    // MARK: Ending

    /// Tells the peer that nothing more comes (RFC 8446 §6.1). Whether that was said, or cannot be said any more; else it
    /// is owed until the socket takes bytes. It goes out with the socket's own end, which has to follow at once.
    mutating func sayEnd() -> Bool {
        guard let state = unsafe state, let ssl = unsafe state.pointee.ssl, isOpen, unsafe !state.pointee.hasSaidEnd
        else { return true }
        unsafe state.pointee.owesEnd = false
        forgetErrors()
        // Safety: the SSL and its state are ours.
        unsafe state.pointee.isSayingEnd = true
        let result = unsafe SSL_shutdown(ssl)
        unsafe state.pointee.isSayingEnd = false
        if result >= 0 {
            unsafe state.pointee.hasSaidEnd = true
            return true
        }
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
            unsafe state.pointee.owesEnd = true
            return false
        default:
            unsafe state.pointee.isBroken = true
            ERR_clear_error()
            return true
        }
    }
}
