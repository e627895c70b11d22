// How does another thread reach a worker? By leaving mail and waking it; the worker reads at the top of a turn. What
// workers answer comes back in a `TelemetryReply` or a `Heartbeat`, what they have to say unasked in the `Outbox`; but for
// the connection cap, threads of ProxyCore share nothing else.

import Synchronization

/// What a worker can be told.
public enum Mail: Sendable {
    /// Serve this from now on: accept on the added sockets, which the worker now owns, and no more at the removed
    /// addresses. `terms` of TLS that belong to it come with it, because a service that is spoken to over TLS and the
    /// terms for that are one thing: between two mails requests would be served by half of it.
    case adopt(Snapshot, terms: TLSProvision? = nil, added: [ListeningSocket], removed: [ListenerSpec])
    /// Speak TLS on these terms from now on, where listeners do.
    case secure(TLSProvision)
    /// These services have these endpoints from now on; the others stay as they are.
    case endpoints([EndpointsChange])
    /// Accept no more, and close the sockets without a look at who waits there: somebody else has them, too. A later
    /// ``adopt(_:terms:added:removed:)`` brings others.
    case letGo
    /// Finish what is under way and leave. Told again, it can only be shortened.
    case drain(DrainSpec)
    /// Tell what was counted, as the worker of this number.
    case report(TelemetryReply, from: Int)
    /// Say that you turn.
    case ping(Heartbeat)
}

/// A socket that already listens, on its way to the worker that will accept on it.
public struct ListeningSocket: Sendable {
    /// What it was opened for.
    public var spec: ListenerSpec
    /// Its descriptor; whoever holds the mail closes it.
    public var descriptor: Int32

    /// The socket `descriptor`, listening for `spec`.
    public init(spec: ListenerSpec, descriptor: Int32) {
        self.spec = spec
        self.descriptor = descriptor
    }
}

/// The one way into a worker from another thread.
public final class Mailbox: Sendable {
    /// Questions that wait for an answer at most.
    private static let reportsMax = 8

    let wake: WakeHandle
    private let waiting = Mutex(Waiting())

    /// What a worker has not read yet.
    private struct Waiting {
        var mail: [Mail] = []
        /// Changes that stand behind all of ``mail``, the latest of each service. However long the worker is stuck, they
        /// are not more than there are services.
        var changes: [EndpointsChange] = []
        /// Where each service's change stands.
        var places: [String: Int] = [:]
        /// Questions, which are answered after everything else. Of a worker that is stuck only the latest ones wait.
        var reports: [(reply: TelemetryReply, worker: Int)] = []
        var ping: Heartbeat?
        var isEmpty: Bool { mail.isEmpty && changes.isEmpty && reports.isEmpty && ping == nil }

        mutating func add(_ item: Mail) {
            switch item {
            case .endpoints(let changes): for change in changes { merge(change) }
            case .secure:
                closeChanges()
                // Of a worker that is stuck only the latest terms wait.
                if case .secure = mail.last { mail.removeLast() }
                mail.append(item)
            case .adopt, .letGo, .drain:
                closeChanges()
                mail.append(item)
            case .report(let reply, let worker):
                if reports.count == Mailbox.reportsMax { reports.removeFirst() }
                reports.append((reply, worker))
            case .ping(let heartbeat): ping = heartbeat
            }
        }

        private mutating func merge(_ change: EndpointsChange) {
            if let place = places[change.service] {
                changes[place] = change
            } else {
                places[change.service] = changes.count
                changes.append(change)
            }
        }

        /// Everything, in order.
        mutating func takeAll() -> [Mail] {
            closeChanges()
            mail += reports.map { .report($0.reply, from: $0.worker) }
            if let ping { mail.append(.ping(ping)) }
            defer { self = Waiting() }
            return mail
        }

        /// Lets no later change stand before what comes next.
        private mutating func closeChanges() {
            if changes.isEmpty { return }
            mail.append(.endpoints(changes))
            changes = []
            places = [:]
        }
    }

    /// An empty mailbox.
    public init() throws(SystemError) { wake = try WakeHandle() }

    /// Leaves mail. Any thread may call it.
    public func send(_ item: Mail) {
        let wasEmpty = waiting.withLock { waiting in
            defer { waiting.add(item) }
            return waiting.isEmpty
        }
        // Where mail waits already, whoever left it wakes the worker.
        if wasEmpty { wake.wake() }
    }

    /// Takes all mail, in order. Changes of endpoints that came one after another are one, and questions come last.
    public func take() -> [Mail] {
        wake.clear()
        return waiting.withLock { $0.takeAll() }
    }
}
