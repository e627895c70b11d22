// What comes next in following a resource: a list or a watch, from which version, and after how long a pause? The rules
// of client-go's reflector, with one more: after a connection that broke, the server on the other end may be another one
// with another history, so what is known is listed again, as a difference.
//
//     list ──▶ watch ──clean end──▶ watch
//      ▲         │ 410, broken, malformed, silent throughout
//      └─────────┘

import ProxyCore

/// Pauses that grow: 0.8 s, doubled up to 5 s, each up to twice as long by chance. That is a third of what client-go
/// allows itself: what waits here is not a controller but traffic, and nobody is back in touch before the pause is over.
/// A server that needs more says so in `Retry-After`.
struct Backoff: Sendable {
    private static let first = 0.8
    private static let largest = 5.0
    /// What went well for so long, which is the longest pause, makes the next one a short one.
    static let steady = Instant.Span.milliseconds(10_000)

    private var next = first

    /// The next pause; `chance` is from 0 to 1.
    mutating func pause(chance: Double) -> Instant.Span {
        let seconds = next * (1 + chance)
        next = min(next * 2, Self.largest)
        return Instant.Span(nanoseconds: Int64(seconds * 1e9))
    }
}

/// Where the following of one resource stands.
struct WatchProgress: Sendable {
    /// What to ask next.
    enum Step: Equatable, Sendable {
        /// A list that is not older than this version; `"0"`: whatever is at hand; nil: the newest.
        case list(version: String?)
        /// What happens after this version.
        case watch(version: String)
    }

    private enum ListFrom { case cache, last, newest }

    /// The version up to which everything is known.
    private(set) var version = ""
    private var needsList = true
    private var listFrom = ListFrom.cache
    private var backoff = Backoff()
    /// When something was tried again without a pause.
    private var lastAtOnce: Instant?
    /// When the watch that is open was answered.
    private var watchingSince: Instant?
    /// When a watch ended within a moment.
    private var lastShort: Instant?
    /// How often the connection was lost since a watch was answered.
    private var losses = 0

    /// How often something may be tried again without a pause.
    private static let atOnceEvery = Instant.Span.milliseconds(30_000)
    /// A watch that ends sooner without an event is a failure, and so is the second one with events.
    private static let shortest = Instant.Span.milliseconds(1000)
    /// A watch in which this long nothing is heard, no bookmark either, may wait for a version that never comes.
    private static let silent = Instant.Span.milliseconds(60_000)

    var step: Step {
        guard needsList || version.isEmpty else { return .watch(version: version) }
        switch listFrom {
        case .cache: return .list(version: "0")
        case .last: return .list(version: version.isEmpty ? "0" : version)
        case .newest: return .list(version: nil)
        }
    }

    /// A list is complete, as of `version`.
    mutating func listed(_ version: String) {
        self.version = version
        needsList = false
        listFrom = .last
    }

    /// A watch was answered, and is open.
    mutating func watching(since now: Instant) {
        watchingSince = now
        losses = 0
    }

    /// An event or a bookmark is dealt with. Empty where it could not be read.
    mutating func passed(_ version: String) { if !version.isEmpty { self.version = version } }

    /// The watch is over, cleanly. The failure that this is all the same, or nil.
    mutating func ended(now: Instant, heardAnything: Bool) -> APIFailure? {
        let duration = endWatch(now)
        if duration < Self.shortest {
            // One may end so soon with an event; a row of them, as from a cache in between, would be asking on and on.
            let isFirst = lastShort.map { Self.atOnceEvery < now - $0 } ?? true
            lastShort = now
            if heardAnything, isFirst { return nil }
            needsList = true
            return APIFailure(
                .closed, heardAnything ? "watches end at once" : "a watch ended at once, without an event")
        }
        if !heardAnything, Self.silent < duration { needsList = true }
        return nil
    }

    /// For how long the watch was open.
    private mutating func endWatch(_ now: Instant) -> Instant.Span {
        guard let since = watchingSince else { return Instant.Span(nanoseconds: 0) }
        watchingSince = nil
        if Backoff.steady <= now - since { backoff = Backoff() }
        return now - since
    }

    /// The connection over which the version came is gone. Whether to watch from it over another one all the same: where
    /// the answer to a list ends its connection each time there is no other way, and a server that does not know the
    /// version is found out by a 410 or a probe.
    mutating func connectionWasLost() -> Bool {
        losses += 1
        needsList = losses == 1
        return !needsList
    }

    /// What was asked last came to nothing. How long to pause.
    mutating func failed(_ failure: APIFailure, now: Instant, chance: Double) -> Instant.Span {
        _ = endWatch(now)
        let wasList = if case .list = step { true } else { false }
        var atOnce = false
        switch failure.reason {
        case .expired:
            // A list that is not older than what we have does after a watch; after a list only the newest will.
            if wasList { listFrom = .newest }
            needsList = true
            atOnce = true
        case .behind:
            listFrom = .newest
            needsList = true
            atOnce = true
        case .unauthorized: atOnce = true
        case .throttled: break
        case .malformed, .refused, .serverError, .notFound, .tooLarge:
            // The version itself may be what the server cannot take.
            if wasList, listFrom == .last { listFrom = .newest }
            needsList = true
        case .cancelled, .credentials, .resolve, .connect, .tls, .closed, .timeout, .forbidden: needsList = true
        }
        if atOnce {
            let isFirst = lastAtOnce.map { Self.atOnceEvery < now - $0 } ?? true
            lastAtOnce = now
            if isFirst { return Instant.Span(nanoseconds: 0) }
        }
        let pause = backoff.pause(chance: chance)
        let asked = Instant.Span(.seconds(min(max(failure.retryAfterSeconds ?? 0, 0), 120)))
        return max(pause, asked)
    }
}
