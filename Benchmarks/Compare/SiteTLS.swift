// On what terms does each contender speak TLS? One certificate for all, and the same versions, ciphers and groups.

import ProxyCore

/// Who a site is: a certificate for the first host, with a key on the curve P-256, as files.
struct SiteCertificate {
    /// The certificate, which is also all that a client has to believe.
    let chain: String
    /// Its key.
    let key: String
    /// Both, as HAProxy wants them.
    let both: String

    /// A new one in `folder`.
    init(in folder: TemporaryFolder) throws {
        let identity = try CertificateAuthority(name: "hdproxy-bench").issue(
            .server, name: "bench.test", dnsNames: ["bench.test"])
        (chain, key, both) = ("\(folder.path)/tls.crt", "\(folder.path)/tls.key", "\(folder.path)/tls.pem")
        try writeFile(chain, String(decoding: identity.certificateChain, as: UTF8.self))
        try writeFile(key, String(decoding: identity.key, as: UTF8.self))
        try writeFile(both, String(decoding: identity.certificateChain + identity.key, as: UTF8.self))
    }
}

/// What each contender is told of TLS: our own ciphers and groups in our order; tickets as each gives them by itself.
enum SiteTLS {
    static let suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    static let ciphers =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    static let groups = "X25519:P-256:P-384"
}
