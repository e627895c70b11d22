// Are the slices that we hold what the API server says now? The Kubernetes witness is heard, lost, silent, heard again;
// here stands what that means for what it told before.
//
//     awaited ──heard──────────────► current ◄──a complete update, or in touch for a while──┐
//        │                            ▲   │                                                 │
//        └─lost, or no answer──► unreached │ out of touch for longer than staleAfter ─────► away

import ProxyCore

/// How far the Kubernetes API is away.
struct Contact: Sendable {
    /// What the slices that we hold are worth.
    enum Standing: Sendable, Equatable {
        /// Nothing was heard, and it is too early to give up.
        case awaited
        /// Nothing was ever heard.
        case unreached
        /// They are the truth.
        case current
        /// The API has been out of touch for too long, or is back and has not told yet what has changed.
        case away
    }

    /// How long the first answer is waited for before it counts as not reachable.
    static let firstAnswerTakes = Instant.Span.milliseconds(2_000)
    /// How long a watch may say nothing. Bookmarks come about once a minute, the first one after up to two minutes.
    static let silenceMax = Instant.Span.milliseconds(150_000)
    /// After how long in touch slices count as current though no update came: the watch went on where it had ended, and
    /// nothing had changed. A list after a gap takes less.
    static let resumingTakes = Instant.Span.milliseconds(5_000)

    /// When asking began.
    let start: Instant
    /// How long out of touch is too long.
    var staleAfter: Instant.Span
    /// When it was heard last.
    private(set) var lastHeard: Instant?
    /// The same on the wall's clock.
    private(set) var lastHeardMicroseconds: Int64?
    /// When it was heard last before slices ceased to be current: whoever told something later knows more.
    private(set) var lastCurrent: Instant?
    /// When it was heard again after it had been lost: what DNS answered before that is compared with nothing.
    private(set) var backSince: Instant?
    /// What went wrong since then.
    private(set) var reason: String?
    /// What the slices are worth.
    private(set) var standing = Standing.awaited
    private var lostSince: Instant?
    private var regained: Instant?

    init(start: Instant, staleAfter: Duration) {
        self.start = start
        self.staleAfter = Instant.Span(staleAfter)
    }

    /// Whether the API is heard, as far as can be told.
    func isInTouch(now: Instant) -> Bool { outOfTouchSince(now: now) == nil }

    /// Whether nothing is on its way from the API that is worth waiting for.
    var mayStayAway: Bool { standing == .unreached || standing == .away || lostSince != nil }

    /// Since when the API is out of touch; nil while it is in touch.
    func outOfTouchSince(now: Instant) -> Instant? {
        guard let lastHeard else { return start }
        if let lostSince { return lostSince }
        return now >= lastHeard + Self.silenceMax ? lastHeard + Self.silenceMax : nil
    }

    /// Whether the API has been out of touch for too long.
    func isStale(now: Instant) -> Bool { outOfTouchSince(now: now).map { now >= $0 + staleAfter } ?? false }

    mutating func heard(now: Instant, wallMicroseconds: Int64) {
        // What happened unnoticed until now happens first: whoever is heard after an hour has been away.
        advance(now: now)
        if standing == .away, regained == nil { regained = now }
        if lastHeard != nil, outOfTouchSince(now: now) != nil { backSince = now }
        lastHeard = now
        lastHeardMicroseconds = wallMicroseconds
        lostSince = nil
        reason = nil
        if standing == .awaited || standing == .unreached { standing = .current }
    }

    /// An update came after which everything is known.
    mutating func completed() {
        standing = .current
        regained = nil
    }

    mutating func lost(reason: String, now: Instant) {
        advance(now: now)
        if lostSince == nil { lostSince = outOfTouchSince(now: now).map { min($0, now) } ?? now }
        self.reason = reason
        regained = nil
        advance(now: now)
    }

    /// What time alone changes.
    mutating func advance(now: Instant) {
        switch standing {
        case .awaited: if lostSince != nil || now >= start + Self.firstAnswerTakes { standing = .unreached }
        case .current:
            if isStale(now: now) {
                standing = .away
                lastCurrent = lastHeard
            }
        case .away: if let regained, now >= regained + Self.resumingTakes, !isStale(now: now) { completed() }
        case .unreached: break
        }
    }

    /// When ``advance(now:)`` may have something to do.
    func nextDeadline(now: Instant) -> Instant {
        switch standing {
        case .awaited: start + Self.firstAnswerTakes
        case .current:
            if let lostSince { lostSince + staleAfter } else { (lastHeard ?? now) + Self.silenceMax + staleAfter }
        case .away: regained.map { $0 + Self.resumingTakes } ?? .never
        case .unreached: .never
        }
    }
}
