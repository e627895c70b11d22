// `hdproxy demo`

extension Command {
    static let demo = Command(
        name: "demo", summary: "run the proxy with backends of its own, to try it", synopsis: "",
        details: """
            Listens on 127.0.0.1:8080, starts its backends on loopback and prints what to try.
            Ctrl-C drains and stops.

            Exit status: as `run`.

            """
    ) { _ in
        Reply(status: runDemo { text in serveDemo(text) })
    }
}
