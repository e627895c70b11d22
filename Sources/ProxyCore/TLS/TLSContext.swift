// Whom do we trust, and who are we? What the sessions of one purpose have in common: OpenSSL's SSL_CTX.
//
// TLS 1.2 is the least that is spoken. A client's context always verifies its peer: there is no switch for that.

import COpenSSL
import Glibc

/// A certificate with the certificates that lead to its authority, and its private key, all in PEM form.
public struct TLSIdentity: Equatable, Sendable {
    /// The certificate itself first, then what leads to the authority, in order.
    public var certificateChain: [UInt8]
    /// Its private key, not locked with a password.
    public var key: [UInt8]

    /// The identity that these bytes hold; whether they fit together is known once a context is made of them.
    public init(certificateChain: [UInt8], key: [UInt8]) {
        self.certificateChain = certificateChain
        self.key = key
    }
}

/// Whose certificates are accepted.
public enum TLSTrust: Equatable, Sendable {
    /// Those that lead to one of these certificates, in PEM form. Each is an anchor, as in Go's libraries, also where
    /// it is not self-signed.
    case certificates([UInt8])
    /// Those that lead to one of the system's authorities.
    case system
}

/// What TLS sessions have in common. May be used from any thread; it lives as long as a session that was made of it.
///
/// Writing to a connection that the peer has closed raises SIGPIPE, and OpenSSL's own socket layer, which kernel TLS
/// needs, has no way to say MSG_NOSIGNAL. So the first context that is made has the whole process ignore SIGPIPE,
/// unless somebody has chosen another answer to it already. Programs that we start must set it back.
///
/// Safety: the SSL_CTX is not changed after `init`, and freed with its last reference.
@safe public final class TLSContext: Sendable {
    /// Which end of a connection its sessions are.
    enum Role: Sendable { case client, server }

    /// Safety: an SSL_CTX that is not changed after `init`; its count of references is atomic.
    nonisolated(unsafe) let pointer: OpaquePointer
    let role: Role

    /// A client's context: it accepts servers by `trust`, and shows `identity` to those that ask who it is.
    public init(client trust: TLSTrust, identity: TLSIdentity? = nil) throws(TLSError) {
        role = .client
        unsafe pointer = try Self.make(.client)
        // Safety, here and below: the context is ours alone until `init` returns; deinit frees it also after a throw.
        unsafe SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, nil)
        switch trust {
        case .certificates(let pem): try trustCertificates(pem, doing: "reading CA certificates", announced: false)
        case .system:
            guard unsafe SSL_CTX_set_default_verify_paths(pointer) == 1 else {
                throw TLSError.takeFromQueue(.material, doing: "finding the system's CA certificates")
            }
        }
        if let identity { try show(identity, "client") }
    }

    /// A server's context: it shows `identity`. With `clientCA` (PEM) it demands a certificate of that authority from
    /// each client.
    public init(server identity: TLSIdentity, clientCA: [UInt8]? = nil) throws(TLSError) {
        role = .server
        unsafe pointer = try Self.make(.server)
        try show(identity, "server")
        let name: [UInt8] = Array("hdproxy".utf8)
        // Safety: the name is copied. Sessions may only be resumed with the context that knows whom it verified.
        unsafe _ = SSL_CTX_set_session_id_context(pointer, name, UInt32(name.count))
        if let clientCA {
            unsafe SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
            try trustCertificates(clientCA, doing: "reading client CA certificates", announced: true)
        }
    }

    /// A listener's context: it shows one of `identities` for each kind of key, and lets clients in by `rule`. What a
    /// connection's terms are is decided anew for each, see ``TLSTerms``.
    init(
        listener identities: [TLSIdentity], rule: ClientRule, minimumVersion: TLSVersion, byKernel: Bool
    ) throws(TLSError) {
        role = .server
        unsafe pointer = try Self.make(.server)
        for identity in identities { try show(identity, "server") }
        if rule.authentication != .off {
            try trustCertificates(rule.authorities, doing: "reading client CA certificates", announced: true)
        }
        // One ticket: whoever comes back with it gets another. OpenSSL's own two cost each client an encryption and a write
        // more, for the few that open a second connection before the first has ended and have kept no ticket from before.
        // Safety, here and below: as above; callbacks are functions without context, and live as long as the program.
        let isTaken =
            unsafe hd_set_min_version(pointer, minimumVersion == .v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1
            && SSL_CTX_set_cipher_list(pointer, Self.ciphers) == 1
            && SSL_CTX_set_ciphersuites(pointer, Self.suites) == 1 && hd_set_groups(pointer, "X25519:P-256:P-384") == 1
            && SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer, ticketKeyCallback) == 1
            && SSL_CTX_set_num_tickets(pointer, 1) == 1
        guard isTaken else { throw TLSError.takeFromQueue(.material, doing: "setting up a listener") }
        unsafe _ = SSL_CTX_set_options(pointer, hd_listener_options() | (byKernel ? hd_kernel_tls() : 0))
        unsafe hd_keep_no_sessions(pointer)
        // What leads to the authority is what the files say: looked for anew in each handshake, it would be found among
        // the authorities of clients.
        unsafe hd_set_mode(pointer, Int(SSL_MODE_NO_AUTO_CHAIN))
        unsafe _ = SSL_CTX_set_timeout(pointer, Self.ticketSeconds)
        unsafe SSL_CTX_set_client_hello_cb(pointer, clientHelloCallback, nil)
        unsafe SSL_CTX_set_alpn_select_cb(pointer, protocolCallback, nil)
        // Our own BIO tells what follows a record; OpenSSL's does not, and the kernel's records are read one by one.
        if !byKernel {
            unsafe hd_clear_mode(pointer, Int(SSL_MODE_AUTO_RETRY))
            unsafe hd_set_read_ahead(pointer, 1)
        }
    }

    /// TLS 1.3, the cheapest first: none of them is weak.
    private static var suites: String {
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    }

    /// TLS 1.2: ephemeral keys and authenticated encryption alone.
    private static var ciphers: String {
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
            + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    }

    /// For how long a client may come back with a ticket.
    static var ticketSeconds: Int { 6 * 3600 }

    deinit {
        // Safety: sessions hold references of their own.
        unsafe SSL_CTX_free(pointer)
    }

    private static func make(_ role: Role) throws(TLSError) -> OpaquePointer {
        _ = ignoreBrokenPipes
        ERR_clear_error()
        // Safety: methods are static; the context is handed to the caller.
        guard let context = unsafe SSL_CTX_new(role == .client ? TLS_client_method() : TLS_server_method()) else {
            throw TLSError.takeFromQueue(.material, doing: "making a TLS context")
        }
        guard unsafe hd_set_min_version(context, TLS1_2_VERSION) == 1 else {
            unsafe SSL_CTX_free(context)
            throw TLSError.takeFromQueue(.material, doing: "asking for TLS 1.2")
        }
        // Buffers move and grow between two tries of a write, idle connections give their buffers back.
        unsafe hd_set_mode(
            context,
            Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS))
        unsafe _ = SSL_CTX_set_options(context, hd_no_renegotiation())
        // Safety: the parameters belong to the context.
        unsafe _ = X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), UInt(X509_V_FLAG_PARTIAL_CHAIN))
        return unsafe context
    }

    /// Accepts what leads to one of the certificates in `pem`, and tells clients so where it is `announced`.
    private func trustCertificates(_ pem: [UInt8], doing: String, announced: Bool) throws(TLSError) {
        // Safety: the store belongs to the context, and takes references of its own.
        let count = unsafe try PEM.forEachCertificate(pem, doing: doing) { certificate in
            guard unsafe X509_STORE_add_cert(SSL_CTX_get_cert_store(pointer), certificate) == 1 else { return false }
            return unsafe !announced || SSL_CTX_add_client_CA(pointer, certificate) == 1
        }
        guard count > 0 else { throw TLSError(.material, reason: "no certificate in PEM form", doing: doing) }
    }

    /// Shows `identity` to the other side.
    private func show(_ identity: TLSIdentity, _ whose: String) throws(TLSError) {
        let doing = "reading the \(whose) certificate"
        var isFirst = true
        // Safety: the context takes references of its own.
        let count = unsafe try PEM.forEachCertificate(identity.certificateChain, doing: doing) { certificate in
            defer { isFirst = false }
            return unsafe isFirst
                ? SSL_CTX_use_certificate(pointer, certificate) == 1
                : hd_add_chain_certificate(pointer, certificate) == 1
        }
        guard count > 0 else { throw TLSError(.material, reason: "no certificate in PEM form", doing: doing) }
        let readingKey = "reading the \(whose) key"
        let key = unsafe try PEM.privateKey(identity.key, doing: readingKey)
        // Safety: the key is ours; the context takes a reference of its own.
        defer { unsafe EVP_PKEY_free(key) }
        guard unsafe SSL_CTX_use_PrivateKey(pointer, key) == 1, unsafe SSL_CTX_check_private_key(pointer) == 1 else {
            throw TLSError.takeFromQueue(.material, doing: readingKey)
        }
    }

    /// See the type's comment.
    private static let ignoreBrokenPipes: Void = {
        var present = sigaction()
        // Safety: room for one sigaction; only the handler's address is compared, as the union says.
        unsafe _ = sigaction(SIGPIPE, nil, &present)
        if unsafe present.__sigaction_handler.sa_handler == nil { _ = signal(SIGPIPE, SIG_IGN) }
    }()
}
