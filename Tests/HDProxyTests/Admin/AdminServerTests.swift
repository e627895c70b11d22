import Discovery
import Foundation
import Glibc
import ProxyCore
import TestTools
import Testing

@testable import HDProxy

private func get(_ target: String, _ fields: String = "") -> String {
    "GET \(target) HTTP/1.1\r\nHost: 127.0.0.1:9090\r\n\(fields)\r\n"
}

private func status(_ head: String) -> Int? { head.split(separator: " ").dropFirst().first.flatMap { Int($0) } }

/// The server over real sockets.
@Suite(.serialized, .timeLimit(.minutes(1))) struct AdminServerTests {
    @Test func everyPathAnswersAsTheContractSays() async throws {
        let settings = try SettingsReader.read(
            Array(
                """
                { listeners: [ { name: "http", address: "[::]:80" } ],
                  services: { api: { dns: { name: "api", port: 8000 } } }, routes: [ { host: "a.b", service: "api" } ] }
                """.utf8), file: "f"
        ).get()
        try await AdminStage.with(settings: settings) { stage in
            let client = DemoClient(stage.address)
            func ask(_ request: String) -> (status: Int?, head: String, body: String) {
                client.send(request)
                let (head, body) = client.readAnswer()
                return (status(head), head, body)
            }
            #expect(ask(get("/healthz")).body == "ok\n")
            #expect(ask(get("/readyz")).body == "ok\n")
            let verbose = ask(get("/readyz?verbose"))
            #expect(
                verbose.status == 200
                    && verbose.body == "[+]listeners ok\n[+]configuration ok\n[+]discovery ok\nreadyz check passed\n")
            #expect(ask(get("/healthz?verbose=1")).body == "[+]control ok\n[+]worker-0 ok\nhealthz check passed\n")

            let metrics = ask(get("/metrics"))
            #expect(metrics.head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
            #expect(metrics.body == "hdproxy_draining 0\n")
            let open = ask(get("/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"))
            #expect(open.head.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"))
            #expect(open.body.hasSuffix("# EOF\n"))

            let report = ask(get("/api/v1/status"))
            #expect(report.head.contains("Content-Type: application/json\r\n"))
            #expect(try JSONDecoder().decode(StatusReport.self, from: Data(report.body.utf8)) == ScriptedState.report)
            #expect(ask(get("/api/v1/config")).body == settings.text)
            #expect(ask(get("/api/v1/rollouts")).body == "{\"rollouts\":[]}\n")
            #expect(
                ask(get("/api/v1/rejected")).body
                    == "{\"rejected\":[{\"time\":\"1970-01-01T00:00:00.000002Z\",\"reason\":\"bad_host\","
                    + "\"peer\":\"192.0.2.1\",\"head\":[\"GET / HTTP/1.1\",\"Cookie: <3 bytes>\"]}]}\n")
            let explained = ask(get("/api/v1/explain?method=PUT&host=A.b&path=/x%3Fy=1")).body
            let explanation = try JSONDecoder().decode(ExplainReport.self, from: Data(explained.utf8))
            #expect(explanation.request == "PUT http://A.b/x?y=1" && explanation.route?.name == "a.b")
            #expect(explanation.services.first?.live == ScriptedState.report.services[0])

            let page = ask(get("/"))
            #expect(page.head.contains("Content-Type: text/html; charset=utf-8\r\n"))
            #expect(page.head.contains("Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "))
            #expect(page.body.hasPrefix("<!DOCTYPE html>") && page.body.hasSuffix("</html>\n"))

            let post = "HTTP/1.1\r\nHost: 127.0.0.1:9090\r\nContent-Length: 2\r\n\r\n{}"
            let drained = ask("POST /api/v1/drain \(post)")
            #expect(drained.status == 202 && drained.body == "{\"outcome\":\"draining\"}\n")
            #expect(await stage.state.drains == 1)
            let reloaded = ask("POST /api/v1/reload \(post)")
            #expect(reloaded.status == 200 && reloaded.body == "{\"outcome\":\"applied\",\"generation\":8}\n")
        }
    }

    @Test func whatDoesNotHoldIsToldWithItsReason() async throws {
        try await AdminStage.with { stage in
            await stage.state.change {
                $0.readiness = [
                    Condition("listeners"), Condition("discovery", failure: "kubernetes has not answered"),
                ]
                $0.outcome = .refused(["f:1:1: x: \"y\""])
            }
            let client = DemoClient(stage.address)
            client.send(get("/readyz"))
            let ready = client.readAnswer()
            #expect(ready.head.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
            #expect(
                ready.body == "[+]listeners ok\n[-]discovery failed: kubernetes has not answered\nreadyz check failed\n"
            )
            client.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let reload = client.readAnswer()
            #expect(reload.head.hasPrefix("HTTP/1.1 422 "))
            #expect(reload.body == "{\"outcome\":\"refused\",\"problems\":[\"f:1:1: x: \\\"y\\\"\"]}\n")
        }
    }

    @Test func whatIsWrongIsAnsweredWithItsStatus() async throws {
        let cases: [(request: String, status: Int, part: String)] = [
            (get("/nowhere"), 404, "nothing is at /nowhere; there is /, /api/v1/config,"),
            (get("/healthz/"), 404, "nothing is at /healthz/"),
            ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "Allow: GET, HEAD\r\n"),
            ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "Allow: GET, HEAD\r\n"),
            (get("/api/v1/drain"), 405, "Allow: POST\r\n"),
            ("BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "unknown method"),
            (get("/api/v1/explain"), 400, "the parameter host is missing"),
            (get("/api/v1/explain?host=a%20b"), 400, "`a b` is not a host"),
            ("GET / HTTP/1.1\r\n\r\n", 400, "bad_host"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad"),
            ("\u{16}\u{3}\u{1}", 400, "bad_request_line"),
            ("GET /" + String(repeating: "a", count: 5000), 414, "target_too_long"),
            (get("/", "X: " + String(repeating: "a", count: 9000) + "\r\n"), 431, "header_too_large"),
            (get("/", String(repeating: "X: y\r\n", count: 80)), 431, "too_many_headers"),
            ("POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413, "body_too_large"),
            ("POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400, "bad_content_length"),
            (
                "POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501,
                "unknown_transfer_coding"
            ),
            (
                "POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n"
                    + String(repeating: "a", count: 65537), 413, "body_too_large"
            ),
            ("POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", 400, "bad_chunk"),
        ]
        try await AdminStage.with { stage in
            for (request, expected, part) in cases {
                let client = DemoClient(stage.address)
                client.send(request)
                let (head, body) = client.readAnswer()
                #expect(status(head) == expected, "\(request.prefix(60)): \(head)")
                #expect((head + body).contains(part), "\(request.prefix(60)): \(head)\(body)")
            }
            #expect(await stage.state.drains == 0, "nothing of this was done")
        }
    }

    @Test func aBrowserOnTheOperatorsMachineDoesNothingForOthers() {
        func refuses(_ method: HDProxyMethod, _ change: (inout AdminRequest) -> Void) -> Bool {
            var request = AdminRequest(method: method, host: "127.0.0.1:9090")
            change(&request)
            return BrowserGuard.refusal(of: request) != nil
        }
        // A name that anybody could point here.
        for host in ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil.example."] {
            #expect(refuses(.get) { $0.host = host }, "\(host)")
        }
        for host in [
            "127.0.0.1", "10.0.0.1:9090", "[::1]:9090", "localhost:9090", "LOCALHOST", "a.localhost", "hetzner1:9090",
            "node.internal", "hdproxy.honeydue.svc.cluster.local:9090",
        ] {
            #expect(!refuses(.get) { $0.host = host }, "\(host)")
        }
        #expect(!refuses(.get) { $0.host = nil })
        // Pages of other sites.
        #expect(refuses(.post) { $0.fetchSite = "cross-site" })
        #expect(refuses(.post) { $0.fetchSite = "same-site" })
        #expect(refuses(.post) { $0.origin = "https://evil.example" })
        #expect(refuses(.post) { $0.origin = "null" })
        #expect(refuses(.post) { $0.origin = "http://127.0.0.1:8080" })
        // Our own page, and tools that are no browser.
        #expect(
            !refuses(.post) {
                $0.origin = "http://127.0.0.1:9090"; $0.fetchSite = "same-origin"
            })
        #expect(!refuses(.post) { _ in })
        #expect(
            !refuses(.post) {
                $0.isUnix = true; $0.host = "evil.example"; $0.origin = "null"
            })
    }

    @Test func whoIsElsewhereMayLookAndNotTouch() async throws {
        ControlThread.start()
        let answers = await Self.remoteAnswers()
        #expect(answers == [403, 403, 200])
    }

    @ControlThread
    private static func remoteAnswers() async -> [Int] {
        let state = ScriptedState()
        let pages = AdminPages(state)
        var answers: [Int] = []
        for path in ["/api/v1/drain", "/api/v1/reload", "/metrics"] {
            let method: HDProxyMethod = path == "/metrics" ? .get : .post
            let request = AdminRequest(method: method, path: path, host: "10.0.0.1:9090", isLocal: false)
            answers.append(await pages.answer(request).status)
        }
        return state.drains == 0 ? answers : []
    }

    @Test func aConnectionServesManyRequestsHoweverTheyAreCut() async throws {
        try await AdminStage.with { stage in
            // One byte at a time.
            let slow = DemoClient(stage.address)
            for byte in Array(get("/healthz", "X-Long: \(String(repeating: "x", count: 50))\r\n").utf8) {
                slow.send([byte])
            }
            #expect(slow.readAnswer().body == "ok\n")
            // All at once, with bodies of both kinds between them; answers come in order.
            let many = DemoClient(stage.address)
            let drain = "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\n"
            many.send(
                get("/healthz") + drain + "Content-Length: 5\r\n\r\nhello" + drain
                    + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n" + get("/metrics")
                    + "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            let bodies = (0..<4).map { _ in many.readAnswer().body }
            #expect(
                bodies == [
                    "ok\n", "{\"outcome\":\"draining\"}\n", "{\"outcome\":\"draining\"}\n", "hdproxy_draining 0\n",
                ])
            let last = String(decoding: many.readToEnd(), as: UTF8.self)
            #expect(last.hasPrefix("HTTP/1.1 200 OK\r\n") && last.contains("Content-Length: 3\r\n"))
            #expect(last.hasSuffix("Connection: close\r\n\r\n"), "HEAD has no body")
            #expect(await stage.state.drains == 2)
            // HTTP/1.0 has one answer; a body that is waited for is asked for.
            let old = DemoClient(stage.address)
            old.send("GET /healthz HTTP/1.0\r\n\r\n")
            #expect(String(decoding: old.readToEnd(), as: UTF8.self).hasSuffix("Connection: close\r\n\r\nok\n"))
            let polite = DemoClient(stage.address)
            polite.send(drain + "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            #expect(polite.readHead() == "HTTP/1.1 100 Continue\r\n\r\n")
            polite.send("abc")
            #expect(polite.readAnswer().body == "{\"outcome\":\"draining\"}\n")
        }
    }

    @Test func whoSaysNothingOrTooLittleIsLeftBehind() async throws {
        var bounds = AdminBounds()
        bounds.reading = .milliseconds(50)
        bounds.idle = .milliseconds(50)
        bounds.lingering = .milliseconds(50)
        try await AdminStage.with(bounds: bounds) { stage in
            let silent = DemoClient(stage.address)
            let half = DemoClient(stage.address)
            half.send("GET / HTTP/1.1\r\nHost:")
            let bodiless = DemoClient(stage.address)
            bodiless.send("POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
            let idle = DemoClient(stage.address)
            idle.send(get("/healthz"))
            #expect(silent.readToEnd().isEmpty)
            #expect(String(decoding: half.readToEnd(), as: UTF8.self).hasPrefix("HTTP/1.1 408 "))
            #expect(String(decoding: bodiless.readToEnd(), as: UTF8.self).hasPrefix("HTTP/1.1 408 "))
            #expect(String(decoding: idle.readToEnd(), as: UTF8.self).hasSuffix("\r\n\r\nok\n"))
            #expect(await stage.state.drains == 0)
        }
    }

    @Test func whoDoesNotReadKeepsNobodyWaiting() async throws {
        var bounds = AdminBounds()
        bounds.writing = .milliseconds(300)
        try await AdminStage.with(bounds: bounds) { stage in
            // More than a Unix socket's buffer holds.
            await stage.state.change { $0.metricsText = String(repeating: "x", count: 2 << 20) }
            let stuck = (0..<8).map { _ in SilentReader(stage.socketPath, get("/metrics")) }
            let before = Clock.now()
            let quick = DemoClient(stage.address)
            quick.send(get("/healthz"))
            #expect(quick.readAnswer().body == "ok\n")
            #expect((Clock.now() - before).nanoseconds < 2_000_000_000)
            // A reader gets all of it.
            let reader = DemoClient(stage.address)
            reader.send(get("/metrics"))
            #expect(reader.readAnswer().body.utf8.count == 2 << 20)
            // The others are cut off in the end, and have less than all.
            while stuck.contains(where: { !$0.isCut }) { usleep(20_000) }
        }
    }

    /// Somebody who asks and does not read.
    private final class SilentReader {
        private let socket: Socket

        init(_ path: String, _ request: String) {
            guard case .connected(let socket) = UnixListener.connect(to: path) else { fatalError("it listens") }
            self.socket = socket
            var message = ByteBuffer(capacity: request.utf8.count)
            message.append(Array(request.utf8).span)
            precondition(self.socket.send(&message) == .bytes(request.utf8.count))
        }

        /// Whether the other end has closed, with part of its answer unread.
        var isCut: Bool {
            var wait = pollfd(fd: socket.number, events: Int16(POLLHUP), revents: 0)
            // Safety: one pollfd.
            return unsafe poll(&wait, 1, 0) == 1 && wait.revents & Int16(POLLHUP) != 0
        }
    }

    @Test func theOneThatIsIdleForLongestMakesRoom() async throws {
        var bounds = AdminBounds()
        bounds.connections = 4
        try await AdminStage.with(bounds: bounds) { stage in
            var clients: [DemoClient] = []
            for _ in 0..<4 {
                let client = DemoClient(stage.address)
                client.send(get("/healthz"))
                #expect(client.readAnswer().body == "ok\n")
                clients.append(client)
            }
            // The first one is heard again, so that the second has been idle for longest.
            clients[0].send(get("/healthz"))
            #expect(clients[0].readAnswer().body == "ok\n")
            let newcomer = DemoClient(stage.address)
            newcomer.send(get("/healthz"))
            #expect(newcomer.readAnswer().body == "ok\n")
            #expect(clients[1].readToEnd().isEmpty)
            for index in [0, 2, 3] {
                clients[index].send(get("/healthz"))
                #expect(clients[index].readAnswer().body == "ok\n", "\(index)")
            }
            // The socket has its own.
            let answer = try AdminClient.ask("/healthz", at: .unix(stage.socketPath), within: .seconds(5))
            #expect(answer.status == 200)
        }
    }

    @Test func manyMayComeAndGo() async throws {
        try await AdminStage.with { stage in
            for round in 0..<5 {
                let clients = (0..<60).map { _ in DemoClient(stage.address) }
                for client in clients { client.send(get("/healthz")) }
                for client in clients { #expect(client.readAnswer().body == "ok\n", "\(round)") }
            }
        }
    }

    private static func curl(_ arguments: [String]) throws -> String {
        try runTool(["curl", "-sS", "--max-time", "10"] + arguments).output
    }

    @Test func curlIsServedOverBoth() async throws {
        try await AdminStage.with { stage in
            let url = "http://\(stage.address)"
            let socket = ["--unix-socket", stage.socketPath]
            let both = try Self.curl(["\(url)/readyz", "\(url)/healthz"])
            #expect(both == "ok\nok\n")
            #expect(try Self.curl(socket + ["http://x/readyz"]) == "ok\n")
            #expect(try Self.curl(["-H", "Host: evil.example", "-w", "%{http_code}", "-o", "/dev/null", url]) == "403")
            #expect(try Self.curl(["-X", "POST", "\(url)/api/v1/reload"]).contains("applied"))
            #expect(try Self.curl(socket + ["-d", "x=y", "http://x/api/v1/reload"]).contains("applied"))
            let foreign = ["-X", "POST", "-H", "Origin: http://evil.example", "\(url)/api/v1/drain"]
            #expect(try Self.curl(foreign) == "a web page of another site must not do this\n")
            #expect(await stage.state.drains == 0)
        }
    }
}

/// ProxyCore's, which Foundation's import would hide.
typealias HDProxyMethod = ProxyCore.Method
