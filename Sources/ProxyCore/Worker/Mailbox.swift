// How does another thread reach a worker? By leaving mail and waking it; the worker reads at the top of a turn. The
// only thing in ProxyCore that threads share, but for the connection cap.

import Synchronization

/// What a worker can be told.
public enum Mail: Sendable {
    /// Serve this from now on: accept on the added sockets, which the worker now owns, and no more at the removed
    /// addresses.
    case adopt(Snapshot, added: [ListeningSocket], removed: [ListenerSpec])
    /// These services have these endpoints from now on; the others stay as they are.
    case endpoints([EndpointsChange])
    /// Finish what is under way and leave.
    case drain(DrainSpec)
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
        var isEmpty: Bool { mail.isEmpty && changes.isEmpty }

        mutating func add(_ item: Mail) {
            switch item {
            case .endpoints(let changes): for change in changes { merge(change) }
            case .adopt, .drain:
                closeChanges()
                mail.append(item)
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

        /// Lets no later change stand before what comes next.
        mutating func closeChanges() {
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

    /// Takes all mail, in order. Changes of endpoints that came one after another are one.
    func take() -> [Mail] {
        wake.clear()
        return waiting.withLock { waiting in
            waiting.closeChanges()
            defer { waiting = Waiting() }
            return waiting.mail
        }
    }
}
