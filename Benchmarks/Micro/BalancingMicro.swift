// The room Balancing.

import ProxyCore

func balancingBenchmarks() -> [MicroBenchmark] {
    [1, 3, 10, 100].map { pick($0, .leastRequest) } + [3, 100].map { pick($0, .roundRobin) }
        + [pick(10, .leastRequest, far: 10), pick(100, .leastRequest, isOneHeld: true)]
}

/// One pick. `far`: as many endpoints that are not near; `isOneHeld`: the first endpoint is held back.
private func pick(
    _ near: Int, _ method: BalanceSpec.Method, far: Int = 0, isOneHeld: Bool = false
) -> MicroBenchmark {
    var service = Service(
        name: "bench",
        endpoints: (0..<near + far).map { i in
            Endpoint(
                id: EndpointID("e\(i)"),
                address: NetworkAddress(ip: IPAddress(v4: 0x0A2A_0000 + UInt32(i)), port: 8000),
                traits: EndpointTraits(isNear: i < near, isHeldBack: isOneHeld && i == 0))
        })
    service.balance.method = method
    let spec = service
    let what = "\(near) endpoints" + (far > 0 ? ", \(far) far" : "") + (isOneHeld ? ", one held back" : "")
    return MicroBenchmark(name: "ServiceDirectory.pick/\(method.rawValue), \(what)", inputBytes: 0) { count in
        let now = Instant(nanoseconds: 1)
        var directory = ServiceDirectory()
        let slot = directory.adopt([spec], now: now) { _ in }[0]
        var random = RandomSource(seed: 1)
        for _ in 0..<count {
            blackHole(directory.pick(service: slot, tried: TriedEndpoints(), now: now, random: &random))
        }
    }
}
