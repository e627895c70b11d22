// A changed configuration: adopted without touching a connection, or refused while the old one stays.

import Foundation
import Testing

@Suite("Reload")
struct ReloadTests {
    /// How a new text comes into the file's place.
    enum Change: String, CaseIterable, Sendable {
        case writtenInPlace = "written in place, then SIGHUP"
        case watchedWrite = "written in place, no signal"
        case watchedRename = "renamed into place, no signal"
        case configMap = "as Kubernetes swaps a ConfigMap, no signal"
    }

    /// Asks for `host` until the status is `wanted`.
    private static func awaitStatus(_ wanted: Int, of host: String, on port: UInt16) -> Bool {
        let deadline = Deadline.after(.seconds(5))
        while deadline > .now {
            if let client = try? Peer(connectedTo: port) {
                client.says(request(host: host))
                if (try? client.hearsAnswer(within: .seconds(2)))?.head.status == wanted { return true }
            }
            usleep(10_000)  // The reload tells nobody but the log.
        }
        return false
    }

    /// Redirects answer without an upstream: the status tells which configuration speaks.
    private static func text(_ port: UInt16, _ upstream: LoopbackListener, status: Int) -> String {
        configuration(
            listeners: [port], services: ["a": endpoint(upstream)],
            routes: [
                "{ host: \"a.test\", service: \"a\" }",
                "{ host: \"r.test\", redirect: { to: \"https://x.test/\", status: \(status) } }",
            ])
    }

    @Test("a route changes while an exchange and an idle connection go on untouched", arguments: Change.allCases)
    func route(_ change: Change) async throws {
        try await onThread {
            let port = try freePort()
            let upstream = try LoopbackListener()
            let old = Self.text(port, upstream, status: 301)
            let proxy = try ProxyProcess(configuration: old, awaiting: [port]) { file in
                if change == .configMap {
                    try Self.place(old, asMountedIn: file.deletingLastPathComponent(), version: 1)
                } else {
                    try old.write(to: file, atomically: false, encoding: .utf8)
                }
            }
            let inFlight = try Peer(connectedTo: port)
            inFlight.says(request())
            let server = try upstream.accepts()
            _ = try server.hearsRequest()
            let idle = try Peer(connectedTo: port)
            idle.says(request(host: "r.test"))
            #expect(try idle.hearsAnswer().head.status == 301)

            let new = Self.text(port, upstream, status: 308)
            switch change {
            case .writtenInPlace, .watchedWrite:
                try new.write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
                if change == .writtenInPlace { proxy.signal(SIGHUP) }
            case .watchedRename: try new.write(to: proxy.configurationFile, atomically: true, encoding: .utf8)
            case .configMap: try Self.place(new, asMountedIn: proxy.folder, version: 2)
            }
            #expect(Self.awaitStatus(308, of: "r.test", on: port), "\(proxy.output)")

            server.says(answer("whole"))
            #expect(try inFlight.hearsAnswer().body == Array("whole".utf8))
            idle.says(request(host: "r.test"))
            #expect(try idle.hearsAnswer().head.status == 308)
        }
    }

    /// Puts `text` where the kubelet would: a link to a file below `..data`, which is a link that is swapped at once.
    private static func place(_ text: String, asMountedIn folder: URL, version: Int) throws {
        let files = FileManager.default
        let data = folder.appending(path: "..v\(version)")
        try files.createDirectory(at: data, withIntermediateDirectories: true)
        try text.write(to: data.appending(path: "hdproxy.json5"), atomically: false, encoding: .utf8)
        let link = folder.appending(path: "..data_tmp")
        try files.createSymbolicLink(atPath: link.path, withDestinationPath: "..v\(version)")
        // Safety: both paths are strings that outlive the call.
        guard unsafe rename(link.path, folder.appending(path: "..data").path) == 0 else {
            throw StageError("rename: errno \(errno)")
        }
        if version == 1 {
            try files.createSymbolicLink(
                atPath: folder.appending(path: "hdproxy.json5").path, withDestinationPath: "..data/hdproxy.json5")
        } else {
            try files.removeItem(at: folder.appending(path: "..v\(version - 1)"))
        }
    }

    @Test(
        "an invalid one is refused and logged, the old one stays, and a valid one after it is adopted",
        arguments: ["{", "{}", "{ listeners: [], services: {}, routes: [], unknown: 1 }", ""])
    func invalid(_ bad: String) async throws {
        try await onThread {
            let port = try freePort()
            let upstream = try LoopbackListener()
            let proxy = try ProxyProcess(configuration: Self.text(port, upstream, status: 301), awaiting: [port])
            let idle = try Peer(connectedTo: port)
            idle.says(request(host: "r.test"))
            #expect(try idle.hearsAnswer().head.status == 301)
            try bad.write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            proxy.signal(SIGHUP)
            #expect(proxy.awaitOutput("refused"), "\(proxy.output)")
            idle.says(request(host: "r.test"))
            #expect(try idle.hearsAnswer().head.status == 301)
            #expect(Self.awaitStatus(301, of: "r.test", on: port))
            try Self.text(port, upstream, status: 307)
                .write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            proxy.signal(SIGHUP)
            #expect(Self.awaitStatus(307, of: "r.test", on: port), "\(proxy.output)")
            #expect(proxy.exitStatus() == nil)
        }
    }

    @Test("a listener is added and another removed; who came in by the removed one is served to the end")
    func listeners() async throws {
        try await onThread {
            let first = try freePort()
            let second = try freePort()
            let upstream = try LoopbackListener()
            let proxy = try ProxyProcess(
                configuration: configuration(listeners: [first], services: ["a": endpoint(upstream)]), awaiting: [first]
            )
            let client = try Peer(connectedTo: first)
            client.says(request())
            let server = try upstream.accepts()
            _ = try server.hearsRequest()
            try configuration(listeners: [second], services: ["a": endpoint(upstream)])
                .write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            proxy.signal(SIGHUP)
            try proxy.awaitListening(on: second)
            let deadline = Deadline.after(.seconds(3))
            var isRefused = false
            while !isRefused && deadline > .now { isRefused = (try? Peer(connectedTo: first)) == nil }
            #expect(isRefused, "the removed listener still accepts")
            server.says(answer("whole"))
            #expect(try client.hearsAnswer().body == Array("whole".utf8))
            let other = try Peer(connectedTo: second)
            other.says(request("/2"))
            var answered = false
            for candidate in [server, try? upstream.accepts(within: .milliseconds(300))].compactMap({ $0 }) {
                guard (try? candidate.hearsRequest(within: .milliseconds(500))) != nil else { continue }
                candidate.says(answer())
                answered = true
                break
            }
            #expect(answered)
            #expect(try other.hearsAnswer().head.status == 200)
        }
    }

    @Test("a listener with another name or other terms at the same address keeps its sockets, and who waits in them")
    func sameAddress() async throws {
        try await onThread {
            let port = try freePort()
            let upstream = try LoopbackListener()
            let old = Self.text(port, upstream, status: 301)
            let proxy = try ProxyProcess(configuration: old, awaiting: [port])
            let before = try Self.listening(on: port)
            #expect(!before.isEmpty)
            try Self.text(port, upstream, status: 308).replacing("name: \"", with: "name: \"other-")
                .write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            proxy.signal(SIGHUP)
            #expect(Self.awaitStatus(308, of: "r.test", on: port))
            #expect(try Self.listening(on: port) == before)
        }
    }

    /// The kernel's numbers of the sockets that listen on `port`.
    private static func listening(on port: UInt16) throws -> Set<String> {
        let table = try String(contentsOfFile: "/proc/net/tcp", encoding: .utf8)
        let digits = String(port, radix: 16, uppercase: true)
        let local = ":" + String(repeating: "0", count: 4 - digits.count) + digits
        // Local address, state (0A listens) and, as the tenth word, the socket's number: proc_net_tcp(5).
        let lines = table.split(separator: "\n").map { $0.split(separator: " ") }
        return Set(lines.filter { $0.count > 9 && $0[1].hasSuffix(local) && $0[3] == "0A" }.map { String($0[9]) })
    }

    @Test("an address that is taken already refuses the whole change")
    func takenAddress() async throws {
        try await onThread {
            let port = try freePort()
            let taken = try LoopbackListener()
            let upstream = try LoopbackListener()
            let proxy = try ProxyProcess(configuration: Self.text(port, upstream, status: 301), awaiting: [port])
            let text = Self.text(port, upstream, status: 308).replacing(
                "listeners: [", with: "listeners: [ { name: \"taken\", address: \"\(taken.address)\" }, ")
            try text.write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            proxy.signal(SIGHUP)
            #expect(proxy.awaitOutput("refused"), "\(proxy.output)")
            #expect(Self.awaitStatus(301, of: "r.test", on: port))
        }
    }

    @Test("a service that moves is found at its new address, on old connections too")
    func movedService() async throws {
        try await onThread {
            let port = try freePort()
            let before = try LoopbackListener()
            let after = try LoopbackListener()
            let proxy = try ProxyProcess(
                configuration: configuration(listeners: [port], services: ["a": endpoint(before)]), awaiting: [port])
            let client = try Peer(connectedTo: port)
            client.says(request("/1"))
            let old = try before.accepts()
            _ = try old.hearsRequest()
            old.says(answer("1"))
            #expect(try client.hearsAnswer().body == Array("1".utf8))
            try configuration(listeners: [port], services: ["a": endpoint(after)])
                .write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            proxy.signal(SIGHUP)
            // The connection to an endpoint that is gone is closed: that tells that the new one is adopted.
            #expect(old.hearsEnd())
            client.says(request("/2"))
            let new = try after.accepts()
            #expect(try new.hearsRequest().head.startLine == "GET /2 HTTP/1.1")
            new.says(answer("2"))
            #expect(try client.hearsAnswer().body == Array("2".utf8))
        }
    }

    @Test("a listener that comes while the start still waits for discovery listens with the others")
    func listenerDuringStart() async throws {
        try await onThread {
            let ports = [try freePort(), try freePort()]
            let upstream = try LoopbackListener()
            func text(_ ports: [UInt16]) -> String {
                configuration(
                    listeners: ports,
                    services: ["a": endpoint(upstream), "d": "dns: { name: \"d.test.\", port: 80 }"],
                    // Nobody listens at the discard port, so that nothing is ever known of `d`.
                    more: "discovery: { dns: { servers: [ \"127.0.0.1:9\" ] } }")
            }
            let proxy = try ProxyProcess(configuration: text([ports[0]]), awaiting: [])
            #expect(proxy.awaitOutput("discovery_dns_failing"), "\(proxy.output)")
            // The start ends after 5 s, in the middle of the second that the reload waits for discovery.
            usleep(4_400_000)
            try text(ports).write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            #expect(proxy.awaitOutput("applied"), "\(proxy.output)")
            for port in ports {
                // The start waits for the reload's end, and listens then.
                try proxy.awaitListening(on: port)
                let client = try Peer(connectedTo: port)
                client.says(request(host: "nobody.test"))
                #expect(try client.hearsAnswer().head.status == 404)
            }
            proxy.signal(SIGTERM)
            #expect(proxy.awaitExit(within: .seconds(5)) == 0, "\(proxy.output)")
        }
    }

    @Test("no reload of any kind touches a connection, whichever worker has it")
    func untouched() async throws {
        try await onThread {
            let (port, other, admin) = (try freePort(), try freePort(), try freePort())
            let (a, b) = (try LoopbackListener(), try LoopbackListener())
            func text(
                _ listeners: [UInt16], services: [String: String],
                more: String = "timeouts: { requestHeader: \"60s\" },"
            ) -> String {
                configuration(
                    listeners: listeners, services: services,
                    routes: services.keys.sorted().map { "{ host: \"\($0).test\", service: \"\($0)\" }" } + [
                        "{ host: \"r.test\", redirect: { to: \"https://x.test/\", status: 308 } }"
                    ],
                    more: "admin: { address: \"127.0.0.1:\(admin)\", socket: \"\" }, \(more)"
                ).replacing("workers: 1", with: "workers: 2")
            }
            let services = ["a": endpoint(a)]
            let proxy = try ProxyProcess(configuration: text([port], services: services), awaiting: [port, admin])
            // Enough of each kind that both workers have some.
            var silent: [Peer] = []
            var tunnels: [(client: Peer, server: Peer)] = []
            var inFlight: [(client: Peer, server: Peer)] = []
            for _ in 0..<8 {
                let idle = try Peer(connectedTo: port)
                idle.says(request(host: "r.test"))
                #expect(try idle.hearsAnswer().head.status == 308)
                silent.append(idle)
                silent.append(try Peer(connectedTo: port))
                let client = try Peer(connectedTo: port)
                client.says(request(fields: "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
                let server = try a.accepts()
                _ = try server.hearsRequest()
                server.says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                #expect(try client.hearsAnswer().head.status == 101)
                tunnels.append((client, server))
                let asking = try Peer(connectedTo: port)
                asking.says(request())
                let answering = try a.accepts()
                _ = try answering.hearsRequest()
                answering.says("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123")
                inFlight.append((asking, answering))
            }
            let changes = [
                ("a listener more", text([port, other], services: services)),
                (
                    "a service more, and other limits",
                    text(
                        [port, other], services: ["a": endpoint(a), "b": endpoint(b)],
                        more: "timeouts: { keepAlive: \"10s\" }, limits: { headers: 50 },")
                ),
                ("the service elsewhere", text([port, other], services: ["a": endpoint(b)])),
                ("no such service any more", text([other, port], services: ["b": endpoint(b)])),
                ("without the listener that all came by", text([other], services: ["b": endpoint(b)])),
            ]
            for (round, (what, text)) in changes.enumerated() {
                try text.write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
                proxy.signal(SIGHUP)
                let applied = "\"outcome\":\"applied\",\"generation\":\(round + 2)"
                #expect(proxy.awaitOutput(applied), "\(what): \(proxy.output)")
                for (client, server) in tunnels {
                    client.socket.send([0x82, 0x81, 0, 0, 0, 0, 0x41])
                    #expect(server.hears(7, within: .seconds(2)).last == 0x41, "\(what)")
                    server.socket.send([0x82, 0x01, 0x42])
                    #expect(client.hears(3, within: .seconds(2)).last == 0x42, "\(what)")
                }
                for client in silent where client.socket.isReadable(until: .now) { Issue.record("closed by \(what)") }
            }
            for (client, server) in inFlight {
                server.says("456")
                #expect(try client.hearsAnswer().body == Array("123456".utf8))
                client.says(request(host: "r.test"))
                #expect(try client.hearsAnswer().head.status == 308)
            }
            for client in silent {
                client.says(request(host: "r.test"))
                #expect(try client.hearsAnswer().head.status == 308)
            }
        }
    }

    @Test("a signal and a change of the file close together are one reload, and each outcome is counted")
    func oneReload() async throws {
        try await onThread {
            let (port, admin) = (try freePort(), try freePort())
            let upstream = try LoopbackListener()
            func text(_ status: Int) -> String {
                Self.text(port, upstream, status: status).replacing(
                    "admin: { address: \"\"", with: "admin: { address: \"127.0.0.1:\(admin)\"")
            }
            let proxy = try ProxyProcess(configuration: text(301), awaiting: [port, admin])
            func count(_ outcome: String) throws -> Int? {
                let client = try Peer(connectedTo: admin)
                client.says(request("/metrics", host: "localhost", fields: "Connection: close\r\n"))
                let name = "hdproxy_config_reloads_total{outcome=\"\(outcome)\"} "
                return try client.hearsAnswer().body.latin1.split(separator: "\n").first { $0.hasPrefix(name) }
                    .flatMap { Int($0.dropFirst(name.utf8.count)) }
            }
            func awaitCounts(_ wanted: [Int]) throws {
                let deadline = Deadline.after(.seconds(5))
                var counts: [Int?] = []
                repeat {
                    counts = [try count("applied"), try count("unchanged"), try count("refused")]
                    usleep(5_000)  // A metric has to be asked for.
                } while counts != wanted && deadline > .now
                #expect(counts == wanted)
            }
            for (round, status) in [302, 303, 307].enumerated() {
                // It comes in one step: the first signal's reading may come before the last byte otherwise.
                let next = FileManager.default.temporaryDirectory.appending(path: "next-\(UUID().uuidString).json5")
                try text(status).write(to: next, atomically: false, encoding: .utf8)
                proxy.signal(SIGHUP)
                // Safety: NUL-terminated copies of the paths for the length of the call.
                let result = unsafe rename(next.path, proxy.configurationFile.path)
                #expect(result == 0)
                proxy.signal(SIGHUP)
                try awaitCounts([round + 1, 0, 0])
            }
            proxy.signal(SIGHUP)
            try awaitCounts([3, 1, 0])
            try "{".write(to: proxy.configurationFile, atomically: false, encoding: .utf8)
            try awaitCounts([3, 1, 1])
        }
    }
}
