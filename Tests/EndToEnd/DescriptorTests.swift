// When descriptors run out the program goes on: it serves whom it has, does not spin, and recovers.

import Foundation
import Testing

@Suite("Descriptors")
struct DescriptorTests {
    @Test("with few descriptors it serves whom it has, does not spin, and recovers")
    func exhaustion() async throws {
        try await onThread {
            let port = try freePort()
            let upstream = try LoopbackListener()
            let proxy = try ProxyProcess(
                configuration: configuration(listeners: [port], services: ["a": endpoint(upstream)]), awaiting: [port],
                within: ProxyProcess.Circumstances(shell: "ulimit -n 64"))
            let client = try Peer(connectedTo: port)
            client.says(request())
            let server = try upstream.accepts()
            _ = try server.hearsRequest()

            // More than it can take. Some wait in the kernel, some may be shed; none is served.
            let crowd = (0..<150).compactMap { _ in try? Peer(connectedTo: port) }
            #expect(crowd.count > 64)
            let before = try #require(Self.processorTicks(of: proxy))
            usleep(500_000)  // Spinning shows in the processor's time alone.
            let spent = try #require(Self.processorTicks(of: proxy)) - before
            #expect(spent < 25, "\(spent) ticks of the processor in half a second: it spins")
            #expect(proxy.exitStatus() == nil)

            // Silent connections may have had to go; an exchange may not.
            server.says(answer("whole"))
            #expect(try client.hearsAnswer().body == Array("whole".utf8))

            for peer in crowd { peer.socket.reset() }
            let deadline = Deadline.after(.seconds(20))
            var isServedAgain = false
            while !isServedAgain && deadline > .now {
                guard let fresh = try? Peer(connectedTo: port) else { continue }
                fresh.says(request(host: "nobody.test"))
                isServedAgain = (try? fresh.hearsAnswer(within: .seconds(1)))?.head.status == 404
            }
            #expect(isServedAgain)
            // The ends of the crowd may still be on their way.
            while proxy.openDescriptors >= 40 && deadline > .now { usleep(1000) }
            #expect(proxy.openDescriptors < 40)
        }
    }

    /// User and system time in ticks of 10 ms (fields 14 and 15 of /proc/PID/stat).
    private static func processorTicks(of proxy: ProxyProcess) -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(proxy.pid)/stat", encoding: .utf8),
            let name = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[name...].split(separator: " ")
        guard fields.count > 13, let user = Int(fields[12]), let system = Int(fields[13]) else { return nil }
        return user + system
    }
}
