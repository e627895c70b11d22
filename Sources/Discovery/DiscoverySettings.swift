// Whom does discovery ask? The `discovery` section of the configuration, as values.

import ProxyCore

/// The `discovery` section of the configuration.
public struct DiscoverySettings: Sendable, Equatable {
    /// Where the Kubernetes API is and who we are there.
    public enum Cluster: Sendable, Equatable {
        /// As a pod finds it: `KUBERNETES_SERVICE_HOST`, and token and CA of the service account.
        case inCluster
        /// At this `https://host[:port]`, with the CA and the token in these files. Without a CA file the system's CAs.
        case server(String, caFile: String?, tokenFile: String?)
        /// As this kubeconfig file's current context says.
        case kubeconfig(String)
    }

    /// The Kubernetes API.
    public var cluster = Cluster.inCluster
    /// The DNS servers that are asked; empty: those of `/etc/resolv.conf`.
    public var dnsServers: [NetworkAddress] = []
    /// Where what was learned is kept over a restart; nil: nowhere.
    public var stateDirectory: String?
    /// For how long the API may be out of touch before DNS is believed instead.
    public var staleAfter: Duration = .seconds(60)

    /// All defaults.
    public init() {}
}
