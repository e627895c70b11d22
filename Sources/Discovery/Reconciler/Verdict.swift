// Why is this endpoint used, or not? The closed list of answers, each with its words.

/// Why an endpoint is usable, or why not.
public enum Verdict: Sendable, Hashable {
    /// It wants new requests.
    case ready
    /// Its pod is on its way out but still answers, and no endpoint of the service is ready.
    case lastResort
    /// It does not want requests now.
    case notReady
    /// Its pod is on its way out, and others are ready or it does not answer any more.
    case terminating
    /// The address belongs to another pod now, which `owner` names for people.
    case taken(owner: String)
    /// DNS names it, and slices, which are the truth, do not.
    case notInSlices
    /// DNS, which is the truth while the API is away, does not name it.
    case notInDNS
    /// DNS is the truth while the API is away, but named this address already when slices knew better.
    case disbelieved
    /// DNS names the Service's own address; its pods are known and dialled directly.
    case clusterAddress

    /// Whether requests may go there.
    public var isUsable: Bool { self == .ready || self == .lastResort }

    /// The reason in a few words for people, as tables show them.
    public var words: String {
        switch self {
        case .ready: "ready"
        case .lastResort: "terminating but still serving, and no endpoint is ready"
        case .notReady: "not ready"
        case .terminating: "terminating"
        case .taken(let owner): "the address belongs to \(owner) now"
        case .notInSlices: "only DNS names it, and slices know better"
        case .notInDNS: "DNS does not name it, and the Kubernetes API is away"
        case .disbelieved: "DNS named it when slices knew better"
        case .clusterAddress: "the Service's own address; its pods are dialled directly"
        }
    }
}

/// Which witness is believed about a service now.
public enum Truth: String, Sendable {
    /// None: nobody has told anything yet.
    case none
    /// The configuration alone: the service has addresses and no other witness that has told anything.
    case `static`
    /// EndpointSlices, as the API server tells them.
    case kubernetes
    /// DNS.
    case dns
    /// What an earlier process had learned.
    case lastKnownGood = "last known good"
}
