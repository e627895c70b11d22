import Discovery
import Glibc
import ProxyCore
import Testing

@testable import HDProxy

/// The commands that ask a running proxy, against one that says what it is told to say.
@Suite(.serialized, .timeLimit(.minutes(1))) struct LiveCommandTests {
    @Test func whereToAskIsSpelledInAFewWays() throws {
        let loopback = NetworkAddress("127.0.0.1:9090")!
        let cases: [(text: String, address: AdminAddress)] = [
            ("http://127.0.0.1:9090", .tcp(loopback, host: "127.0.0.1:9090")),
            ("http://127.0.0.1:9090/", .tcp(loopback, host: "127.0.0.1:9090")),
            ("127.0.0.1:9090", .tcp(loopback, host: "127.0.0.1:9090")),
            ("localhost", .tcp(loopback, host: "127.0.0.1:9090")),
            ("http://[::1]:9091", .tcp(NetworkAddress("[::1]:9091")!, host: "[::1]:9091")),
            ("/run/a.sock", .unix("/run/a.sock")), ("unix:/run/a.sock", .unix("/run/a.sock")),
            ("unix:///run/a.sock", .unix("/run/a.sock")), ("./a.sock", .unix("./a.sock")),
        ]
        for (text, address) in cases { #expect(try AdminAddress(text) == address, "\(text)") }
        let wrong: [(text: String, part: String)] = [
            ("https://127.0.0.1:9090", "speaks plain HTTP"), ("unix:", "names no socket"),
            ("http://node1:9090", "is no admin listener"), ("127.0.0.1:0", "has no port"),
            ("127.0.0.1:x", "has no port"), ("", "is no admin listener"), (":", "has no port"),
            ("http://[::1", "is no admin listener"), ("[::1]", ""),
        ]
        for (text, part) in wrong where !part.isEmpty {
            let reply = reply(to: ["status", "--admin", text])
            #expect(reply.status == 2 && reply.errors.contains(part), "\(text): \(reply.errors)")
        }
    }

    @Test func statusIsATableForPeople() async throws {
        try await AdminStage.with { stage in
            let shown = reply(to: ["status", "--admin", "http://\(stage.address)"])
            #expect(shown.errors == "")
            #expect(
                shown.output == """
                    HDProxy 0.1.0  serving  generation 7  pid 4711  up 3 h

                    Ready        yes
                    Listeners    http on [::]:80, 12 connections, PROXY header required
                                 https on [::]:443, 1 connection, TLS 1.2 and newer for known names
                                   2 certificates, the first ends in 20 days
                                   clients: certificate required; no certificate for open.myhoneydue.com
                                   records by the process: the kernel has no module tls
                    May connect  only cloudflare, believed about the client; and 10.42.0.0/16, 127.0.0.0/8
                    Workers      2, 3 requests in flight

                     CERTIFICATE  https: /etc/hdproxy/tls/tls.crt ends in 20 days
                     DISAGREEMENT  api: DNS still answers 10.42.1.7 for api, gone from slices 41 s ago; that address now belongs to honeydue/dozzle (dns, for 41 s)
                     PROBLEM  lost: honeydue/lost has no port "http"; it has web, metrics

                    Witnesses
                      kubernetes  synced  heard 2 s ago
                      dns         stale   not heard yet  10.43.0.10:53 does not answer

                    Service api  2 of 5 endpoints usable, by kubernetes
                         ENDPOINT         POD                   NODE      ZONE  WITNESSES        CONDITIONS            HEALTH   IN FLIGHT  LATENCY  EJECTIONS  WHY
                      +  10.42.0.10:8000  api-6f975d8f8f-4dbj0  hetzner1  fsn1  kubernetes, dns  ready                 up       0          4.1 ms              ready (60 min)
                      +  10.42.1.11:8000  api-6f975d8f8f-4dbj1  hetzner2  fsn1  kubernetes, dns  ready                 up       1          8.2 ms              ready (60 min)
                      -  10.42.2.12:8000  api-6f975d8f8f-4dbj2  hetzner3  fsn1  kubernetes, dns  ready                 down     2          12.3 ms  2          ejected: 3 failures in a row (5 s)
                      -  10.42.3.13:8000  api-6f975d8f8f-4dbj3  hetzner1  fsn1  kubernetes       serving, terminating  up       3          940 ms              terminating, and others are ready (7 s)
                      -  10.42.1.7:8000                                         dns              ready                 unknown  0                              belongs to honeydue/dozzle (41 s)

                    Service admin  1 of 1 endpoint usable, by dns, stale
                         ENDPOINT         WITNESSES  CONDITIONS  HEALTH   IN FLIGHT  WHY
                      +  10.42.0.21:3000  dns        ready       unknown  0          ready (2 days)

                    Service lost  no endpoints

                    Latest rollouts
                      api  4 min ago  3 in, 3 out in 7.5 s; 2 moved, 0 retried, 0 failed

                    Routes
                      routes[0]  api.myhoneydue.com        to api
                      routes[1]  *.myhoneydue.com/static/  to admin (90), api (10)
                      routes[2]  myhoneydue.com            redirects, 308 to https://www.myhoneydue.com

                    """)
            let json = reply(to: ["status", "--json", "--admin", "unix:\(stage.socketPath)"])
            #expect(
                json.status == 0 && json.output.hasPrefix("{\"version\":\"0.1.0\",") && json.output.hasSuffix("}\n"))
        }
    }

    @Test func whatComesFromElsewhereDoesNotReachTheTerminal() {
        var report = ScriptedState.report
        report.services[0].disagreements[0].text = "\u{1B}[2Jx\u{9B}y\u{202E}z"
        report.sources[1].error = "a\nb\u{7}"
        report.state = .draining
        report.conditions[0].failure = "draining"
        let plain = StatusText(report).text
        #expect(!plain.contains("\u{1B}") && plain.contains(" [2Jx y z") && plain.contains("a b"))
        #expect(plain.contains("Ready        no, listeners: draining\n"))
        let coloured = StatusText(report, isColoured: true).text
        #expect(coloured.contains("\u{1B}[1;97;41m DISAGREEMENT \u{1B}[0m") && !coloured.contains("\u{1B}[2J"))
        #expect(
            StatusText(StatusReport(version: "1", generation: 0, state: .starting, pid: 1, time: "", started: "")).text
                != "")
    }

    @Test @concurrent func whoIsNotThereIsNamed() async throws {
        let folder = try #require(AdminStage.folder())
        let path = "\(folder)/none.sock"
        #expect(
            reply(to: ["status", "--admin", path])
                == Reply(status: 1, errors: "hdproxy: no running proxy answers: \(path): there is no such socket\n"))
        #expect(
            reply(to: ["probe", "ready", "--socket", path])
                == Reply(status: 1, errors: "not ready: \(path): there is no such socket\n"))
        let both = StatusQuestion(addresses: [.unix(path), .unix(folder)]).reply
        #expect(
            both
                == Reply(
                    status: 1,
                    errors: """
                        hdproxy: no running proxy answers:
                          \(path): there is no such socket
                          \(folder): nobody listens there: its process is dead
                        Where it listens elsewhere: `hdproxy status --admin URL`.

                        """))
        // Safety: a NUL-terminated copy of the path for the length of the call.
        _ = unsafe rmdir(folder)
    }

    @Test func aProbeIsAQuestionOverTheSocket() async throws {
        try await AdminStage.with { stage in
            let path = stage.socketPath
            #expect(reply(to: ["probe", "ready", "--socket", path]) == Reply(status: 0, output: "ready\n"))
            #expect(reply(to: ["probe", "live", "--socket", path]) == Reply(status: 0, output: "live\n"))
            await stage.state.change { state in
                state.readiness = [Condition("process", failure: "handed over"), Condition("listeners")]
            }
            let refused = reply(to: ["probe", "ready", "--socket", path])
            #expect(
                refused
                    == Reply(
                        status: 1,
                        errors: """
                            not ready:
                            [-]process failed: handed over
                            [+]listeners ok
                            readyz check failed

                            """))
            #expect(reply(to: ["probe", "live", "--socket", path]).status == 0)
        }
    }

    /// A process that accepts and says nothing must not let a kubelet's probe time out.
    @Test @concurrent func aProbeGivesUpBeforeTheKubeletDoes() async throws {
        let folder = try #require(AdminStage.folder())
        let path = "\(folder)/silent.sock"
        do {
            let silent = try UnixListener(path: path)
            let before = Clock.now()
            let answer = reply(to: ["probe", "live", "--socket", path])
            let taken = (Clock.now() - before).nanoseconds
            #expect(answer == Reply(status: 1, errors: "not live: \(path) does not answer in time\n"))
            #expect(700_000_000...950_000_000 ~= taken, "\(taken)")
            _ = silent.number
        }
        // Safety: a NUL-terminated copy of the path for the length of the call.
        #expect(unsafe rmdir(folder) == 0)
    }

    @Test func explainAsksARunningProxyForEndpoints() async throws {
        let text = """
            { listeners: [ { name: "http", address: "[::]:80" } ],
              services: { api: { kubernetes: { namespace: "honeydue", service: "api", port: "http" },
                                 dns: { name: "api-headless.honeydue.svc.cluster.local.", port: 8000 } },
                          lost: { kubernetes: { namespace: "honeydue", service: "lost", port: "http" } } },
              routes: [ { host: "a.b", service: "api" }, { host: "l.b", service: "lost" } ] }
            """
        let settings = try SettingsReader.read(Array(text.utf8), file: "f").get()
        try await AdminStage.with(settings: settings) { stage in
            func explain(_ url: String) -> Reply { reply(to: ["explain", "--admin", "\(stage.address)", url]) }
            let live = explain("http://a.b/x?y=1&z")
            let ages = live.output.replacing(/\(\d+ (s|min|h|days)\)/, with: "(ever)")
            #expect(live.status == 0 && live.errors == "")
            #expect(
                ages == """
                    Request      GET http://a.b/x?y=1&z
                    Listener     http on [::]:80
                    Route        routes[0]  a.b
                    Middlewares  none
                    Service      api
                    Witness      kubernetes
                    Endpoint     the less busy of two random ones among
                                 10.42.0.10:8000  api-6f975d8f8f-4dbj0 on hetzner1  by kubernetes, dns  ready (ever)
                                 10.42.1.11:8000  api-6f975d8f8f-4dbj1 on hetzner2  by kubernetes, dns  ready (ever)

                    Why no other endpoint
                      10.42.2.12:8000  api-6f975d8f8f-4dbj2 on hetzner3  by kubernetes, dns  ejected: 3 failures in a row (ever)
                      10.42.3.13:8000  api-6f975d8f8f-4dbj3 on hetzner1  by kubernetes       terminating, and others are ready (ever)
                      10.42.1.7:8000                                     by dns              belongs to honeydue/dozzle (ever)

                    Where witnesses disagree
                      DNS still answers 10.42.1.7 for api, gone from slices 41 s ago; that address now belongs to honeydue/dozzle

                    Why no other route
                      routes[1]  l.b  is for other hosts

                    """)
            #expect(
                explain("l.b").output == """
                    Request      GET http://l.b/
                    Listener     http on [::]:80
                    Route        routes[1]  l.b
                    Middlewares  none
                    Service      lost
                    Witness      none has told anything yet
                    Problem      honeydue/lost has no port "http"; it has web, metrics
                    Endpoint     none is usable
                    Answer       503

                    Why no other route
                      routes[0]  a.b  is for other hosts

                    """)
            #expect(explain("http://other/").status == 3)
            let offline = ExplanationText(
                of: try ExplainedRequest(url: "http://a.b/", method: nil, fieldLines: []), settings: settings
            ).reply
            #expect(
                offline.output.contains(
                    """
                    Endpoint     a running proxy tells them, with --admin; it learns them from
                                 kubernetes: Service honeydue/api, port http
                                 dns: api-headless.honeydue.svc.cluster.local., port 8000

                    """))
        }
        #expect(
            reply(to: ["explain", "--admin", "/nonexistent", "http://a.b/"])
                == Reply(status: 1, errors: "hdproxy: /nonexistent: there is no such socket\n"))
    }
}
