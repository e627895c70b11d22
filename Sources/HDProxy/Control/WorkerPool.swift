// Which threads serve? Their mailboxes, their ends, and the sockets that they are given.

import Glibc
import ProxyCore
import Synchronization

/// All workers of the process.
final class WorkerPool: Sendable {
    private let mailboxes: [Mailbox]
    private let reports = Mutex<[WorkerReport]>([])
    private let cap = ConnectionCap()
    /// Wakes the control loop when a worker has left.
    let left: WakeHandle

    /// Starts `count` workers that serve `snapshot`; `sockets` holds one set for each of them.
    init(count: Int, _ snapshot: Snapshot, sockets: [[ListeningSocket]], log: LogWriter) throws(SystemError) {
        left = try WakeHandle()
        var mailboxes: [Mailbox] = []
        for _ in 0..<count { mailboxes.append(try Mailbox()) }
        self.mailboxes = mailboxes
        for (index, mailbox) in mailboxes.enumerated() {
            let own = sockets[index]
            _ = try Thread(name: "worker-\(index)") { [self] in serve(snapshot, own, mailbox, log) }
        }
    }

    private func serve(_ snapshot: Snapshot, _ sockets: [ListeningSocket], _ mailbox: Mailbox, _ log: LogWriter) {
        var report = WorkerReport()
        do throws(SystemError) {
            var worker = try Worker(
                snapshot, sockets: sockets, mailbox: mailbox, cap: cap, log: AccessLog { log.write($0) })
            report = worker.run()
        } catch {
            writeFully("hdproxy: \(error)\n", to: STDERR_FILENO)
            exit(1)
        }
        reports.withLock { $0.append(report) }
        left.wake()
    }

    /// How many workers there are.
    var count: Int { mailboxes.count }

    /// Tells every worker what to serve from now on. `sockets` holds one set of new ones for each.
    func adopt(_ snapshot: Snapshot, added sockets: [[ListeningSocket]], removed: [ListenerSpec]) {
        for (index, mailbox) in mailboxes.enumerated() {
            mailbox.send(.adopt(snapshot, added: sockets[index], removed: removed))
        }
    }

    /// Tells every worker to leave.
    func drain(_ spec: DrainSpec) { for mailbox in mailboxes { mailbox.send(.drain(spec)) } }

    /// What the workers had to say, once all have left; nil before that.
    func finalReport() -> WorkerReport? {
        left.clear()
        return reports.withLock { reports in
            guard reports.count == mailboxes.count else { return nil }
            return reports.reduce(WorkerReport()) { sum, report in
                var sum = sum
                sum.counters = sum.counters + report.counters
                sum.cutExchanges += report.cutExchanges
                sum.cutTunnels += report.cutTunnels
                return sum
            }
        }
    }
}
