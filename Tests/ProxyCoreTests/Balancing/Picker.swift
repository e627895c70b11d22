// One service, asked again and again.

@testable import ProxyCore

/// A directory with one service, dice and a clock.
struct Picker: ~Copyable {
    var directory: ServiceDirectory
    let service: Int32
    var random: RandomSource
    var now = Instant(nanoseconds: 1_000_000_000_000)
    let spec: BalanceSpec

    init(
        _ traits: [EndpointTraits], _ spec: BalanceSpec = BalanceSpec(), seed: UInt64 = 1,
        loads: SharedLoads = SharedLoads()
    ) {
        directory = ServiceDirectory(loads: loads)
        random = RandomSource(seed: seed)
        self.spec = spec
        var service = Service(name: "s", endpoints: Self.endpoints(traits))
        service.balance = spec
        self.service = directory.adopt([service], now: now) { _ in }[0]
    }

    static func spec(_ method: BalanceSpec.Method, limit: Int = 0, slowStart: Duration = .seconds(10)) -> BalanceSpec {
        var spec = BalanceSpec()
        spec.method = method
        spec.maxConcurrent = limit
        spec.slowStart = slowStart
        return spec
    }

    /// Endpoints named by their place.
    static func endpoints(_ traits: [EndpointTraits], from first: Int = 0) -> [Endpoint] {
        traits.enumerated().map { i, traits in
            Endpoint(
                id: EndpointID("e\(first + i)"), address: NetworkAddress("127.0.0.1:\(1000 + first + i)")!,
                traits: traits)
        }
    }

    mutating func change(_ endpoints: [Endpoint]) {
        var gone: [Int32] = []
        directory.adopt(EndpointsChange(service: "s", endpoints: endpoints), now: now) { gone.append($0) }
        for slot in gone { directory.releaseEndpointIfUnused(slot) }
    }

    func slot(_ place: Int) -> Int32 { directory.services[service].members[place] }

    /// The place of the endpoint that is picked.
    mutating func pick(_ tried: TriedEndpoints = TriedEndpoints()) -> Int? {
        directory.pick(service: service, tried: tried, now: now, random: &random).map { place($0) }
    }

    /// The same, and a request begins there.
    mutating func take() -> Int? {
        directory.take(service: service, tried: TriedEndpoints(), now: now, random: &random).map { place($0) }
    }

    func place(_ slot: Int32) -> Int {
        (0..<directory.services[service].members.count).first { self.slot($0) == slot } ?? -1
    }

    /// How often each place comes in so many picks.
    mutating func hits(_ rounds: Int) -> [Int] {
        var hits = [Int](repeating: 0, count: directory.services[service].members.count)
        for _ in 0..<rounds { if let place = pick() { hits[place] += 1 } }
        return hits
    }

    mutating func advance(milliseconds: Int64) { now = now + .milliseconds(milliseconds) }
}

/// Whether `hits` of `rounds` is what chance makes of a share: within five standard deviations, which one run in a million
/// leaves; a fixed seed makes it always or never.
func isNear(_ hits: Int, _ share: Double, of rounds: Int) -> Bool {
    let expected = share * Double(rounds)
    return abs(Double(hits) - expected) <= 5 * (expected * (1 - share)).squareRoot() + 1
}
