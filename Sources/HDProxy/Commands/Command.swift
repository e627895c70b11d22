// Which command was called? The list of all of them, and the way from the process's words to one of them.

import Glibc

/// A command of the program.
struct Command: Sendable {
    /// Its name.
    var name: String
    /// What it does, in one line.
    var summary: String
    /// What stands behind its name.
    var synopsis: String
    /// What else there is to know, in whole lines.
    var details: String
    /// Its options.
    var options: [Option] = []
    /// How many words may stand free.
    var freeMax = 0
    /// Does it.
    var run: @Sendable (Arguments) throws(UsageError) -> Reply

    /// All commands, in the order of the help.
    static var all: [Command] { [.run, .check, .explain, .status, .probe, .cloudflareIPs, .demo, .version, .help] }

    /// The file that is read where `--config` names none.
    static let defaultConfiguration = "/etc/hdproxy/hdproxy.json5"
}

extension Option {
    static let config = Option(
        name: "--config", value: "FILE", help: "the configuration (\(Command.defaultConfiguration))")
    static let admin = Option(
        name: "--admin", value: "URL", help: "a running proxy: http://ADDRESS:PORT, or the path of its socket")
}

/// The whole process: `arguments` are its words, its own name first. Returns the exit status.
func runProcess(_ arguments: [String]) -> Int32 {
    // A reader that goes away shows up as EPIPE, and never ends the proxy.
    _ = signal(SIGPIPE, SIG_IGN)
    // So does a file that has reached the limit of its length: as EFBIG, which is told. Threads take no signals anyway.
    _ = signal(SIGXFSZ, SIG_IGN)
    let reply = reply(to: Array(arguments.dropFirst()))
    let failure = writeFully(reply.output, to: 1)
    writeFully(reply.errors, to: 2)
    if failure == 0 || failure == EPIPE { return reply.status }
    // A file that holds half of `check --print` must not look whole.
    writeFully("hdproxy: standard output: \(errorText(failure))\n", to: 2)
    return 1
}

/// What the program says to the words behind its name.
func reply(to words: [String]) -> Reply {
    guard let first = words.first else {
        return Reply(status: 2, errors: "hdproxy: a command is missing\n\n" + HelpText.overview)
    }
    let rest = Array(words.dropFirst())
    switch first {
    case "--help", "-h": return reply(to: ["help"] + rest)
    case "--version", "-V": return reply(to: ["version"] + rest)
    default: break
    }
    let names = Command.all.map(\.name)
    guard let command = Command.all.first(where: { $0.name == first }) else {
        return .usage(
            .unknown(first.hasPrefix("-") ? "option" : "command", first, names + ["--help", "--version"]), command: nil)
    }
    let options = rest.prefix { $0 != "--" }
    if options.contains("--help") || options.contains("-h") {
        return Reply(status: 0, output: HelpText.of(command))
    }
    do throws(UsageError) {
        return try command.run(try Arguments(rest, options: command.options, freeMax: command.freeMax))
    } catch {
        return .usage(error, command: command.name)
    }
}
