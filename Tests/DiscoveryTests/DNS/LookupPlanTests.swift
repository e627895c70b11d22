import ProxyCore
import Testing

@testable import Discovery

@Suite struct LookupPlanTests {
    private typealias Step = LookupPlan.Step

    /// The steps of a lookup of which each try comes to the next one of `outcomes`.
    private func steps(
        _ outcomes: [LookupPlan.Outcome], servers: Int = 1, first: Int = 0, tries: Int = 4,
        traits: [LookupPlan.Traits]? = nil
    ) -> (steps: [Step], plan: LookupPlan) {
        var plan = LookupPlan(
            traits ?? Array(repeating: LookupPlan.Traits(), count: servers), first: first, triesMax: tries)
        var steps: [Step] = []
        var next = plan.begin()
        for outcome in outcomes {
            guard let step = next else { break }
            steps.append(step)
            next = plan.next(after: outcome)
        }
        if let next { steps.append(next) }
        return (steps, plan)
    }

    private func silences(_ count: Int) -> [LookupPlan.Outcome] { Array(repeating: .silent, count: count) }

    @Test("a silent server is asked again, and after two silences, or at last, by TCP")
    func silence() {
        let one = steps(silences(9))
        #expect(one.steps.map(\.usesTCP) == [false, false, true, true])
        #expect(one.plan.lastFailure?.reason == .timeout)
        let two = steps(silences(9), servers: 2)
        #expect(two.steps.map(\.server) == [0, 1, 0, 1])
        #expect(two.steps.map(\.usesTCP) == [false, false, false, true])
        let three = steps(silences(9), servers: 3)
        #expect(three.steps.map(\.server) == [0, 1, 2, 0])
        #expect(three.steps.map(\.usesTCP) == [false, false, false, true])
    }

    @Test("a server that cannot tell gives way to the next one, and is asked twice at most")
    func failures() {
        let failed = LookupPlan.Outcome.failed(.servfail)
        let one = steps(Array(repeating: failed, count: 9))
        #expect(one.steps == [Step(server: 0), Step(server: 0, pauses: true)])
        #expect(one.plan.lastFailure?.reason == .servfail)
        let two = steps(Array(repeating: failed, count: 9), servers: 2)
        #expect(two.steps.map(\.server) == [0, 1, 0, 1])
        #expect(two.steps.map(\.pauses) == [false, false, true, true])
        let mixed = steps([failed, .silent, failed, .silent, .silent], servers: 2)
        #expect(mixed.steps.map(\.server) == [0, 1, 0, 1])
    }

    @Test("a cut answer is fetched by TCP from the same server; by TCP it is a failure")
    func cut() {
        let (steps, plan) = steps([.cut, .cut, .silent, .silent, .silent])
        #expect(steps.map(\.usesTCP) == [false, true, false, false, true])
        #expect(plan.lastFailure?.reason == .timeout)
        let silentTCP = self.steps([.cut, .silent], tries: 1)
        #expect(silentTCP.plan.lastFailure?.reason == .truncated)
    }

    @Test("EDNS and mixed case are left out where they are not understood, each once")
    func detours() {
        let (steps, plan) = steps([.notUnderstood, .otherCase, .notUnderstood, .otherCase, .silent])
        #expect(
            steps.prefix(3) == [
                Step(server: 0), Step(server: 0, usesEDNS: false), Step(server: 0, usesEDNS: false, mixesCase: false),
            ])
        // What it said then is a failure, and what was learned stays for the next try.
        #expect(steps[3] == Step(server: 0, usesEDNS: false, mixesCase: false, pauses: true))
        #expect(steps.count == 4)
        #expect(plan.lastFailure?.reason == .malformed)
    }

    @Test("what is known of servers decides the beginning")
    func traits() {
        let silent = LookupPlan.Traits(usesEDNS: false, mixesCase: false, isSilent: true)
        let known = steps(silences(1), traits: [silent, LookupPlan.Traits()])
        #expect(known.steps == [Step(server: 1), Step(server: 0, usesEDNS: false, mixesCase: false)])
        #expect(steps(silences(2), servers: 3, first: 2).steps.map(\.server) == [2, 0, 1])
        let all = steps(silences(1), traits: [silent, silent])
        #expect(all.steps.map(\.server) == [0, 1])
    }

    @Test("no course of outcomes goes on for long")
    func bounded() {
        var random = Seeded(state: 3)
        let all: [LookupPlan.Outcome] = [.silent, .cut, .notUnderstood, .otherCase, .failed(.refused)]
        for round in 0..<2000 {
            let outcomes = (0..<100).map { _ in all.randomElement(using: &random)! }
            let (steps, plan) = steps(outcomes, servers: 1 + round % 3)
            #expect(steps.count <= 10)
            #expect(plan.lastFailure != nil)
        }
    }

    @Test("without a server there is nothing to do")
    func noServer() {
        var plan = LookupPlan([], triesMax: 4)
        #expect(plan.begin() == nil)
        #expect(plan.next(after: .silent) == nil)
    }
}
