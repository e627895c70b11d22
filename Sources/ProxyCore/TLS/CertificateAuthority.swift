// Who vouches for a server that was made a moment ago? An authority that lives as long as its process: for tests and
// the demonstration, which need certificates that nobody has to install.

import COpenSSL
import Glibc

/// A certificate authority of the moment. Its key never leaves the process.
///
/// Safety: owns both objects, which do not change.
@safe public final class CertificateAuthority: Sendable {
    /// What a certificate is for.
    public enum Purpose: Sendable {
        /// A server shows it to its clients.
        case server
        /// A client shows it to servers.
        case client
    }

    /// What kind of key a certificate gets.
    public enum KeyKind: Sendable {
        /// ECDSA on the curve P-256.
        case p256
        /// RSA with 2048 bits.
        case rsa
    }

    /// Its own certificate, in PEM form: what others have to trust.
    public let certificate: [UInt8]

    /// Safety: not changed after `init`; reading a certificate and signing with a key is safe on any thread.
    nonisolated(unsafe) private let x509: OpaquePointer
    nonisolated(unsafe) private let key: OpaquePointer

    /// A new authority, valid from five minutes ago for ten years.
    public init(name: String) throws(TLSError) {
        let doing = "making the certificate authority \(name)"
        ERR_clear_error()
        // Safety: both objects are ours, and freed by deinit.
        guard let key = unsafe hd_new_p256_key() else { throw TLSError.takeFromQueue(.material, doing: doing) }
        guard let x509 = unsafe X509_new() else {
            unsafe EVP_PKEY_free(key)
            throw TLSError.takeFromQueue(.material, doing: doing)
        }
        let extensions = [
            (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign"),
            (NID_subject_key_identifier, "hash"),
        ]
        let pem: [UInt8]? =
            unsafe Self.fill(x509, name, key, validFor: (-300, 10 * 365 * 86400), extensions, issuer: x509)
            && X509_sign(x509, key, EVP_sha256()) > 0
            ? Self.pem(x509) : nil
        guard let pem else {
            unsafe X509_free(x509)
            unsafe EVP_PKEY_free(key)
            throw TLSError.takeFromQueue(.material, doing: doing)
        }
        certificate = pem
        unsafe self.x509 = x509
        unsafe self.key = key
    }

    deinit {
        // Safety: nobody else refers to them.
        unsafe X509_free(x509)
        unsafe EVP_PKEY_free(key)
    }

    /// A new certificate and its key. It is valid for `validFor`, in seconds from now; both ends may lie in the past.
    public func issue(
        _ purpose: Purpose, name: String, key kind: KeyKind = .p256, dnsNames: [String] = [],
        addresses: [IPAddress] = [],
        validFor: (from: Int, to: Int) = (-300, 365 * 86400)
    ) throws(TLSError) -> TLSIdentity {
        let doing = "making a certificate for \(name)"
        // A comma would begin another name in OpenSSL's notation.
        guard dnsNames.allSatisfy({ !$0.utf8.contains(UInt8(ascii: ",")) }) else {
            throw TLSError(.material, reason: "a host name has no comma", doing: doing)
        }
        ERR_clear_error()
        // Safety: the new objects are ours until they are freed; signing only reads the authority's.
        let made = unsafe kind == .p256 ? hd_new_p256_key() : hd_new_rsa_key()
        guard let newKey = unsafe made else { throw TLSError.takeFromQueue(.material, doing: doing) }
        defer { unsafe EVP_PKEY_free(newKey) }
        guard let new = unsafe X509_new() else { throw TLSError.takeFromQueue(.material, doing: doing) }
        defer { unsafe X509_free(new) }
        var extensions = [
            (NID_basic_constraints, "critical,CA:FALSE"),
            (NID_key_usage, "critical,digitalSignature"),
            (NID_ext_key_usage, purpose == .server ? "serverAuth" : "clientAuth"),
            (NID_authority_key_identifier, "keyid"),
        ]
        let names = dnsNames.map { "DNS:\($0)" } + addresses.map { "IP:\($0)" }
        if !names.isEmpty { extensions.append((NID_subject_alt_name, names.joined(separator: ","))) }
        guard unsafe Self.fill(new, name, newKey, validFor: validFor, extensions, issuer: x509),
            unsafe X509_sign(new, key, EVP_sha256()) > 0, let chain = unsafe Self.pem(new),
            let keyBytes = unsafe PEM.written({
                unsafe PEM_write_bio_PrivateKey($0, newKey, nil, nil, 0, nil, nil) == 1
            })
        else { throw TLSError.takeFromQueue(.material, doing: doing) }
        return TLSIdentity(certificateChain: chain, key: keyBytes)
    }

    /// Writes everything but the signature into `x509`; false where OpenSSL refuses a part.
    private static func fill(
        _ x509: OpaquePointer, _ name: String, _ key: OpaquePointer, validFor: (from: Int, to: Int),
        _ extensions: [(Int32, String)], issuer: OpaquePointer
    ) -> Bool {
        // Safety: all objects are alive for the length of the call; texts and names are copied.
        guard unsafe X509_set_version(x509, 2) == 1,
            unsafe ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), systemRandom() >> 1) == 1,
            unsafe X509_gmtime_adj(X509_getm_notBefore(x509), validFor.from) != nil,
            unsafe X509_gmtime_adj(X509_getm_notAfter(x509), validFor.to) != nil,
            unsafe X509_set_pubkey(x509, key) == 1,
            unsafe X509_NAME_add_entry_by_txt(
                X509_get_subject_name(x509), "CN", MBSTRING_UTF8, name, Int32(clamping: name.utf8.count), -1, 0) == 1,
            unsafe X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1
        else { return false }
        var context = unsafe X509V3_CTX()
        unsafe X509V3_set_ctx(&context, issuer, x509, nil, nil, 0)
        for (kind, text) in extensions {
            guard let ext = unsafe X509V3_EXT_conf_nid(nil, &context, kind, text) else { return false }
            defer { unsafe X509_EXTENSION_free(ext) }
            guard unsafe X509_add_ext(x509, ext, -1) == 1 else { return false }
        }
        return true
    }

    private static func pem(_ x509: OpaquePointer) -> [UInt8]? {
        // Safety: the certificate is only read.
        unsafe PEM.written { unsafe PEM_write_bio_X509($0, x509) == 1 }
    }
}
