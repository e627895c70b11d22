// What does a certificate say? For whom it is, with what kind of key, until when, and who signed it.

import COpenSSL
import Glibc

/// What one certificate says.
public struct CertificateFacts: Sendable, Equatable {
    /// What kind of key it holds.
    public enum Kind: Sendable, Hashable {
        /// RSA, with so many bits.
        case rsa
        /// An elliptic curve of the ECDSA family.
        case ecdsa
        /// Another one, by OpenSSL's number.
        case other(Int32)
    }

    /// The hosts that it is for: its DNS names, in lower case. A common name does not count (RFC 9525 §2).
    public private(set) var names: [HostPattern] = []
    /// What kind of key it holds.
    public let kind: Kind
    /// Bits of that key.
    public let bits: Int
    /// When it begins and ends to be valid, in seconds since 1970.
    public let notBefore: Int64
    /// See ``notBefore``.
    public let notAfter: Int64
    /// Its subject and its issuer, as in `CN=api.example.com`.
    public let subject: String
    /// See ``subject``.
    public let issuer: String
    /// Whether it may stand for a server.
    public let isForServers: Bool
    /// Whether it signed itself.
    public let isSelfSigned: Bool

    /// What the first certificate in `pem` says.
    public init(first pem: [UInt8], doing: String) throws(TLSError) {
        var facts: CertificateFacts?
        // Safety: the certificate is alive for the length of the call.
        let count = unsafe try PEM.forEachCertificate(pem, doing: doing) { certificate in
            if facts == nil { facts = unsafe CertificateFacts(certificate) }
            return true
        }
        guard count > 0, let facts else {
            throw TLSError(.material, reason: "no certificate in PEM form", doing: doing)
        }
        self = facts
    }

    /// What each certificate in `pem` says, in order.
    public static func all(in pem: [UInt8], doing: String) throws(TLSError) -> [CertificateFacts] {
        var all: [CertificateFacts] = []
        // Safety: as above.
        _ = unsafe try PEM.forEachCertificate(pem, doing: doing) { certificate in
            all.append(unsafe CertificateFacts(certificate))
            return true
        }
        return all
    }

    /// Safety: `certificate` is an X509 that is alive for the length of the call.
    @unsafe private init(_ certificate: OpaquePointer) {
        let key = unsafe X509_get0_pubkey(certificate)
        switch unsafe EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_RSA, EVP_PKEY_RSA_PSS: kind = .rsa
        case EVP_PKEY_EC: kind = .ecdsa
        case let other: kind = .other(other)
        }
        bits = unsafe Int(EVP_PKEY_get_bits(key))
        notBefore = unsafe Self.seconds(X509_get0_notBefore(certificate))
        notAfter = unsafe Self.seconds(X509_get0_notAfter(certificate))
        subject = unsafe Self.text(X509_get_subject_name(certificate))
        issuer = unsafe Self.text(X509_get_issuer_name(certificate))
        isForServers = unsafe X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == 1
        isSelfSigned = unsafe X509_self_signed(certificate, 1) == 1
        guard let list = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return }
        let all = OpaquePointer(list)
        defer { unsafe GENERAL_NAMES_free(all) }
        for i in 0..<(unsafe hd_name_count(all)) {
            var text: UnsafePointer<UInt8>?
            let length = unsafe hd_dns_name(all, i, &text)
            guard length > 0, let text = unsafe text else { continue }
            let bytes = unsafe UnsafeBufferPointer(start: text, count: Int(length)).map(ASCII.lowercased)
            let name = String(decoding: bytes, as: UTF8.self)
            names.append(name.hasPrefix("*.") ? .wildcard(String(name.dropFirst(2))) : .exact(name))
        }
    }

    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var parts = unsafe tm()
        // Safety: the time belongs to a certificate that is alive; the parts are a local.
        guard unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
        return unsafe Int64(timegm(&parts))
    }

    private static func text(_ name: OpaquePointer?) -> String {
        // Safety: as below.
        let bytes = unsafe PEM.written { bio in
            // Safety: the name belongs to a certificate that is alive.
            unsafe hd_print_name(bio, name) >= 0
        }
        return String(decoding: bytes ?? [], as: UTF8.self)
    }
}
