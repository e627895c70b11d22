// Why is a connection closed before any request of it was read? Counted beside the refused requests, by reason, and not
// logged one by one: whoever is kept out would else write our log.

/// A connection that is refused for who is at its other end.
public enum ConnectionRefusal: UInt8, Sendable, CaseIterable {
    /// Only proxies that are trusted may connect (`originLockdown`).
    case originLockdown
    /// This client has as many connections as it may (`limits.connectionsPerClient`).
    case clientConnections
    /// The listener asks for a PROXY header, and nobody trusts this peer to write one.
    case proxyUntrusted
    /// What came is no PROXY header.
    case proxyMalformed
    /// The PROXY header did not come in time.
    case proxyTimeout

    /// The word for it in `hdproxy_rejected_total{reason}`.
    public var reason: StaticString {
        switch self {
        case .originLockdown: "origin_lockdown"
        case .clientConnections: "client_connections"
        case .proxyUntrusted: "proxy_untrusted"
        case .proxyMalformed: "proxy_malformed"
        case .proxyTimeout: "proxy_timeout"
        }
    }
}
