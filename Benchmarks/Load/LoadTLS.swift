// How does the load speak TLS? A client of TLS 1.3 and HTTP/1.1 that takes nothing for granted: who answers, by which
// protocol, and whether the handshake was a full one or one that a ticket made shorter, as the plan has it.

import CLinux
import COpenSSL
import Glibc

/// What TLS is wanted.
struct LoadTLS {
    /// A file of certificates in PEM form: a server must show one of them, or one that leads to one; nil: the system's.
    var authorities: String?
    /// Whether a connection comes back with the ticket that the one before it was given. If not, every handshake is full.
    var resumes = false
}

/// The TLS of all connections of a load generator, by their slots.
///
/// Safety: owns the context and, in each line, an SSL and a session; lines do not move, so a BIO may refer to one.
@safe struct LoadTLSClient: ~Copyable {
    /// What a step of a handshake came to.
    enum Step {
        case done, waits, failed
        /// It is done, but it was not the kind of handshake, or the protocol, that was meant.
        case another
    }

    /// One connection's TLS.
    ///
    /// Safety: only the client refers to these objects.
    @safe fileprivate struct Line {
        var ssl: OpaquePointer?
        /// What the next connection in this slot comes back with.
        var session: OpaquePointer?
        var descriptor: Int32 = -1
        /// Whether the latest read took all that the socket had.
        var isDrained = false
        /// Whether it came with a ticket.
        var hasOffered = false
    }

    /// nil: no TLS.
    private let context: OpaquePointer?
    /// By slot.
    private let lines: UnsafeMutablePointer<Line>
    private let count: Int
    private let resumes: Bool
    /// Why no TLS can be spoken, though it is wanted.
    let problem: String?

    /// Handshakes of each kind so far.
    private(set) var handshakes = (full: 0, resumed: 0)

    /// A client for `count` connections; one that is never asked where no TLS is wanted.
    init(_ wish: LoadTLS?, connections: Int) {
        // Safety: the context is handed to this value, which frees it.
        let context = unsafe wish.flatMap { unsafe Self.context($0) }
        unsafe self.context = context
        problem =
            unsafe wish != nil && context == nil
            ? "TLS: \(wish?.authorities ?? "the system's authorities") cannot be used" : nil
        count = wish == nil ? 0 : connections
        resumes = wish?.resumes ?? false
        unsafe lines = .allocate(capacity: max(1, count))
        unsafe lines.initialize(repeating: Line(), count: count)
    }

    private static func context(_ wish: LoadTLS) -> OpaquePointer? {
        // Safety: the context is handed to the caller; the protocols are copied.
        guard let context = unsafe SSL_CTX_new(TLS_client_method()) else { return nil }
        let protocols: [UInt8] = [8] + Array("http/1.1".utf8)
        let isTaken =
            unsafe hd_set_min_version(context, TLS1_3_VERSION) == 1
            && SSL_CTX_set_alpn_protos(context, protocols, UInt32(protocols.count)) == 0
            && (wish.authorities.map { unsafe SSL_CTX_load_verify_file(context, $0) == 1 }
                ?? (SSL_CTX_set_default_verify_paths(context) == 1))
        guard isTaken else {
            unsafe SSL_CTX_free(context)
            return nil
        }
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        unsafe _ = X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), UInt(X509_V_FLAG_PARTIAL_CHAIN))
        unsafe hd_set_mode(
            context,
            Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS))
        unsafe hd_clear_mode(context, Int(SSL_MODE_AUTO_RETRY))
        unsafe hd_set_read_ahead(context, 1)
        return unsafe context
    }

    deinit {
        for i in 0..<count {
            // Safety: `i` is within the lines; each object is ours, and freed once.
            unsafe SSL_free(lines[i].ssl)
            unsafe SSL_SESSION_free(lines[i].session)
        }
        unsafe lines.deallocate()
        unsafe SSL_CTX_free(context)
    }

    /// Forgets what was counted.
    mutating func reset() { handshakes = (0, 0) }

    /// TLS begins on connection `i`, with the server `name`. Whether it does: memory may be lacking.
    mutating func begin(_ i: Int, _ descriptor: Int32, name: String) -> Bool {
        // Safety: the SSL is ours; it takes the BIO, which refers to a line that outlives it.
        let line = unsafe lines + i
        guard let ssl = unsafe SSL_new(context) else { return false }
        unsafe line.pointee.ssl = ssl
        unsafe line.pointee.descriptor = descriptor
        unsafe line.pointee.isDrained = false
        guard let bio = unsafe BIO_new(loadMethod) else { return false }
        unsafe BIO_set_data(bio, line)
        unsafe BIO_set_init(bio, 1)
        unsafe SSL_set_bio(ssl, bio, bio)
        unsafe SSL_set_connect_state(ssl)
        unsafe line.pointee.hasOffered = line.pointee.session != nil
        if let session = unsafe line.pointee.session, unsafe SSL_set_session(ssl, session) != 1 { return false }
        return unsafe name.withCString { name in
            unsafe hd_set_server_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1
        }
    }

    /// Goes on with the handshake of connection `i`.
    mutating func shake(_ i: Int) -> Step {
        // Safety, here and below: `i` is within the lines, and its SSL was begun.
        guard let ssl = unsafe lines[i].ssl else { return .failed }
        ERR_clear_error()
        let result = unsafe SSL_do_handshake(ssl)
        guard result == 1 else {
            let error = unsafe SSL_get_error(ssl, result)
            return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? .waits : .failed
        }
        let isResumed = unsafe SSL_session_reused(ssl) == 1
        if isResumed { handshakes.resumed += 1 } else { handshakes.full += 1 }
        var name: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &name, &length)
        let ours: StaticString = "http/1.1"
        let isHTTP = unsafe name.map { unsafe length == 8 && memcmp($0, ours.utf8Start, 8) == 0 } ?? false
        return unsafe isHTTP && isResumed == lines[i].hasOffered ? .done : .another
    }

    /// Keeps the ticket that connection `i` was given, if the plan has connections come back. False: there was none.
    mutating func keepTicket(_ i: Int) -> Bool {
        // Safety: as above; the session is a reference of ours, and the one before it is given back.
        guard resumes, let ssl = unsafe lines[i].ssl else { return true }
        guard let session = unsafe SSL_get1_session(ssl) else { return false }
        unsafe SSL_SESSION_free(lines[i].session)
        unsafe lines[i].session = session
        return unsafe SSL_SESSION_is_resumable(session) == 1
    }

    /// Sends at most `count` bytes at `bytes` over connection `i`.
    mutating func send(_ i: Int, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> LoadTransfer {
        // Safety: `i` is within the lines; OpenSSL reads `count` bytes, as the caller promises.
        guard let ssl = unsafe lines[i].ssl else { return .broken }
        ERR_clear_error()
        var sent = 0
        let result = unsafe SSL_write_ex(ssl, bytes, count, &sent)
        if result == 1 { return .bytes(sent) }
        return unsafe failure(ssl, result)
    }

    /// Reads at most `count` bytes of connection `i` into `room`.
    mutating func receive(_ i: Int, _ room: UnsafeMutablePointer<UInt8>, _ count: Int) -> LoadTransfer {
        guard let ssl = unsafe lines[i].ssl else { return .broken }
        while true {
            ERR_clear_error()
            var number = 0
            // Safety: OpenSSL writes at most `count` bytes, for which there is room, as the caller promises.
            let result = unsafe SSL_read_ex(ssl, room, count, &number)
            if result == 1 { return .bytes(number) }
            let transfer = unsafe failure(ssl, result)
            // A record that holds nothing for us, a ticket say, may have others behind it.
            if case .wouldBlock = transfer, !isDrained(i) { continue }
            return transfer
        }
    }

    /// Whether neither the socket nor OpenSSL has more of connection `i` at the moment.
    func isDrained(_ i: Int) -> Bool {
        guard let ssl = unsafe lines[i].ssl else { return true }
        return unsafe lines[i].isDrained && SSL_has_pending(ssl) == 0
    }

    private func failure(_ ssl: OpaquePointer, _ result: Int32) -> LoadTransfer {
        // Safety: the SSL is ours.
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: .wouldBlock
        case SSL_ERROR_ZERO_RETURN: .end
        default: .broken
        }
    }

    /// Connection `i` is closed.
    mutating func end(_ i: Int) {
        guard let ssl = unsafe lines[i].ssl else { return }
        // Otherwise OpenSSL takes the end for an attack, and a ticket for used up.
        unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        unsafe SSL_free(ssl)
        unsafe lines[i].ssl = nil
    }
}

/// The method of our BIOs, which know whether their socket is drained: made once, and never freed.
///
/// Safety: not changed once it is made; callbacks are functions without context, which get a line of a client that lives.
nonisolated(unsafe) private let loadMethod: OpaquePointer? = {
    guard let method = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hdproxy-bench") else {
        return nil
    }
    unsafe _ = BIO_meth_set_read(method) { bio, room, count in
        guard let line = unsafe loadLine(bio) else { return -1 }
        unsafe hd_clear_retry(bio)
        let number = unsafe recv(line.pointee.descriptor, room, Int(count), 0)
        unsafe line.pointee.isDrained = number < count && (number > 0 || errno == EAGAIN)
        if number < 0, errno == EAGAIN || errno == EINTR { unsafe hd_retry_read(bio) }
        return Int32(truncatingIfNeeded: number)
    }
    unsafe _ = BIO_meth_set_write(method) { bio, bytes, count in
        guard let line = unsafe loadLine(bio) else { return -1 }
        unsafe hd_clear_retry(bio)
        let number = unsafe Glibc.send(line.pointee.descriptor, bytes, Int(count), Int32(MSG_NOSIGNAL))
        if number < 0, errno == EAGAIN || errno == EINTR { unsafe hd_retry_write(bio) }
        return Int32(truncatingIfNeeded: number)
    }
    unsafe _ = BIO_meth_set_ctrl(method) { _, command, _, _ in
        command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0
    }
    return unsafe method
}()

/// Safety: the BIO is one of ours.
private func loadLine(_ bio: OpaquePointer?) -> UnsafeMutablePointer<LoadTLSClient.Line>? {
    unsafe BIO_get_data(bio).map { unsafe $0.assumingMemoryBound(to: LoadTLSClient.Line.self) }
}
