import ProxyCore
import Testing

@testable import Discovery

@Suite("What an update costs")
struct CostTests {
    private func spec(_ number: Int) -> ServiceSpec {
        ServiceSpec(
            name: "s\(number)", kubernetes: .init(namespace: "n", service: "s\(number)", port: .name("http")),
            dns: .init(name: "s\(number)-headless.n.svc.cluster.local", port: 8000))
    }

    /// An update of one service of ten pods, one of which is not ready in every other round.
    private func update(_ number: Int, _ round: Int) -> KubernetesUpdate {
        var update = KubernetesUpdate()
        update.isComplete = true
        update.services["s\(number)"] = (0..<10).map { index in
            let ip = "10.\(number / 250).\(number % 250).\(index + 1)"
            let uid = "9f0c1d2e-0000-4000-8000-\(100_000 + number)-\(index)"
            return pod(uid, "\(ip):8000", index == 0 && round % 2 == 1 ? "000" : "110")
        }
        if round == 0 {
            for endpoint in update.services["s\(number)"] ?? [] {
                update.claims[endpoint.address.ip] = [claim(endpoint.uid ?? "", "n/s\(number)")]
            }
        }
        return update
    }

    /// The shortest of several times of an update among `count` services.
    private func cost(among count: Int) -> Int64 {
        var reconciler = Reconciler(
            services: (0..<count).map(spec), staleAfter: .seconds(60), now: Clock.now(), wallMicroseconds: 0)
        for number in 0..<count {
            _ = reconciler.hear(.kubernetes(update(number, 0)), now: Clock.now(), wallMicroseconds: 0)
        }
        var shortest = Int64.max
        for round in 1...40 {
            let testimony = Testimony.kubernetes(update(round % count, round))
            let begin = Clock.now()
            _ = reconciler.hear(testimony, now: begin, wallMicroseconds: 0)
            shortest = min(shortest, (Clock.now() - begin).nanoseconds)
        }
        return shortest
    }

    @Test("an update of one service costs that service, however many there are")
    func flat() {
        let few = cost(among: 4)
        let many = cost(among: 1000)
        #expect(many < few * 4, "\(few) ns among 4, \(many) ns among 1000")
    }
}
