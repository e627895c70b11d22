// What is worth telling about an endpoint's health? One closed list, with its line for the log.

import ProxyCore

/// Something happened to an endpoint, or to the service.
struct CareEvent: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        /// Probes call it down.
        case down(reason: String)
        /// Probes call it up; whether nothing was known before.
        case up(reason: String, isFirst: Bool)
        /// Somebody else answered at its address.
        case ghost(seen: String)
        /// The service itself answers there again.
        case ghostGone
        /// Workers saw it fail, and it gets nothing for so long.
        case ejected(reason: String, seconds: Double)
        /// Workers saw it fail, and it stays because too few would be left.
        case spared
        /// Its time out is over.
        case returned
        /// Probes and ejections leave too few and are not listened to.
        case panic
        /// They are listened to again.
        case panicOver
    }

    var service: String
    /// Which endpoint; nil: it is about the service.
    var id: EndpointID?
    var address: NetworkAddress?
    var kind: Kind

    /// The line for the log. `pod` is the endpoint's, `expected` what the service's answers carry.
    func notice(pod: String?, expected: IdentitySpec?) -> Notice {
        var notice = line(expected)
        var head = [(name: "service", value: service)]
        if let address { head.append((name: "address", value: address.description)) }
        if let pod { head.append((name: "pod", value: pod)) }
        notice.details = head + notice.details
        return notice
    }

    private func line(_ expected: IdentitySpec?) -> Notice {
        switch kind {
        case .down(let reason): Notice(.warn, "endpoint_down", ["reason": reason])
        case .up(let reason, let isFirst): Notice(isFirst ? .debug : .info, "endpoint_up", ["reason": reason])
        case .ghost(let seen):
            Notice(.warn, "ghost", ["seen": seen, "expected": expected.map { "\($0.header): \($0.value)" } ?? ""])
        case .ghostGone: Notice(.info, "ghost_gone")
        case .ejected(let reason, let seconds):
            Notice(.warn, "endpoint_ejected", ["reason": reason, "for": "\(seconds) s"])
        case .spared: Notice(.warn, "endpoint_spared", ["reason": "too few endpoints would be left"])
        case .returned: Notice(.info, "endpoint_returned")
        case .panic:
            Notice(.warn, "panic_begun", ["reason": "probes and ejections leave too few endpoints, so all are used"])
        case .panicOver: Notice(.info, "panic_over")
        }
    }
}
