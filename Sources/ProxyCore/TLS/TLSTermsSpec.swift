// On what terms is TLS spoken at one listener? As a plain value, with certificates, keys and authorities as the bytes
// that their files held; `TLSTerms` is what OpenSSL makes of it.

/// Whether clients have to show a certificate.
public enum ClientAuthentication: String, Sendable, Hashable, CaseIterable {
    /// Who shows none, or one that does not lead to the authorities, gets no connection.
    case require
    /// Who shows none is let in; one that is shown must lead to the authorities.
    case request
    /// None is asked for.
    case off
}

/// Which clients are let in.
public struct ClientRule: Sendable, Equatable {
    /// Whether they have to show a certificate.
    public var authentication: ClientAuthentication
    /// The authorities that their certificates must lead to, in PEM form; empty where none is asked for.
    public var authorities: [UInt8]

    /// A rule of these parts; without any, everybody is let in.
    public init(_ authentication: ClientAuthentication = .off, authorities: [UInt8] = []) {
        self.authentication = authentication
        self.authorities = authorities
    }
}

/// The terms of one listener.
public struct TLSTermsSpec: Sendable, Equatable {
    /// Terms for some of its hosts.
    public struct Host: Sendable, Equatable {
        /// Which ones: a name, or a wildcard for one label.
        public var pattern: HostPattern
        /// What is shown to their clients; empty: the listener's.
        public var identities: [TLSIdentity]
        /// Which clients are let in.
        public var rule: ClientRule

        /// Terms for `pattern`.
        public init(_ pattern: HostPattern, identities: [TLSIdentity] = [], rule: ClientRule = ClientRule()) {
            self.pattern = pattern
            self.identities = identities
            self.rule = rule
        }
    }

    /// What is shown: of those that are for the client's name one for each kind of key, the first one; where none is, the
    /// first of all and what belongs to it.
    public var identities: [TLSIdentity]
    /// Which clients are let in.
    public var rule: ClientRule
    /// Hosts with terms of their own.
    public var hosts: [Host]
    /// The least version that is spoken.
    public var minimumVersion: TLSVersion
    /// Whether clients that ask for no name, or for one that neither a certificate nor ``hosts`` has, are refused.
    public var isStrict: Bool
    /// Whether records are left to the kernel where it takes them.
    public var prefersKernel: Bool

    /// Terms of these parts.
    public init(
        identities: [TLSIdentity], rule: ClientRule = ClientRule(), hosts: [Host] = [],
        minimumVersion: TLSVersion = .v1_2, isStrict: Bool = false, prefersKernel: Bool = false
    ) {
        self.identities = identities
        self.rule = rule
        self.hosts = hosts
        self.minimumVersion = minimumVersion
        self.isStrict = isStrict
        self.prefersKernel = prefersKernel
    }
}
