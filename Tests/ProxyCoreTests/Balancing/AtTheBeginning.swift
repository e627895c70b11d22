// Where time is no matter of a test, it stands still.

@testable import ProxyCore

extension ServiceDirectory {
    mutating func adopt(_ services: [Service], endpointLeft: (Int32) -> Void) -> [Int32] {
        adopt(services, now: Instant(nanoseconds: 0), endpointLeft: endpointLeft)
    }

    mutating func adopt(_ change: EndpointsChange, endpointLeft: (Int32) -> Void) {
        adopt(change, now: Instant(nanoseconds: 0), endpointLeft: endpointLeft)
    }

    mutating func pick(service: Int32, tried: TriedEndpoints, random: inout RandomSource) -> Int32? {
        pick(service: service, tried: tried, now: Instant(nanoseconds: 0), random: &random)
    }
}
