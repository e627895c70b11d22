import ProxyCore
import Testing

@testable import Discovery

@Suite("Ejection: who gets nothing for a while, and who is never taken out")
struct CaretakerTests {
    /// Which endpoints fail, one after the other, and who is left.
    @Test(
        "failures eject up to the share, never the last one, and never into panic",
        arguments: [
            ("a", 50, "a", "a"), ("ab", 50, "a", "b/a"), ("ab", 50, "ab", "b/a"), ("ab", 100, "ab", "b/a"),
            ("ab", 10, "a", "b/a"), ("ab", 0, "a", "ab"), ("abc", 50, "ab", "bc/a"), ("abc", 67, "ab", "c/ab"),
            ("abcd", 50, "abc", "cd/ab"), ("abcd", 100, "abcd", "d/abc"),
            ("abcdefghij", 50, "abcdefghij", "fghij/abcde"),
            // A fourth of them stays: one more would bring panic, and all would be used again.
            ("abcdefghij", 100, "abcdefghij", "hij/abcdefg"), ("abc", 50, "aaab", "bc/a"),
        ])
    func share(_ all: String, _ percent: Int, _ failing: String, _ list: String) {
        var stage = CareStage(all) { $0.outlier.maxEjectedPercent = percent }
        stage.fails(failing)
        #expect(stage.list == list)
    }

    @Test("an ejection ends by itself, each next one is longer, and quiet makes it shorter again")
    func growing() {
        var stage = CareStage("ab")
        func seconds() -> Int64 { (stage.caretaker.nextDeadline - stage.now).nanoseconds / 1_000_000_000 }
        var lengths: [Int64] = []
        for _ in 0..<4 {
            stage.fails("a")
            // Workers go on telling of it while it is out.
            stage.fails("a")
            lengths.append(seconds())
            stage.wait(seconds())
            #expect(stage.list == "ab")
        }
        #expect(lengths == [10, 20, 30, 40] && stage.patient("a")?.record.count == 4)
        #expect(
            stage.heard() == Array(repeating: ["endpoint_ejected a", "endpoint_returned a"], count: 4).flatMap(\.self))
        // 25 s of quiet are two times `ejectFor`.
        stage.wait(25)
        stage.fails("a")
        #expect(seconds() == 30)
        stage.wait(3600)
        stage.fails("a")
        #expect(seconds() == 10)
        // Five minutes are the longest, unless the first is longer.
        for _ in 0..<50 {
            stage.wait(seconds())
            stage.fails("a")
        }
        #expect(seconds() == 300)
        stage.update { $0.outlier.ejectFor = .seconds(400) }
        stage.wait(300)
        stage.fails("a")
        #expect(seconds() == 400)
    }

    @Test("nobody is ejected where that is switched off, and a reload that does so ends what runs")
    func off() {
        var stage = CareStage("ab")
        stage.fails("a")
        stage.update { $0.outlier.consecutiveFailures = 0 }
        #expect(stage.list == "ab")
        stage.fails("ab")
        #expect(stage.list == "ab" && stage.caretaker.nextDeadline == .never)
    }

    @Test("who gives probes no answer is called silent, as long as it is held back for it")
    func silent() {
        var stage = CareStage("abc") { $0.health = HealthSpec(path: "/") }
        func silent() -> String { stage.told.filter(\.traits.isSilent).map(\.id.description).joined() }
        stage.probed("a", .down, isSilent: true)
        stage.probed("b", .down)
        #expect(stage.list == "c/ab" && silent() == "a")
        // Beyond that few, probes are not listened to.
        stage.probed("c", .down, isSilent: true)
        #expect(stage.list == "abc" && silent() == "")
        stage.probed("c", .up)
        #expect(stage.list == "c/ab" && silent() == "a")
        stage.probed("a", .up)
        #expect(stage.list == "ac/b" && silent() == "")
    }

    @Test("one ready and ejected beside one terminating and serving: the ready one is used")
    func lockedOut() {
        var stage = CareStage("ab")
        stage.fails("a")
        #expect(stage.list == "b/a")
        // The other one leaves: it is terminating, still serving, and not usable beside a ready one.
        stage.usable("a", known: "ab")
        #expect(stage.list == "a")
        stage.probed("a", .down)
        stage.fails("a")
        #expect(stage.list == "a")
    }

    @Test("where endpoints leave, those that went out last come back")
    func shrinking() {
        var stage = CareStage("abcdef")
        stage.fails("a")
        stage.wait(1)
        stage.fails("b")
        stage.wait(1)
        stage.fails("c")
        #expect(stage.list == "def/abc")
        stage.usable("abcd")
        #expect(stage.list == "cd/ab")
        stage.usable("ab")
        #expect(stage.list == "b/a")
        stage.usable("a")
        #expect(stage.list == "a")
    }

    @Test("health and ejections go with the identity, and stay while somebody names it")
    func identity() {
        var stage = CareStage("abcd") { $0.health = HealthSpec(path: "/") }
        stage.fails("a")
        stage.probed("b", .down)
        #expect(stage.list == "cd/ab")
        stage.usable("cd", known: "abcd")
        #expect(stage.list == "cd")
        // What probes said is over, nobody asked meanwhile; what requests met is not.
        stage.usable("abcd")
        #expect(stage.list == "bcd/a")
        stage.usable("bcd", known: "bcd")
        stage.usable("abcd")
        #expect(stage.list == "abcd")
        // Nobody listens to a word about whoever had the name before, or has gone.
        var foreign = stage.sighting("a", .failures(3, last: .connectRefused))
        foreign.address = CareStage.address("z")
        let turn = stage.caretaker.sighted([foreign, stage.sighting("x", .ghost(seen: ""))], now: stage.now)
        #expect(turn.changes.isEmpty && turn.events.isEmpty && stage.caretaker.mismatches.isEmpty)
    }

    @Test("probes and ejections count together, and where too few are left neither is listened to")
    func panic() {
        var stage = CareStage("abcdefgh") { $0.health = HealthSpec(path: "/") }
        stage.probed("abcd", .down)
        stage.fails("e")
        #expect(stage.list == "fgh/abcde")
        stage.probed("f", .down)
        #expect(stage.list == "gh/abcdef" && !stage.caretaker.isPanic("api"))
        stage.probed("g", .down)
        #expect(stage.list == "abcdefgh" && stage.caretaker.isPanic("api"))
        #expect(stage.patient("e")?.ejected == "3 failures in a row, the last one connect_refused")
        stage.probed("ab", .up)
        #expect(stage.list == "abh/cdefg" && !stage.caretaker.isPanic("api"))
        #expect(
            stage.heard().suffix(5) == [
                "endpoint_down g", "panic_begun", "endpoint_up a", "panic_over", "endpoint_up b",
            ])
    }

    @Test("a ghost is out at once, whatever the share, and alone, too")
    func ghosts() {
        var stage = CareStage("ab") { $0.outlier.maxEjectedPercent = 0 }
        stage.ghost("a")
        stage.ghost("a")
        #expect(stage.list == "b/a" && stage.patient("a")?.ejected == "ghost: an answer without X-Service")
        stage.ghost("b")
        #expect(stage.list == "/ab")
        #expect(stage.caretaker.mismatches.values.sorted() == [1, 2])
        #expect(stage.caretaker.ejections == ["api": ["ghost": 2]])
        let line = stage.events[0].notice(pod: "api-1", expected: stage.spec.care.identity)
        #expect(
            line
                == Notice(
                    .warn, "ghost",
                    [
                        "service": "api", "address": "10.0.0.1:97", "pod": "api-1",
                        "seen": "an answer without X-Service", "expected": "X-Service: api",
                    ]))
        // After a time like any other requests may see whether it still is one.
        stage.wait(10)
        #expect(stage.list == "ab")
        stage.ghost("a")
        stage.wait(19)
        #expect(stage.list == "b/a")
        stage.wait(1)
        #expect(stage.list == "ab")
        // Whoever has the address next begins anew.
        stage.ghost("a")
        stage.usable("b")
        stage.usable("ab")
        #expect(stage.list == "ab")
    }

    @Test("a ghost comes back when a probe meets the service there again")
    func ghostSeenByProbes() {
        var stage = CareStage("ab") { $0.health = HealthSpec(path: "/") }
        stage.ghost("a")
        stage.probed("a", .down, ghost: true)
        stage.wait(600)
        #expect(stage.list == "b/a")
        stage.probed("a", .down)
        #expect(stage.patient("a")?.ejected == nil && stage.list == "b/a")
        stage.probed("a", .up)
        #expect(stage.list == "ab")
        #expect(stage.heard() == ["ghost a", "ghost_gone a", "endpoint_up a"])
        // A mere connection shows nobody's identity.
        stage.update { $0.health = HealthSpec() }
        stage.ghost("a")
        stage.probed("a", .up)
        #expect(stage.list == "b/a")
        // Without `identity` nobody is a ghost.
        stage.update { $0.identity = nil }
        #expect(stage.list == "ab")
        stage.ghost("a")
        #expect(stage.list == "ab")
    }

    @Test("an endpoint that failed and then turns out to be a ghost is both, counted once each")
    func ghostAfterFailures() {
        var stage = CareStage("abc")
        stage.fails("a")
        stage.ghost("a")
        #expect(stage.patient("a")?.ejected == "ghost: an answer without X-Service")
        #expect(stage.caretaker.ejections == ["api": ["failures": 1, "ghost": 1]])
        // It is no endpoint of the service, so the share is of the others.
        stage.fails("b")
        #expect(stage.list == "c/ab")
    }
}
