// Which addresses and ports has a service? Its SRV records (RFC 2782), and the addresses of the hosts that they name.

import ProxyCore

extension Resolver {
    /// One address of a service.
    public struct ServiceAddress: Sendable, Hashable {
        /// Where to connect.
        public var address: NetworkAddress
        /// Lower ones are to be tried first.
        public var priority: UInt16
        /// The share among those of the same priority.
        public var weight: UInt16

        /// A service's address.
        public init(address: NetworkAddress, priority: UInt16 = 0, weight: UInt16 = 0) {
            self.address = address
            self.priority = priority
            self.weight = weight
        }
    }

    /// What a lookup of services came to.
    public enum ServiceAnswer: Sendable, Equatable {
        /// These, by priority and then by address, good for so long.
        case addresses([ServiceAddress], timeToLive: Duration)
        /// There is no such service, or it is said to be not here (a target of `.`), or no target has an address.
        case none(timeToLive: Duration)
        /// Nobody could tell all of it: a part would look as though the rest had gone.
        case failed(LookupFailure)
    }

    /// The addresses and ports of the SRV records of `name`, as in `_http._tcp.api.honeydue.svc.cluster.local`.
    /// Addresses that came with the records are used, others are asked for. `freshly` and `deadline` as for addresses.
    public func services(of name: String, freshly: Bool = false, until deadline: Instant) async -> ServiceAnswer {
        refresh()
        let finding = await walk(candidates(for: name), .srv, freshly, deadline)
        switch finding.content {
        case .failed(let failure): return .failed(failure)
        case .absent, .addresses: return .none(timeToLive: finding.remaining(Clock.now()))
        case .services(let records, let targets):
            let life = finding.remaining(Clock.now())
            return await services(records, targets, life, freshly, deadline)
        }
    }

    private func services(
        _ records: [Message.ServiceRecord], _ targets: [DomainName: [IPAddress]], _ timeToLive: Duration,
        _ freshly: Bool, _ deadline: Instant
    ) async -> ServiceAnswer {
        let missing = Set(records.map(\.target)).filter { $0 != .root && targets[$0] == nil }
        let asked = Asked()
        await ControlThread.concurrently(
            missing.map { target in
                {
                    asked.answers[target] = await self.addresses(
                        of: "\(target).", freshly: freshly, until: deadline)
                }
            })

        var known = targets
        var life = timeToLive
        for target in missing {
            switch asked.answers[target] {
            case .addresses(let addresses, let targetLife)?:
                known[target] = addresses
                life = min(life, targetLife)
            case .none(let targetLife)?: life = min(life, targetLife)
            case .failed(let failure)?: return .failed(failure)
            case nil: return .failed(LookupFailure(.cancelled))
            }
        }
        var services: Set<ServiceAddress> = []
        for record in records where record.port != 0 {
            for ip in known[record.target] ?? [] {
                services.insert(
                    ServiceAddress(
                        address: NetworkAddress(ip: ip, port: record.port), priority: record.priority,
                        weight: record.weight))
            }
        }
        if services.isEmpty { return .none(timeToLive: life) }
        return .addresses(services.sorted(by: Self.precedes), timeToLive: life)
    }

    private static func precedes(_ a: ServiceAddress, _ b: ServiceAddress) -> Bool {
        if a.priority != b.priority { return a.priority < b.priority }
        if a.address.ip != b.address.ip { return precedes(a.address.ip, b.address.ip) }
        return (a.address.port, a.weight) < (b.address.port, b.weight)
    }

    /// Where the answers for targets arrive.
    @ControlThread private final class Asked {
        var answers: [DomainName: Answer] = [:]
    }
}
