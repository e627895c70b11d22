// How do certificates and keys get out of a file's bytes and back? PEM (RFC 7468), by OpenSSL's own reader.

import COpenSSL
import Glibc

/// PEM bytes and OpenSSL's objects.
enum PEM {
    /// Calls `body` with each certificate in `pem`, in order, and returns how many there were. Throws where one of
    /// them is damaged, or `body` returns false, which stands for a refusal that lies in OpenSSL's error queue.
    static func forEachCertificate(
        _ pem: [UInt8], doing: String, _ body: (OpaquePointer) -> Bool
    ) throws(TLSError) -> Int {
        ERR_clear_error()
        // Safety: the reader is ours; it copied the bytes.
        let bio = unsafe try reader(pem, doing: doing)
        defer { unsafe _ = BIO_free(bio) }
        var count = 0
        while true {
            // Safety: the callback takes no pointer of ours; the certificate is ours until it is freed.
            guard let certificate = unsafe PEM_read_bio_X509(bio, nil, noPassword, nil) else { break }
            let accepted = unsafe body(certificate)
            unsafe X509_free(certificate)
            guard accepted else { throw TLSError.takeFromQueue(.material, doing: doing) }
            count += 1
        }
        // The end of the bytes is reported as "no start line", everything else is damage.
        let code = ERR_peek_last_error()
        guard hd_error_library(code) == ERR_LIB_PEM, hd_error_reason(code) == PEM_R_NO_START_LINE else {
            throw TLSError.takeFromQueue(.material, doing: doing)
        }
        ERR_clear_error()
        return count
    }

    /// The first private key in `pem`; the caller frees it. A key that is locked with a password is refused.
    static func privateKey(_ pem: [UInt8], doing: String) throws(TLSError) -> OpaquePointer {
        ERR_clear_error()
        let bio = unsafe try reader(pem, doing: doing)
        // Safety: as above.
        defer { unsafe _ = BIO_free(bio) }
        guard let key = unsafe PEM_read_bio_PrivateKey(bio, nil, noPassword, nil) else {
            // OpenSSL's decoders say "unsupported" to bytes in which there is nothing to decode.
            guard String(decoding: pem, as: UTF8.self).contains("PRIVATE KEY-----") else {
                ERR_clear_error()
                throw TLSError(.material, reason: "no private key in PEM form", doing: doing)
            }
            throw TLSError.takeFromQueue(.material, doing: doing)
        }
        return unsafe key
    }

    /// The bytes that `body` writes into a BIO; nil where it returns false.
    static func written(_ body: (OpaquePointer) -> Bool) -> [UInt8]? {
        // Safety: the BIO is ours, and its memory lives until it is freed, after the copy.
        guard let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
        defer { unsafe _ = BIO_free(bio) }
        guard unsafe body(bio) else { return nil }
        var data: UnsafeMutablePointer<CChar>?
        let count = unsafe hd_memory(bio, &data)
        guard let data = unsafe data, count > 0 else { return nil }
        return unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: count))
    }

    /// A BIO that reads a copy of `pem`, so that it may outlive the array's memory.
    private static func reader(_ pem: [UInt8], doing: String) throws(TLSError) -> OpaquePointer {
        // Safety: BIO_write copies; the BIO belongs to the caller.
        guard let bio = unsafe BIO_new(BIO_s_mem()) else { throw TLSError.takeFromQueue(.material, doing: doing) }
        if !pem.isEmpty {
            let taken = unsafe BIO_write(bio, pem, Int32(clamping: pem.count))
            guard taken == pem.count else {
                unsafe _ = BIO_free(bio)
                throw TLSError.takeFromQueue(.material, doing: doing)
            }
        }
        return unsafe bio
    }
}

/// OpenSSL asks the terminal for a password where nobody else answers.
///
/// Safety: touches neither pointer.
private func noPassword(
    _: UnsafeMutablePointer<CChar>?, _: Int32, _: Int32, _: UnsafeMutableRawPointer?
) -> Int32 { -1 }
