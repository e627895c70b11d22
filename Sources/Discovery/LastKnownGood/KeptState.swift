// What should a process know that starts while the API server is away? The truth about each service as it was, and who
// had the addresses in question: plain values; `LastKnownGood` has the file.

import ProxyCore

/// What is kept over a restart.
public struct KeptState: Sendable, Equatable {
    /// One service's truth. It is known by its references: what another configuration calls it does not matter.
    public struct Service: Sendable, Equatable {
        /// Where Kubernetes has it.
        public var kubernetes: KubernetesReference?
        /// Where DNS has it.
        public var dns: DNSReference?
        /// As of when, in microseconds since 1970.
        public var asOfMicroseconds: Int64
        /// Its endpoints, with identity and conditions.
        public var endpoints: [WitnessedEndpoint]
        /// The Service's own addresses.
        public var clusterAddresses: [IPAddress]
        /// Addresses that DNS had named wrongly.
        public var disbelieved: [NetworkAddress]
    }

    /// Who had an IP that some service names.
    public struct Owner: Sendable, Equatable {
        /// The IP.
        public var ip: IPAddress
        /// The node whose own IP it is, where pods share it.
        public var sharedBy: String?
        /// The claims on it.
        public var claims: [AddressClaim]
    }

    /// When it was written, in microseconds since 1970.
    public var writtenMicroseconds: Int64
    /// The services of which something was known.
    public var services: [Service] = []
    /// Who had their addresses.
    public var owners: [Owner] = []

    /// Nothing is known, as of then.
    public init(writtenMicroseconds: Int64) { self.writtenMicroseconds = writtenMicroseconds }
}
