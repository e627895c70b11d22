// A real DNS server: dnsmasq with the names that a test tells it, as a child process.

import Foundation
import TestTools

/// A running dnsmasq.
final class Dnsmasq: Sendable {
    /// Where it is asked, over UDP and TCP.
    let port: UInt16
    private let folder: URL
    private let pid: pid_t

    private var hosts: URL { folder.appending(path: "hosts") }

    /// Starts it with these addresses of each name. What it does not know below `cluster.local` does not exist.
    init(_ names: [String: [String]], timeToLive: Int = 1) throws {
        port = try freePort()
        folder = FileManager.default.temporaryDirectory.appending(path: "dnsmasq-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appending(path: "hosts")
        try Self.text(names).write(to: file, atomically: true, encoding: .utf8)
        // It is installed where only root has its programs.
        let installed = "/usr/sbin/dnsmasq"
        let command = [
            FileManager.default.isExecutableFile(atPath: installed) ? installed : "dnsmasq",
            "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--port=\(port)",
            "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", "--no-poll",
            "--addn-hosts=\(file.path)", "--local-ttl=\(timeToLive)", "--local=/cluster.local/", "--pid-file=",
        ]
        do {
            pid = try spawn(command, input: nil, output: folder.appending(path: "output.log").path)
        } catch {
            throw StageError("dnsmasq is missing: `.ci/install test` installs what the tests need (\(error))")
        }
        let deadline = Deadline.after(.seconds(10))
        while (try? Peer(connectedTo: port)) == nil {
            guard deadline > .now else { throw StageError("dnsmasq does not listen on \(port)") }
            usleep(5_000)  // Nothing tells that a port has begun to listen.
        }
    }

    deinit { stop() }

    /// From now on these are the addresses.
    func tell(_ names: [String: [String]]) throws {
        try Self.text(names).write(to: hosts, atomically: true, encoding: .utf8)
        kill(pid, SIGHUP)
    }

    /// It is gone when this returns.
    func stop() {
        // A process id that was waited for may be somebody else's by now; the folder says whether it was.
        guard FileManager.default.fileExists(atPath: folder.path) else { return }
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
        try? FileManager.default.removeItem(at: folder)
    }

    private static func text(_ names: [String: [String]]) -> String {
        names.sorted { $0.key < $1.key }.flatMap { name, addresses in addresses.map { "\($0) \(name)\n" } }.joined()
    }
}
