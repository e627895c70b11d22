// How does another thread reach a worker? By leaving mail and waking it; the worker reads at the top of a turn. The
// only thing in ProxyCore that threads share, but for the connection cap.

import Synchronization

/// What a worker can be told.
public enum Mail: Sendable {
    /// Serve this from now on: accept on the added sockets, which the worker now owns, and no more at the removed
    /// addresses.
    case adopt(Snapshot, added: [ListeningSocket], removed: [ListenerSpec])
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
    private let mail = Mutex<[Mail]>([])

    /// An empty mailbox.
    public init() throws(SystemError) { wake = try WakeHandle() }

    /// Leaves mail. Any thread may call it.
    public func send(_ item: Mail) {
        mail.withLock { $0.append(item) }
        wake.wake()
    }

    /// Takes all mail.
    func take() -> [Mail] {
        wake.clear()
        return mail.withLock { mail in
            defer { mail = [] }
            return mail
        }
    }
}
