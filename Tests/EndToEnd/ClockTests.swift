// A clock that jumps: the process is shown another time of day while it runs, by libfaketime, and the machine keeps its own.
// Nothing that waits may notice; what tells the time tells the new one.

import Foundation
import ProxyCore
import TestTools
import Testing

@Suite("A clock that jumps")
struct ClockTests {
    /// A process that is shown another time of day than ours.
    private struct ShownTime {
        private let file: URL

        init() throws {
            file = FileManager.default.temporaryDirectory.appending(path: "clock-\(UUID().uuidString)")
            try jump("+0d")
        }

        /// The time is now off by `offset`.
        func jump(_ offset: String) throws {
            // Replaced as a whole: it is read at each look at the clock.
            try Data("\(offset)\n".utf8).write(to: file, options: .atomic)
        }

        func circumstances() throws -> ProxyProcess.Circumstances {
            let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib")) ?? []
            let libraries = folders.map { "/usr/lib/\($0)/faketime/libfaketimeMT.so.1" }
            guard let library = libraries.first(where: FileManager.default.fileExists(atPath:)) else {
                throw StageError("libfaketime is missing: `.ci/install test` installs what the tests need")
            }
            return ProxyProcess.Circumstances(environment: [
                "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": file.path, "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
            ])
        }

        /// Leaves nothing behind; where the process was killed, what the library shares with its children neither.
        func end(of pid: pid_t?) {
            try? FileManager.default.removeItem(at: file)
            guard let pid else { return }
            for name in ["sem.faketime_sem_\(pid)", "faketime_shm_\(pid)"] {
                try? FileManager.default.removeItem(atPath: "/dev/shm/\(name)")
            }
        }
    }

    @Test(
        "by ten years ends no request, no connection and no deadline before its time, and none lasts longer",
        arguments: ["+3650d", "-3650d"])
    func jump(offset: String) async throws {
        try await onThread {
            let time = try ShownTime()
            var process: pid_t?
            defer { time.end(of: process) }
            let certificates = try CertificateFolder()
            let identity = try certificates.server("s", for: ["n.test"])
            let upstream = try LoopbackListener()
            let ports = try (0..<3).map { _ in try freePort() }
            let proxy = try ProxyProcess(
                configuration: """
                    { workers: 1,
                      listeners: [
                        { name: "h", address: "127.0.0.1:\(ports[0])" },
                        { name: "s", address: "127.0.0.1:\(ports[1])", tls: { certificates: [ \(identity) ] } } ],
                      services: { a: { \(endpoint(upstream)), timeouts: { response: "60s" } } },
                      routes: [ { host: "a.test", service: "a" } ],
                      timeouts: { requestHeader: "1s", keepAlive: "60s" }, drain: { timeout: "2s" },
                      admin: { address: "127.0.0.1:\(ports[2])", socket: "" }, handoff: { socket: "" } }
                    """, awaiting: ports, within: try time.circumstances())
            process = proxy.pid
            func years(_ text: String, after mark: String) -> Set<String> {
                Set(text.components(separatedBy: mark).dropFirst().map { String($0.prefix(4)) })
            }
            let present = Calendar(identifier: .gregorian).component(.year, from: Date())
            let silent = try Peer(connectedTo: ports[0])
            silent.says(request(host: "nobody.test"))
            #expect(try silent.hearsAnswer().head.values("Date").first?.contains(" \(present) ") == true)
            let busy = try Peer(connectedTo: ports[0])
            busy.says(request("/slow"))
            let server = try upstream.accepts()
            _ = try server.hearsRequest()
            let secure = try SecurePeer(ports[1], trusting: certificates.authority)
            try secure.says("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
            _ = try secure.hears("no route")
            let half = try Peer(connectedTo: ports[0])
            let began = Deadline.now
            half.says("GET / HTTP/1.1\r\nHost: ")
            // Its first byte was seen before the jump.
            usleep(50_000)

            try time.jump(offset)
            let other = offset.hasPrefix("+") ? present + 10 : present - 10
            let told = try half.hearsAnswer()
            let took = began.duration(to: .now)
            #expect(told.head.status == 408 && took > .milliseconds(900) && took < .seconds(4), "\(took)")
            // A leap year more or less: the date may be some days off, the year near its end or beginning, too.
            let near = [other - 1, other, other + 1].map { " \($0) " }
            #expect(near.contains { told.head.values("Date").first?.contains($0) == true }, "\(told.head)")

            server.says(answer("late"))
            #expect(try busy.hearsAnswer().body == Array("late".utf8))
            silent.says(request(host: "nobody.test"))
            #expect(try silent.hearsAnswer().head.status == 404)
            try secure.says("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
            _ = try secure.hears("no route")
            // New handshakes, full ones.
            _ = try SecurePeer(ports[1], trusting: certificates.authority)
            for path in ["/healthz", "/readyz"] {
                let page = try runTool(["curl", "-sS", "-w", " %{http_code}", "http://127.0.0.1:\(ports[2])\(path)"])
                #expect(page.output.hasSuffix(" 200"), "\(page.output)")
            }
            #expect(proxy.awaitOutput("\"target\":\"/slow\""))
            let line = proxy.output.split(separator: "\n").first { $0.contains("\"target\":\"/slow\"") } ?? ""
            #expect(near.contains { $0.contains(years(String(line), after: "\"time\":\"").first ?? "none") }, "\(line)")
            // How long it took is no difference of two times of day.
            let duration = line.components(separatedBy: "\"duration_ms\":").last.flatMap {
                Double($0.prefix { $0 != "," })
            }
            #expect(duration.map { (50...10_000).contains($0) } == true, "\(line)")

            // Certificates are judged by the new time: over in one direction, not yet near their end in the other.
            let next = try certificates.authority.issue(.server, name: "next", dnsNames: ["n.test"])
            try certificates.write("s", next.certificateChain)
            try certificates.write("s-key", next.key)
            #expect(proxy.awaitOutput("\"event\":\"certificates\",\"outcome\":\"applied\""))
            let warning =
                "\"event\":\"certificate_expires\",\"file\":\"\(certificates.path("s"))\",\"days\":-"
            if offset.hasPrefix("+") {
                #expect(proxy.awaitOutput(warning))
            } else {
                #expect(!proxy.output.contains("certificate_expires"))
            }
            let page = try runTool(["curl", "-sS", "http://127.0.0.1:\(ports[2])/"]).output
            #expect(page.contains("has ended") == offset.hasPrefix("+"), "\(page)")

            // And back again, while leaving.
            try time.jump("+0d")
            let left = Deadline.now
            proxy.signal(SIGTERM)
            #expect(proxy.awaitExit(within: .seconds(10)) == 0)
            #expect(left.duration(to: .now) < .seconds(4))
        }
    }
}
