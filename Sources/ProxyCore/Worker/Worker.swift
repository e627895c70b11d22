// Whose turn is it? A worker is one thread that owns its listeners, its connections and its tables, and goes in turns:
//
//     wait ── note the time ── read mail ── serve a batch of events ── go on with the patient ── look into the waiting
//     room ── fire timers ── leave?

/// A worker, which lives on its own thread's stack and shares nothing but its mailbox.
public struct Worker: ~Copyable {
    let mailbox: Mailbox
    let cap: ConnectionCap
    var connections: Connections
    let listeners = Slab<Listener>(capacity: 1024, vacant: Listener.vacant)
    var reserve = ReserveDescriptor()
    var drain: Drain?
    /// Listeners that are left alone until ``resumeAt``.
    var paused: [SlotID] = []
    var resumeAt = Instant.never

    /// A worker that serves `snapshot` on `sockets`, which it takes over, and is reached through `mailbox`. Lines of the
    /// access log go to `log`, what it sees of ill endpoints to `outbox`.
    public init(
        _ snapshot: Snapshot, sockets: [ListeningSocket], mailbox: Mailbox, cap: ConnectionCap,
        outbox: Outbox? = nil, loads: SharedLoads = SharedLoads(), counts: ClientCounts = ClientCounts(),
        log: consuming AccessLog
    ) throws(SystemError) {
        self.mailbox = mailbox
        self.cap = cap
        connections = try Connections(
            snapshot, now: Clock.now(), seed: systemRandom(),
            connectionsMax: Self.connectionsMax(snapshot),
            outbox: outbox, loads: loads, counts: counts, log: log)
        _ = connections.poller.addLevel(mailbox.wake.number, Token(.wake, .none))
        for socket in sockets { open(socket) }
    }

    deinit { listeners.destroy() }

    /// Slots of this worker: as many as there are descriptors for, and no more than memory has room for.
    private static func connectionsMax(_ snapshot: Snapshot) -> Int {
        let most = min(1 << 20, descriptorLimit())
        return snapshot.workerMemory == 0 ? most : min(most, max(256, snapshot.workerMemory / 1024))
    }

    /// Turns until it was told to leave and nothing is left.
    public mutating func run() -> WorkerReport {
        while !turn() {}
        var report = connections.endAll()
        report.telemetry = connections.telemetry()
        cap.add(connections.takeOpenChange())
        connections.log.flush()
        return report
    }

    /// One turn. Whether the worker is done.
    mutating func turn() -> Bool {
        let count = connections.poller.wait(milliseconds: timeout())
        connections.turnBegins(Clock.now())
        // Mail comes first: no request of this batch may go where the mail says that nobody lives any more. In a full
        // batch there may have been no room for its event.
        if connections.lookOver(count) || count == Poller.batchMax { readMail() }
        for i in 0..<count {
            let (token, readiness) = connections.poller.event(i)
            switch token.kind {
            case .client: connections.clientReady(token.slot, readiness)
            case .upstream: connections.upstreamReady(token.slot, readiness)
            case .listener: acceptClients(token.slot)
            case .wake: break
            }
        }
        connections.servePending()
        connections.fireTimers()
        if !paused.isEmpty { resumeListeners() }
        if connections.log.due <= connections.now { connections.log.flush() }
        let change = connections.takeOpenChange()
        if change != 0 { cap.add(change) }
        return drain != nil && stepDrain()
    }

    /// How long the poller may wait: until the next thing is due, rounded up, so that it is due then.
    private mutating func timeout() -> Int32 {
        if connections.hasPending { return 0 }
        var due = min(connections.nextTimer, connections.log.due)
        if drain != nil { due = min(due, drainWake) }
        if !paused.isEmpty { due = min(due, resumeAt) }
        if due == .never { return -1 }
        let nanoseconds = (due - connections.now).nanoseconds
        if nanoseconds <= 0 { return 0 }
        return Int32(min((nanoseconds + 999_999) / 1_000_000, 60_000))
    }

    private mutating func readMail() {
        for mail in mailbox.take() {
            switch mail {
            case .adopt(let snapshot, let terms, let added, let removed):
                if let terms { connections.adopt(terms) }
                connections.adopt(snapshot)
                for index in 0..<listeners.slotCount where listeners.isUsed(index) { findTerms(index) }
                for listening in added {
                    // Who has stopped accepting does not begin again.
                    if let drain, !drain.isAccepting {
                        _ = Socket(owning: listening.descriptor)
                    } else {
                        open(listening)
                    }
                }
                close(removed)
            case .secure(let provision):
                connections.adopt(provision)
                for index in 0..<listeners.slotCount where listeners.isUsed(index) { findTerms(index) }
            case .endpoints(let changes): connections.adopt(changes)
            case .letGo: letGo()
            case .report(let reply, let worker): reply.answer(connections.telemetry(), from: worker)
            case .ping(let heartbeat): heartbeat.beat(connections.now)
            case .drain(let spec):
                drain = Drain(spec, now: connections.now, after: drain)
                connections.beginDraining(inHurry: drain?.deadline != .never)
            }
        }
    }
}
