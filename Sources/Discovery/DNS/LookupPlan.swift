// Whom to ask next? The decisions of one lookup: which server, by UDP or TCP, with or without EDNS and mixed case, and
// when to give up. It is told what each try came to, and answers with the next one.
//
//     UDP ─ timeout ──────────► the next server, a new port; twice silent: TCP; the last try is TCP
//      ├── SERVFAIL and so on ► the next server; a server that failed twice is not asked again
//      ├── cut, or a storm ───► the same server by TCP
//      ├── FORMERR ───────────► the same server without EDNS
//      └── other case ────────► the same server without mixed case

import ProxyCore

/// The course of one lookup over the configured servers.
struct LookupPlan {
    /// One try.
    struct Step: Equatable {
        /// Whom, as a number in the list of servers.
        var server: Int
        var usesTCP = false
        var usesEDNS = true
        var mixesCase = true
        /// Whether to wait a moment first, because this server has just failed.
        var pauses = false
    }

    /// What a try came to, where it was no answer.
    enum Outcome: Equatable {
        /// Nothing came in time.
        case silent
        /// The answer was cut, or so many wrong ones came that somebody seems to guess.
        case cut
        /// The server does not understand EDNS (RFC 6891 §7).
        case notUnderstood
        /// The server does not repeat the mix of cases.
        case otherCase
        /// The server cannot tell, or cannot be reached.
        case failed(LookupFailure.Reason)
    }

    /// What is known of a server before the lookup.
    struct Traits: Equatable {
        var usesEDNS = true
        var mixesCase = true
        /// It did not answer lately, so that others are asked before it.
        var isSilent = false
    }

    /// A server as this lookup sees it.
    private struct Server {
        var traits: Traits
        var silences = 0
        var failures = 0
    }

    private var servers: [Server]
    /// The servers in the order in which they are asked, again and again.
    private let order: [Int]
    private var turn = 0
    private var triesLeft: Int
    /// Answers that ask for the same server once more are not counted as tries, but they are limited too.
    private var detoursLeft = 6
    private var current: Step?
    /// Why it failed so far.
    private(set) var lastFailure: (server: Int, reason: LookupFailure.Reason)?

    /// A lookup that begins with the server `first`.
    init(_ traits: [Traits], first: Int = 0, triesMax: Int) {
        servers = traits.map { Server(traits: $0) }
        let turned = traits.indices.map { ($0 + first) % traits.count }
        order = turned.filter { !traits[$0].isSilent } + turned.filter { traits[$0].isSilent }
        triesLeft = triesMax
    }

    /// The first try; nil where there is no server.
    mutating func begin() -> Step? { nextServer() }

    /// What to do after the present try came to `outcome`; nil: nothing more, ``lastFailure`` says why.
    mutating func next(after outcome: Outcome) -> Step? {
        guard var step = current else { return nil }
        let server = step.server
        switch outcome {
        case .silent:
            servers[server].silences += 1
            // A part is worth less than nothing, but it tells more than silence why the whole could not be had.
            let wasCut = lastFailure.map { $0.server == server && $0.reason == .truncated } ?? false
            return failed(server, step.usesTCP && wasCut ? .truncated : .timeout)
        case .failed(let reason):
            servers[server].failures += 1
            return failed(server, reason)
        case .cut:
            guard !step.usesTCP, takeDetour() else { return failed(server, .truncated, counts: true) }
            lastFailure = (server, .truncated)
            step.usesTCP = true
        case .notUnderstood:
            guard step.usesEDNS, takeDetour() else { return failed(server, .formerr, counts: true) }
            servers[server].traits.usesEDNS = false
            step.usesEDNS = false
        case .otherCase:
            guard step.mixesCase, takeDetour() else { return failed(server, .malformed, counts: true) }
            servers[server].traits.mixesCase = false
            step.mixesCase = false
        }
        step.pauses = false
        current = step
        return step
    }

    private mutating func failed(_ server: Int, _ reason: LookupFailure.Reason, counts: Bool = false) -> Step? {
        if counts { servers[server].failures += 1 }
        lastFailure = (server, reason)
        return nextServer()
    }

    private mutating func takeDetour() -> Bool {
        detoursLeft -= 1
        return detoursLeft >= 0
    }

    private mutating func nextServer() -> Step? {
        current = nil
        guard triesLeft > 0 else { return nil }
        for _ in order.indices {
            let index = order[turn % order.count]
            turn += 1
            let server = servers[index]
            if server.failures >= Self.failuresMax { continue }
            triesLeft -= 1
            let isLast = triesLeft == 0 && lastFailure?.reason == .timeout
            let step = Step(
                server: index, usesTCP: isLast || server.silences >= 2, usesEDNS: server.traits.usesEDNS,
                mixesCase: server.traits.mixesCase, pauses: server.failures > 0)
            current = step
            return step
        }
        return nil
    }

    /// So often a server may say that it cannot tell.
    private static let failuresMax = 2
}
