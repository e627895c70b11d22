// On what terms does a service's traffic go on, where that is over TLS? Whom we believe, whom we expect there, and who we
// are.

import COpenSSL

/// The terms on which TLS is spoken to the endpoints of one service. Any thread may use them. Equal ones ask for the same
/// and show the same.
public final class UpstreamTerms: Sendable, Hashable {
    /// Whose certificates are accepted.
    public let trust: TLSTrust
    /// The name that an endpoint's certificate must have, whichever address it answers at.
    public let serverName: String
    /// What is shown to endpoints that ask who we are.
    public let identity: TLSIdentity?
    let context: TLSContext

    /// The terms of these parts, or why they cannot be had.
    public init(trust: TLSTrust, serverName: String, identity: TLSIdentity? = nil) throws(TLSError) {
        self.trust = trust
        self.serverName = serverName
        self.identity = identity
        context = try TLSContext(client: trust, identity: identity)
    }

    /// A session over `descriptor`, for whoever may wait.
    public func session(descriptor: Int32) throws(TLSError) -> TLSSession {
        try TLSSession(client: context, descriptor: descriptor, verifying: .dns(serverName))
    }

    /// Whether both ask for the same and show the same.
    public static func == (a: UpstreamTerms, b: UpstreamTerms) -> Bool {
        a === b || (a.serverName == b.serverName && a.trust == b.trust && a.identity == b.identity)
    }

    /// Feeds what equal ones have in common.
    public func hash(into hasher: inout Hasher) { hasher.combine(serverName) }
}
