// The real program under test, as a child process: started with a configuration of the test's making, awaited until
// it listens, and never left behind.

import CLinux
import Foundation
import TestTools

/// A running `hdproxy run --config FILE`.
final class ProxyProcess: Sendable {
    /// The child's process id.
    let pid: pid_t
    /// The folder that holds its configuration and what it said.
    let folder: URL
    /// Holds the guard's standard input open; when this process ends in any way, the guard kills
    /// the child and removes its folder.
    private let guardInput: Int32
    private let guardPid: pid_t
    private let status = ChildStatus()

    var configurationFile: URL { folder.appending(path: "hdproxy.json5") }
    private var outputFile: URL { folder.appending(path: "output.log") }

    /// Starts the program with `configuration` and returns once a connection to each of `ports` is accepted.
    ///
    /// - Parameters:
    ///   - within: what it is started by, where a test wants it in narrow circumstances.
    ///   - writes: puts the configuration in place, where a plain file is not wanted; gets the file's place.
    init(
        configuration: String, awaiting ports: [UInt16], within circumstances: Circumstances = Circumstances(),
        writes: ((URL) throws -> Void)? = nil
    ) throws {
        let program = try Self.program()
        folder = FileManager.default.temporaryDirectory.appending(path: "hdproxy-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appending(path: "hdproxy.json5")
        if let writes {
            try writes(file)
        } else {
            try configuration.write(to: file, atomically: false, encoding: .utf8)
        }
        let run = [program, "run", "--config", file.path]
        pid = try spawn(
            circumstances.command(run), input: nil, output: folder.appending(path: "output.log").path,
            environment: circumstances.environment)

        var ends: [Int32] = [-1, -1]
        // Safety: pipe2 fills exactly the two numbers of the array.
        guard unsafe pipe2(&ends, O_CLOEXEC) == 0 else { throw StageError("pipe: errno \(errno)") }
        guardInput = ends[1]
        let watch = "trap '' INT; cat > /dev/null; kill -9 $1; rm -rf \"$2\""
        guardPid = try spawn(
            ["/bin/sh", "-c", watch, "sh", "\(pid)", folder.path], input: ends[0], output: "/dev/null")
        Glibc.close(ends[0])
        for port in ports { try awaitListening(on: port) }
    }

    /// What a process finds itself in.
    struct Circumstances: Sendable {
        /// Words that run the program named behind them; none: it is run as it is.
        var wrapper: [String] = []
        /// A line of the shell that goes before it.
        var shell: String?
        /// What its environment has beside the test's.
        var environment: [String: String] = [:]

        func command(_ run: [String]) -> [String] {
            wrapper + (shell.map { ["/bin/sh", "-c", "\($0); exec \"$@\"", "sh"] } ?? []) + run
        }
    }

    deinit { stop() }

    /// The program: `HDPROXY_BINARY`, or `hdproxy` beside the running test bundle.
    static func program() throws -> String {
        if let named = ProcessInfo.processInfo.environment["HDPROXY_BINARY"] { return named }
        let bundles =
            [try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")]
            + CommandLine.arguments.filter { $0.contains(".xctest") }
        for bundle in bundles.compactMap({ $0 }) {
            let beside = URL(fileURLWithPath: bundle).deletingLastPathComponent().appending(path: "hdproxy").path
            if FileManager.default.isExecutableFile(atPath: beside) { return beside }
        }
        throw StageError("no hdproxy beside the test bundle; name one with HDPROXY_BINARY")
    }

    /// Returns once somebody accepts on `port`; throws when the program ends first or a minute passes.
    ///
    /// A debug build reads thousands of services in seconds, in many more on a busy machine.
    func awaitListening(on port: UInt16) throws {
        let deadline = Deadline.after(.seconds(60))
        while deadline > .now {
            if let probe = try? LoopbackSocket.connect(to: LoopbackAddress(port: port)) {
                probe.close()
                return
            }
            if let ended = exitStatus() { throw StageError("hdproxy ended with \(ended) at once:\n\(output)") }
            usleep(5_000)  // Nothing tells that a port has begun to listen.
        }
        throw StageError("hdproxy does not listen on \(port):\n\(output)")
    }

    /// All that it has written to standard output and standard error.
    var output: String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }

    /// Waits until its output holds `text`.
    func awaitOutput(_ text: String, within patience: Duration = .seconds(5)) -> Bool {
        let deadline = Deadline.after(patience)
        while deadline > .now {
            if output.contains(text) { return true }
            usleep(5_000)  // The log is a file here: nothing tells that a line has come.
        }
        return false
    }

    /// Sends it `signal`.
    func signal(_ signal: Int32) { if exitStatus() == nil { kill(pid, signal) } }

    /// How it ended, as a shell would say (128 + the signal); nil while it runs.
    func exitStatus() -> Int32? { status.value(of: pid) }

    /// Waits for its end.
    func awaitExit(within patience: Duration) -> Int32? {
        let deadline = Deadline.after(patience)
        while deadline > .now {
            if let ended = exitStatus() { return ended }
            usleep(2_000)  // Waiting with a deadline for a child has no event that needs no signal handler.
        }
        return exitStatus()
    }

    /// A line of /proc/PID/status that counts kilobytes, such as `VmRSS`.
    func kilobytes(_ name: String) -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return line.flatMap { Int($0.filter(\.isNumber)) }
    }

    /// How many descriptors it holds.
    var openDescriptors: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count) ?? 0
    }

    /// Kills it, should it still run, and removes its folder.
    func stop() {
        guard status.claimEnd() else { return }
        kill(guardPid, SIGKILL)
        waitpid(guardPid, nil, 0)
        Glibc.close(guardInput)
        if exitStatus() == nil {
            kill(pid, SIGKILL)
            _ = awaitExit(within: .seconds(5))
        }
        try? FileManager.default.removeItem(at: folder)
    }
}
