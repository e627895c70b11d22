// `hdproxy check [--config FILE] [--print]`

import ProxyCore

extension Command {
    static let check = Command(
        name: "check", summary: "read and validate the configuration, open nothing",
        synopsis: "[--config FILE] [--print]",
        details: """
            Each error is a line on standard error:
              FILE:LINE:COL: key.path: what is wrong; what is allowed

            Of certificates it says for which names they are, until when, and whether Cloudflare
            accepts them in the mode Full (strict); what somebody should look at is a warning.
            So is whom trustedProxies believes beside Cloudflare: such a proxy has to set or
            remove CF-Connecting-IP and X-Forwarded-For itself.

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
            var lines = ["\(path): valid: \(parts.joined(separator: ", "))"]
            let now = Clock.wallMicroseconds() / 1_000_000
            for remark in TrustCheck.remarks(settings) + CertificateCheck.remarks(settings, now: now) {
                lines.append("\(path): \(remark.path): \(remark.isWarning ? "warning: " : "")\(remark.text)")
            }
            return Reply(status: 0, output: lines.joined(separator: "\n") + "\n")
        }
    }
}

/// `1 route`, `2 routes`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
