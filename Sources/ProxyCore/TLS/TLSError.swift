// What went wrong, in OpenSSL's words: its reason, and what we were doing.

import COpenSSL
import Glibc

/// Something that OpenSSL refused, or that a peer did to a TLS connection.
public struct TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What sort of failure it is.
    public enum Kind: Equatable, Sendable {
        /// The peer's certificate was not accepted by us, or it showed none where one is required.
        case verification
        /// The peer's bytes ended without TLS's own end, which a cut connection and an attacker look like.
        case unexpectedEnd
        /// The connection failed below TLS, with this `errno`.
        case system(Int32)
        /// The two sides do not agree: a broken record, no common version, or an alert in which the peer says why.
        case `protocol`
        /// Our own certificate, key or trust is not usable.
        case material
    }

    /// What sort of failure it is.
    public var kind: Kind
    /// OpenSSL's reason, as in `certificate has expired` or `tlsv13 alert certificate required`.
    public var reason: String
    /// What we were doing, as in `TLS handshake with 10.43.0.1`.
    public var doing: String

    /// A failure of this kind.
    public init(_ kind: Kind, reason: String, doing: String) {
        self.kind = kind
        self.reason = reason
        self.doing = doing
    }

    /// Whether the peer's certificate was not accepted: the trust may have changed, so it is worth reading again.
    public var isVerification: Bool { kind == .verification }

    /// As in `TLS handshake with 10.43.0.1: IP address mismatch`.
    public var description: String { "\(doing): \(reason)" }

    /// The oldest entry of this thread's error queue, which names the cause; the queue is empty afterwards.
    static func takeFromQueue(_ kind: Kind, doing: String) -> TLSError {
        let code = ERR_get_error()
        ERR_clear_error()
        return TLSError(kind, reason: reason(code), doing: doing)
    }

    /// OpenSSL's text for an entry of the error queue.
    static func reason(_ code: UInt) -> String {
        if code == 0 { return "OpenSSL gave no reason" }
        if hd_error_is_system(code) != 0 { return SystemError.text(hd_error_reason(code)) }
        // Safety: the text is static and NUL-terminated, or nil where OpenSSL has none.
        return unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) } ?? "OpenSSL error \(code)"
    }
}

/// Empties OpenSSL's queue of errors, so that what a call leaves there is its own. Where the queue is empty already, which it
/// nearly always is, emptying it costs thirty times as much as looking.
@inline(__always) func forgetErrors() { if ERR_peek_error() != 0 { ERR_clear_error() } }
