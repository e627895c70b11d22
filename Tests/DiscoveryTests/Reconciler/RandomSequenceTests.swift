// Random sequences of what witnesses say, from a seed, checked after each step against a slow and simple model: it keeps
// everything that was ever said and works the rules out anew each time.

import ProxyCore
import Testing

@testable import Discovery

/// A generator that a seed makes repeatable.
struct Dice {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func below(_ count: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(truncatingIfNeeded: (state &* 0x2545_F491_4F6C_DD1D) >> 33) % count
    }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}

/// All that was ever said about who claims an IP.
private struct ClaimHistory {
    struct Entry {
        var at: Instant
        var step: Int
        var claims: [AddressClaim]
    }

    var entries: [Entry] = []

    /// Entries since the IP was nobody's last.
    var story: ArraySlice<Entry> {
        let last = entries.lastIndex { $0.claims.isEmpty }
        return entries[(last.map { $0 + 1 } ?? 0)...]
    }

    func age(_ uid: String) -> Int? { story.first { $0.claims.contains { $0.uid == uid } }?.step }

    /// The node whose pods share this IP, as far as was shown until `now`: the first of which it was shown.
    func sharingNode(now: Instant) -> String? {
        let story = Array(story)
        var earliest: (at: Instant, node: String)?
        for (index, entry) in story.enumerated() {
            let end = index + 1 < story.count ? story[index + 1].at : now
            let alive = entry.claims.filter { $0.node != nil && !$0.terminating }
            for a in alive {
                for b in alive where a.uid != b.uid && a.node == b.node {
                    // Back to where they began to stand side by side.
                    var first = index
                    while first > 0,
                        [a, b].allSatisfy({ claim in
                            story[first - 1].claims.contains { $0.uid == claim.uid && !$0.terminating }
                        })
                    { first -= 1 }
                    let isListed = age(a.uid) == 0 && age(b.uid) == 0
                    let shown = isListed ? entry.at : max(entry.at, story[first].at + .milliseconds(30_000))
                    if shown <= end, earliest == nil || shown < earliest!.at { earliest = (shown, a.node!) }
                }
            }
        }
        return earliest?.node
    }

    func isVoid(_ uid: String, port: UInt16, own: Set<String>, now: Instant) -> Bool {
        guard let claims = story.last?.claims else { return false }
        let sharing = sharingNode(now: now)
        let mine = claims.first { $0.uid == uid }
        return claims.contains { other in
            if other.uid == uid { return false }
            let isSharing = sharing != nil && other.node == sharing && (mine == nil || mine!.node == sharing)
            if isSharing, !other.ports.contains(port) { return false }
            guard let mine else { return true }
            if mine.terminating { return true }
            if other.terminating { return false }
            let (theirs, ours) = (age(other.uid)!, age(uid)!)
            return theirs > ours || theirs == ours && !own.contains(other.uid)
        }
    }
}

/// A cluster whose pods come, get ready, leave and hand their addresses on, sometimes before the news of it.
private struct Cluster {
    struct Pod {
        var uid: String
        var service: String
        var address: NetworkAddress
        var node: String
        var conditions: String
    }

    var dice: Dice
    var pods: [Pod] = []
    var counter = 0
    static let services = ["api", "web", "dozzle"]
    private var claimed: Set<IPAddress> = []

    init(seed: UInt64) { dice = Dice(seed: seed) }

    mutating func change() {
        for _ in 0...dice.below(2) {
            if pods.count < 3 || dice.chance(40) && pods.count < 10 {
                counter += 1
                let node = "n\(dice.below(2) + 1)"
                let port = UInt16(8000 + dice.below(2))
                // Few addresses, so that they are recycled often, and one of each node's own.
                let ip = dice.chance(25) ? "10.0.0.\(node.dropFirst())" : "10.42.0.\(dice.below(5) + 1)"
                pods.append(
                    Pod(
                        uid: "u\(counter)", service: Self.services[dice.below(3)],
                        address: NetworkAddress(ip: IPAddress(ip)!, port: port), node: node,
                        conditions: dice.chance(60) ? "110" : "000"))
            } else {
                let index = dice.below(pods.count)
                switch pods[index].conditions {
                case "000": pods[index].conditions = "110"
                case "110": pods[index].conditions = ["011", "000", "gone"][dice.below(3)]
                case "011": pods[index].conditions = ["001", "gone"][dice.below(2)]
                default: pods[index].conditions = "gone"
                }
                if pods[index].conditions == "gone" { pods.remove(at: index) }
            }
        }
    }

    func slices(_ service: String) -> [WitnessedEndpoint] {
        pods.filter { $0.service == service }
            .map { pod($0.uid, $0.address.description, $0.conditions, node: $0.node) }
    }

    /// What is told now, with every claim.
    mutating func update() -> KubernetesUpdate {
        var update = KubernetesUpdate()
        update.isComplete = true
        for service in Self.services where service != "dozzle" { update.services[service] = slices(service) }
        for ip in claimed { update.claims[ip] = [] }
        for pod in pods {
            update.claims[pod.address.ip, default: []].append(
                AddressClaim(
                    uid: pod.uid, owner: "honeydue/\(pod.service)", node: pod.node, ports: [pod.address.port],
                    terminating: pod.conditions.hasPrefix("0") && pod.conditions.hasSuffix("1")))
        }
        claimed = Set(pods.map(\.address.ip))
        return update
    }

    /// An answer of DNS that may be wrong in every way.
    mutating func answer() -> [String] {
        (0...dice.below(3)).map { _ in
            dice.chance(50) && !pods.isEmpty
                ? pods[dice.below(pods.count)].address.description
                : "10.42.0.\(dice.below(7) + 1):8000"
        }
    }
}

@Suite("Random sequences keep the rules")
struct RandomSequenceTests {
    private static let services: [ServiceSpec] = ["api", "web"].map { name in
        ServiceSpec(
            name: name, kubernetes: .init(namespace: "honeydue", service: name, port: .name("http")),
            dns: .init(name: "\(name).honeydue.svc.cluster.local", port: nil))
    }

    @Test("with the API in touch the usable set is what the model works out", arguments: [UInt64(1), 2, 3, 4])
    func inTouch(seed: UInt64) {
        for round in 0..<4 {
            var cluster = Cluster(seed: seed * 1000 + UInt64(round))
            var clerk = Clerk(Self.services)
            var history: [IPAddress: ClaimHistory] = [:]
            var told: [String: [WitnessedEndpoint]] = [:]
            for _ in 0..<4 { cluster.change() }
            for step in 0..<60 {
                let update = cluster.update()
                for (ip, claims) in update.claims {
                    history[ip, default: .init()].entries.append(.init(at: clerk.now, step: step, claims: claims))
                }
                told = update.services
                clerk.hear(.kubernetes(update))
                if cluster.dice.chance(30) { clerk.dns(of: cluster.dice.chance(50) ? "api" : "web", cluster.answer()) }
                check(clerk, history, told, "seed \(seed), round \(round), step \(step)")
                clerk.wait(milliseconds: Int64([1, 500, 4000, 31_000][cluster.dice.below(4)]))
                clerk.heard()
                check(clerk, history, told, "seed \(seed), round \(round), step \(step), later")
                cluster.change()
            }
        }
    }

    private func check(
        _ clerk: Clerk, _ history: [IPAddress: ClaimHistory], _ told: [String: [WitnessedEndpoint]], _ at: String
    ) {
        for service in ["api", "web"] {
            let slices = told[service] ?? []
            let own = Set(slices.compactMap(\.uid))
            let good = slices.filter {
                !(history[$0.address.ip]?.isVoid($0.uid!, port: $0.address.port, own: own, now: clerk.now) ?? false)
            }
            let ready = good.filter(\.ready)
            let usable = ready.isEmpty ? good.filter { $0.serving && $0.terminating } : ready
            let expected = usable.map { "\($0.uid!)/\($0.address)" }
            // A macro for each of so many comparisons would take most of the time.
            if clerk.ids(service) == expected, clerk.served[service] == expected { continue }
            #expect(clerk.ids(service) == expected, "\(service), \(at)")
            #expect(clerk.served[service] == expected, "\(service) as told, \(at)")
        }
    }

    @Test("with the API coming and going nobody's address is used but the service's own", arguments: [UInt64(5), 6, 7])
    func comingAndGoing(seed: UInt64) {
        for round in 0..<12 {
            var cluster = Cluster(seed: seed * 1000 + UInt64(round))
            var clerk = Clerk(Self.services)
            var claims: [IPAddress: [AddressClaim]] = [:]
            var uids: [String: Set<String>] = [:]
            for step in 0..<80 {
                cluster.change()
                switch cluster.dice.below(6) {
                case 0, 1:
                    let update = cluster.update()
                    claims.merge(update.claims) { $1 }
                    for (service, slices) in update.services { uids[service] = Set(slices.compactMap(\.uid)) }
                    clerk.hear(.kubernetes(update))
                case 2: clerk.lost()
                case 3: if cluster.dice.chance(30) { clerk.heard() } else { clerk.wait(40) }
                case 4:
                    let service = cluster.dice.chance(50) ? "api" : "web"
                    let before = clerk.ids(service)
                    if cluster.dice.chance(50) { clerk.dnsNone(service) } else { clerk.dnsFailed(service) }
                    if uids[service] != nil { #expect(clerk.ids(service) == before, "nothing empties or changes") }
                default: clerk.dns(of: cluster.dice.chance(50) ? "api" : "web", cluster.answer())
                }
                clerk.wait(milliseconds: Int64(cluster.dice.below(8000)))
                for service in ["api", "web"] {
                    if clerk.served[service] != clerk.ids(service) { Issue.record("told otherwise, step \(step)") }
                    let view = clerk.view(service)
                    for endpoint in clerk.reconciler.endpoints(of: service) {
                        let at = "seed \(seed), round \(round), step \(step): \(endpoint.id)"
                        let owners = claims[endpoint.address.ip] ?? []
                        // Whoever is used is the pod that claims the address, or nobody's.
                        let isOwn = owners.contains { endpoint.id.description == "\($0.uid)/\(endpoint.address)" }
                        // Or it is at a port that nobody is known by, on an IP that the service has as well or that
                        // pods share with their node.
                        let isForeignPort = owners.contains {
                            $0.ports.contains(endpoint.address.port) && !uids[service, default: []].contains($0.uid)
                        }
                        let mayHave =
                            clerk.reconciler.book.node(sharing: endpoint.address.ip) != nil
                            || owners.contains { uids[service, default: []].contains($0.uid) }
                        if !(owners.isEmpty || isOwn || mayHave && !isForeignPort) {
                            Issue.record("\(at) is claimed by \(owners)")
                        }
                        if view.truth == .dns {
                            let isDisbelieved = view.disagreements.contains {
                                $0.address == endpoint.address && !$0.text.hasPrefix("DNS does not")
                            }
                            if isDisbelieved, !endpoint.id.description.hasPrefix("u") {
                                Issue.record("\(at) is disbelieved")
                            }
                        }
                    }
                }
            }
        }
    }
}
