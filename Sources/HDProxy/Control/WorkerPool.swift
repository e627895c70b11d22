// Which threads serve? Their mailboxes, their ends, and the sockets that they are given.

import Glibc
import ProxyCore
import Synchronization

/// All workers of the process.
final class WorkerPool: Sendable {
    private let mailboxes: [Mailbox]
    private let heartbeats: [Heartbeat]
    /// Of each worker that has left, by its number.
    private let reports = Mutex<[Int: WorkerReport]>([:])
    /// Services of whose changes nobody is told for the moment.
    private let held = Mutex<Set<String>>([])
    private let cap = ConnectionCap()
    private let loads = SharedLoads()
    private let counts = ClientCounts()
    /// Wakes the control loop when a worker has left.
    let left: WakeHandle
    /// What the workers have seen of endpoints that are ill.
    let outbox: Outbox

    /// The mailboxes of `count` workers, which ``start(_:log:)`` brings to life.
    init(count: Int) throws(SystemError) {
        left = try WakeHandle()
        outbox = try Outbox()
        var mailboxes: [Mailbox] = []
        for _ in 0..<count { mailboxes.append(try Mailbox()) }
        self.mailboxes = mailboxes
        let now = Clock.now()
        heartbeats = mailboxes.map { _ in Heartbeat(now) }
    }

    /// Starts the workers; they serve `snapshot` as soon as they are given sockets.
    func start(_ snapshot: Snapshot, log: LogWriter) throws(SystemError) {
        for (index, mailbox) in mailboxes.enumerated() {
            _ = try Thread(name: "worker-\(index)") { [self] in serve(index, snapshot, mailbox, log) }
        }
    }

    private func serve(_ index: Int, _ snapshot: Snapshot, _ mailbox: Mailbox, _ log: LogWriter) {
        var report = WorkerReport()
        do throws(SystemError) {
            var worker = try Worker(
                snapshot, sockets: [], mailbox: mailbox, cap: cap, outbox: outbox, loads: loads, counts: counts,
                log: AccessLog { log.write($0) })
            report = worker.run()
        } catch {
            writeFully("hdproxy: \(error)\n", to: STDERR_FILENO)
            exit(1)
        }
        reports.withLock { $0[index] = report }
        // Whoever asked in the meantime need not wait in vain.
        for case .report(let reply, let index) in mailbox.take() { reply.answer(report.telemetry, from: index) }
        left.wake()
    }

    /// How many workers there are.
    var count: Int { mailboxes.count }

    /// Tells every worker what to serve from now on, and on what terms of TLS, where those change. `sockets` holds one set
    /// of new ones for each.
    func adopt(
        _ snapshot: Snapshot, terms: TLSProvision? = nil, added sockets: [[ListeningSocket]] = [],
        removed: [ListenerSpec] = []
    ) {
        for (index, mailbox) in mailboxes.enumerated() {
            let added = index < sockets.count ? sockets[index] : []
            mailbox.send(.adopt(snapshot, terms: terms, added: added, removed: removed))
        }
    }

    /// Tells every worker on what terms to speak TLS from now on.
    func secure(_ provision: TLSProvision) { for mailbox in mailboxes { mailbox.send(.secure(provision)) } }

    /// Tells every worker to accept no more, and to leave those who wait to somebody else.
    func letGo() { for mailbox in mailboxes { mailbox.send(.letGo) } }

    /// Tells every worker where services live now.
    func change(_ changes: [EndpointsChange]) {
        let told = held.withLock { held in
            held.isEmpty ? changes : changes.filter { !held.contains($0.service) }
        }
        if told.isEmpty { return }
        for mailbox in mailboxes { mailbox.send(.endpoints(told)) }
    }

    /// Tells no worker of these services until a snapshot does; an empty set ends that.
    func hold(changesOf services: Set<String>) { held.withLock { $0 = services } }

    /// Asks every worker how it is doing. One that has left has said it before.
    func report(to reply: TelemetryReply) {
        let left = reports.withLock { $0 }
        for (index, mailbox) in mailboxes.enumerated() {
            if let report = left[index] {
                reply.answer(report.telemetry, from: index)
            } else {
                mailbox.send(.report(reply, from: index))
            }
        }
    }

    /// Asks every worker to say that it turns.
    func ping() { for (mailbox, heartbeat) in zip(mailboxes, heartbeats) { mailbox.send(.ping(heartbeat)) } }

    /// When each worker turned last, as far as it was asked; nil for one that has left.
    var lastTurns: [Instant?] {
        let left = reports.withLock { Set($0.keys) }
        return heartbeats.enumerated().map { left.contains($0) ? nil : $1.lastTurn }
    }

    /// Tells every worker to leave.
    func drain(_ spec: DrainSpec) { for mailbox in mailboxes { mailbox.send(.drain(spec)) } }

    /// What the workers had to say, once all have left; nil before that.
    func finalReport() -> WorkerReport? {
        left.clear()
        return reports.withLock { reports in
            guard reports.count == mailboxes.count else { return nil }
            return reports.values.reduce(WorkerReport()) { sum, report in
                var sum = sum
                sum.counters = sum.counters + report.counters
                sum.cutExchanges += report.cutExchanges
                sum.cutTunnels += report.cutTunnels
                return sum
            }
        }
    }
}
