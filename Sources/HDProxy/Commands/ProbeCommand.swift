// `hdproxy probe ready|live [--socket PATH]`

extension Command {
    static let probe = Command(
        name: "probe", summary: "ask the process of the same container whether it is well (not yet)",
        synopsis: "ready|live [--socket PATH]",
        details: "Not supported yet: it asks the admin socket, which this version does not have.\n",
        options: [Option(name: "--socket", value: "PATH", help: "the admin socket")], freeMax: 1
    ) { (arguments) throws(UsageError) in
        let questions = ["ready", "live"]
        guard let question = arguments.free.first else { throw "`probe` needs a question: ready or live" }
        guard questions.contains(question) else { throw .unknown("question", question, questions) }
        throw "`probe` is not supported yet: it asks the admin socket, which this version does not have"
    }
}
