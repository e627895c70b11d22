// What did a handshake come to? OpenSSL's words for a failure become one of ours, and what was agreed on becomes a few
// fields of the log.

import COpenSSL

extension HandshakeOutcome {
    /// What the first entry of OpenSSL's queue means.
    init(failedWith entry: UInt, _ wasUnknownName: Bool) {
        if wasUnknownName {
            self = .unknownName
            return
        }
        // Nothing in the queue: the connection failed below TLS.
        guard entry != 0, hd_error_is_system(entry) == 0 else {
            self = .clientClosed
            return
        }
        guard hd_error_library(entry) == ERR_LIB_SSL else {
            self = .malformed
            return
        }
        switch hd_error_reason(entry) {
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: self = .noCertificate
        case SSL_R_CERTIFICATE_VERIFY_FAILED: self = .badCertificate
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: self = .clientClosed
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST: self = .plainHTTP
        case SSL_R_NO_SHARED_CIPHER, SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_NO_SHARED_GROUPS,
            SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
            SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, SSL_R_INAPPROPRIATE_FALLBACK:
            self = .noCommon
        // Alerts that the peer sent.
        case let reason where reason >= SSL_AD_REASON_OFFSET: self = .refusedByClient
        default: self = .malformed
        }
    }
}

/// What was agreed on with a client.
///
/// Safety: the texts belong to OpenSSL: a cipher's name for ever, the server name as long as the connection.
@safe struct TLSFacts {
    /// The version that is spoken.
    var version = TLSVersion.none
    /// Whether a ticket was used.
    var isResumed = false
    /// Whether the client has shown a certificate, which then was verified.
    var hasCertificate = false
    /// Which name the client's met; -1 for none.
    var entry: Int32 = -1
    private var cipher: UnsafePointer<CChar>?
    private var name: UnsafePointer<CChar>?

    /// Nothing was agreed on.
    init() {}

    /// Safety: `ssl` is alive, as long as this is used.
    @unsafe init(_ ssl: OpaquePointer, entry: Int32) {
        // Before a cipher is chosen the version is what we would like best.
        let chosen = unsafe SSL_get_current_cipher(ssl)
        switch unsafe chosen == nil ? 0 : SSL_version(ssl) {
        case TLS1_2_VERSION: version = .v1_2
        case TLS1_3_VERSION: version = .v1_3
        default: version = .none
        }
        isResumed = unsafe SSL_session_reused(ssl) == 1
        hasCertificate = unsafe SSL_get0_peer_certificate(ssl) != nil
        self.entry = entry
        unsafe cipher = chosen == nil ? nil : SSL_CIPHER_get_name(chosen)
        unsafe name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
    }

    /// Appends the facts to a line of the access log: `,"tls":"1.3","cipher":…,"sni":…,"client_cert":true`.
    func append(to line: inout ByteBuffer) {
        line.append(",\"tls\":\"")
        line.append(version.word)
        line.append("\"")
        // Safety: the texts are alive, see the type's comment.
        unsafe append(",\"cipher\":\"", cipher, 64, &line)
        unsafe append(",\"sni\":\"", name, 255, &line)
        if hasCertificate { line.append(",\"client_cert\":true") }
    }

    private func append(_ field: StaticString, _ text: UnsafePointer<CChar>?, _ most: Int, _ line: inout ByteBuffer) {
        guard let text = unsafe text, line.writableCount > 1200 else { return }
        line.append(field)
        defer { line.append("\"") }
        for i in 0..<most {
            // Safety: the text ends with a NUL, at which this stops.
            let byte = unsafe UInt8(bitPattern: text[i])
            if byte == 0 { return }
            let isPlain = byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
            line.append(isPlain ? byte : UInt8(ascii: "?"))
        }
    }
}
