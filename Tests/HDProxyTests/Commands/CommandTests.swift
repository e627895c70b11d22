import Testing

@testable import HDProxy

private let demo = ExamplesTests.folder + "/demo.json5"

@Suite struct CommandTests {
    @Test func aUsageErrorSaysWhatIsWrongAndShowsTheNearestWord() {
        let cases: [(words: [String], errors: String)] = [
            (["chek"], "hdproxy: unknown command `chek`; did you mean `check`?\nSee `hdproxy help`.\n"),
            (["--versoin"], "hdproxy: unknown option `--versoin`; did you mean `--version`?\nSee `hdproxy help`.\n"),
            (
                ["xyzzy"],
                "hdproxy: unknown command `xyzzy`; known: run, check, explain, status, probe, cloudflare-ips, demo, "
                    + "version, "
                    + "help, --help, --version\nSee `hdproxy help`.\n"
            ),
            (
                ["run", "--confg", "x"],
                "hdproxy: unknown option `--confg`; did you mean `--config`?\nSee `hdproxy help run`.\n"
            ),
            (["run", "--config"], "hdproxy: `--config` needs a value, FILE\nSee `hdproxy help run`.\n"),
            (["run", "--config=a", "--config=b"], "hdproxy: `--config` is given 2 times\nSee `hdproxy help run`.\n"),
            (["check", "file"], "hdproxy: `file` is one word too many\nSee `hdproxy help check`.\n"),
            (["check", "--print=x"], "hdproxy: `--print` takes no value\nSee `hdproxy help check`.\n"),
            (["version", "-x"], "hdproxy: unknown option `-x`; there is none here\nSee `hdproxy help version`.\n"),
            (
                ["help", "explian"],
                "hdproxy: unknown command `explian`; did you mean `explain`?\nSee `hdproxy help help`.\n"
            ),
            (
                ["status", "--admin", "https://x"],
                "hdproxy: the admin listener speaks plain HTTP: write http:// in `https://x`\n"
                    + "See `hdproxy help status`.\n"
            ),
            (["probe"], "hdproxy: `probe` needs a question: ready or live\nSee `hdproxy help probe`.\n"),
            (
                ["probe", "redy"],
                "hdproxy: unknown question `redy`; did you mean `ready`?\nSee `hdproxy help probe`.\n"
            ),
            (
                ["probe", "ready", "--socket", ""],
                "hdproxy: `--socket` needs a path\nSee `hdproxy help probe`.\n"
            ),
            (["explain"], "hdproxy: a URL is missing\nSee `hdproxy help explain`.\n"),
            (
                ["explain", "--admin", "http://127.0.0.1:1", "--config", "x", "http://y/"],
                "hdproxy: `--config` and `--admin` exclude each other\nSee `hdproxy help explain`.\n"
            ),
            (
                ["explain", "ftp://x/"],
                "hdproxy: unknown scheme `ftp`; known: http, https, ws, wss\nSee `hdproxy help explain`.\n"
            ),
            (["explain", "http://x:99999/"], "hdproxy: `99999` is not a port\nSee `hdproxy help explain`.\n"),
            (
                ["explain", "http://x/ä"],
                "hdproxy: the URL has characters that travel percent-encoded only (RFC 3986 §2.1)\nSee `hdproxy help explain`.\n"
            ),
            (
                ["explain", "/x"],
                "hdproxy: the URL has no host; as in http://example.com/path, or with -H 'Host: example.com'\n"
                    + "See `hdproxy help explain`.\n"
            ),
            (
                ["explain", "-H", "Host", "/x"],
                "hdproxy: `Host` is not a field line; as in 'Host: example.com'\nSee `hdproxy help explain`.\n"
            ),
            (
                ["explain", "-X", "G T", "http://x/"],
                "hdproxy: `G T` is not a method: it is a token (RFC 9110 §9.1)\nSee `hdproxy help explain`.\n"
            ),
        ]
        for (words, errors) in cases { #expect(reply(to: words) == Reply(status: 2, errors: errors), "\(words)") }
        let empty = reply(to: [])
        #expect(empty.status == 2 && empty.output.isEmpty && empty.errors.hasPrefix("hdproxy: a command is missing\n"))
    }

    @Test func helpAndVersionAreFoundInEachWay() {
        let overview = reply(to: ["help"])
        #expect(overview.status == 0)
        for command in Command.all {
            #expect(overview.output.contains("hdproxy \(command.name) "))
            let help = reply(to: ["help", command.name])
            #expect(help.status == 0 && help.output.hasPrefix("Usage: hdproxy \(command.name)"))
            #expect(reply(to: [command.name, "--help"]) == help)
            #expect(reply(to: [command.name, "-h"]) == help)
            let isNarrow = help.output.split(separator: "\n").allSatisfy { $0.count <= 100 }
            #expect(isNarrow, "\(command.name)")
        }
        #expect(reply(to: ["--help"]) == overview && reply(to: ["-h"]) == overview)
        #expect(reply(to: ["--version"]) == reply(to: ["version"]))
        #expect(reply(to: ["version"]).output.hasPrefix("hdproxy 0.1.0\nSwift 6."))
    }

    @Test func checkSaysWhatItFound() {
        #expect(
            reply(to: ["check", "--config", demo])
                == Reply(status: 0, output: "\(demo): valid: 1 listener, 2 services, 3 routes\n"))
        let printed = reply(to: ["check", "--print", "--config=\(demo)"])
        #expect(printed.status == 0 && printed.errors.isEmpty)
        #expect(printed.output.contains("\"keepAlive\": \"960s\""))
        let missing = reply(to: ["check", "--config", "/nonexistent"])
        #expect(missing.status == 2 && missing.output.isEmpty && missing.errors.hasPrefix("/nonexistent: "))
        #expect(reply(to: ["run", "--config", "/nonexistent"]) == missing)
        #expect(reply(to: ["explain", "--config", "/nonexistent", "http://x/"]) == missing)
    }

    @Test func explainTellsWhatARequestMeets() {
        let api = reply(to: ["explain", "--config", demo, "http://API.myhoneydue.com:8080/v1/x?y=1#z"])
        #expect(
            api
                == Reply(
                    status: 0,
                    output: """
                        Request      GET http://API.myhoneydue.com:8080/v1/x?y=1
                        Listener     http on 127.0.0.1:8080
                        Route        routes[0]  api.myhoneydue.com
                        Middlewares  none
                        Service      api
                        Endpoint     the less busy of two random ones among
                                     127.0.0.1:18001
                                     127.0.0.1:18002
                                     127.0.0.1:18003

                        Why no other route
                          routes[1]  admin.myhoneydue.com  is for other hosts
                          routes[2]  myhoneydue.com        is for other hosts

                        """))
        let redirect = reply(
            to: ["explain", "--config", demo, "-XPOST", "-H", "host:\tmyhoneydue.com:80 ", "https://127.0.0.1/a?b"])
        #expect(
            redirect
                == Reply(
                    status: 0,
                    output: """
                        Request      POST https://myhoneydue.com/a?b
                        Listener     none on port 443; routes are the same on every one:
                                     http on 127.0.0.1:8080
                        Route        routes[2]  myhoneydue.com
                        Middlewares  none
                        Answer       308 to https://www.myhoneydue.com/a?b

                        Why no other route
                          routes[0]  api.myhoneydue.com    is for other hosts
                          routes[1]  admin.myhoneydue.com  is for other hosts

                        """))
        let stranger = reply(to: ["explain", "--config", demo, "nobody.example"])
        #expect(stranger.status == 3)
        #expect(stranger.output.contains("Route     none: no rule is for the host nobody.example\nAnswer    404\n"))
        let connect = reply(to: ["explain", "--config", demo, "-X", "CONNECT", "http://api.myhoneydue.com/"])
        #expect(connect.status == 3 && connect.output.hasSuffix("Answer    501\n"))
    }

    @Test func explainTellsWhyNotAnotherRoute() throws {
        let text = """
            { listeners: [ { name: "http", address: "[::]:80" } ],
              services: { api: { endpoints: ["10.0.0.1:80"] }, old: { endpoints: ["10.0.0.2:80"] } },
              routes: [
                { host: "a.b", service: "api" },
                { host: "a.b", path: "/x/", services: [ { name: "old", weight: 90 }, { name: "api", weight: 10 } ] },
                { host: "*.b", service: "old" },
                { host: "a.b", exactPath: "/y", service: "api" } ] }
            """
        let settings = try SettingsReader.read(Array(text.utf8), file: "f").get()
        func explain(_ url: String) throws -> Reply {
            ExplanationText(of: try ExplainedRequest(url: url, method: nil, fieldLines: []), settings: settings).reply
        }
        #expect(
            try explain("http://a.b/x/1")
                == Reply(
                    status: 0,
                    output: """
                        Request      GET http://a.b/x/1
                        Listener     http on [::]:80
                        Route        routes[1]  a.b/x/
                        Middlewares  none
                        Service      old, weight 90 of 100
                        Endpoint     10.0.0.2:80
                        Service      api, weight 10 of 100
                        Endpoint     10.0.0.1:80

                        Why no other route
                          routes[0]  a.b     is for this path, too, but routes[1] says more of it
                          routes[2]  *.b     is for this host, too, but a.b is more specific
                          routes[3]  a.b=/y  is for other paths

                        """))
        #expect(
            try explain("http://a.b/x//")
                == Reply(
                    status: 3,
                    output: """
                        Request   GET http://a.b/x//
                        Listener  http on [::]:80
                        Route     none: the path has an empty element (//), and paths decide on this host
                        Answer    400

                        Why no other route
                          routes[0]  a.b     is for this path, too, but routes[1] says more of it
                          routes[1]  a.b/x/  would be taken, but the path has an empty element (//)
                          routes[2]  *.b     is for this host, too, but a.b is more specific
                          routes[3]  a.b=/y  is for other paths

                        """))
    }
}
