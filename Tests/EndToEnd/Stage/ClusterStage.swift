// A cluster on this machine: an API server that a script directs, backends on loopback addresses as its pods, a real
// DNS server, and the real program that learns of them.

import FakeCluster
import Foundation

/// A pod: what slices tell of it, and where it listens.
struct ClusterPod: Sendable {
    /// Where it listens.
    var address: LoopbackAddress
    /// What slices tell of it.
    var told: FakePod
    /// What it is called, and what it answers with.
    var name: String { told.name }

    init(name: String, address: LoopbackAddress) {
        self.address = address
        told = FakePod(ip: address.host, name: name)
    }

    /// The same pod, on its way to being ready, or on its way out.
    func with(ready: Bool, serving: Bool? = nil, terminating: Bool = false) -> ClusterPod {
        var pod = self
        pod.told = told.with(ready: ready, serving: serving ?? ready, terminating: terminating)
        return pod
    }
}

/// Houses of 127.0.0.0/8 for pods: each is given away once in this process, so that one address of a test is never
/// another test's. The first ones belong to plays.
private let nextHouse = Locked(UInt16(0x4000))

/// The stage of one play.
final class ClusterStage: Sendable {
    /// The namespace that all of it happens in.
    static let namespace = "honeydue"

    /// What is in the cluster.
    let cluster = FakeCluster()
    /// Who tells of it.
    let server: FakeAPIServer
    let backends: Backends
    /// Where the proxy serves, and where it tells how it is.
    let port: UInt16
    private let adminPort: UInt16
    /// The port that all pods listen on.
    private let podPort: UInt16
    private let folder: URL
    private let state = Locked(State())

    private struct State {
        var proxy: ProxyProcess?
        var dns: Dnsmasq?
        var pods = 0
    }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "cluster-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appending(path: "state"), withIntermediateDirectories: true)
        server = try FakeAPIServer(cluster)
        backends = try Backends()
        port = try freePort()
        adminPort = try freePort()
        podPort = try freePort()
        try writeFiles()
    }

    deinit {
        state.withLock { $0.proxy?.stop() }
        backends.stop()
        server.stop()
        try? FileManager.default.removeItem(at: folder)
    }

    // MARK: The cluster

    /// A new pod that listens at an address of its own.
    func startPod(of service: String, answersAfter: Duration = .zero) throws -> ClusterPod {
        let number = state.withLock { state in
            state.pods += 1
            return state.pods
        }
        let house = nextHouse.withLock { next in
            next += 1
            return next
        }
        let pod = ClusterPod(
            name: "\(service)-\(number)", address: LoopbackAddress(number: house, port: podPort))
        try backends.open(pod.name, at: pod.address, answersAfter: answersAfter)
        return pod
    }

    /// The slices of `service` are `pods` from now on.
    func publish(_ service: String, _ pods: [ClusterPod]) throws {
        cluster.setService(Self.namespace, service, ports: [FakePort("http", port: 80, targetPort: podPort)])
        cluster.setEndpoints(Self.namespace, service, pods.map(\.told))
    }

    /// Starts dnsmasq, which the proxy asks.
    func startDNS(_ names: [String: [String]]) throws -> Dnsmasq {
        let dns = try Dnsmasq(names)
        state.withLock { $0.dns = dns }
        return dns
    }

    /// What the proxy finds as its CA and its token from now on: the API server's present authority, and `token`.
    func writeFiles(token: String = FakeAPIServer.defaultToken) throws {
        try server.writeFiles(
            caFile: folder.appending(path: "ca.crt").path, tokenFile: folder.appending(path: "token").path,
            token: token)
    }

    // MARK: The proxy

    /// The running program.
    var proxy: ProxyProcess {
        guard let proxy = state.withLock(\.proxy) else { fatalError("the proxy was not started") }
        return proxy
    }

    /// Starts it; unless told otherwise returns once it is ready.
    func start(
        isReady: Bool = true, within circumstances: ProxyProcess.Circumstances = ProxyProcess.Circumstances()
    ) throws {
        let dns = state.withLock(\.dns)
        let witness = dns == nil ? "" : ", dns: { name: \"api.cluster.local.\", port: \(podPort) }"
        let text = configuration(
            listeners: [port],
            services: [
                "api":
                    "kubernetes: { namespace: \"\(Self.namespace)\", service: \"api\", port: \"http\" }\(witness)"
            ],
            more: """
                admin: { address: "127.0.0.1:\(adminPort)", socket: "\(folder.path)/admin-%p.sock" },
                discovery: {
                  kubernetes: { server: "\(server.url)", caFile: "\(folder.path)/ca.crt", tokenFile: "\(folder.path)/token" },
                  dns: { servers: [ "127.0.0.1:\(dns?.port ?? 9)" ] },
                  stateDirectory: "\(folder.path)/state",
                },
                """)
        state.withLock { $0.proxy?.stop() }
        let proxy = try ProxyProcess(
            configuration: text, awaiting: isReady ? [port, adminPort] : [], within: circumstances)
        state.withLock { $0.proxy = proxy }
        if isReady {
            _ = try self.await("readiness", within: .seconds(30)) {
                try admin("/readyz").status == 200 ? true : nil
            }
        }
    }

    /// What an answer came to.
    struct Answer: Sendable {
        var status: Int
        var text: String
    }

    /// What the admin listener answers.
    func admin(_ path: String) throws -> Answer { try get(path, host: "localhost", on: adminPort) }

    /// What the proxy answers for `host`.
    func ask(_ host: String) throws -> Answer { try get("/", host: host, on: port) }

    private func get(_ path: String, host: String, on port: UInt16) throws -> Answer {
        let client = try Peer(connectedTo: port)
        client.says(request(path, host: host, fields: "Connection: close\r\n"))
        let answer = try client.hearsAnswer()
        return Answer(status: answer.head.status, text: String(decoding: answer.body, as: UTF8.self))
    }

    /// What it says of itself.
    func status() throws -> StatusPage {
        try JSONDecoder().decode(StatusPage.self, from: Data(try admin("/api/v1/status").text.utf8))
    }

    /// The value of a metric, by its name and labels as they are written.
    func metric(_ name: String) throws -> Double? {
        try admin("/metrics").text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
            .flatMap { Double($0.dropFirst(name.utf8.count + 1)) }
    }

    /// The file in which it keeps what it learned.
    var stateFile: URL { folder.appending(path: "state/endpoints.json") }

    // MARK: Waiting

    /// Asks again and again until `question` has an answer.
    @discardableResult
    func await<Value>(
        _ what: String, within patience: Duration = .seconds(20), _ question: () throws -> Value?
    ) throws -> Value {
        let deadline = Deadline.after(patience)
        var last: (any Error)?
        repeat {
            do {
                if let value = try question() { return value }
                last = nil
            } catch {
                last = error
            }
            usleep(2_000)  // A status page has to be asked: it does not call.
        } while deadline > .now
        let said = state.withLock(\.proxy)?.output.suffix(3000) ?? ""
        throw StageError("waiting for \(what): \(last.map { "\($0)" } ?? "not in time")\n\(said)")
    }

    /// Waits until `host` is answered by a backend.
    func awaitAnswer(of host: String, within patience: Duration = .seconds(20)) throws {
        try self.await("an answer of \(host)", within: patience) { try ask(host).status == 200 ? true : nil }
    }

    /// Waits until the status page calls `pod` usable for `service`.
    func awaitDialled(_ pod: ClusterPod, in service: String, within patience: Duration = .seconds(20)) throws {
        try self.await("\(pod.name) to be used", within: patience) {
            try status().service(service).endpoints.contains { $0.address == pod.address.description && $0.usable }
                ? true : nil
        }
    }

    /// Waits until a request has come to `pod`. It may take a while: one that is new gets little at first.
    func awaitAsked(_ pod: ClusterPod) throws {
        try self.await("a request to \(pod.name)") { backends.record(of: pod.name).requests > 0 ? true : nil }
    }

    /// Waits until no usable endpoint of `service` has the address of `pod`.
    func awaitNotDialled(_ pod: ClusterPod, in service: String) throws {
        try self.await("\(pod.name) to be left alone") {
            try status().service(service).endpoints.contains { $0.address == pod.address.description && $0.usable }
                ? nil : true
        }
    }

    /// Waits until what was learned is on disk.
    func awaitStateFile() throws {
        // Beside it stands for a moment what is going to be it.
        try self.await("the last known endpoints on disk") {
            FileManager.default.fileExists(atPath: stateFile.path) ? true : nil
        }
    }
}

/// `/api/v1/status`, as far as tests ask for it.
struct StatusPage: Decodable, Sendable {
    struct Source: Decodable, Sendable {
        var name: String
        var synced: Bool
        var stale: Bool
        var error: String?
    }

    struct Endpoint: Decodable, Sendable {
        var address: String
        var terminating: Bool
        var usable: Bool
    }

    struct Disagreement: Decodable, Sendable {
        var address: String
        var witness: String
        var text: String
    }

    struct Service: Decodable, Sendable {
        var name: String
        var endpoints: [Endpoint]
        var disagreements: [Disagreement]
    }

    var state: String
    var sources: [Source]
    var services: [Service]

    func service(_ name: String) throws -> Service {
        guard let service = services.first(where: { $0.name == name }) else {
            throw StageError("no service \(name) in the status")
        }
        return service
    }
}
