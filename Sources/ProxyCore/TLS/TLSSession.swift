// What does TLS make of a socket? One connection's state: handshake, reading, writing and the end, each as a call that
// never waits where the socket does not. What a peer does is a value, never a trap.

import COpenSSL
import Glibc

/// Whom a client expects at the other end; its certificate must say so.
public enum TLSPeerName: Hashable, Sendable, CustomStringConvertible {
    /// A host by name: sent as server name (RFC 6066 §3), and found among the certificate's DNS names. The subject's
    /// common name does not count (RFC 9525 §2).
    case dns(String)
    /// A host by address: found among the certificate's IP addresses. No server name is sent.
    case ip(IPAddress)

    /// The name or the address.
    public var description: String {
        switch self {
        case .dns(let name): name
        case .ip(let address): address.description
        }
    }
}

/// What a step of a connection's beginning or end came to.
public enum TLSProgress: Equatable, Sendable {
    /// It is done.
    case done
    /// It goes on when the socket is readable.
    case wantRead
    /// It goes on when the socket is writable.
    case wantWrite
    /// It failed, and the connection with it.
    case failed(TLSError)
}

/// What reading or writing came to.
public enum TLSTransfer: Equatable, Sendable {
    /// So many bytes were moved; at least one.
    case bytes(Int)
    /// It goes on when the socket is readable.
    case wantRead
    /// It goes on when the socket is writable.
    case wantWrite
    /// The peer has said that it sends no more.
    case end
    /// The connection is broken; nothing more can be done with it.
    case failed(TLSError)
}

/// TLS over a connected socket. The descriptor stays the caller's and must outlive the session.
///
/// One thread at a time may use it. A read returns what one TLS record holds at most, and more may wait inside: after
/// `.bytes`, read again before waiting for the socket, until it says `.wantRead`.
///
/// Safety: the SSL has one owner, which frees it; the descriptor's number is only used by calls that may fail.
@safe public struct TLSSession: ~Copyable, Sendable {
    /// Safety: an SSL that only this value refers to.
    nonisolated(unsafe) private let ssl: OpaquePointer
    /// Whom we expect; nil at a server.
    private let peer: TLSPeerName?
    /// OpenSSL's first fatal error; no call but the freeing makes sense after it (SSL_get_error(3)).
    private var failure: TLSError?

    /// A client's session over `descriptor`: only a peer whose certificate is for `name` is spoken to.
    public init(client context: TLSContext, descriptor: Int32, verifying name: TLSPeerName) throws(TLSError) {
        precondition(context.role == .client, "a client's session needs a client's context")
        let new = unsafe try Self.make(context, descriptor)
        if let error = unsafe Self.expect(name, new) {
            unsafe SSL_free(new)
            throw error
        }
        // Safety: the new SSL is ours.
        unsafe SSL_set_connect_state(new)
        unsafe ssl = new
        peer = name
        failure = nil
    }

    /// A server's session over `descriptor`.
    public init(server context: TLSContext, descriptor: Int32) throws(TLSError) {
        precondition(context.role == .server, "a server's session needs a server's context")
        let new = unsafe try Self.make(context, descriptor)
        // Safety: the new SSL is ours.
        unsafe SSL_set_accept_state(new)
        unsafe ssl = new
        peer = nil
        failure = nil
    }

    deinit {
        // Safety: nobody else refers to it; its socket BIO does not close the descriptor.
        unsafe SSL_free(ssl)
    }

    // MARK: Beginning

    /// Goes on with the handshake. Where it is `.done` at a client, the peer is who it should be.
    public mutating func handshake() -> TLSProgress {
        if let failure { return .failed(failure) }
        ERR_clear_error()
        // Safety: the SSL is ours, and errno is read before anything else can change it.
        let result = unsafe SSL_do_handshake(ssl)
        let code = errno
        if result == 1 { return .done }
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantRead
        case SSL_ERROR_WANT_WRITE: return .wantWrite
        case let error: return .failed(fail(error, code, "TLS handshake"))
        }
    }

    /// The version that both sides speak, as in `TLSv1.3`.
    public var version: String {
        // Safety: a static, NUL-terminated string.
        unsafe String(cString: SSL_get_version(ssl))
    }

    /// The name that the client sent (RFC 6066 §3), at a server.
    public var serverName: String? {
        // Safety: the string belongs to the session and is copied.
        unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { unsafe String(cString: $0) }
    }

    // MARK: Moving bytes

    /// Reads into the writable part of `buffer`, at most `limit` bytes. There must be room for one.
    public mutating func read(into buffer: inout ByteBuffer, limit: Int = .max) -> TLSTransfer {
        precondition(buffer.writableCount > 0 && limit > 0, "reading needs room for a byte")
        if let failure { return .failed(failure) }
        ERR_clear_error()
        var result: Int32 = 0
        var code: Int32 = 0
        // Safety: OpenSSL writes at most as many bytes as there is room for.
        let n = unsafe buffer.withUnsafeWritable(limit: limit) { memory in
            var n = 0
            result = unsafe SSL_read_ex(ssl, memory.baseAddress, memory.count, &n)
            code = errno
            return result == 1 ? n : 0
        }
        return result == 1 ? .bytes(n) : transfer(result, code, "reading from")
    }

    /// Writes the readable part of `buffer`, at most `limit` bytes, and consumes what was taken. There must be a byte.
    ///
    /// After `.wantRead` or `.wantWrite` the same bytes must be offered again, at least as many; more may follow them.
    public mutating func write(_ buffer: inout ByteBuffer, limit: Int = .max) -> TLSTransfer {
        precondition(!buffer.isEmpty && limit > 0, "writing needs a byte")
        if let failure { return .failed(failure) }
        ERR_clear_error()
        var n = 0
        var code: Int32 = 0
        // Safety: OpenSSL reads at most the readable bytes.
        let result = unsafe buffer.withUnsafeReadable { memory in
            let result = unsafe SSL_write_ex(ssl, memory.baseAddress, min(memory.count, limit), &n)
            code = errno
            return result
        }
        if result == 1 {
            buffer.consume(n)
            return .bytes(n)
        }
        return transfer(result, code, "writing to")
    }

    /// Whether bytes wait inside that a read returns without asking the socket.
    public var hasPendingBytes: Bool {
        // Safety: the SSL is ours.
        unsafe SSL_pending(ssl) > 0
    }

    // MARK: Ending

    /// Tells the peer that nothing more comes, and does not wait for it to say the same. Done at once after a failure.
    public mutating func shutdown() -> TLSProgress {
        if failure != nil { return .done }
        ERR_clear_error()
        // Safety: as in handshake.
        let result = unsafe SSL_shutdown(ssl)
        let code = errno
        if result >= 0 { return .done }
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantRead
        case SSL_ERROR_WANT_WRITE: return .wantWrite
        case let error: return .failed(fail(error, code, "ending TLS with"))
        }
    }

    // MARK: Details

    private static func make(_ context: TLSContext, _ descriptor: Int32) throws(TLSError) -> OpaquePointer {
        ERR_clear_error()
        // Safety: the context is alive; the session takes a reference of its own and is handed to the caller.
        guard let ssl = unsafe SSL_new(context.pointer) else {
            throw TLSError.takeFromQueue(.material, doing: "making a TLS session")
        }
        guard unsafe SSL_set_fd(ssl, descriptor) == 1 else {
            unsafe SSL_free(ssl)
            throw TLSError.takeFromQueue(.material, doing: "making a TLS session")
        }
        return unsafe ssl
    }

    /// Has `ssl` verify that the peer is `name`; returns why that is not possible.
    static func expect(_ name: TLSPeerName, _ ssl: OpaquePointer) -> TLSError? {
        let doing = "TLS handshake with \(name)"
        // Safety: the parameters belong to the session; names and addresses are copied.
        let parameters = unsafe SSL_get0_param(ssl)
        unsafe X509_VERIFY_PARAM_set_hostflags(
            parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
        switch name {
        case .dns(let text):
            // A trailing dot is the resolver's, not the certificate's.
            let bare = text.hasSuffix(".") ? String(text.dropLast()) : text
            // A NUL would end the name for one reader and not for the other; an empty name would not be verified, and
            // one that begins with a dot would stand for every name below it (X509_check_host(3)).
            guard !bare.isEmpty, !bare.hasPrefix("."), !bare.utf8.contains(0) else {
                return TLSError(.material, reason: "not a host name", doing: doing)
            }
            guard unsafe X509_VERIFY_PARAM_set1_host(parameters, bare, bare.utf8.count) == 1,
                unsafe bare.withCString({ unsafe hd_set_server_name(ssl, $0) }) == 1
            else { return TLSError.takeFromQueue(.material, doing: doing) }
        case .ip(let address):
            let bytes = address.networkBytes
            guard unsafe X509_VERIFY_PARAM_set1_ip(parameters, bytes, bytes.count) == 1 else {
                return TLSError.takeFromQueue(.material, doing: doing)
            }
        }
        return nil
    }

    private mutating func transfer(_ result: Int32, _ code: Int32, _ verb: String) -> TLSTransfer {
        // Safety: the SSL is ours.
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: .wantRead
        case SSL_ERROR_WANT_WRITE: .wantWrite
        case SSL_ERROR_ZERO_RETURN: .end
        case let error: .failed(fail(error, code, verb))
        }
    }

    /// Remembers that the connection is broken, and says why.
    private mutating func fail(_ error: Int32, _ code: Int32, _ verb: String) -> TLSError {
        let other = peer.map { "\($0)" } ?? "a client"
        let doing = verb == "TLS handshake" ? "TLS handshake with \(other)" : "\(verb) \(other)"
        let new = why(error, code, doing)
        ERR_clear_error()
        failure = new
        return new
    }

    private func why(_ error: Int32, _ code: Int32, _ doing: String) -> TLSError {
        let ended = TLSError(.unexpectedEnd, reason: "the peer ended the connection without TLS's end", doing: doing)
        let entry = ERR_peek_error()
        switch error {
        case SSL_ERROR_ZERO_RETURN: return ended
        case SSL_ERROR_SYSCALL where entry == 0:
            if code == 0 { return ended }
            return TLSError(.system(code), reason: SystemError.text(code), doing: doing)
        default: break
        }
        guard hd_error_library(entry) == ERR_LIB_SSL else {
            return TLSError(.protocol, reason: TLSError.reason(entry), doing: doing)
        }
        switch hd_error_reason(entry) {
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: return ended
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            // Safety: the text is static and NUL-terminated.
            let text = unsafe String(cString: X509_verify_cert_error_string(SSL_get_verify_result(ssl)))
            return TLSError(.verification, reason: text, doing: doing)
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return TLSError(.verification, reason: TLSError.reason(entry), doing: doing)
        default: return TLSError(.protocol, reason: TLSError.reason(entry), doing: doing)
        }
    }
}

extension IPAddress {
    /// The 4 or 16 bytes of the address, in network order.
    var networkBytes: [UInt8] {
        if isIPv4 { return (0..<4).map { UInt8(truncatingIfNeeded: v4 >> (24 - 8 * $0)) } }
        return (0..<16).map { i in
            UInt8(truncatingIfNeeded: (i < 8 ? high : low) >> UInt64(56 - 8 * (i & 7)))
        }
    }
}
