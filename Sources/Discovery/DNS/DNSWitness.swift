// What has DNS said of one service? IPv4 and IPv6 addresses are two questions, and each may be answered, or not, at its
// own time: here the two become one word. A failure of one is no absence, and takes nothing away.

import ProxyCore

/// What was heard of one service.
struct DNSWitness {
    /// What is asked for a service.
    enum Part: Hashable, Sendable {
        /// IPv4 addresses of a name whose port is known.
        case v4
        /// IPv6 addresses.
        case v6
        /// SRV records, which bring addresses and ports.
        case services
    }

    /// What was heard of one part.
    private struct Heard {
        /// The last good answer; empty: there are none.
        var addresses: [NetworkAddress] = []
        /// Until when that answer is good; nil: there was none yet.
        var expires: Instant?
        /// Why the last question failed; nil: it did not.
        var failure: String?
    }

    private var parts: [Part: Heard]

    /// A service of which these parts are asked; nothing was heard yet.
    init(_ parts: [Part]) { self.parts = Dictionary(uniqueKeysWithValues: parts.map { ($0, Heard()) }) }

    /// A good answer for `part` came; no addresses: there are none.
    mutating func heard(_ addresses: [NetworkAddress], for part: Part, until expires: Instant) {
        parts[part] = Heard(addresses: addresses, expires: expires)
    }

    /// The question for `part` failed.
    mutating func failed(_ reason: String, for part: Part) { parts[part]?.failure = reason }

    /// What DNS says of the service now; nil: not enough to say anything.
    ///
    /// Addresses need one part that was answered and not failed since; a part that has failed adds what it said last,
    /// for a while. That there are none needs all parts. Anything else is a failure, or too early to say.
    func answer(_ now: Instant) -> DNSTestimony.Answer? {
        let good = parts.values.filter { $0.failure == nil && $0.expires != nil }
        let life = good.compactMap(\.expires).min().map { max(0, ($0 - now).nanoseconds) } ?? 0
        let timeToLive = Duration.nanoseconds(life)
        if good.contains(where: { !$0.addresses.isEmpty }) {
            let kept = parts.values.filter { part in
                part.failure != nil && part.expires.map { now < $0 + Self.keptAfterEnd } ?? false
            }
            var addresses: Set<NetworkAddress> = []
            for part in good { addresses.formUnion(part.addresses) }
            for part in kept { addresses.formUnion(part.addresses) }
            return .addresses(addresses.sorted(by: Self.precedes), timeToLive: timeToLive)
        }
        if let failure = parts.values.compactMap(\.failure).min() { return .failed(reason: failure) }
        return good.count == parts.count ? .none(timeToLive: timeToLive) : nil
    }

    private static func precedes(_ a: NetworkAddress, _ b: NetworkAddress) -> Bool {
        if a.ip != b.ip { return Resolver.precedes(a.ip, b.ip) }
        return a.port < b.port
    }

    /// For how long after its end the last answer of a part that fails counts beside the other part.
    private static let keptAfterEnd = Instant.Span.milliseconds(60_000)
}
