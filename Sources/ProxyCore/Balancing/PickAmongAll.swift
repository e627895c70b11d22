// Which endpoint, when not all is well? All endpoints of the service are looked at, and ranked. There is no state in which
// a service that has an endpoint to ask answers 503, or waits for nothing.
//
//     rank          it may be asked when
//     open          always: it has a weight, and nobody holds it
//     weightless    every open one was tried: its weight is 0
//     held          every one of those was tried: probes, requests or this worker found it ill, but they may be wrong
//     (none)        never: it was tried for this request, or a stranger answers there
//
// Of the best rank that there is, those with room are asked, near ones first; where none has room the request waits:
// a full endpoint is no reason to ask an ill one.

extension ServiceDirectory {
    /// In what order endpoints are asked.
    enum Rank: UInt8, Comparable, CaseIterable {
        /// It has a weight, and nobody holds it.
        case open
        /// Its weight is 0.
        case weightless
        /// It is held back, by the control plane or by this worker alone.
        case held

        static func < (a: Rank, b: Rank) -> Bool { a.rawValue < b.rawValue }
    }

    /// The rank of an endpoint for a request that has tried some; nil where it may not be asked at all.
    func rank(_ slot: Int32, _ tried: TriedEndpoints, _ now: Instant) -> Rank? {
        let isHeldBack = endpoints[slot].traits.isHeldBack
        if tried.contains(endpoints.id(slot)) || endpoints[slot].traits.isGhost
            || endpoints[slot].load.isGhost(now, isHeldBack: isHeldBack)
        {
            return nil
        }
        if isHeldBack || endpoints[slot].load.isHeld(now) { return .held }
        return endpoints[slot].traits.weight == 0 ? .weightless : .open
    }

    /// Whether a request that has tried some could go to another endpoint, now or when that has room.
    func hasOther(service: Int32, tried: TriedEndpoints, now: Instant) -> Bool {
        for i in 0..<services[service].members.count where rank(services[service].members[i], tried, now) != nil {
            return true
        }
        return false
    }

    /// The best endpoint of all, found by looking at each.
    func pickAmongAll(
        _ service: Int32, _ tried: TriedEndpoints, _ now: Instant, _ random: inout RandomSource
    ) -> Int32? {
        let count = services[service].members.count
        if count == 0 { return nil }
        var rank: Rank?
        for i in 0..<count {
            guard let other = self.rank(services[service].members[i], tried, now) else { continue }
            rank = min(rank ?? other, other)
        }
        guard let rank else { return nil }
        let limit = services[service].maxConcurrent
        var near = Best()
        var far = Best()
        // From anywhere, so that equals are equals.
        var i = random.below(count)
        for _ in 0..<count {
            let slot = services[service].members[i]
            i = i &+ 1 == count ? 0 : i &+ 1
            guard self.rank(slot, tried, now) == rank, endpoints[slot].hasRoom(limit) else { continue }
            if endpoints[slot].traits.isNear { consider(slot, &near, now) } else { consider(slot, &far, now) }
        }
        if near.sound >= 0, far.sound >= 0 {
            let load = endpoints[far.sound].load.scaled(endpoints[far.sound].inFlight)
            return spills(near.leastLoad, to: load) ? far.sound : near.sound
        }
        if near.sound >= 0 { return near.sound }
        if far.sound >= 0 { return far.sound }
        if near.failing >= 0 { return near.failing }
        return far.failing >= 0 ? far.failing : nil
    }

    /// The best of some endpoints; -1 for none.
    struct Best {
        var sound: Int32 = -1
        var failing: Int32 = -1
        /// The least that one of the sound ones has to do.
        var leastLoad = Float.infinity
    }

    private func consider(_ slot: Int32, _ best: inout Best, _ now: Instant) {
        if endpoints[slot].load.isFailing(now) {
            if best.failing < 0 || isBetter(slot, than: best.failing, now) { best.failing = slot }
        } else {
            if best.sound < 0 || isBetter(slot, than: best.sound, now) { best.sound = slot }
            best.leastLoad = min(best.leastLoad, endpoints[slot].load.scaled(endpoints[slot].inFlight))
        }
    }
}
