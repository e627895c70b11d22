// A play: what a client and an upstream say to the proxy, line by line, and what each must hear.
// The grammar is told in Tests/Corpus/Plays/README.md.

/// One case, read from a page of Tests/Corpus/Plays.
struct Play: Sendable {
    /// The page's name and the heading: the rule that it shows.
    var title: String
    /// The text that stands for `$each` in this case, and for `$then`; nil where the play has no variants.
    var variant: (each: String, then: String)?
    /// Raw parts of the configuration for this play alone.
    var given: [String] = []
    /// The ways in which it is told; nil: all that make sense.
    var ways: Set<Way>?
    var steps: [Step] = []
}

/// How the same lines are told.
enum Way: String, Sendable, CaseIterable {
    /// Each `sends` in one send.
    case whole
    /// What clients send goes out one byte at a time.
    case bytes
    /// What upstreams send goes out one byte at a time.
    case upstreamBytes = "upstream-bytes"
    /// A second request follows in the same send as the first.
    case followed
}

/// One line of a play.
struct Step: Sendable {
    enum Actor: Sendable, Equatable {
        case client(Int)
        /// nil: whichever upstream connection has something to tell.
        case upstream(Int?)
    }

    var actor: Actor
    /// The verb, such as `sends` or `is refused`.
    var verb: String
    /// What stands behind the verb on its line, raw.
    var object: String
    /// The lines below it, raw and without their indentation.
    var details: [String]
    /// Where it stands in the page.
    var line: Int
}

extension Play {
    /// The ways in which this play can be told.
    var possibleWays: [Way] {
        let upstreamSpeaks = steps.contains { step in
            if case .upstream = step.actor { return step.verb == "sends" }
            return false
        }
        let clientSends = steps.filter { $0.verb == "sends" && $0.actor == .client(1) }
        let otherVerbs: Set = ["finishes", "resets", "closes", "connects", "drips"]
        let canBeFollowed =
            clientSends.count == 1
            && !steps.contains { step in
                if case .client(let number) = step.actor { return number > 1 || otherVerbs.contains(step.verb) }
                return false
            }
            && steps.contains { ["is kept", "is closed", "is refused"].contains($0.verb) && $0.actor == .client(1) }
        return Way.allCases.filter { way in
            switch way {
            case .whole: true
            case .bytes: !clientSends.isEmpty
            case .upstreamBytes: upstreamSpeaks
            case .followed: canBeFollowed
            }
        }.filter { ways?.contains($0) ?? true }
    }
}
