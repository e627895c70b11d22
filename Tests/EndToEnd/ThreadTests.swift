// Which threads does the program have? Its workers, the log's and the control thread, and no pool of the runtime's.

import Foundation
import Testing

@Suite("Threads")
struct ThreadTests {
    @Test("a running program has no threads but its own")
    func ownThreadsAlone() async throws {
        try await onThread {
            let port = try freePort()
            let proxy = try ProxyProcess(
                configuration: configuration(listeners: [port], services: ["a": "endpoints: [ \"127.0.0.1:1\" ]"]),
                awaiting: [port])
            #expect(proxy.awaitOutput("\"started\""))
            // A reload passes through every task of the control thread.
            proxy.signal(SIGHUP)
            #expect(proxy.awaitOutput("\"unchanged\""))
            let tasks = "/proc/\(proxy.pid)/task"
            let names = try FileManager.default.contentsOfDirectory(atPath: tasks).map {
                try String(contentsOfFile: "\(tasks)/\($0)/comm", encoding: .utf8)
                    .trimmingCharacters(in: .whitespacesAndNewlines)
            }
            let known: Set = ["hdproxy", "log", "state"]
            #expect(names.filter { !known.contains($0) && !$0.hasPrefix("worker-") } == [])
            #expect(names.filter { $0 == "hdproxy" }.count == 1)
        }
    }
}
