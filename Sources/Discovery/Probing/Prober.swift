// Are the endpoints well? Asks each of them again and again, and tells when the answer changes. One timer for all, one
// task for each probe that is under way, and no task for an endpoint that waits for its turn.

import ProxyCore

/// Probes endpoints and knows their health.
@ControlThread
public final class Prober {
    /// What is known of an endpoint.
    private struct Record {
        var target: ProbeTarget
        var state: ProbeState
        /// Distinguishes this endpoint, asked in this way, from all others that had the slot: a result for another
        /// number is of no interest.
        var serial: UInt64
        var probe: Task<Void, Never>?
    }

    /// Something to be told when the jobs at hand are done.
    private struct News {
        var slot: Int32
        var serial: UInt64
        var change: HealthChange?
        var ghost: GhostFinding?
    }

    private let userAgent: String
    private let changed: @ControlThread ([HealthChange]) -> Void
    private let ghost: @ControlThread (GhostFinding) -> Void

    private var records: [Record?] = []
    private var freeSlots: [Int32] = []
    private var slots: [String: [EndpointID: Int32]] = [:]
    private var lastSerial: UInt64 = 0
    private var schedule: ProbeSchedule
    /// From when on the next new endpoint is probed.
    private var nextFirstProbe: Instant

    private var news: [News] = []
    private var timer: Task<Void, Never>?
    private var timerDue = Instant.never
    private var isRunning = false
    private let idle = Gate()

    /// A prober that has nobody to probe yet.
    ///
    /// - Parameters:
    ///   - version: for `User-Agent: hdproxy-probe/…`.
    ///   - atOnceMax: probes under way at once, each with its socket; at least 8.
    ///   - changed: is told every change of a health, several of them together where they come together. An endpoint's
    ///     going is no change.
    ///   - ghost: is told each answer that came from a stranger.
    ///
    /// Both closures may call ``update(_:)``.
    public init(
        version: String, atOnceMax: Int = 512, changed: @escaping @ControlThread ([HealthChange]) -> Void,
        ghost: @escaping @ControlThread (GhostFinding) -> Void
    ) {
        let now = Clock.now()
        userAgent = "hdproxy-probe/\(version)"
        schedule = ProbeSchedule(atOnceMax: atOnceMax, now: now)
        nextFirstProbe = now
        self.changed = changed
        self.ghost = ghost
        idle.open()
    }

    // MARK: Whom to probe

    /// Probes from now on these endpoints and no others. Whose service, id and address stay keeps health and history,
    /// also when it is asked in another way from now on; all others begin as unknown, and what was known of those that
    /// go is gone when this returns.
    public func update(_ targets: [ProbeTarget]) {
        let services = Dictionary(grouping: targets, by: \.service)
        for service in slots.keys where services[service] == nil { update(service, []) }
        for (service, targets) in services { update(service, targets) }
    }

    /// The same for the endpoints of one service; those of others stay as they are.
    public func update(_ service: String, _ targets: [ProbeTarget]) {
        let now = Clock.now()
        var former = slots[service] ?? [:]
        var next: [EndpointID: Int32] = [:]
        for target in targets where next[target.id] == nil {
            precondition(target.service == service, "each endpoint is of the service that is updated")
            if let slot = former[target.id], let record = records[Int(slot)], record.target.address == target.address {
                former[target.id] = nil
                next[target.id] = slot
                if record.target != target { ask(slot, as: target, now: now) }
            } else {
                next[target.id] = add(target, now: now)
            }
        }
        for slot in former.values { remove(slot) }
        slots[service] = next.isEmpty ? nil : next
        pump()
    }

    private func add(_ target: ProbeTarget, now: Instant) -> Int32 {
        let record = Record(target: target, state: ProbeState(now: now), serial: nextSerial(), probe: nil)
        let slot: Int32
        if let free = freeSlots.popLast() {
            slot = free
            records[Int(slot)] = record
        } else {
            slot = Int32(records.count)
            records.append(record)
            schedule.reserve(records.count)
        }
        schedule.plan(slot, at: firstProbe(target.health, now: now), isDown: false)
        return slot
    }

    /// Goes on with an endpoint that is to be asked in another way. A probe of the former way has nothing to say.
    private func ask(_ slot: Int32, as target: ProbeTarget, now: Instant) {
        guard var record = records[Int(slot)] else { return }
        record.probe?.cancel()
        record.probe = nil
        record.target = target
        record.serial = nextSerial()
        let former = records[Int(slot)]?.serial
        records[Int(slot)] = record
        // What is not told yet is still true.
        for index in news.indices where news[index].slot == slot && news[index].serial == former {
            news[index].serial = record.serial
        }
        schedule.plan(slot, at: firstProbe(target.health, now: now), isDown: record.state.health == .down)
    }

    private func remove(_ slot: Int32) {
        records[Int(slot)]?.probe?.cancel()
        records[Int(slot)] = nil
        freeSlots.append(slot)
        schedule.forget(slot)
    }

    private func nextSerial() -> UInt64 {
        lastSerial += 1
        return lastSerial
    }

    /// When an endpoint that is new, or newly asked, is probed: at once, or where many come together one after the
    /// other, within an interval.
    private func firstProbe(_ health: HealthSpec, now: Instant) -> Instant {
        let due = max(now, nextFirstProbe)
        let interval = Instant.Span(health.interval)
        guard due - now <= interval else {
            return now + Instant.Span(nanoseconds: Int64(systemRandom() % UInt64(max(interval.nanoseconds, 1))))
        }
        nextFirstProbe = due + Self.firstProbeDistance
        return due
    }

    /// A request was answered by somebody else there: the endpoint counts as a ghost until a probe shows otherwise, which
    /// is asked soon. For endpoints whose probes see an identity; what is known is not told a second time.
    public func requestMetGhost(_ seen: String, _ service: String, _ id: EndpointID) {
        guard let slot = slots[service]?[id], var record = records[Int(slot)], !record.state.isGhost else { return }
        let now = Clock.now()
        let target = record.target
        let changed = record.state.record(.failed(.ghost(seen)), latency: nil, spec: target.health, now: now)
        records[Int(slot)] = record
        if record.probe == nil {
            schedule.plan(slot, at: now + Instant.Span(target.health.fastInterval), isDown: true)
        }
        if changed { tellSoon(News(slot: slot, serial: record.serial, change: change(of: record, reason: seen))) }
        pump()
    }

    private func change(of record: Record, reason: String) -> HealthChange {
        let isSilent = if case .failed(let failure)? = record.state.lastFinding { failure.isSilence } else { false }
        return HealthChange(
            service: record.target.service, id: record.target.id, address: record.target.address,
            health: record.state.health, isGhost: record.state.isGhost, isSilent: isSilent, reason: reason,
            latency: record.state.lastLatency)
    }

    // MARK: What is known

    /// What is known of one endpoint; nil where it is not probed.
    public func view(_ service: String, _ id: EndpointID) -> ProbeView? {
        guard let slot = slots[service]?[id], let record = records[Int(slot)] else { return nil }
        let age = (Clock.now() - record.state.since).nanoseconds
        return ProbeView(
            address: record.target.address, health: record.state.health, isGhost: record.state.isGhost,
            sinceMicroseconds: Clock.wallMicroseconds() - age / 1000,
            lastReason: record.state.lastFinding?.text, lastLatency: record.state.lastLatency)
    }

    /// The health of one endpoint; unknown where it is not probed.
    public func health(_ service: String, _ id: EndpointID) -> (health: EndpointHealth, isGhost: Bool) {
        guard let slot = slots[service]?[id], let state = records[Int(slot)]?.state else { return (.unknown, false) }
        return (state.health, state.isGhost)
    }

    /// How many endpoints are probed of which nothing is known yet.
    public var unknownCount: Int { records.count { $0?.state.health == .unknown } }

    /// How many probes are under way.
    public var underWay: Int { schedule.underWay }

    // MARK: Probing

    /// Probes until it is cancelled; no probe is under way any more when it returns. What is known stays.
    public func run() async {
        precondition(!isRunning, "one prober is run once at a time")
        isRunning = true
        pump()
        while await ControlThread.sleep(until: .never) != .cancelled {}
        isRunning = false
        timer?.cancel()
        timerDue = .never
        for record in records { record?.probe?.cancel() }
        await idle.passed()
    }

    /// Begins the probes whose time has come, as far as there is room.
    private func pump() {
        guard isRunning else { return }
        let now = Clock.now()
        var begun = 0
        while begun < Self.beginningsMax, let (slot, isDown) = schedule.next(at: now) {
            begin(slot, isDown: isDown)
            begun += 1
        }
        setTimer(schedule.nextWake(now: now))
    }

    private func setTimer(_ due: Instant) {
        guard due < timerDue else { return }
        timer?.cancel()
        timerDue = due
        timer = ControlThread.spawn { [weak self] in
            guard await ControlThread.sleep(until: due) != .cancelled, let self, !Task.isCancelled else { return }
            self.timerDue = .never
            self.pump()
        }
    }

    private func begin(_ slot: Int32, isDown: Bool) {
        guard let record = records[Int(slot)] else { return schedule.ended(isDown: isDown) }
        idle.close()
        let (target, serial) = (record.target, record.serial)
        records[Int(slot)]?.probe = ControlThread.spawn {
            let begin = Clock.now()
            let exchange = ProbeExchange(target, now: begin)
            let finding = await exchange.run(userAgent: self.userAgent)
            self.conclude(slot, serial, finding, begin)
            await exchange.close()
            self.ended(isDown: isDown)
        }
    }

    private func ended(isDown: Bool) {
        schedule.ended(isDown: isDown)
        if schedule.underWay == 0 { idle.open() }
        pump()
    }

    /// Takes a result, unless its endpoint has gone or is asked in another way by now. A probe that was cut short has
    /// none, and comes again.
    private func conclude(_ slot: Int32, _ serial: UInt64, _ finding: ProbeFinding?, _ begin: Instant) {
        guard var record = records[Int(slot)], record.serial == serial else { return }
        let now = Clock.now()
        record.probe = nil
        var item = News(slot: slot, serial: serial)
        if let finding {
            let before = record.state.lastFinding
            let latency = finding.isAnswer ? Duration.nanoseconds((now - begin).nanoseconds) : nil
            let target = record.target
            if record.state.record(finding, latency: latency, spec: target.health, now: now) {
                item.change = change(of: record, reason: finding.text)
            }
            if case .failed(.ghost(let seen)) = finding {
                item.ghost = GhostFinding(
                    service: target.service, id: target.id, address: target.address, seen: seen,
                    isNew: finding != before)
            }
        }
        let wait = record.state.nextWait(record.target.health, random: systemRandom())
        records[Int(slot)] = record
        schedule.plan(slot, at: max(now, begin + wait), isDown: record.state.health == .down)
        if item.change != nil || item.ghost != nil { tellSoon(item) }
    }

    // MARK: Telling

    private func tellSoon(_ item: News) {
        news.append(item)
        // One job tells all that the jobs before it have found.
        if news.count == 1 { ControlThread.spawn { self.tell() } }
    }

    private func tell() {
        // Of an endpoint that has gone in the meantime nobody wants to hear.
        let current = news.filter { records[Int($0.slot)]?.serial == $0.serial }
        news = []
        let changes = current.compactMap(\.change)
        let ghosts = current.compactMap(\.ghost)
        for finding in ghosts { ghost(finding) }
        if !changes.isEmpty { changed(changes) }
    }

    // MARK: Limits

    /// Probes that begin in one go: a connect costs the thread some ten microseconds.
    private static let beginningsMax = 64
    /// Between the first probes of endpoints that become known together.
    private static let firstProbeDistance = Instant.Span(nanoseconds: 250_000)
}

extension ProbeFinding {
    /// Whether it is an answer, which took its time, and not the lack of one.
    fileprivate var isAnswer: Bool {
        switch self {
        case .passed, .failed(.status), .failed(.ghost): true
        case .failed, .inconclusive: false
        }
    }
}
