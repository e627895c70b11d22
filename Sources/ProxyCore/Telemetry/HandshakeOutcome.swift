// How did a handshake end? One closed list for metrics, and the versions that they tell apart.

/// How a handshake with a client ended.
public enum HandshakeOutcome: UInt8, Sendable, CaseIterable {
    /// Both sides showed what they had to.
    case full
    /// The client came back with a ticket.
    case resumed
    /// The client showed no certificate where one is required.
    case noCertificate
    /// The client's certificate is not accepted.
    case badCertificate
    /// The client asked for a name that is not served, where that is refused.
    case unknownName
    /// No common version, cipher or protocol.
    case noCommon
    /// The client did not accept us, and said so.
    case refusedByClient
    /// The client was gone before the end.
    case clientClosed
    /// It was not over in time.
    case timeout
    /// What came was not TLS but HTTP.
    case plainHTTP
    /// What came was no proper TLS.
    case malformed

    /// The word for it in `hdproxy_tls_handshakes_total{outcome}`.
    public var word: StaticString {
        switch self {
        case .full: "full"
        case .resumed: "resumed"
        case .noCertificate: "no_certificate"
        case .badCertificate: "bad_certificate"
        case .unknownName: "unknown_name"
        case .noCommon: "no_common"
        case .refusedByClient: "refused_by_client"
        case .clientClosed: "client_closed"
        case .timeout: "timeout"
        case .plainHTTP: "plain_http"
        case .malformed: "malformed"
        }
    }
}

/// The version of TLS that is spoken, as far as that is known.
public enum TLSVersion: UInt8, Sendable, CaseIterable {
    /// Not agreed on.
    case none
    /// TLS 1.2 (RFC 5246).
    case v1_2
    /// TLS 1.3 (RFC 8446).
    case v1_3

    /// As metrics spell it.
    public var word: StaticString {
        switch self {
        case .none: "none"
        case .v1_2: "1.2"
        case .v1_3: "1.3"
        }
    }
}

/// How many handshakes ended in one way, in one version.
public struct HandshakeCount: Sendable, Equatable {
    /// How they ended.
    public var outcome: HandshakeOutcome
    /// The version that was agreed on.
    public var version: TLSVersion
    /// How many they are.
    public var count: UInt64
}
