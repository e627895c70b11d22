// An API server that does as it is told: each request is one call of the test's script, which writes whatever bytes it
// likes. It speaks plain HTTP, since what it is for is what comes after TLS.

import CLinux
import Glibc
import ProxyCore
import Synchronization

@testable import Discovery

/// Listens on a port of its own until it is stopped; each connection has a thread.
final class ScriptedServer: Sendable {
    /// One request: its path with query, and its field lines.
    struct Request: Sendable {
        var connection: Int
        var target: String
        var head: String

        var isWatch: Bool { target.contains("watch=1") }
        var isSlices: Bool { target.contains("/endpointslices") }
        var isServices: Bool { target.contains("/services") }

        /// The value of a query's parameter.
        func query(_ name: String) -> String? {
            target.split(separator: "?").last?.split(separator: "&").first { $0.hasPrefix(name + "=") }
                .map { String($0.dropFirst(name.count + 1)) }
        }
    }

    /// What a script can do with the connection that a request came on.
    struct Conversation: Sendable {
        let descriptor: Int32

        func send(_ bytes: [UInt8]) { _ = sendAll(bytes) }

        /// Whether the other side is still there.
        func sends(_ text: String) -> Bool { sendAll(Array(text.utf8)) }

        private func sendAll(_ bytes: [UInt8]) -> Bool {
            var at = 0
            while at < bytes.count {
                // Safety: the bytes from `at` on are read.
                let n = unsafe bytes.withUnsafeBytes {
                    unsafe Glibc.send(descriptor, $0.baseAddress! + at, bytes.count - at, Int32(MSG_NOSIGNAL))
                }
                guard n > 0 else { return false }
                at += n
            }
            return true
        }

        func send(_ text: String) { send(Array(text.utf8)) }

        /// A whole answer.
        func answer(_ body: String) { answer(200, body) }

        func answer(_ status: Int, _ body: String, fields: String = "") {
            send("HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)")
        }

        /// The head of a watch.
        func beginWatch() {
            send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        }

        /// One chunk.
        func chunk(_ text: String) { send(String(text.utf8.count, radix: 16) + "\r\n" + text + "\r\n") }

        func endWatch() { send("0\r\n\r\n") }

        /// Waits until the other side is gone.
        func waitForEnd() {
            var byte: UInt8 = 0
            // Safety: one byte of room.
            while unsafe recv(descriptor, &byte, 1, 0) > 0 {}
        }
    }

    /// False ends the connection.
    typealias Script = @Sendable (Request, Conversation) -> Bool

    let port: UInt16
    private let listener: Int32
    private let script: Script
    private let open = Mutex<Set<Int32>>([])
    private let log = Mutex<[Request]>([])

    /// All requests so far.
    var requests: [Request] { log.withLock { $0 } }

    init(port: UInt16 = 0, _ script: @escaping Script) throws {
        let socket = try Socket.listening(on: NetworkAddress("127.0.0.1:\(port)")!)
        self.port = socket.localAddress()!.port
        listener = socket.release()
        self.script = script
        // It waits in accept.
        _ = fcntl(listener, F_SETFL, 0)
        _ = try Thread(name: "scripted") { [self] in accept() }
    }

    /// Ends all connections, and listens no more.
    func stop() {
        _ = shutdown(listener, Int32(SHUT_RDWR))
        endConnections()
    }

    /// Ends all connections.
    func endConnections() { open.withLock { for descriptor in $0 { _ = shutdown(descriptor, Int32(SHUT_RDWR)) } } }

    var access: ClusterAccess {
        var access = ClusterAccess(host: .ip(IPAddress("127.0.0.1")!), port: port)
        access.isPlain = true
        return access
    }

    private func accept() {
        var count = 0
        while true {
            let descriptor = Glibc.accept(listener, nil, nil)
            if descriptor < 0 { break }
            count += 1
            let number = count
            open.withLock { _ = $0.insert(descriptor) }
            _ = try? Thread(name: "scripted") { [self] in
                serve(descriptor, number)
                open.withLock { _ = $0.remove(descriptor) }
                _ = close(descriptor)
            }
        }
        _ = close(listener)
    }

    private func serve(_ descriptor: Int32, _ number: Int) {
        var bytes: [UInt8] = []
        while true {
            var piece = [UInt8](repeating: 0, count: 4096)
            // Safety: the kernel writes at most as many bytes as there are.
            let n = unsafe piece.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
            guard n > 0 else { return }
            bytes += piece[..<n]
            let text = String(decoding: bytes, as: UTF8.self)
            guard text.hasSuffix("\r\n\r\n") else { continue }
            bytes = []
            let target = text.split(separator: " ").dropFirst().first.map(String.init) ?? ""
            let request = Request(connection: number, target: target, head: text)
            log.withLock { $0.append(request) }
            guard script(request, Conversation(descriptor: descriptor)) else { return }
        }
    }
}

/// JSON of objects, as little as is needed.
enum Scripted {
    static func slice(_ name: String, _ version: Int, _ ips: [String], service: String = "api") -> String {
        let endpoints = ips.map {
            #"{"addresses":["\#($0)"],"targetRef":{"kind":"Pod","name":"p-\#($0)","uid":"u-\#($0)"}}"#
        }.joined(separator: ",")
        return """
            {"metadata":{"name":"\(name)","namespace":"shop","resourceVersion":"\(version)","labels":\
            {"kubernetes.io/service-name":"\(service)"}},"addressType":"IPv4","endpoints":[\(endpoints)],\
            "ports":[{"name":"http","port":8000}]}
            """
    }

    static func list(_ kind: String, _ version: Int, _ items: [String], next: String = "") -> String {
        #"{"kind":"\#(kind)List","metadata":{"resourceVersion":"\#(version)","continue":"\#(next)"},"items":["#
            + items.joined(separator: ",") + "]}"
    }

    static let service = #"{"metadata":{"name":"api","namespace":"shop"},"spec":{"ports":[{"name":"http","port":80}]}}"#
    static let services = list("Service", 1, [service])

    static func event(_ type: String, _ object: String) -> String { #"{"type":"\#(type)","object":\#(object)}"# + "\n" }

    static func bookmark(_ version: Int, ends: Bool = false) -> String {
        let annotations = ends ? #","annotations":{"k8s.io/initial-events-end":"true"}"# : ""
        return event(
            "BOOKMARK", #"{"kind":"EndpointSlice","metadata":{"resourceVersion":"\#(version)"\#(annotations)}}"#)
    }

    static func status(_ code: Int, _ reason: String, _ details: String = "{}") -> String {
        #"{"kind":"Status","metadata":{},"status":"Failure","message":"scripted","reason":"\#(reason)","details":\#(details),"code":\#(code)}"#
    }
}

/// A source that runs against a server, and what it told.
@ControlThread
final class Witness {
    private(set) var testimonies: [Testimony] = []
    private(set) var notices: [Notice] = []
    private(set) var services: [String: [WitnessedEndpoint]] = [:]
    private(set) var lost: [String] = []
    private(set) var source: KubernetesSource!
    private var task: Task<Void, Never>?

    init(
        _ server: ScriptedServer?, _ services: [ServiceSpec] = [Witness.api],
        cluster: DiscoverySettings.Cluster = .inCluster,
        _ change: (inout KubernetesSource.Options) -> Void = { _ in }
    ) {
        var options = KubernetesSource.Options()
        options.access = server?.access
        change(&options)
        source = KubernetesSource(
            cluster, services: services, environment: [:], options: options,
            heard: { [weak self] in self?.take($0) }, note: { [weak self] in self?.notices.append($0) })
        task = ControlThread.spawn { [source] in await source!.run() }
    }

    static let api = ServiceSpec(
        name: "api", kubernetes: KubernetesReference(namespace: "shop", service: "api", port: .number(80)))

    private func take(_ testimony: Testimony) {
        testimonies.append(testimony)
        switch testimony {
        case .kubernetes(let update): services.merge(update.services) { $1 }
        case .kubernetesLost(let reason): lost.append(reason)
        case .kubernetesHeard, .dns: break
        }
    }

    /// Waits until something holds; false where it does not within some seconds.
    func until(_ condition: () -> Bool) async -> Bool {
        let end = Clock.now() + .milliseconds(20_000)
        while !condition() {
            guard Clock.now() < end else { return false }
            _ = await ControlThread.sleep(for: .milliseconds(2))
        }
        return true
    }

    func addresses(_ service: String = "api") -> String {
        (services[service] ?? []).map { "\($0.address.ip)" }.joined(separator: " ")
    }

    func stop() async {
        task?.cancel()
        await task?.value
    }
}
