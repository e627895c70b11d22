// How does a test run a program of the machine's? With clean descriptors and signals, whatever else the tests have going
// on at the same moment, and without Foundation's Process: its children inherit what others wait for to be closed, so that
// two of them, started side by side, can wait for each other for ever.

import CLinux
import Foundation
import Synchronization

/// What is known of a child's end. A child may be waited for once, so whoever asks first keeps the answer.
public final class ChildStatus: Sendable {
    private struct Known {
        var status: Int32?
        var isEnded = false
    }

    private let known = Mutex(Known())

    /// Nothing yet.
    public init() {}

    /// How the child `pid` ended, as a shell would say (128 + the signal); nil while it runs.
    public func value(of pid: pid_t) -> Int32? {
        known.withLock { known in
            if let status = known.status { return status }
            var raw: Int32 = 0
            // Safety: the status is a local that outlives the call.
            guard unsafe waitpid(pid, &raw, WNOHANG) == pid else { return nil }
            known.status = hd_exited(raw) != 0 ? hd_exit_status(raw) : 128 + hd_term_signal(raw)
            return known.status
        }
    }

    /// True for the first caller alone.
    public func claimEnd() -> Bool {
        known.withLock { known in
            defer { known.isEnded = true }
            return !known.isEnded
        }
    }
}

/// Starts `command` with the given standard input (closed where nil) and both outputs going to the file `output`.
public func spawn(
    _ command: [String], input: Int32?, output: String, environment: [String: String] = [:]
) throws -> pid_t {
    // Safety: the actions are initialised before use and destroyed after; every string lives until the call returned.
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    if let input {
        unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
    } else {
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    // Whatever other tests have open at this moment is none of the program's business.
    unsafe posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) } + [nil]
    var settings: [UnsafeMutablePointer<CChar>?] = unsafe all.map { unsafe strdup("\($0)=\($1)") } + [nil]
    defer { unsafe (arguments + settings).forEach { unsafe free($0) } }
    var pid: pid_t = 0
    // Threads of the test runner block signals, and a child would inherit that: dnsmasq would never see a SIGHUP.
    var attributes = posix_spawnattr_t()
    var none = sigset_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    // Nor is what whoever started the tests has ignored: a child finds these signals as a service manager leaves them.
    var ordinary = sigset_t()
    unsafe sigemptyset(&ordinary)
    for signal in [SIGPIPE, SIGXFSZ, SIGINT, SIGHUP, SIGTERM] { unsafe sigaddset(&ordinary, signal) }
    unsafe posix_spawnattr_setsigdefault(&attributes, &ordinary)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    let outcome = unsafe posix_spawnp(&pid, command[0], &actions, &attributes, &arguments, &settings)
    guard outcome == 0 else { throw ToolError("cannot start \(command[0]): errno \(outcome)") }
    return pid
}

/// Runs a tool to its end, with `input` on its standard input; its status and all it wrote. Past `patience` it is killed.
public func runTool(
    _ command: [String], input: String? = nil, environment: [String: String] = [:],
    within patience: Duration = .seconds(60)
) throws -> (status: Int32, output: String) {
    // Files and no pipes: nobody waits for an end that another child holds open.
    let folder = FileManager.default.temporaryDirectory.appending(path: "tool-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    var source: FileHandle?
    if let input {
        let file = folder.appending(path: "input")
        try Data(input.utf8).write(to: file)
        source = try FileHandle(forReadingFrom: file)
    }
    let output = folder.appending(path: "output")
    let pid = try spawn(command, input: source?.fileDescriptor, output: output.path, environment: environment)
    try source?.close()
    let status = ChildStatus()
    let deadline = ContinuousClock.now + patience
    while true {
        if let ended = status.value(of: pid) {
            let text = (try? Data(contentsOf: output)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            return (ended, text)
        }
        if deadline <= .now { kill(pid, SIGKILL) }
        usleep(2_000)  // Waiting with a deadline for a child has no event that needs no signal handler.
    }
}

/// What kept a tool from being run.
public struct ToolError: Error, CustomStringConvertible {
    /// It, as a sentence.
    public let description: String

    init(_ description: String) { self.description = description }
}
