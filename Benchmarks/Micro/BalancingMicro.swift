// The room Balancing.

import ProxyCore

func balancingBenchmarks() -> [MicroBenchmark] { [1, 3, 100].map(pick) }

private func pick(endpoints: Int) -> MicroBenchmark {
    let service = Service(
        name: "bench",
        endpoints: (0..<endpoints).map { i in
            Endpoint(
                id: EndpointID("e\(i)"),
                address: NetworkAddress(ip: IPAddress(v4: 0x0A2A_0000 + UInt32(i)), port: 8000))
        })
    return MicroBenchmark(name: "ServiceDirectory.pick/\(endpoints) endpoints", inputBytes: 0) { count in
        let now = Instant(nanoseconds: 1)
        var directory = ServiceDirectory()
        let slot = directory.adopt([service], now: now) { _ in }[0]
        var random = RandomSource(seed: 1)
        for _ in 0..<count {
            blackHole(directory.pick(service: slot, tried: TriedEndpoints(), now: now, random: &random))
        }
    }
}
