import ProxyCore
import Testing

@testable import Discovery

@Suite struct ProbeStateTests {
    private static let spec = HealthSpec(path: "/", healthyAfter: 2, unhealthyAfter: 3)

    /// One letter a probe: `p`assed, `f`ailed (no connection), `s`tatus 503, `g`host, `i`nconclusive.
    private static func finding(_ letter: Character) -> ProbeFinding {
        switch letter {
        case "p": .passed(status: 200)
        case "f": .failed(.refused)
        case "s": .failed(.status(503))
        case "g": .failed(.ghost("status 200, no X-Service"))
        default: .inconclusive("Too many open files")
        }
    }

    /// One letter a state: `?` unknown, `U`p, `D`own, `G`host.
    private static func letter(_ state: ProbeState) -> Character {
        switch (state.health, state.isGhost) {
        case (.unknown, false): "?"
        case (.up, false): "U"
        case (.down, false): "D"
        case (.down, true): "G"
        case (.unknown, true), (.up, true): "!"
        }
    }

    @Test(
        "each probe leads from one health to the next",
        arguments: [
            // The first result decides alone.
            ("p", "U"), ("f", "D"), ("s", "D"), ("g", "G"), ("i", "?"), ("iip", "??U"), ("if", "?D"),
            // Down after three failures in a row, whatever their kind; a pass between them begins anew.
            ("pfff", "UUUD"), ("psfs", "UUUD"), ("pffpffpff", "UUUUUUUUU"), ("pffpfff", "UUUUUUD"),
            // Up after two passes in a row.
            ("fpp", "DDU"), ("fpfpfpp", "DDDDDDU"), ("fff", "DDD"), ("pfffpp", "UUUDDU"),
            // A result that could not be had counts neither way, and interrupts nothing.
            ("pffif", "UUUUD"), ("fpip", "DDDU"), ("pfifif", "UUUUUD"), ("pffip", "UUUUU"),
            // A ghost needs no confirmation, comes back like any other, and is one until somebody proves the contrary.
            ("pg", "UG"), ("pfg", "UUG"), ("gf", "GG"), ("gffff", "GGGGG"), ("gs", "GD"), ("gpp", "GDU"),
            ("gpg", "GDG"), ("fg", "DG"), ("fpgpp", "DDGDU"), ("gip", "GGD"),
        ])
    func transitions(_ probes: String, _ states: String) {
        var state = ProbeState(now: Instant(nanoseconds: 0))
        var seen = ""
        for letter in probes {
            let before = Self.letter(state)
            let changed = state.record(
                Self.finding(letter), latency: nil, spec: Self.spec, now: Instant(nanoseconds: 0))
            #expect(changed == (Self.letter(state) != before), "a change is told, and nothing else is")
            seen.append(Self.letter(state))
        }
        #expect(seen == states)
    }

    @Test("counts of one are fulfilled by one")
    func countsOfOne() {
        let spec = HealthSpec(healthyAfter: 1, unhealthyAfter: 1)
        var state = ProbeState(now: Instant(nanoseconds: 0))
        for (letter, health) in [("p", EndpointHealth.up), ("f", .down), ("p", .up)] as [(Character, EndpointHealth)] {
            let changed = state.record(
                Self.finding(letter), latency: nil, spec: spec, now: Instant(nanoseconds: 0))
            #expect(changed)
            #expect(state.health == health)
        }
    }

    @Test("since when, what was found last and how long it took are kept")
    func history() {
        var state = ProbeState(now: Instant(nanoseconds: 5))
        #expect(state.since == Instant(nanoseconds: 5) && state.lastFinding == nil && state.lastLatency == nil)
        let results: [(ProbeFinding, Duration?, Int64, since: Int64)] = [
            (.passed(status: 200), .milliseconds(3), 10, 10), (.passed(status: 204), .milliseconds(4), 20, 10),
            (.failed(.refused), nil, 30, 10), (.inconclusive("x"), nil, 35, 10), (.failed(.reset), nil, 40, 10),
            (.failed(.status(500)), .milliseconds(9), 50, 50),
        ]
        var latency: Duration?
        for (finding, taken, time, since) in results {
            _ = state.record(finding, latency: taken, spec: Self.spec, now: Instant(nanoseconds: time))
            latency = taken ?? latency
            #expect(state.lastFinding == finding && state.lastLatency == latency)
            #expect(state.since == Instant(nanoseconds: since))
        }
    }

    @Test("a result that speaks against the health is confirmed fast, one that agrees comes at leisure")
    func waits() {
        let spec = HealthSpec(path: "/", interval: .seconds(4), healthyAfter: 2, unhealthyAfter: 3)
        // Milliseconds after each probe, by the smallest and the largest random number.
        let table: [(probes: String, least: Int64, most: Int64)] = [
            ("p", 2000, 4000),  // the second one is drawn freely
            ("f", 2000, 4000), ("i", 900, 1100), ("pp", 3600, 4400), ("pf", 900, 1100), ("pff", 900, 1100),
            ("ppff", 900, 1100), ("ppfff", 3600, 4400), ("ffp", 900, 1100), ("ffpp", 3600, 4400),
            ("ppffp", 3600, 4400), ("ppi", 900, 1100), ("ppg", 3600, 4400), ("ggp", 900, 1100),
        ]
        for row in table {
            var waits: [Int64] = []
            for random in 0..<1001 as Range<UInt64> {
                var state = ProbeState(now: Instant(nanoseconds: 0))
                var wait = Instant.Span(nanoseconds: 0)
                for letter in row.probes {
                    _ = state.record(
                        Self.finding(letter), latency: nil, spec: spec, now: Instant(nanoseconds: 0))
                    wait = state.nextWait(spec, random: random)
                }
                waits.append(wait.nanoseconds / 1_000_000)
            }
            #expect(waits.min() == row.least && waits.max() == row.most, "\(row.probes)")
            #expect(Set(waits).count > 100, "\(row.probes) is spread")
        }
    }

    @Test("no interval is too long to be varied")
    func longIntervals() {
        for interval in [Duration.seconds(Int64.max), .seconds(86_400 * 365), .nanoseconds(1)] {
            let spec = HealthSpec(interval: interval)
            var state = ProbeState(now: Instant(nanoseconds: 0))
            for random in [0, 100, 200, UInt64.max] {
                #expect(state.nextWait(spec, random: random).nanoseconds >= 0)
            }
        }
    }
}
