// The hidden command `pod`: one pod of the clusters that `rollout` and `faults` play, as a process of its own, so that its
// end is a real one.

import CLinux
import Glibc
import ProxyCore

func podCommand() -> Command {
    Command(
        name: "pod", summary: "",
        help: """
            usage: hdproxy-bench pod --parent PID --address IP --port N --service NAME --pod NAME --ledger FILE

            For the harness itself: a server that answers requests for /r/NUMBER as the harness expects it, notes in FILE
            what it carried out, and ends at once when it is told to.
            """,
        options: [
            OptionSpec("--parent", "PID", "who starts it"), OptionSpec("--address", "IP", "where to listen"),
            OptionSpec("--port", "N", "where to listen"), OptionSpec("--service", "NAME", "X-Service of its answers"),
            OptionSpec("--pod", "NAME", "X-Pod of its answers"), OptionSpec("--ledger", "FILE", "what it shares"),
            OptionSpec("--idle", "TIME", "closes a connection that was silent for so long"),
            OptionSpec("--says-idle", nil, "and tells so in Keep-Alive"),
            OptionSpec("--says-client", nil, "tells in X-Saw whom it took for the client, and by which scheme he came"),
        ],
        isListed: false
    ) { arguments in
        hd_die_with_parent(SIGKILL)
        let parent = try arguments.number("--parent", 0, in: 0...Int(Int32.max))
        // Who ended before that call sends no signal any more.
        guard parent == 0 || getppid() == pid_t(parent) else { throw Failure("the parent is gone") }
        _ = signal(SIGPIPE, SIG_IGN)
        guard let ip = IPAddress(arguments.text("--address") ?? ""), let path = arguments.text("--ledger") else {
            throw UsageError("pod needs --address and --ledger")
        }
        raiseDescriptorLimit()
        let port = UInt16(try arguments.number("--port", 0, in: 1...65535))
        let listener = try listen(on: NetworkAddress(ip: ip, port: port))
        let ledger = try PodLedger(path, isNew: false)
        let idle = arguments.has("--idle") ? try arguments.time("--idle", 1) : nil
        var server = try PodServer(
            listener: listener, ledger: ledger, service: arguments.text("--service") ?? "",
            pod: arguments.text("--pod") ?? "", idle: idle, saysIdle: arguments.has("--says-idle"))
        server.saysClient = arguments.has("--says-client")
        ledger.isReady = true
        try server.run()
        return 0
    }
}
