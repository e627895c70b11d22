// What came of it? Every loss with its judgement, counted by cause, against what must be reached.

import Glibc

/// One thing that must hold.
struct ProofTarget {
    var name: String
    var value: String
    /// What it must be, in words; nil for a figure without a target.
    var wanted: String?
    var isMet = true
    /// For programs.
    var key: String
    var number: Double
}

/// The outcome of one run.
struct ProofReport {
    /// What was done, in a line or two.
    var title: String
    var version: String
    var targets: [ProofTarget] = []
    /// Losses by cause.
    var causes: [(name: String, verdict: Verdict, count: Int)] = []
    /// What must not be, with all that is known of it.
    var examples: [String] = []
    /// What else is worth a line.
    var notes: [String] = []

    /// Whether all that must hold does.
    var isGood: Bool { targets.allSatisfy(\.isMet) }

    /// Adds a figure without a target.
    mutating func tell(_ name: String, _ key: String, _ number: Double, _ text: String? = nil) {
        targets.append(
            ProofTarget(name: name, value: text ?? grouped(Int(number)), wanted: nil, key: key, number: number))
    }

    /// Adds something that must be as `wanted` says.
    mutating func demand(
        _ name: String, _ key: String, _ number: Double, _ text: String, _ wanted: String, _ isMet: Bool
    ) {
        targets.append(
            ProofTarget(name: name, value: text, wanted: wanted, isMet: isMet, key: key, number: number))
    }

    /// Adds something that must not happen.
    mutating func demandNone(_ name: String, _ key: String, _ count: Int) {
        demand(name, key, Double(count), grouped(count), "0", count == 0)
    }

    /// Takes in what the load saw: judges each loss, counts, and finds what was done twice.
    mutating func take(_ figures: AskingBoard.Figures, _ stage: ProofStage) throws {
        // The log's last lines are under way.
        pause(milliseconds: 300)
        let entries = stage.log.entries
        let doubles = try stage.doublePosts()
        let judged = figures.losses.map {
            JudgedLoss($0, entries[$0.id], seenAt: stage.whoSaw($0.id), illnesses: stage.illnesses)
        }
        tell("requests", "requests", Double(figures.sent))
        tell("POSTs among them", "posts", Double(figures.posts))
        tell("answered rightly", "answered", Double(figures.answered))
        tell("after more than one attempt", "retried", Double(stage.log.retried))
        for verdict in Verdict.allCases {
            let count = judged.count { $0.verdict == verdict }
            if verdict.isAllowed {
                tell(verdict.name, verdict.key, Double(count))
            } else {
                demandNone(verdict.name, verdict.key, count)
            }
        }
        demandNone("POSTs carried out twice", "posts_twice", doubles.count)
        demandNone("answers 503", "status_503", judged.count { $0.loss.kind == .status(503) })
        demandNone(
            "connections of clients closed unannounced", "closed_unannounced", figures.endedUnannounced)
        var byCause: [String: (Verdict, Int)] = [:]
        for loss in judged {
            byCause[loss.summary] = (loss.verdict, (byCause[loss.summary]?.1 ?? 0) + 1)
        }
        causes = byCause.map { ($0.key, $0.value.0, $0.value.1) }.sorted { $0.2 > $1.2 }
        let start = figures.losses.first?.began ?? 0
        for loss in judged where !loss.verdict.isAllowed {
            guard examples.count < 20 else { break }
            examples.append(Self.describe(loss, stage, since: start))
        }
        for id in doubles.prefix(10) { examples.append("POST \(id) was carried out twice") }
    }

    private static func describe(_ loss: JudgedLoss, _ stage: ProofStage, since start: UInt64) -> String {
        let took = Double(loss.loss.ended - loss.loss.began)
        var text = "request \(loss.loss.id), \(loss.summary), \(loss.loss.detail), after \(duration(ns: took))"
        if !loss.endpoint.isEmpty { text += ", endpoint \(loss.endpoint)" }
        // Who had the address at that time, and what had just happened to it?
        if let last = stage.illnesses.last(where: { $0.address == loss.endpoint && $0.from <= loss.loss.ended }) {
            let distance = Double(Int64(loss.loss.ended) - Int64(last.from))
            text += ", \(last.name) \(fixed(distance / 1e6, 1)) ms before its end"
        }
        return text
    }

    /// For people.
    var text: String {
        var table = Table("", "", "target")
        for target in targets {
            table.add([
                target.name, target.value, target.wanted.map { "\($0) \(target.isMet ? "met" : "MISSED")" } ?? "",
            ])
        }
        var text = "\(title)\nhdproxy: \(version)\n\n\(table.text())"
        if !causes.isEmpty {
            var table = Table("lost, by cause", "")
            for cause in causes {
                table.add([cause.name + (cause.verdict.isAllowed ? "" : "  !"), grouped(cause.count)])
            }
            text += "\n" + table.text()
        }
        if !examples.isEmpty { text += "\nWhat must not be:\n" + examples.map { "  \($0)\n" }.joined() }
        if !notes.isEmpty { text += "\n" + notes.map { "\($0)\n" }.joined() }
        return text
    }

    /// For programs.
    var json: JSON {
        .members(
            ("title", .string(title)), ("version", .string(version)), ("good", .bool(isGood)),
            ("figures", .object(targets.map { JSON.Member(name: $0.key, value: .number($0.number)) })),
            ("missed", .array(targets.filter { !$0.isMet }.map { .string($0.key) })),
            (
                "causes",
                .array(
                    causes.map {
                        .members(
                            ("cause", .string($0.name)), ("verdict", .string($0.verdict.key)),
                            ("count", .number(Double($0.count))))
                    })
            ),
            ("examples", .array(examples.map { .string($0) })), ("notes", .array(notes.map { .string($0) })))
    }

    /// Shows it as the options ask; the exit status.
    func show(_ arguments: Arguments) throws -> Int32 {
        let path = arguments.text("--json")
        if path == "-" {
            printOut(json.formatted())
        } else {
            printOut(text)
            if let path { try writeFile(path, json.formatted()) }
        }
        return arguments.has("--strict") && !isGood ? 1 : 0
    }

    /// The options that every command with such a report has.
    static let options = [
        OptionSpec("--workers", "N", "workers of hdproxy (2)"),
        OptionSpec("--without-policies", nil, "a service without health, identity, outlier and retry keys"),
        OptionSpec("--service-keys", "TEXT", "more keys of the service, as they stand in its configuration"),
        OptionSpec("--proxy", "FILE", "the hdproxy to test; default: beside this program, built if missing"),
        OptionSpec("--json", "FILE", "the figures as JSON; - for standard output"),
        OptionSpec("--strict", nil, "a missed target is an exit status of 1"),
    ]
}

extension ProofSettings {
    /// What the options say, with `keys` for the service unless it shall have none.
    init(_ arguments: Arguments, keys: String) throws {
        program = try ProxyProgram.find(arguments.text("--proxy"))
        workers = try arguments.number("--workers", workers, in: 1...64)
        service = arguments.has("--without-policies") ? "" : keys
        if let more = arguments.text("--service-keys") { service += "\n" + more }
    }

    /// The identity that answers are held against.
    static let identityKeys = "identity: { header: \"X-Service\", value: \"\(identity)\" },"
    /// A probe that finds an ill endpoint within seconds.
    static let healthKeys = """
        health: { path: "/health", interval: "1s", timeout: "500ms", healthyAfter: 1, unhealthyAfter: 2 },
        """
}
