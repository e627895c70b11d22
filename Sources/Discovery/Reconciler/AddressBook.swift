// Whose is this address? Kubernetes gives the IP of a pod that has gone to another pod, sometimes within a second,
// while a slice still names the old one: a connection to it then reaches a stranger. Here stands who claims which IP,
// and when a claim takes the address away from somebody else.
//
// The rule. A pod has its IP for itself; so where two pods claim one IP, at most one of them has it.
// - The newer claim is right: the network gives an IP away only after the old pod's sandbox is gone, and what lags is
//   the news of its end. A pod on its way out is wrong against every other for the same reason.
// - Where nobody can tell which is newer (both came with the first list), neither is believed.
// - The exception are pods in the network of their node, which share its IP. Nothing in a slice says that they are, but
//   they can be told: they run on the same node, listen on different ports, and stay side by side. A recycled IP does
//   not: the old claim ends as soon as its news arrives. So an IP counts as shared where two claims of one node came
//   with one complete list (an API server that has just been asked has no news outstanding), or have stood side by side
//   for 30 s. Until then the newer one is believed, because a wrong guess costs one endpoint for 30 s, and the other
//   wrong guess sends requests to a stranger. Once an IP is known to be a node's, it stays so while anybody claims it.
// - The same port is never shared, and pods on different nodes never share an IP.

import ProxyCore

/// The present claims on IP addresses.
struct AddressBook: Sendable {
    /// For how long claims must stand side by side to be believed as sharing the IP of their node.
    static let sharingTakes = Instant.Span.milliseconds(30_000)
    /// Claims on one IP that are looked at; a node has at most some hundred pods.
    static let claimsMax = 1024

    /// A claim, and since when it stands.
    struct Holder: Sendable {
        var claim: AddressClaim
        /// Claims with a higher number are newer. Those of the first list, and those of a last known good state, have
        /// equal ones: nobody knows which of them is older.
        var age: UInt64
        /// Whether it came with a complete list.
        var isListed: Bool
        /// Since when it stands and its pod is not on its way out; nil while it is.
        var since: Instant?
    }

    /// All claims on one IP.
    private struct Page: Sendable {
        var holders: [Holder] = []
        /// The node whose own IP this is; nil where it is not known to be a node's.
        var sharedBy: String?
        /// Whether this is only what a last known good state says.
        var isRemembered = false
        /// The ages of claims that have gone while others remain: a claim that comes back, because its pod was moved
        /// from slice to slice, is no newer than it was.
        var formerAges: [String: UInt64] = [:]
    }

    private var pages: [IPAddress: Page] = [:]
    private var turn: UInt64 = 1
    /// Whether all that comes belongs to one complete list, which is not at its end yet.
    private var isListing = true
    /// When claims that stand side by side become believed as sharing.
    private var pending: [IPAddress: Instant] = [:]

    /// When ``settle(now:)`` has something to do.
    var nextDeadline: Instant { pending.values.min() ?? .never }

    /// How many IPs are claimed.
    var count: Int { pages.count }

    /// The present claims on `ip`.
    func claims(on ip: IPAddress) -> [AddressClaim] { pages[ip].map { $0.holders.map(\.claim) } ?? [] }

    // MARK: What is heard

    /// A list begins: what comes until ``listEnded()`` may have been there before.
    mutating func listBegan() { isListing = true }

    /// The list is complete. Claims that were only remembered and have not been confirmed are gone; their addresses.
    mutating func listEnded() -> [IPAddress] {
        guard isListing else { return [] }
        isListing = false
        turn += 1
        let unconfirmed = pages.filter { $0.value.isRemembered }.map(\.key)
        for ip in unconfirmed { pages[ip] = nil }
        return unconfirmed
    }

    /// Another witness begins to tell: what is known is believed until its list is complete.
    mutating func startAnew() {
        isListing = true
        pending = [:]
        for ip in pages.keys { pages[ip]?.isRemembered = true }
    }

    /// Takes in the claims of a last known good state: until the API tells, they are believed.
    mutating func remember(_ claims: [AddressClaim], on ip: IPAddress, sharedBy node: String?) {
        let holders = claims.prefix(Self.claimsMax).map { Holder(claim: $0, age: 0, isListed: true, since: nil) }
        pages[ip] = Page(holders: holders, sharedBy: node, isRemembered: true)
    }

    /// The node whose own IP `ip` is, where that is known.
    func node(sharing ip: IPAddress) -> String? { pages[ip]?.sharedBy }

    /// From now on these are the claims on these addresses.
    mutating func take(_ claims: [IPAddress: [AddressClaim]], now: Instant) {
        for (ip, claims) in claims { take(claims, on: ip, now: now) }
        if !isListing { turn += 1 }
    }

    private mutating func take(_ claims: [AddressClaim], on ip: IPAddress, now: Instant) {
        guard !claims.isEmpty else {
            pages[ip] = nil
            pending[ip] = nil
            return
        }
        var page = pages[ip] ?? Page()
        if page.isRemembered { page = Page() }
        let before = page.holders
        page.holders = claims.prefix(Self.claimsMax).map { claim in
            guard let known = before.first(where: { $0.claim.uid == claim.uid }) else {
                let age = page.formerAges.removeValue(forKey: claim.uid) ?? turn
                return Holder(claim: claim, age: age, isListed: isListing, since: claim.terminating ? nil : now)
            }
            var holder = known
            holder.claim = claim
            holder.since = claim.terminating ? nil : known.since ?? now
            return holder
        }
        if page.formerAges.count < Self.claimsMax {
            for holder in before where !claims.contains(where: { $0.uid == holder.claim.uid }) {
                page.formerAges[holder.claim.uid] = holder.age
            }
        }
        pages[ip] = page
        lookForSharing(ip, now: now)
    }

    /// Believes claims that have stood side by side for long enough; the addresses of which that is new.
    mutating func settle(now: Instant) -> [IPAddress] {
        let due = pending.filter { $0.value <= now }.map(\.key)
        return due.filter { ip in
            let before = pages[ip]?.sharedBy
            lookForSharing(ip, now: now)
            return pages[ip]?.sharedBy != before
        }
    }

    private mutating func lookForSharing(_ ip: IPAddress, now: Instant) {
        pending[ip] = nil
        guard var page = pages[ip], page.holders.count > 1, page.sharedBy == nil else { return }
        var earliest = Instant.never
        for (index, a) in page.holders.enumerated() {
            for b in page.holders[(index + 1)...] {
                guard let node = a.claim.node, node == b.claim.node, let aSince = a.since, let bSince = b.since
                else { continue }
                let believed = max(aSince, bSince) + Self.sharingTakes
                // A claim that is listed may be as old as any other.
                let newer = a.age > b.age ? a : b
                if newer.isListed || now >= believed {
                    page.sharedBy = node
                    pages[ip] = page
                    return
                }
                earliest = min(earliest, believed)
            }
        }
        if earliest != .never { pending[ip] = earliest }
    }

    // MARK: What follows

    /// Who has the address of the pod `uid` now, if not that pod. `own` are the pods that the same service names at the
    /// same IP: where two of them cannot be told apart by age, the address is the service's in either case.
    func taker(of address: NetworkAddress, from uid: String, own: (String) -> Bool) -> AddressClaim? {
        guard let page = pages[address.ip] else { return nil }
        let mine = page.holders.first { $0.claim.uid == uid }
        for other in page.holders where other.claim.uid != uid {
            if shares(other.claim, mine?.claim, page, port: address.port) { continue }
            guard let mine else { return other.claim }
            if mine.claim.terminating { return other.claim }
            if other.claim.terminating { continue }
            if other.age > mine.age { return other.claim }
            if other.age == mine.age, !own(other.claim.uid) { return other.claim }
        }
        return nil
    }

    /// Who has an address that DNS gives for a service whose pods are `own`, if it is a stranger.
    func stranger(at address: NetworkAddress, own: (String) -> Bool) -> AddressClaim? {
        guard let page = pages[address.ip] else { return nil }
        let mine = page.holders.filter { own($0.claim.uid) && !$0.claim.terminating }
        for other in page.holders where !own(other.claim.uid) && !shares(other.claim, nil, page, port: address.port) {
            // A pod of the service's that has the IP since then; it may listen at a port that no slice mentions, but
            // not at one that the other is known by.
            let isOutlived = mine.contains { other.claim.terminating || $0.age > other.age }
            if isOutlived, !other.claim.ports.contains(address.port) { continue }
            if isOutlived, mine.contains(where: { $0.claim.ports.contains(address.port) }) { continue }
            return other.claim
        }
        return nil
    }

    /// Whether `other` and whoever listens at `port` may both be right: pods in the network of one node.
    private func shares(_ other: AddressClaim, _ mine: AddressClaim?, _ page: Page, port: UInt16) -> Bool {
        guard let node = page.sharedBy, other.node == node, mine == nil || mine?.node == node else { return false }
        return !other.ports.contains(port)
    }
}
