// `hdproxy run [--config FILE]`

extension Command {
    static let run = Command(
        name: "run", summary: "run the proxy in the foreground", synopsis: "[--config FILE]",
        details: """
            SIGTERM and SIGINT drain and exit, a second one exits at once. SIGHUP reads the
            configuration again: a valid one is adopted, an invalid one is refused and logged.
            SIGUSR1 reopens log files.

            Exit status: 0 after a clean drain, 1 after a failure, 2 for a bad configuration.

            """,
        options: [.config]
    ) { (arguments) throws(UsageError) in
        let path = try arguments.one("--config") ?? Command.defaultConfiguration
        switch loadConfiguration(path: path) {
        case .failure(let problems): return .invalid(problems)
        case .success(let settings): return Reply(status: runProxy(configurationPath: path, settings: settings))
        }
    }
}
