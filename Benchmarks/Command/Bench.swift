// Which command is meant? The front door of the harness: commands, their help, and what a usage error costs (2).

import Glibc

/// One command of the harness.
struct Command {
    /// What is typed.
    let name: String
    /// One line for the list of commands.
    let summary: String
    /// The text of `COMMAND --help`.
    let help: String
    /// The options it takes.
    let options: [OptionSpec]
    /// Whether the list of commands shows it; the others are for the harness itself.
    var isListed = true
    /// Does it; returns the exit status.
    let run: (Arguments) throws -> Int32
}

/// All commands, in the order of the help.
func allCommands() -> [Command] {
    [
        loadCommand(), compareCommand(), microCommand(), discoveryCommand(), rolloutCommand(), faultsCommand(),
        upgradeCommand(), edgeCommand(), hostileCommand(), backendCommand(), launchCommand(), podCommand(),
        crowdCommand(),
    ]
}

/// Runs the command that `arguments` name. Exit status: 0, 1 when the work failed or met errors, 2 for a usage error.
func runBench(_ arguments: [String]) -> Int32 {
    let commands = allCommands()
    do {
        guard let first = arguments.first else { throw UsageError("no command was given") }
        if first == "--help" || first == "-h" || first == "help" {
            let named = commands.first { $0.name == arguments.dropFirst().first }
            printOut(named.map(fullHelp) ?? overview(commands))
            return 0
        }
        guard let command = commands.first(where: { $0.name == first }) else {
            throw UsageError("there is no command “\(first)”", nearest: nearest(first, in: commands.map(\.name)))
        }
        let rest = Array(arguments.dropFirst())
        if rest.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
            printOut(fullHelp(command))
            return 0
        }
        return try command.run(try Arguments(rest, options: command.options))
    } catch let error as UsageError {
        printError("hdproxy-bench: \(error)\nTry: hdproxy-bench --help")
        return 2
    } catch {
        printError("hdproxy-bench: \(error)")
        return 1
    }
}

private func overview(_ commands: [Command]) -> String {
    var text = "hdproxy-bench: how fast, against what, since when?\n\n"
    text += "usage: swift run -c release hdproxy-bench COMMAND [OPTIONS]\n\n"
    for command in commands where command.isListed {
        text += "  \(command.name.padded(to: 10))\(command.summary)\n"
    }
    return text + "\nhdproxy-bench COMMAND --help tells more. Benchmarks/README.md tells how to read the figures.\n"
}

private func fullHelp(_ command: Command) -> String {
    var text = command.help + "\n"
    if !command.options.isEmpty { text += "\noptions:\n" }
    for option in command.options {
        let left = option.value.map { "\(option.name) \($0)" } ?? option.name
        text += "  \(left.padded(to: 25)) \(option.help)\n"
    }
    return text
}
