// `hdproxy check [--config FILE] [--print]`

extension Command {
    static let check = Command(
        name: "check", summary: "read and validate the configuration, open nothing",
        synopsis: "[--config FILE] [--print]",
        details: """
            Each error is a line on standard error:
              FILE:LINE:COL: key.path: what is wrong; what is allowed

            Exit status: 0 when the configuration is valid, else 2.

            """,
        options: [
            .config, Option(name: "--print", help: "write the effective configuration, defaults filled in"),
        ]
    ) { (arguments) throws(UsageError) in
        let path = try arguments.one("--config") ?? Command.defaultConfiguration
        switch loadConfiguration(path: path) {
        case .failure(let problems): return .invalid(problems)
        case .success(let settings):
            if arguments.has("--print") { return Reply(status: 0, output: settings.text) }
            let parts = [
                counted(settings.listeners.count, "listener"), counted(settings.services.count, "service"),
                counted(settings.routes.count, "route"),
            ]
            return Reply(status: 0, output: "\(path): valid: \(parts.joined(separator: ", "))\n")
        }
    }
}

/// `1 route`, `2 routes`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
