// The command `backend`: what stands behind the proxies under test.

import CLinux
import Glibc
import ProxyCore

func backendCommand() -> Command {
    Command(
        name: "backend", summary: "the server behind the proxies: answers by path, swallows uploads, echoes WebSocket",
        help: """
            usage: hdproxy-bench backend [--address 127.0.0.1] [--port 0] [--send-buffer SIZE]

            Prints “listening ADDRESS:PORT” once it serves, then serves until a signal ends it.

              /bytes/N    N bytes
              /chunked/N  N bytes, chunked
              /head       the request's head as it arrived
              /ws         a WebSocket that echoes whole messages
              any path with a body: its length, once all of it has come
            """,
        options: [
            OptionSpec("--address", "IP", "where to listen (127.0.0.1)"),
            OptionSpec("--port", "N", "0 lets the system choose (0)"),
            OptionSpec("--send-buffer", "SIZE", "what the kernel takes of an answer that is not read (as it likes)"),
        ]
    ) { arguments in
        let text = arguments.text("--address") ?? "127.0.0.1"
        guard let ip = IPAddress(text) else { throw UsageError("--address \(text): an IP address is needed") }
        let port = UInt16(try arguments.number("--port", 0, in: 0...65535))
        // A peer that is gone must not end us.
        _ = signal(SIGPIPE, SIG_IGN)
        raiseDescriptorLimit()
        let listener = try listen(on: NetworkAddress(ip: ip, port: port))
        // Connections inherit it.
        if let size = try arguments.size("--send-buffer") {
            setOption(listener, SOL_SOCKET, SO_SNDBUF, Int32(clamping: size))
        }
        printOut("listening \(NetworkAddress(ip: ip, port: localPort(of: listener)))")
        var backend = try Backend(listener: listener)
        try backend.run()
        return 0
    }
}
