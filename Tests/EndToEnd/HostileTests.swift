// What if the surroundings fail? With the real program: a log that nobody reads, and heads that were refused, which
// can be read afterwards.

import CLinux
import Foundation
import TestTools
import Testing

@Suite("Hostile surroundings")
struct HostileSurroundingsTests {
    /// A proxy that redirects and writes its log into a named pipe.
    private final class PipedLog {
        let ports: [UInt16]
        private let folder = FileManager.default.temporaryDirectory.appending(path: "log-\(UUID().uuidString)")
        private var started: ProxyProcess?

        init() throws {
            ports = try (0..<2).map { _ in try freePort() }
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            // Safety: a NUL-terminated copy of the path.
            try #require(unsafe mkfifo(path, 0o600) == 0)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        private var path: String { folder.appending(path: "log").path }

        /// An end of the pipe, opened as `mode` says; the caller closes it.
        func open(_ mode: Int32) -> Int32 {
            // Safety: a NUL-terminated copy of the path.
            unsafe Glibc.open(path, mode | O_NONBLOCK)
        }

        /// The proxy, which listens: the first port is for clients, the second one the admin listener's.
        func start(_ more: String = "") throws -> ProxyProcess {
            try ProxyProcess(
                configuration: configuration(
                    listeners: [ports[0]], services: [:],
                    routes: ["{ host: \"a.test\", redirect: { to: \"https://b.test\" } }"],
                    more: "admin: { address: \"127.0.0.1:\(ports[1])\", socket: \"\" }, \(more)"
                ).replacing("access: false", with: "access: true, file: \"\(path)\""), awaiting: ports)
        }

        /// Lines that were lost, as the metrics say.
        func lost() throws -> Int {
            let metrics = try runTool(["curl", "-sS", "http://127.0.0.1:\(ports[1])/metrics"]).output
            let line = metrics.split(separator: "\n").first { $0.hasPrefix("hdproxy_log_dropped_total ") }
            return line.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
        }
    }

    @Test("a log that nobody reads slows no request, and what did not fit is counted")
    func log() async throws {
        try await onThread {
            let log = try PipedLog()
            // Held open, so that it can be opened for writing, and never read.
            let reader = log.open(O_RDWR)
            defer { close(reader) }
            let proxy = try log.start("drain: { timeout: \"1s\" },")
            // Each line is longer than a kibibyte: four mebibytes wait, and then some.
            let path = "/" + String(repeating: "x", count: 1000)
            let client = try Peer(connectedTo: log.ports[0])
            let batch = String(repeating: request(path, host: "a.test"), count: 50)
            var slowest = Duration.zero
            for _ in 0..<120 {
                let begin = Deadline.now
                client.says(batch)
                for _ in 0..<50 { #expect(try client.hearsAnswer().head.status == 308) }
                slowest = max(slowest, begin.duration(to: .now))
            }
            #expect(slowest < .seconds(5), "\(slowest) for fifty requests")
            #expect(try log.lost() > 0)
            #expect(proxy.exitStatus() == nil)
            // Nor does leaving wait for it.
            proxy.signal(SIGTERM)
            #expect(proxy.awaitExit(within: .seconds(5)) == 0)
        }
    }

    @Test("a log whose reader goes loses lines, which are counted, and nothing else; another reader gets the next ones")
    func reader() async throws {
        try await onThread {
            let log = try PipedLog()
            let first = log.open(O_RDONLY)
            let proxy = try log.start()
            func ask(_ path: String) throws {
                let client = try Peer(connectedTo: log.ports[0])
                client.says(request(path, host: "a.test", fields: "Connection: close\r\n"))
                #expect(try client.hearsAnswer().head.status == 308)
            }
            /// What has come to the reader once it holds `text`.
            func read(_ reader: Int32, until text: String) -> String {
                var all: [UInt8] = []
                let deadline = Deadline.after(.seconds(10))
                while deadline > .now, !String(decoding: all, as: UTF8.self).contains(text) {
                    var entry = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
                    var piece = [UInt8](repeating: 0, count: 4096)
                    // Safety: one entry; read writes at most as many bytes as the array has.
                    guard unsafe poll(&entry, 1, 100) > 0 else { continue }
                    let count = unsafe Glibc.read(reader, &piece, piece.count)
                    if count > 0 { all += piece[..<count] }
                }
                return String(decoding: all, as: UTF8.self)
            }
            try ask("/first")
            #expect(read(first, until: "/first").contains("\"target\":\"/first\""))
            close(first)
            try ask("/lost")
            let deadline = Deadline.after(.seconds(10))
            while try log.lost() == 0, deadline > .now { usleep(10_000) }  // A counter has to be asked.
            #expect(try log.lost() == 1)
            let second = log.open(O_RDONLY)
            defer { close(second) }
            try ask("/second")
            let heard = read(second, until: "/second")
            #expect(heard.contains("\"target\":\"/second\"") && !heard.contains("/lost"))
            #expect(proxy.exitStatus() == nil)
        }
    }

    @Test("what was refused can be read afterwards, without its secrets")
    func rejected() async throws {
        try await onThread {
            let ports = try (0..<2).map { _ in try freePort() }
            let proxy = try ProxyProcess(
                configuration: configuration(
                    listeners: [ports[0]], services: [:],
                    routes: ["{ host: \"a.test\", redirect: { to: \"https://b.test\" } }"],
                    more: "admin: { address: \"127.0.0.1:\(ports[1])\", socket: \"\" },"), awaiting: [ports[0]])
            for head in [
                "GET /x?token=hidden1 HTTP/1.1\r\nHost: a.test\r\nAuthorization: hidden2\r\nTransfer-Encoding: gzip\r\n\r\n",
                "GET /x?y=hidden3 HTTP/1.1\r\nHost: nobody.test\r\nCookie: hidden4\r\n\r\n",
            ] {
                let client = try Peer(connectedTo: ports[0])
                client.says(head)
                #expect(try client.hearsAnswer().head.status >= 400)
            }
            let text = try runTool(["curl", "-sS", "http://127.0.0.1:\(ports[1])/api/v1/rejected"]).output
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: [[String: Any]]]
            let rejected = try #require(object?["rejected"])
            #expect(rejected.map { $0["reason"] as? String } == ["no_route", "bad_transfer_encoding"], "\(text)")
            #expect(rejected.allSatisfy { $0["peer"] as? String == "127.0.0.1" })
            #expect((rejected[0]["head"] as? [String])?.first == "GET /x?y=* HTTP/1.1")
            #expect((rejected[1]["head"] as? [String])?.contains("Transfer-Encoding: gzip") == true)
            #expect(!text.contains("hidden"), "\(text)")
            #expect(proxy.exitStatus() == nil)
        }
    }
}
