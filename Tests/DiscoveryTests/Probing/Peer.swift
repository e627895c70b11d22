// An endpoint of the tests' own: a real listener on loopback, which does with each visitor what the test tells it to.

import Glibc
import ProxyCore

@testable import Discovery

/// A server on loopback, at a port that the system chose.
@ControlThread
final class Peer {
    let address: NetworkAddress
    /// Connections that are open now, the most that were open at once, and all that came.
    private(set) var openCount = 0
    private(set) var openMax = 0
    private(set) var visitCount = 0
    /// What the next visitors meet.
    var behaviour: @ControlThread (Visit) async -> Void
    private let listener: Socket
    private var task: Task<Void, Never>?

    init(on text: String = "127.0.0.1:0", _ behaviour: @escaping @ControlThread (Visit) async -> Void) throws {
        guard let wanted = NetworkAddress(text) else { throw SystemError("bind", code: EINVAL, doing: text) }
        let listener = try Socket.listening(on: wanted)
        guard let address = listener.localAddress() else { throw SystemError("getsockname", doing: "testing") }
        self.listener = listener
        self.address = address
        self.behaviour = behaviour
        // The task keeps the listener: a descriptor must not be closed while it is waited for.
        task = ControlThread.spawn {
            while await ControlThread.readable(self.listener.number) == .ready { self.acceptAll() }
        }
    }

    /// A peer that answers each request with `answer`.
    convenience init(answering answer: String) throws {
        try self.init { visit in
            _ = await visit.request()
            await visit.send(answer)
        }
    }

    func close() { task?.cancel() }

    private func acceptAll() {
        while case .connection(let socket, _) = listener.accept() {
            openCount += 1
            openMax = max(openMax, openCount)
            visitCount += 1
            let visit = Visit(socket)
            ControlThread.spawn {
                await self.behaviour(visit)
                visit.close()
                self.openCount -= 1
            }
        }
    }
}

/// One connection to a ``Peer``.
@ControlThread
final class Visit {
    private var socket: Socket
    private var buffer = ByteBuffer(capacity: 8192)

    init(_ socket: consuming Socket) { self.socket = socket }

    /// The request's head, or as much as came before the visitor left.
    func request() async -> String {
        while true {
            let text = buffer.text()
            if text.hasSuffix("\r\n\r\n") { return text }
            guard await ControlThread.readable(socket.number) == .ready else { return text }
            switch socket.receive(into: &buffer) {
            case .bytes, .wouldBlock: continue
            case .end, .broken: return text
            }
        }
    }

    /// Sends `text`; whether all of it could be sent.
    @discardableResult
    func send(_ text: String) async -> Bool {
        var bytes = ByteBuffer(capacity: max(text.utf8.count, 1))
        bytes.append(utf8: text)
        while !bytes.isEmpty {
            switch socket.send(&bytes) {
            case .bytes: continue
            case .wouldBlock: guard await ControlThread.writable(socket.number) == .ready else { return false }
            case .end, .broken: return false
            }
        }
        return true
    }

    /// Lets the control thread turn once, so that others see what was sent.
    func nextTurn() async { _ = await ControlThread.writable(socket.number) }

    /// Says nothing until the visitor has left.
    func untilLeft() async {
        while true {
            guard await ControlThread.readable(socket.number) == .ready else { return }
            buffer.clear()
            switch socket.receive(into: &buffer) {
            case .bytes, .wouldBlock: continue
            case .end, .broken: return
            }
        }
    }

    /// Whether the visitor left with a reset, and not with an end.
    func wasReset() async -> Bool {
        while true {
            guard await ControlThread.readable(socket.number) == .ready else { return false }
            buffer.clear()
            switch socket.receive(into: &buffer) {
            case .bytes, .wouldBlock: continue
            case .end: return false
            case .broken: return true
            }
        }
    }

    func reset() { socket.resetOnClose() }

    func close() { socket = Socket.none() }
}

/// What a prober told.
@ControlThread
final class Heard {
    private(set) var changes: [HealthChange] = []
    private(set) var ghosts: [GhostFinding] = []
    private let news = Gate()

    func hear(_ more: [HealthChange]) {
        changes += more
        news.open()
    }

    func hear(_ ghost: GhostFinding) {
        ghosts.append(ghost)
        news.open()
    }

    /// Waits until `isFulfilled`, which is asked whenever something was told.
    func until(_ isFulfilled: () -> Bool) async {
        while !isFulfilled() {
            news.close()
            await news.passed()
        }
    }

    func forget() {
        changes = []
        ghosts = []
    }
}

/// A prober at work, and what it tells.
@ControlThread
final class Watch {
    let heard = Heard()
    let prober: Prober
    private let task: Task<Void, Never>

    init(atOnceMax: Int = 512) {
        let heard = heard
        let prober = Prober(
            version: "1", atOnceMax: atOnceMax, changed: { heard.hear($0) }, ghost: { heard.hear($0) })
        self.prober = prober
        task = ControlThread.spawn { await prober.run() }
    }

    /// Ends the prober, and returns when nothing of it is under way any more.
    func end() async {
        task.cancel()
        await task.value
    }
}
