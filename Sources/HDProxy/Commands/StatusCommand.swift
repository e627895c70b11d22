// `hdproxy status [--admin URL] [--json] [--watch]`

import Glibc

extension Command {
    static let status = Command(
        name: "status", summary: "show listeners, routes, services and endpoints of a running proxy",
        synopsis: "[--admin URL] [--json] [--watch]",
        details: """
            Without --admin the Unix socket \(AdminSettings.defaultSocket) is asked, and
            \(AdminSettings.defaultAddress) where nobody is there.

            Exit status: 0, or 1 when the proxy cannot be reached.

            """,
        options: [
            .admin, Option(name: "--json", help: "as JSON, as /api/v1/status has it"),
            Option(name: "--watch", help: "again every 2 s, until Ctrl-C"),
        ]
    ) { (arguments) throws(UsageError) in
        let addresses = try arguments.one("--admin").map { (text) throws(UsageError) in [try AdminAddress(text)] }
        let question = StatusQuestion(
            addresses: addresses ?? AdminAddress.defaults, isJSON: arguments.has("--json"),
            isColoured: TerminalText.isColoured(descriptor: STDOUT_FILENO))
        guard arguments.has("--watch") else { return question.reply }
        return watch(question)
    }

    /// Asks and shows until nobody reads any more.
    private static func watch(_ question: StatusQuestion) -> Reply {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        var isFirst = true
        while true {
            let reply = question.reply
            var text = reply.output
            if reply.status != 0 {
                if isFirst { return reply }
                // A proxy that restarts is what one watches for.
                text = reply.errors
            }
            // From the top of an empty screen, or one below the other.
            text = isTerminal ? "\u{1B}[H\u{1B}[2J\u{1B}[3J" + text : isFirst || question.isJSON ? text : "\n" + text
            if writeFully(text, to: STDOUT_FILENO) != 0 { return Reply(status: 0) }
            isFirst = false
            sleep(2)
        }
    }
}

/// What `status` asks, and of whom.
struct StatusQuestion {
    /// Who is asked, the next one where nobody is there.
    var addresses: [AdminAddress]
    /// Whether JSON is shown as it comes.
    var isJSON = false
    /// Whether colours are used.
    var isColoured = false

    /// The answer.
    var reply: Reply {
        var absent: [String] = []
        for address in addresses {
            do throws(AdminFailure) {
                let body = try AdminClient.get("/api/v1/status", at: address, within: .seconds(5))
                if isJSON { return Reply(status: 0, output: String(decoding: body, as: UTF8.self)) }
                let report = try AdminClient.decode(StatusReport.self, body, at: address)
                return Reply(status: 0, output: StatusText(report, isColoured: isColoured).text)
            } catch {
                if !error.isAbsent { return Reply(status: 1, errors: "hdproxy: \(error.text)\n") }
                absent.append(error.text)
            }
        }
        let hint = addresses.count > 1 ? "\nWhere it listens elsewhere: `hdproxy status --admin URL`.\n" : "\n"
        let reasons = absent.count == 1 ? " " + absent[0] : absent.map { "\n  " + $0 }.joined()
        return Reply(status: 1, errors: "hdproxy: no running proxy answers:\(reasons)\(hint)")
    }
}
