// What does a witness say? The words in which witnesses of where services live tell what they know: everything here is
// a plain value, so that weighing them needs no network.

import ProxyCore

/// A service as discovery is told about it: a name, and where to ask for its endpoints.
public struct ServiceSpec: Sendable, Hashable {
    /// The configured name.
    public var name: String
    /// Addresses that the configuration names itself.
    public var addresses: [NetworkAddress]
    /// The Kubernetes Service behind it.
    public var kubernetes: KubernetesReference?
    /// The DNS name behind it.
    public var dns: DNSReference?
    /// How its endpoints are looked after.
    public var care: CareSpec

    /// The service `name` with these witnesses.
    public init(
        name: String, addresses: [NetworkAddress] = [], kubernetes: KubernetesReference? = nil,
        dns: DNSReference? = nil, care: CareSpec = CareSpec()
    ) {
        self.name = name
        self.addresses = addresses
        self.kubernetes = kubernetes
        self.dns = dns
        self.care = care
    }
}

/// A port of a Kubernetes Service, by which a configuration names its endpoints.
public struct KubernetesReference: Sendable, Hashable {
    /// How a Service's port is named.
    public enum Port: Sendable, Hashable, CustomStringConvertible {
        /// `spec.ports[].name`.
        case name(String)
        /// `spec.ports[].port`, which is not the port that pods listen on.
        case number(UInt16)

        /// As the configuration spells it.
        public var description: String {
            switch self {
            case .name(let name): name
            case .number(let number): String(number)
            }
        }
    }

    /// The Service's namespace.
    public var namespace: String
    /// The Service's name.
    public var service: String
    /// Which of its ports.
    public var port: Port

    /// The port `port` of `namespace`/`service`.
    public init(namespace: String, service: String, port: Port) {
        self.namespace = namespace
        self.service = service
        self.port = port
    }
}

/// A DNS name whose addresses are endpoints.
public struct DNSReference: Sendable, Hashable {
    /// The name, absolute or to be completed by the search list.
    public var name: String
    /// The port of every address; nil where the name's SRV records tell it.
    public var port: UInt16?

    /// The addresses of `name`, at `port` or at the ports of its SRV records.
    public init(name: String, port: UInt16?) {
        self.name = name
        self.port = port
    }
}

/// One address that a witness names for a service, with what else it knows of it.
public struct WitnessedEndpoint: Sendable, Hashable {
    /// Where to connect.
    public var address: NetworkAddress
    /// The pod's UID, where the witness knows it: what makes this endpoint itself.
    public var uid: String?
    /// The pod's name.
    public var pod: String?
    /// The node that it runs on.
    public var node: String?
    /// The zone of that node.
    public var zone: String?
    /// Whether it wants new requests.
    public var ready: Bool
    /// Whether it could answer them, wanted or not.
    public var serving: Bool
    /// Whether its pod is on its way out.
    public var terminating: Bool
    /// Zones whose clients it is meant for (`hints.forZones`).
    public var zoneHints: [String]
    /// Nodes whose clients it is meant for (`hints.forNodes`).
    public var nodeHints: [String]

    /// An endpoint at `address`, ready unless told otherwise.
    public init(
        address: NetworkAddress, uid: String? = nil, pod: String? = nil, node: String? = nil, zone: String? = nil,
        ready: Bool = true, serving: Bool = true, terminating: Bool = false, zoneHints: [String] = [],
        nodeHints: [String] = []
    ) {
        self.address = address
        self.uid = uid
        self.pod = pod
        self.node = node
        self.zone = zone
        self.ready = ready
        self.serving = serving
        self.terminating = terminating
        self.zoneHints = zoneHints
        self.nodeHints = nodeHints
    }
}

/// Who says, in any slice that is watched, that an IP address is his.
public struct AddressClaim: Sendable, Hashable {
    /// The pod's UID.
    public var uid: String
    /// Who it is, for people: `namespace/service`, as in `honeydue/dozzle`.
    public var owner: String
    /// The node that it runs on.
    public var node: String?
    /// The ports that slices give for it.
    public var ports: Set<UInt16>
    /// Whether its pod is on its way out in every slice that names it.
    public var terminating: Bool

    /// The claim of the pod `uid`.
    public init(uid: String, owner: String, node: String?, ports: Set<UInt16>, terminating: Bool) {
        self.uid = uid
        self.owner = owner
        self.node = node
        self.ports = ports
        self.terminating = terminating
    }
}

/// What one turn of the Kubernetes witness changed. What it does not mention stays as it was.
public struct KubernetesUpdate: Sendable, Equatable {
    /// The endpoints of each configured service that changed, by its name, all of them and in a stable order. Empty: it
    /// has none.
    public var services: [String: [WitnessedEndpoint]]
    /// Services whose endpoints cannot be told, by name, with the reason: no such Service, no such port.
    public var problems: [String: String]
    /// The present claims on each IP address whose claims changed, all of them. Empty: nobody's any more.
    public var claims: [IPAddress: [AddressClaim]]
    /// The Service's own addresses (`spec.clusterIPs`) of each configured service that changed.
    public var clusterAddresses: [String: [IPAddress]]
    /// Whether all configured services of this witness have been told at least once: its first answer is complete.
    public var isComplete: Bool

    /// Nothing changed.
    public init() {
        services = [:]
        problems = [:]
        claims = [:]
        clusterAddresses = [:]
        isComplete = false
    }
}

/// What DNS answered for one service.
public struct DNSTestimony: Sendable, Equatable {
    /// What an answer came to.
    public enum Answer: Sendable, Equatable {
        /// These addresses, good for so long.
        case addresses([NetworkAddress], timeToLive: Duration)
        /// The name has none now (NXDOMAIN or no data), good for so long.
        case none(timeToLive: Duration)
        /// No server could tell: no answer in time, SERVFAIL, REFUSED. What was known stays.
        case failed(reason: String)
    }

    /// The service, by its configured name.
    public var service: String
    /// What came.
    public var answer: Answer

    /// The answer `answer` for `service`.
    public init(service: String, answer: Answer) {
        self.service = service
        self.answer = answer
    }
}

/// What a witness has to say.
public enum Testimony: Sendable {
    /// Slices (or Endpoints objects) changed.
    case kubernetes(KubernetesUpdate)
    /// The API server was heard: an answer, an event, a bookmark.
    case kubernetesHeard
    /// The API server cannot be reached or does not answer as it should.
    case kubernetesLost(reason: String)
    /// DNS answered.
    case dns(DNSTestimony)
}
