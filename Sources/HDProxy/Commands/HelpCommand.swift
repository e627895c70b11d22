// `hdproxy help [COMMAND]`

extension Command {
    static let help = Command(
        name: "help", summary: "tell what a command does", synopsis: "[COMMAND]",
        details: "Without COMMAND, all commands are listed.\n", freeMax: 1
    ) { (arguments) throws(UsageError) in
        guard let name = arguments.free.first else { return Reply(status: 0, output: HelpText.overview) }
        guard let command = Command.all.first(where: { $0.name == name }) else {
            throw .unknown("command", name, Command.all.map(\.name))
        }
        return Reply(status: 0, output: HelpText.of(command))
    }
}

/// The help, as text.
enum HelpText {
    /// All commands.
    static var overview: String {
        let rows = Command.all.map { ("  hdproxy " + $0.name, $0.summary) }
        return """
            HDProxy, an edge ingress proxy.

            \(columns(rows))
            `hdproxy help COMMAND` tells more about one of them.

            """
    }

    /// One command.
    static func of(_ command: Command) -> String {
        var text = "Usage: hdproxy \(command.name)"
        if !command.synopsis.isEmpty { text += " " + command.synopsis }
        text += "\n\n" + sentence(command.summary) + "\n"
        if !command.options.isEmpty {
            let rows = command.options.map { ("  " + $0.name + ($0.value.map { " " + $0 } ?? ""), $0.help) }
            text += "\n" + columns(rows)
        }
        return text + "\n" + command.details
    }

    /// Rows of two columns, the second one aligned.
    static func columns(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0 + String(repeating: " ", count: width - $0.0.count + 3) + $0.1 + "\n" }.joined()
    }

    private static func sentence(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() + "." }
}
