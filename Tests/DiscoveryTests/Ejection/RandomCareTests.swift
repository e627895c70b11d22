// Random sequences of all that can happen to a service, from a seed: pods come, get ready, terminate and go; probes,
// failures, ghosts, time and reloads meet them. After each step the rules are held against what workers were told.

import ProxyCore
import Testing

@testable import Discovery

@Suite struct RandomCareTests {
    @Test("whoever could answer is never locked out, in no sequence of events", arguments: UInt64(1)...60)
    func never(seed: UInt64) {
        var dice = Dice(seed: seed)
        var care = CareSpec()
        care.identity = IdentitySpec(header: "X-Service", value: "api")
        care.health = dice.chance(70) ? HealthSpec(path: dice.chance(70) ? "/" : nil) : nil
        care.outlier.maxEjectedPercent = [0, 10, 34, 50, 100][dice.below(5)]
        var spec = ServiceSpec.apiWithoutDNS
        spec.care = care
        var clerk = Clerk([spec])
        var caretaker = Caretaker([spec])
        var pods: [WitnessedEndpoint] = []
        var told: [Endpoint] = []
        var born = 0

        for step in 0..<300 {
            var turn = Caretaker.Turn()
            switch dice.below(10) {
            case 0, 1:
                change(&pods, &born, &dice)
                var update = KubernetesUpdate()
                update.services["api"] = pods
                update.isComplete = true
                for change in clerk.hear(.kubernetes(update)).changes {
                    caretaker.take(change, known: clerk.reconciler.known(of: "api"), now: clerk.now, &turn)
                }
            case 2, 3, 4:
                turn = caretaker.sighted([sighting(pods, &dice)], now: clerk.now)
            case 5, 6, 7:
                let known = clerk.reconciler.endpoints(of: "api")
                guard !known.isEmpty else { continue }
                let endpoint = known[dice.below(known.count)]
                let isGhost = dice.chance(15)
                let health: EndpointHealth = isGhost || dice.chance(60) ? .down : .up
                turn = caretaker.probed(
                    [
                        HealthChange(
                            service: "api", id: endpoint.id, address: endpoint.address, health: health,
                            isGhost: isGhost, isSilent: dice.chance(50), reason: "", latency: nil)
                    ], now: clerk.now)
            case 8:
                clerk.wait(milliseconds: Int64(dice.below(20_000)))
                turn = caretaker.advance(now: clerk.now)
            default:
                guard dice.chance(10) else { continue }
                spec.care.outlier.maxEjectedPercent = [0, 10, 50, 100][dice.below(4)]
                spec.care.health = dice.chance(50) ? HealthSpec(path: "/") : nil
                turn = caretaker.update([spec], now: clerk.now)
            }
            for change in turn.changes { told = change.endpoints }
            check(told, caretaker, clerk.reconciler.endpoints(of: "api"), "seed \(seed), step \(step)")
        }
        // All is well again: nobody stays out.
        let all = clerk.reconciler.endpoints(of: "api").map {
            HealthChange(
                service: "api", id: $0.id, address: $0.address, health: .up, isGhost: false, isSilent: false,
                reason: "",
                latency: nil)
        }
        for change in caretaker.probed(all, now: clerk.now).changes { told = change.endpoints }
        clerk.wait(milliseconds: 301_000)
        for change in caretaker.advance(now: clerk.now).changes { told = change.endpoints }
        #expect(told.allSatisfy { !$0.traits.isHeldBack }, "seed \(seed)")
        #expect(caretaker.nextDeadline == .never, "seed \(seed)")
    }

    private func change(_ pods: inout [WitnessedEndpoint], _ born: inout Int, _ dice: inout Dice) {
        let place = pods.isEmpty ? 0 : dice.below(pods.count)
        switch dice.below(5) {
        case 0,
            1 where pods.count < 8:
            born += 1
            pods.append(pod("p\(born)", "10.42.0.\(born % 200 + 1):8000"))
        case 2 where !pods.isEmpty: pods.remove(at: place)
        case 3 where !pods.isEmpty:
            pods[place].ready = false
            pods[place].terminating = true
        case 4 where !pods.isEmpty: pods[place].ready.toggle()
        default: break
        }
    }

    private func sighting(_ pods: [WitnessedEndpoint], _ dice: inout Dice) -> Sighting {
        let pod = pods.isEmpty ? pod("x", "10.0.0.1:1") : pods[dice.below(pods.count)]
        return Sighting(
            service: "api", endpoint: EndpointID("\(pod.uid ?? "")/\(pod.address)"), address: pod.address,
            kind: dice.chance(15) ? .ghost(seen: "") : .failures(3, last: .upstreamReset))
    }

    private func check(_ told: [Endpoint], _ caretaker: Caretaker, _ usable: [Endpoint], _ place: Comment) {
        // Workers have what a new snapshot would give them, and it is what witnesses say.
        #expect(told == caretaker.endpoints(of: "api"), place)
        #expect(told.map(\.id) == usable.map(\.id), place)
        let patients = told.map { caretaker.patient("api", $0.id) }
        #expect(!patients.contains { $0 == nil }, place)
        var (own, ejected) = (0, 0)
        var hasServed = false
        for (endpoint, patient) in zip(told, patients) {
            let isOut = endpoint.traits.isHeldBack
            #expect(patient?.isHeldBack == isOut && patient?.isGhost == endpoint.traits.isGhost, place)
            if patient?.isGhost == true {
                #expect(isOut, place)
                continue
            }
            own += 1
            if !isOut { hasServed = true }
            if patient?.ejection != nil { ejected += 1 }
            // Whoever is out is so for a reason.
            if isOut { #expect(patient?.isIll == true, place) }
        }
        if own > 0 { #expect(hasServed, place) }
        let care = ServiceCare("api", caretaker.spec("api") ?? CareSpec())
        #expect(ejected <= care.ejectedMax(of: own), place)
    }
}
