// How one process follows another, seen by clients: real processes, real sockets, and load that must not notice.

import Foundation
import ProxyCore
import Testing

@testable import HDProxy

@Suite("Handoff")
struct HandoffTests {
    /// Processes that follow each other before one upstream.
    final class Scene {
        let ports: [UInt16]
        let adminPort: UInt16
        let name = "@hdproxy-test/\(UUID().uuidString)"
        private let backends: Backends
        private let backend: LoopbackAddress
        let sockets: URL

        init(ports count: Int = 1) throws {
            ports = try (0..<count).map { _ in try freePort() }
            adminPort = try freePort()
            backends = try Backends()
            backend = LoopbackAddress(port: try freePort())
            try backends.open("b", at: backend)
            sockets = FileManager.default.temporaryDirectory.appending(path: "handoff-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: sockets, withIntermediateDirectories: true)
        }

        deinit {
            backends.stop()
            try? FileManager.default.removeItem(at: sockets)
        }

        var port: UInt16 { ports[0] }

        /// A configuration for the ports of these numbers; of the service `a`, where it lives if not at the backend.
        func text(
            workers: Int = 1, listeners: [Int] = [0], confirm: String = "10s", drain: String = "2s",
            service: String? = nil, more: String = ""
        ) -> String {
            configuration(
                listeners: listeners.map { ports[$0] }, services: ["a": service ?? "endpoints: [ \"\(backend)\" ]"],
                more: """
                    admin: { address: "127.0.0.1:\(adminPort)", socket: "\(sockets.path)/%p.sock" },
                    handoff: { socket: "\(name)", confirm: "\(confirm)" }, drain: { timeout: "\(drain)" },
                    \(more)
                    """
            ).replacingOccurrences(of: "workers: 1", with: "workers: \(workers)")
        }

        /// Starts a process on the ports of these numbers.
        func start(
            workers: Int = 1, listeners: [Int] = [0], confirm: String = "10s", drain: String = "2s"
        ) throws -> ProxyProcess {
            try start(text(workers: workers, listeners: listeners, confirm: confirm, drain: drain))
        }

        /// Starts a process with this configuration, which has the first port.
        func start(_ text: String) throws -> ProxyProcess {
            try ProxyProcess(configuration: text, awaiting: [ports[0]])
        }

        /// Whether somebody serves at the port of this number.
        func isServed(_ number: Int = 0) -> Bool {
            guard let peer = try? Peer(connectedTo: ports[number]) else { return false }
            peer.says(request())
            return (try? peer.hearsAnswer())?.head.status == 200
        }

        /// What the process answers at `path` of its own socket.
        func ask(_ proxy: ProxyProcess, _ path: String) throws -> (status: Int, text: String) {
            let answer = try AdminClient.ask(path, at: .unix("\(sockets.path)/\(proxy.pid).sock"), within: .seconds(5))
            return (Int(answer.status), answer.text)
        }

        func load(clients: Int = 4, onNewConnections: Bool = false) -> Load {
            Load(on: port, host: "a.test", clients: clients)
        }
    }

    /// Somebody who speaks to a handoff socket, well or badly.
    final class Stranger {
        private let socket: Socket
        private var reader = HandoffReader(bytesMax: 1 << 20)
        private(set) var descriptors: [HeldDescriptor] = []

        /// Connects as soon as somebody listens there: a process does a moment after it serves.
        init(_ name: String) throws {
            let deadline = Deadline.after(.seconds(10))
            while true {
                switch UnixListener.connect(to: name) {
                case .connected(let socket):
                    self.socket = socket
                    return
                case .failed(let code):
                    guard code == ECONNREFUSED, .now < deadline else {
                        throw StageError("connect to \(name): errno \(code)")
                    }
                    usleep(2_000)
                }
            }
        }

        func says(_ bytes: [UInt8]) { _ = socket.send(bytes[...], with: []) }
        func says(_ message: HandoffMessage) { says(HandoffFrame.write(message)) }
        func asks(_ versions: ClosedRange<Int> = 1...1) {
            says(.ask(oldest: versions.lowerBound, newest: versions.upperBound, version: "test", process: 1))
        }

        /// The next message; nil at the end of the connection, or when nothing comes.
        func hears(within patience: Duration = .seconds(5)) -> HandoffMessage? {
            let deadline = Deadline.after(patience)
            while deadline > .now {
                do { if let message = try reader.next() { return message } } catch { return nil }
                var bytes: [UInt8] = []
                switch socket.receive(&bytes, limit: 65_536, descriptors: &descriptors) {
                case .bytes: reader.append(bytes)
                case .end, .broken: return nil
                case .wouldBlock: usleep(1000)
                }
            }
            return nil
        }

        /// Whether the other side ends the connection in time.
        func hearsEnd(within patience: Duration = .seconds(5)) -> Bool {
            let start = Deadline.now
            while start.duration(to: .now) < patience {
                var bytes: [UInt8] = []
                switch socket.receive(&bytes, limit: 65_536, descriptors: &descriptors) {
                case .bytes: continue
                case .end, .broken: return true
                case .wouldBlock: usleep(1000)
                }
            }
            return false
        }

        /// Asks and takes everything that is offered.
        func takesAll() throws {
            asks()
            guard case .offer(_, _, _, _, let count) = hears() else { throw StageError("no offer") }
            var taken = 0
            while taken < count {
                guard case .descriptors(let places) = hears() else { throw StageError("no descriptors") }
                taken += places.count
            }
        }
    }

    // MARK: Following

    @Test(
        "clients notice nothing, whatever the numbers of workers; the old process goes when its last one has gone",
        arguments: [(1, 4), (4, 1), (2, 2)])
    func follows(_ workers: (Int, Int)) async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start(workers: workers.0, confirm: "300ms")
            let load = scene.load()
            try load.awaitAnswers(200)
            let second = try scene.start(workers: workers.1, confirm: "300ms")
            #expect(second.awaitOutput("taken_over"), "\(second.output)")
            #expect(first.awaitOutput("handed_over"))
            #expect(first.awaitExit(within: .seconds(10)) == 0, "\(first.output)")
            try load.awaitAnswers(200)
            let report = load.stop()
            #expect(report.failures.isEmpty, "\(report.failures)")
            #expect(try scene.ask(second, "/readyz").status == 200)
            // Totals go on: what the first one has counted until then is in the second one's.
            let counted = try scene.ask(second, "/metrics").text.split(separator: "\n")
                .first { $0.hasPrefix("hdproxy_requests_total{") }?.split(separator: " ").last.flatMap { Int($0) }
            #expect((counted ?? 0) >= 200, "\(counted ?? -1)")
        }
    }

    @Test("three in a row, each within the time in which the one before could take back")
    func chain() async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start(workers: 2, confirm: "3s")
            let load = scene.load()
            let second = try scene.start(workers: 1, confirm: "3s")
            #expect(second.awaitOutput("taken_over"))
            let third = try scene.start(workers: 3, confirm: "3s")
            #expect(third.awaitOutput("taken_over"))
            #expect(second.awaitOutput("handed_over"))
            for old in [first, second] {
                let ready = try scene.ask(old, "/readyz")
                #expect(ready.status == 503 && ready.text.contains("handed over"))
                #expect(try scene.ask(old, "/healthz").status == 200)
                #expect(try scene.ask(old, "/api/v1/status").text.contains("\"handed-over\""))
            }
            #expect(first.exitStatus() == nil && second.exitStatus() == nil)
            #expect(first.awaitExit(within: .seconds(10)) == 0 && second.awaitExit(within: .seconds(10)) == 0)
            try load.awaitAnswers(100)
            let report = load.stop()
            #expect(report.failures.isEmpty, "\(report.failures)")
        }
    }

    @Test("listeners that are new are there, those that are gone are refused, and come back with the old process")
    func otherListeners() async throws {
        try await onThread {
            let scene = try Scene(ports: 3)
            let first = try scene.start(listeners: [0, 1])
            let second = try scene.start(workers: 2, listeners: [0, 2])
            #expect(second.awaitOutput("taken_over"))
            #expect(scene.isServed(0) && scene.isServed(2))
            #expect((try? Peer(connectedTo: scene.ports[1])) == nil)
            second.signal(SIGKILL)
            #expect(first.awaitOutput("taken_back"))
            #expect(scene.isServed(0) && scene.isServed(1))
        }
    }

    // MARK: Taking back

    @Test("when the successor is killed, the old process accepts again at once, is ready, and can be followed")
    func killed() async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start(workers: 2)
            for _ in 0..<2 {
                let second = try scene.start(workers: 2)
                #expect(second.awaitOutput("taken_over"), "\(second.output)")
                // Connections of the successor's die with it; those that come afterwards must not.
                second.signal(SIGKILL)
                let killed = Deadline.now
                let client = try Peer(connectedTo: scene.port)
                client.says(request())
                let answer = try? client.hearsAnswer()
                let took = killed.duration(to: .now)
                #expect(answer?.head.status == 200)
                #expect(took < .milliseconds(500), "accepting again took \(took)")  // 100 ms, on a machine that is busy
                _ = second.awaitExit(within: .seconds(5))
                #expect(try scene.ask(first, "/readyz").status == 200)
            }
            let text = try scene.ask(first, "/metrics").text
            #expect(text.contains("hdproxy_handoff_total{outcome=\"taken_back\"} 2"))
            let third = try scene.start()
            #expect(third.awaitOutput("taken_over"))
        }
    }

    @Test("a successor that is killed before it has everything, or before it was told to accept, changes nothing")
    func killedEarly() async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start(workers: 2)
            let load = scene.load()
            for step in 0..<4 {
                let stranger = try Stranger(scene.name)
                if step > 0 { stranger.asks() }
                if step > 1 { #expect(stranger.hears() != nil) }
                if step > 2 { stranger.says(.received(dropped: [])) }
            }
            do {
                let stranger = try Stranger(scene.name)
                try stranger.takesAll()
                #expect(stranger.descriptors.count == 4)  // two sockets of the listener, admin, handoff
                stranger.says(.received(dropped: []))
                guard case .stopped = stranger.hears() else { throw StageError("it did not stop") }
                #expect(try scene.ask(first, "/readyz").status == 503)
            }
            #expect(first.awaitOutput("taken_back"))
            try load.awaitAnswers(100)
            let report = load.stop()
            #expect(report.failures.isEmpty, "\(report.failures)")
        }
    }

    @Test("a SIGTERM in that time is its first one: nothing ends before the time is over")
    func signal() async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start(confirm: "1500ms")
            let begin = Deadline.now
            let second = try scene.start()
            #expect(second.awaitOutput("taken_over"))
            first.signal(SIGTERM)
            #expect(first.awaitExit(within: .seconds(10)) == 0)
            #expect(begin.duration(to: .now) >= .milliseconds(1500))
            #expect(!first.output.contains("second signal"))
            // And where the successor dies, it accepts until then.
            let third = try scene.start()
            #expect(third.awaitOutput("taken_over"))
            second.signal(SIGTERM)
            #expect(second.awaitOutput("leaving_later"))
            third.signal(SIGKILL)
            #expect(second.awaitOutput("taken_back"))
            let client = try Peer(connectedTo: scene.port)
            client.says(request())
            #expect(try client.hearsAnswer().head.status == 200)
            let fourth = try scene.start()
            #expect(fourth.awaitOutput("taken_over"))
        }
    }

    @Test("a connection of the old process lives through the time, and is told to close after it")
    func keepAlive() async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start(confirm: "700ms")
            let client = try Peer(connectedTo: scene.port)
            func ask() throws -> Bool {
                client.says(request())
                let answer = try client.hearsAnswer()
                #expect(answer.head.status == 200)
                return answer.head.members("Connection").contains("close")
            }
            #expect(try ask() == false)
            let second = try scene.start()
            #expect(second.awaitOutput("taken_over"))
            #expect(try ask() == false)
            #expect(first.awaitOutput("handoff_over"))
            #expect(first.exitStatus() == nil)
            #expect(try ask() == true)
            #expect(first.awaitExit(within: .seconds(5)) == 0)
        }
    }

    // MARK: Peers that are none

    @Test("garbage, silence and crowds keep nobody waiting, and the next successor gets its place")
    func strangers() async throws {
        try await onThread {
            let scene = try Scene()
            let first = try scene.start()
            let descriptors = first.openDescriptors
            let load = scene.load()
            for bytes in [
                Array("GET / HTTP/1.1\r\n\r\n".utf8), HandoffFrame.magic + [255, 255, 255, 255],
                HandoffFrame.write(.passedOn), HandoffFrame.write(.received(dropped: [])),
                HandoffFrame.magic + [0, 0, 0, 2] + Array("{}".utf8), [UInt8](repeating: 0, count: 200_000),
            ] {
                let stranger = try Stranger(scene.name)
                stranger.says(bytes)
                #expect(stranger.hearsEnd(), "\(bytes.prefix(20))")
            }
            let silent = try (0..<16).map { _ in try Stranger(scene.name) }
            #expect(try Stranger(scene.name).hearsEnd(within: .seconds(1)), "the seventeenth is closed at once")
            for stranger in silent { #expect(stranger.hearsEnd(within: .seconds(4))) }
            let tooOld = try Stranger(scene.name)
            tooOld.asks(2...9)
            #expect(tooOld.hears() == .refuse(reason: "version", version: hdproxyVersion))
            let newer = try Stranger(scene.name)
            newer.asks(1...9)
            guard case .offer(1, _, _, 10_000, 3) = newer.hears() else { throw StageError("no offer for 1...9") }
            // A second one is told to wait; a real one waits until the first one's time is over.
            let other = try Stranger(scene.name)
            other.asks()
            #expect(other.hears() == .refuse(reason: "busy", version: hdproxyVersion))
            let second = try scene.start()
            #expect(second.awaitOutput("taken_over", within: .seconds(10)), "\(second.output)")
            #expect(newer.hearsEnd(within: .seconds(1)))
            let report = load.stop()
            #expect(report.failures.isEmpty, "\(report.failures)")
            #expect(first.openDescriptors <= descriptors + 8)
        }
    }

    @Test(
        "a predecessor that is none, is silent or hangs half-way: the process starts without it, and says so",
        arguments: 0..<4)
    func badPredecessors(_ kind: Int) async throws {
        try await onThread {
            let scene = try Scene()
            let listener = try UnixListener(path: scene.name)
            let isOver = Locked(false)
            let number = listener.number
            Detached {
                var held: [HandoffConnectionStub] = []
                while !isOver.withLock({ $0 }) {
                    let fd = accept(number, nil, nil)
                    guard fd >= 0 else {
                        usleep(2000)
                        continue
                    }
                    let socket = Socket(owning: fd)
                    switch kind {
                    case 0: _ = socket.send(Array("SSH-2.0-OpenSSH\r\n".utf8)[...], with: [])
                    case 1: break
                    case 2:
                        let offer = HandoffMessage.offer(
                            protocol: 1, version: "", process: 0, confirmMilliseconds: 0, descriptors: 1)
                        _ = socket.send(HandoffFrame.write(offer)[...], with: [])
                    default:
                        _ = socket.send(
                            HandoffFrame.write(.refuse(reason: "leaving", version: ""))[...], with: [])
                    }
                    held.append(HandoffConnectionStub(socket))
                }
            }.start()
            let begin = Deadline.now
            let proxy = try scene.start()
            #expect(proxy.awaitOutput("handoff_failed"), "\(proxy.output)")
            #expect(begin.duration(to: .now) < .seconds(9))
            let client = try Peer(connectedTo: scene.port)
            client.says(request())
            #expect(try client.hearsAnswer().head.status == 200)
            #expect(try scene.ask(proxy, "/metrics").text.contains("hdproxy_handoff_total{outcome=\"failed\"} 1"))
            isOver.withLock { $0 = true }
        }
    }
}

/// Holds a connection open.
final class HandoffConnectionStub {
    private let socket: Socket
    init(_ socket: consuming Socket) { self.socket = socket }
}
