// What OpenSSL says about bytes that must not be forged or must be recognised: digests.

import COpenSSL

/// Digests by OpenSSL's libcrypto.
public enum Digest {
    /// The SHA-1 of `bytes`, 20 bytes long. Only for what a protocol demands, such as the WebSocket handshake
    /// (RFC 6455 §4.2.2); it protects nothing.
    public static func sha1(_ bytes: [UInt8]) -> [UInt8] {
        // Safety: the algorithm is static.
        unsafe digest(bytes, EVP_sha1())
    }

    /// The SHA-256 of `bytes`, 32 bytes long: whether a file is still what was written.
    public static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        // Safety: the algorithm is static.
        unsafe digest(bytes, EVP_sha256())
    }

    /// Safety: `algorithm` is one of OpenSSL's static ones.
    @unsafe private static func digest(_ bytes: [UInt8], _ algorithm: OpaquePointer?) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var length: UInt32 = 0
        // Safety: libcrypto reads `bytes.count` bytes and writes at most EVP_MAX_MD_SIZE.
        let ok = unsafe bytes.withUnsafeBytes { input in
            unsafe EVP_Digest(input.baseAddress, input.count, &digest, &length, algorithm, nil)
        }
        precondition(ok == 1, "libcrypto refused a digest, which needs nothing that could be missing")
        return Array(digest.prefix(Int(length)))
    }
}

/// The OpenSSL that this process runs with, as in "OpenSSL 3.0.22 25 Aug 2026".
public func opensslVersion() -> String {
    // Safety: the function returns a static, NUL-terminated string.
    unsafe String(cString: OpenSSL_version(OPENSSL_VERSION))
}
