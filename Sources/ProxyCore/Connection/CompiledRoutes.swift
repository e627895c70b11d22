// What becomes of a request that a rule meets? The rules of a snapshot with services named by this worker's slots.

/// The rules of one snapshot, ready to be asked.
struct CompiledRoutes: ~Copyable {
    /// What becomes of a request.
    enum Target: BitwiseCopyable {
        /// It goes to one of the services `first ..< first + count` of ``shares``, by weight.
        case forward(first: Int32, count: Int32, totalWeight: UInt32)
        /// The client is sent to the redirect of this index.
        case redirect(Int32, totals: SlotID)
        /// The whole table stays: the rule names a service with no weight at all.
        case nowhere(totals: SlotID)
    }

    struct Share: BitwiseCopyable {
        var service: Int32
        /// The slot that counts for the rule with this service.
        var totals: SlotID
        /// The sum of all weights up to and including this one.
        var weightsUpTo: UInt32
    }

    /// How a rule sends those who did not come by https there.
    struct HTTPSRedirect: BitwiseCopyable {
        /// With this status; 0: it serves them.
        var status: Int16
        var totals: SlotID
    }

    let table: RouteTable
    /// Names of the rules, for the log.
    let names: [String]
    let redirects: [Redirect]
    /// What is counted in slots that these rules use.
    let counted: [RouteKey]
    private var targets: Table<Target>
    private var httpsRedirects: Table<HTTPSRedirect>
    private var shares: Table<Share>

    /// Compiles the rules of `snapshot`; `services` are the slots of its services. Slots to count in are used from
    /// `totals`, and given back by whoever drops these rules.
    init(_ snapshot: Snapshot, services: [Int32], totals: inout Totals) {
        var counted: [RouteKey] = []
        func slot(_ route: Route, _ service: String = "") -> SlotID {
            counted.append(RouteKey(route: route.name, service: service))
            return totals.use(RouteKey(route: route.name, service: service))
        }
        table = RouteTable(snapshot)
        names = snapshot.routes.map(\.name)
        targets = Table(capacity: snapshot.routes.count)
        httpsRedirects = Table(capacity: snapshot.routes.count)
        var redirects: [Redirect] = []
        var all: [Share] = []
        for route in snapshot.routes {
            let status = route.httpsRedirect
            _ = httpsRedirects.append(
                HTTPSRedirect(status: Int16(status ?? 0), totals: status == nil ? .none : slot(route)))
            switch route.action {
            case .redirect(let redirect):
                _ = targets.append(.redirect(Int32(redirects.count), totals: slot(route)))
                redirects.append(redirect)
            case .forward(let weighted):
                let first = all.count
                var total: UInt32 = 0
                for share in weighted where share.weight > 0 {
                    total &+= UInt32(truncatingIfNeeded: share.weight)
                    all.append(
                        Share(
                            service: services[share.service],
                            totals: slot(route, snapshot.services[share.service].name), weightsUpTo: total))
                }
                let target = Target.forward(first: Int32(first), count: Int32(all.count - first), totalWeight: total)
                _ = targets.append(total == 0 ? .nowhere(totals: slot(route)) : target)
            }
        }
        shares = Table(capacity: all.count)
        for share in all { _ = shares.append(share) }
        self.redirects = redirects
        self.counted = counted
    }

    /// What becomes of a request that the rule `route` meets.
    @inline(__always) borrowing func target(_ route: Int) -> Target { targets[route] }

    /// How the rule `route` sends those who did not come by https there.
    @inline(__always) borrowing func httpsRedirect(_ route: Int) -> HTTPSRedirect { httpsRedirects[route] }

    /// The service that gets the next request of a rule, as its share.
    @inline(__always)
    borrowing func share(first: Int32, count: Int32, totalWeight: UInt32, random: inout RandomSource) -> Share {
        if count == 1 { return shares[Int(first)] }
        let point = UInt32(truncatingIfNeeded: random.below(Int(totalWeight)))
        var i = first
        while i < first &+ count &- 1, point >= shares[Int(i)].weightsUpTo { i &+= 1 }
        return shares[Int(i)]
    }
}
