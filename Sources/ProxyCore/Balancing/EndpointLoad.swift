// How soon would an endpoint answer one more request? Its latency as of late (a peak-sensitive moving mean: it rises at
// once and falls slowly, as in Finagle and Linkerd), what failed there, and whether it is held back or new. Plain numbers
// that decay by time; whoever asks says when it is.

/// What one worker knows of an endpoint's speed and state. Costs are relative: only which of two is smaller matters.
struct EndpointLoad: BitwiseCopyable {
    /// In what time latency and penalty fall to some 40 %.
    static let decayTime: Float = 3e9
    /// What a failure adds: one in isolation makes an endpoint cost five times as much for a moment.
    static let failurePenalty: Float = 4
    /// Where penalties end, so that an endpoint that was ill for long recovers as soon as others.
    static let penaltyMax: Float = 64
    /// From this penalty on an endpoint counts as failing: two failures in a row, without an answer between.
    static let failingPenalty: Float = 6
    /// The share that a new endpoint begins with.
    static let firstShare: Float = 0.1
    private static let longAgo = Instant(nanoseconds: .min)

    /// The mean weight of those that it competes with, over its own.
    var loadFactor: Float = 1
    /// Its time to the first byte in nanoseconds, as of the latest answer; negative before the first one.
    private var latency: Float = -1
    private var latencyAt = Instant(nanoseconds: 0)
    private var penalty: Float = 0
    private var penaltyAt = Instant(nanoseconds: 0)
    /// Until when this worker gives it nothing, whatever the control plane says.
    private(set) var heldUntil = Self.longAgo
    private var rampFrom = Self.longAgo
    private var rampUntil = Self.longAgo
    private var wasGhost = false

    /// An endpoint of which nothing is known.
    init() {}

    // MARK: What happened

    /// An answer's first byte came `span` after its request had gone.
    @inline(__always) mutating func noteLatency(_ span: Instant.Span, _ now: Instant) {
        // Between a microsecond and two weeks, so that no sum and no product of it leaves its range.
        let sample = Float(min(max(span.nanoseconds, 1000), 1_000_000_000_000_000))
        if sample >= latency {
            latency = sample
        } else {
            latency = sample + (latency - sample) * Self.decay(since: latencyAt, now)
        }
        latencyAt = now
        if penalty > 0 {
            penalty = penalty(now) / 2
            penaltyAt = now
            if penalty < 0.1 { penalty = 0 }
        }
    }

    /// A request failed there.
    mutating func noteFailure(_ now: Instant) {
        penalty = min(penalty(now) + Self.failurePenalty, Self.penaltyMax)
        penaltyAt = now
    }

    /// It gets nothing until `until`, and little for `slowStart` after that.
    mutating func hold(until: Instant, slowStart: Instant.Span) {
        if until <= heldUntil { return }
        heldUntil = until
        ramp(from: until, slowStart)
    }

    /// As ``hold(until:slowStart:)``; and what answers there is a stranger, so nothing is better than to ask it.
    mutating func holdAsGhost(until: Instant, slowStart: Instant.Span) {
        wasGhost = true
        hold(until: until, slowStart: slowStart)
    }

    /// The control plane holds it back from now on: what this worker has seen of a ghost stays true for as long.
    mutating func heldBackByOthers(_ now: Instant) { if heldUntil <= now { wasGhost = false } }

    /// The control plane lets it have requests again, and knows more than this worker.
    mutating func isLetGo(_ now: Instant, slowStart: Instant.Span) {
        heldUntil = Self.longAgo
        wasGhost = false
        ramp(from: now, slowStart)
    }

    /// It gets little at first: its share grows from a tenth to all of it.
    mutating func ramp(from start: Instant, _ slowStart: Instant.Span) {
        rampFrom = start
        rampUntil = start + slowStart
    }

    // MARK: What follows

    /// Whether this worker gives it nothing.
    @inline(__always) func isHeld(_ now: Instant) -> Bool { now < heldUntil }

    /// Whether a stranger answers there. `isHeldBack`: whether the control plane holds it back.
    func isGhost(_ now: Instant, isHeldBack: Bool) -> Bool { wasGhost && (isHeldBack || now < heldUntil) }

    /// Whether its share still grows.
    @inline(__always) func isRamping(_ now: Instant) -> Bool { now < rampUntil }

    /// Its share while that grows, of 1.
    func rampShare(_ now: Instant) -> Float {
        guard isRamping(now) else { return 1 }
        let passed = max(0, (now - rampFrom).nanoseconds)
        let whole = max(1, (rampUntil - rampFrom).nanoseconds)
        return max(Self.firstShare, Float(passed) / Float(whole))
    }

    /// Whether requests fail there, now.
    @inline(__always) func isFailing(_ now: Instant) -> Bool { penalty > 0 && penalty(now) >= Self.failingPenalty }

    /// Its latest latency in whole nanoseconds; -1 before the first answer.
    var latencyNanoseconds: Int64 { latency < 0 ? -1 : Int64(latency) }

    /// Requests under way, in relation to its weight.
    @inline(__always) func scaled(_ inFlight: Int32) -> Float { Float(inFlight) * loadFactor }

    /// What asking it costs beside what its answers take: its place in the queue there, and the risk of a failure.
    @inline(__always) func burden(_ inFlight: Int32, _ now: Instant) -> Float {
        var before = scaled(inFlight)
        if isRamping(now) { before /= rampShare(now) }
        let burden = before + 1
        return penalty > 0 ? burden * (1 + penalty(now)) : burden
    }

    /// What its next answer may take; negative where nobody knows. It falls while the endpoint has nothing to do, so that
    /// one that was slow is tried again, and stays while it owes answers: silence is no speed.
    @inline(__always) func expectedLatency(_ inFlight: Int32, _ now: Instant) -> Float {
        inFlight > 0 || latency < 0 ? latency : latency * Self.decay(since: latencyAt, now)
    }

    private func penalty(_ now: Instant) -> Float { penalty * Self.decay(since: penaltyAt, now) }

    /// Falls from 1 to 0, close to e^-t for small t, by arithmetic alone.
    @inline(__always) private static func decay(since then: Instant, _ now: Instant) -> Float {
        let t = Float(max(0, (now - then).nanoseconds)) / decayTime
        return 1 / (1 + t + t * t / 2)
    }
}
