// Which witnesses are there? The one place where they are made, so that a test can put scripted ones in their place.

import ProxyCore

/// How the witnesses that have to be asked are made.
public struct SourceMakers: Sendable {
    /// Makes a witness for these settings and services, which tells what it hears and notes what is worth a line; nil
    /// where it cannot be made (it has noted why).
    public typealias Maker =
        @ControlThread (
            DiscoverySettings, [ServiceSpec], _ heard: @escaping @ControlThread (Testimony) -> Void,
            _ note: @escaping @ControlThread (Notice) -> Void
        ) -> (any EndpointSource)?

    /// Of the Kubernetes API.
    public var kubernetes: Maker
    /// Of DNS.
    public var dns: Maker

    /// Makes these.
    public init(kubernetes: @escaping Maker, dns: @escaping Maker) {
        self.kubernetes = kubernetes
        self.dns = dns
    }

    /// The real ones.
    public static let real = SourceMakers(
        kubernetes: { settings, services, heard, note in
            let resolver = Resolver(servers: settings.dnsServers)
            return KubernetesSource(
                settings.cluster, services: services,
                addresses: { name in
                    let deadline = Clock.now() + .milliseconds(5000)
                    guard case .addresses(let ips, _) = await resolver.addresses(of: name, until: deadline) else {
                        return []
                    }
                    return ips
                }, heard: heard, note: note)
        },
        dns: { settings, services, heard, note in
            DNSSource(
                resolver: Resolver(servers: settings.dnsServers), services: services, heard: heard, note: note)
        })
}
