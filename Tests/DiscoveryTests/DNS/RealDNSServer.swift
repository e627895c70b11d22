import CLinux
import Foundation
import Glibc
import ProxyCore

@testable import Discovery

/// A DNS server of Debian's, started for one test at a free port of 127.0.0.1.
@ControlThread
final class RealDNSServer {
    let address: NetworkAddress
    private let process: Process
    private let output: Int32
    private let folder: TemporaryFolder

    /// Starts `command` with what `arguments` makes of a free port and of a folder of its own, and waits until it says
    /// `word`.
    init(
        _ command: String, saysWhenReady word: String,
        _ arguments: (UInt16, TemporaryFolder) throws -> [String]
    ) async throws {
        let folder = try TemporaryFolder()
        // The port is free now; should somebody take it before the server does, the next one is tried.
        for _ in 0..<10 {
            let port = Self.freePort()
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/setpriv")
            // The server goes with the tests, however they end.
            process.arguments = ["--pdeathsig", "KILL", "/usr/sbin/\(command)"] + (try arguments(port, folder))
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = pipe
            process.standardInput = FileHandle.nullDevice
            let output = dup(pipe.fileHandleForReading.fileDescriptor)
            _ = fcntl(output, F_SETFL, O_NONBLOCK)
            try process.run()
            try? pipe.fileHandleForWriting.close()
            if await Self.hears(word, on: output) {
                self.process = process
                self.output = output
                self.folder = folder
                address = NetworkAddress(ip: IPAddress("127.0.0.1")!, port: port)
                return
            }
            Self.end(process)
            close(output)
        }
        throw SystemError("run", code: ENOENT, doing: "starting \(command)")
    }

    /// Ends it.
    func stop() {
        Self.end(process)
        close(output)
    }

    /// Kills it and waits for it: a child that nobody waits for keeps the test runner's exit tests from seeing theirs.
    private static func end(_ process: Process) {
        kill(process.processIdentifier, SIGKILL)
        _ = waitpid(process.processIdentifier, nil, 0)
    }

    /// Reads until `word` comes; false where the output ends before.
    private static func hears(_ word: String, on output: Int32) async -> Bool {
        var text = ""
        let deadline = Clock.now() + .milliseconds(20_000)
        while await ControlThread.readable(output, until: deadline) == .ready {
            var piece = [UInt8](repeating: 0, count: 4096)
            // Safety: room for as many bytes.
            let count = unsafe read(output, &piece, piece.count)
            if count < 0 && errno == EAGAIN { continue }
            if count <= 0 { return false }
            text += String(decoding: piece[..<count], as: UTF8.self)
            if text.contains(word) { return true }
        }
        return false
    }

    /// A port that is free for UDP and TCP.
    private static func freePort() -> UInt16 {
        while true {
            guard let socket = try? Socket.listening(on: NetworkAddress("127.0.0.1:0")!),
                let port = socket.localAddress()?.port
            else { continue }
            let number = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(number) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            // Safety: an address of this size.
            let result = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe bind(
                    number, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
                    socklen_t(MemoryLayout<sockaddr_in>.size))
            }
            if result == 0 { return port }
        }
    }
}

extension RealDNSServer {
    /// dnsmasq with these lines of configuration and nothing of this machine.
    static func dnsmasq(_ lines: [String]) async throws -> RealDNSServer {
        try await RealDNSServer("dnsmasq", saysWhenReady: "started, version") { port, folder in
            let file = try folder.write(
                ([
                    "port=\(port)", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts", "user=root",
                    "group=root", "pid-file=", "log-facility=-",
                ] + lines).joined(separator: "\n") + "\n", to: "dnsmasq.conf")
            return ["--no-daemon", "--conf-file=\(file)"]
        }
    }

    /// Knot DNS with the zone `example.` of this text, and with a zone `broken.` that cannot be loaded.
    static func knot(_ zone: String) async throws -> RealDNSServer {
        try await RealDNSServer("knotd", saysWhenReady: "[example.] loaded") { port, folder in
            let file = try folder.write(zone, to: "example.zone")
            let configuration = try folder.write(
                """
                server:
                    listen: 127.0.0.1@\(port)
                    rundir: "\(folder.url.path)"
                    udp-workers: 1
                    tcp-workers: 1
                    background-workers: 1
                log:
                  - target: stderr
                    any: info
                database:
                    storage: "\(folder.url.path)"
                zone:
                  - domain: example.
                    file: "\(file)"
                    zonefile-sync: -1
                    journal-content: none
                  - domain: broken.
                    file: "\(folder.path("none.zone"))"
                    zonefile-sync: -1
                    journal-content: none

                """, to: "knot.conf")
            return ["-c", configuration]
        }
    }
}
