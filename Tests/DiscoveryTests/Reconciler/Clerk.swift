// A reconciler with a clock that is moved by hand, and short words for what witnesses say.

import ProxyCore

@testable import Discovery

struct Clerk {
    var reconciler: Reconciler
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var notices: [Notice] = []
    /// The last change of each service.
    var served: [String: [String]] = [:]
    /// How many changes were told.
    var changeCount = 0

    static let wallOrigin: Int64 = 1_790_000_000_000_000
    var wall: Int64 { Self.wallOrigin + now.nanoseconds / 1000 }

    init(_ services: [ServiceSpec], staleAfter: Duration = .seconds(60), kept: KeptState? = nil) {
        reconciler = Reconciler(
            services: services, staleAfter: staleAfter, kept: kept, now: now,
            wallMicroseconds: Self.wallOrigin + now.nanoseconds / 1000)
        for service in services { served[service.name] = ids(service.name) }
    }

    /// Moves the clock, stopping at each deadline on the way.
    mutating func wait(milliseconds: Int64) {
        let end = now + .milliseconds(milliseconds)
        var steps = 0
        while reconciler.nextDeadline <= end, steps < 100 {
            now = max(now, reconciler.nextDeadline)
            take(reconciler.advance(now: now, wallMicroseconds: wall))
            steps += 1
        }
        precondition(steps < 100, "a deadline stays where it is")
        now = end
    }

    mutating func wait(_ seconds: Int64) { wait(milliseconds: seconds * 1000) }

    @discardableResult
    mutating func hear(_ testimony: Testimony) -> Reconciler.Turn {
        let turn = reconciler.hear(testimony, now: now, wallMicroseconds: wall)
        take(turn)
        return turn
    }

    private mutating func take(_ turn: Reconciler.Turn) {
        notices += turn.notices
        for change in turn.changes { served[change.service] = change.endpoints.map(\.id.description) }
        changeCount += turn.changes.count
    }

    /// Slices of one service change; whoever stands in `claims` (by IP) claims it now.
    mutating func slices(
        of service: String = "api", _ endpoints: [WitnessedEndpoint], claims: [String: [AddressClaim]] = [:],
        problem: String? = nil, isComplete: Bool = true
    ) {
        var update = KubernetesUpdate()
        update.services[service] = endpoints
        if let problem { update.problems[service] = problem }
        update.claims = Dictionary(uniqueKeysWithValues: claims.map { (IPAddress($0.key)!, $0.value) })
        update.isComplete = isComplete
        hear(.kubernetes(update))
    }

    /// Claims change, and no service's slices.
    mutating func claims(_ claims: [String: [AddressClaim]]) {
        var update = KubernetesUpdate()
        update.claims = Dictionary(uniqueKeysWithValues: claims.map { (IPAddress($0.key)!, $0.value) })
        update.isComplete = true
        hear(.kubernetes(update))
    }

    mutating func heard() { hear(.kubernetesHeard) }
    mutating func lost() { hear(.kubernetesLost(reason: "connection refused")) }

    mutating func dns(of service: String = "api", _ addresses: [String], timeToLive: Int = 5) {
        let addresses = addresses.map { NetworkAddress($0)! }
        hear(.dns(.init(service: service, answer: .addresses(addresses, timeToLive: .seconds(timeToLive)))))
    }

    mutating func dnsNone(_ service: String = "api") {
        hear(.dns(.init(service: service, answer: .none(timeToLive: .seconds(5)))))
    }

    mutating func dnsFailed(_ service: String = "api") {
        hear(.dns(.init(service: service, answer: .failed(reason: "timeout"))))
    }

    /// The identities of who is used now, as asked.
    func ids(_ service: String = "api") -> [String] { reconciler.endpoints(of: service).map(\.id.description) }

    /// The addresses of who is used now.
    func addresses(_ service: String = "api") -> [String] {
        reconciler.endpoints(of: service).map(\.address.description)
    }

    func view(_ service: String = "api") -> ServiceView {
        reconciler.view(of: service, now: now, wallMicroseconds: wall)!
    }

    /// The verdict on an address.
    func verdict(_ address: String, of service: String = "api") -> Verdict? {
        view(service).endpoints.first { $0.address.description == address }?.verdict
    }

    /// Lines of one kind, and their details in one text each.
    func lines(_ event: String) -> [String] {
        notices.filter { $0.event == event }.map { notice in
            notice.details.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
        }
    }
}

extension ServiceSpec {
    /// `api`, known to Kubernetes and to DNS.
    static let api = ServiceSpec(
        name: "api", kubernetes: .init(namespace: "honeydue", service: "api", port: .name("http")),
        dns: .init(name: "api-headless.honeydue.svc.cluster.local", port: 8000))
    /// `api`, known to Kubernetes alone.
    static let apiWithoutDNS = ServiceSpec(
        name: "api", kubernetes: .init(namespace: "honeydue", service: "api", port: .name("http")))
    /// `admin`, known to DNS alone.
    static let admin = ServiceSpec(name: "admin", dns: .init(name: "admin.honeydue.svc.cluster.local", port: 3000))
    /// `old`, whose addresses are configured.
    static let old = ServiceSpec(
        name: "old", addresses: [NetworkAddress("127.0.0.1:8001")!, NetworkAddress("127.0.0.1:8002")!])
}

/// The pod `uid` at `address`, with its conditions as in the recorded summaries: ready, serving, terminating.
func pod(_ uid: String, _ address: String, _ conditions: String = "110", node: String? = "hetzner1")
    -> WitnessedEndpoint
{
    let bits = conditions.map { $0 == "1" }
    return WitnessedEndpoint(
        address: NetworkAddress(address)!, uid: uid, pod: "pod-\(uid)", node: node, ready: bits[0], serving: bits[1],
        terminating: bits[2])
}

func claim(
    _ uid: String, _ owner: String = "honeydue/api", node: String? = "hetzner1", ports: Set<UInt16> = [8000],
    terminating: Bool = false
) -> AddressClaim {
    AddressClaim(uid: uid, owner: owner, node: node, ports: ports, terminating: terminating)
}
