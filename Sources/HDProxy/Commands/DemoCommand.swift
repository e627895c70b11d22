// `hdproxy demo [--cluster]`

extension Command {
    static let demo = Command(
        name: "demo", summary: "run the proxy with backends of its own, to try it", synopsis: "[--cluster]",
        details: """
            Listens on 127.0.0.1:8080, starts its backends on loopback and prints what to try.
            Ctrl-C drains and stops.

            With --cluster the backends are pods: a fake Kubernetes API server tells of them, and a rolling
            update replaces them again and again while you send requests.

            Exit status: as `run`.

            """,
        options: [Option(name: "--cluster", help: "with pods that come and go behind a fake Kubernetes API")]
    ) { arguments in
        Reply(
            status: arguments.has("--cluster")
                ? runClusterDemo { text in serveDemo(text) } : runDemo { text in serveDemo(text) })
    }
}
