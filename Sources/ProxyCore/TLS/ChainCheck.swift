// Who believes a server's certificate? Its chain is tried as a client would try it that trusts the system's authorities.

import COpenSSL

/// What a client makes of a chain.
public enum ChainVerdict: Sendable, Equatable {
    /// It leads to one of the system's authorities.
    case trusted
    /// It does not; why, in OpenSSL's words.
    case refused(String)
    /// The system knows no authorities, so nothing can be said.
    case unknown
}

/// Tries chains.
public enum ChainCheck {
    /// What a client makes of the chain `pem`, whose first certificate is the server's, now.
    public static func verdict(on pem: [UInt8]) throws(TLSError) -> ChainVerdict {
        let doing = "verifying a certificate"
        // Safety: as everywhere here, all objects are ours, and freed here; a stack's certificates are counted by it.
        guard let all = unsafe hd_new_certificates() else { throw TLSError.takeFromQueue(.material, doing: doing) }
        defer { unsafe hd_free_certificates(all) }
        let count = unsafe try PEM.forEachCertificate(pem, doing: doing) { unsafe hd_push_certificate(all, $0) == 1 }
        guard count > 0 else { throw TLSError(.material, reason: "no certificate in PEM form", doing: doing) }
        guard let store = unsafe X509_STORE_new() else { throw TLSError.takeFromQueue(.material, doing: doing) }
        defer { unsafe X509_STORE_free(store) }
        guard let context = unsafe X509_STORE_CTX_new() else {
            throw TLSError.takeFromQueue(.material, doing: doing)
        }
        defer { unsafe X509_STORE_CTX_free(context) }
        guard unsafe X509_STORE_set_default_paths(store) == 1,
            unsafe X509_STORE_CTX_init(context, store, hd_first_certificate(all), all) == 1,
            unsafe X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER) == 1
        else { throw TLSError.takeFromQueue(.material, doing: doing) }
        let isTrusted = unsafe X509_verify_cert(context) == 1
        ERR_clear_error()
        if isTrusted { return .trusted }
        // Safety: the text is static and NUL-terminated.
        let reason = unsafe String(cString: X509_verify_cert_error_string(Int(X509_STORE_CTX_get_error(context))))
        return systemHasAuthorities ? .refused(reason) : .unknown
    }

    /// Whether the system's file of authorities can be read, or their folder.
    private static var systemHasAuthorities: Bool {
        guard let store = unsafe X509_STORE_new() else { return false }
        defer { unsafe X509_STORE_free(store) }
        // Safety: the paths are static.
        let file = unsafe X509_STORE_load_file(store, X509_get_default_cert_file()) == 1
        let folder = unsafe X509_STORE_load_path(store, X509_get_default_cert_dir()) == 1
        ERR_clear_error()
        guard !file else { return true }
        guard folder, let name = unsafe X509_get_default_cert_dir() else { return false }
        return FolderCheck.hasEntries(unsafe String(cString: name))
    }
}
