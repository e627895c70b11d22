// `hdproxy probe ready|live [--socket PATH]`

extension Command {
    static let probe = Command(
        name: "probe", summary: "ask the process of the same container whether it is well",
        synopsis: "ready|live [--socket PATH]",
        details: """
            For exec probes: it asks over the Unix socket, behind which no other process can be,
            while a port may be shared by two generations on one node. It has an answer, or gives
            up, within 0.8 s, so that a probe's timeout of 1 s is enough.

            Exit status: 0 for yes, 1 for no or no answer; the reason is on standard error.

            """,
        options: [
            Option(name: "--socket", value: "PATH", help: "the admin socket (\(AdminSettings.defaultSocket))")
        ],
        freeMax: 1
    ) { (arguments) throws(UsageError) in
        let questions = ["ready", "live"]
        guard let question = arguments.free.first else { throw "`probe` needs a question: ready or live" }
        guard questions.contains(question) else { throw .unknown("question", question, questions) }
        let path = try arguments.one("--socket") ?? AdminSettings.defaultSocket
        if path.isEmpty { throw "`--socket` needs a path" }
        let target = question == "ready" ? "/readyz" : "/healthz"
        do throws(AdminFailure) {
            let answer = try AdminClient.ask(target, at: .unix(path), within: .milliseconds(800))
            if answer.status == 200 { return Reply(status: 0, output: "\(question)\n") }
            return Reply(status: 1, errors: "not \(question):\n\(TerminalText.lines(answer.text))\n")
        } catch {
            return Reply(status: 1, errors: "not \(question): \(error.text)\n")
        }
    }
}
