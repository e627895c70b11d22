// Who works for us? Child programs: started pinned to a core, stopped without fail. Each is started through the hidden
// command `launch`, which asks the kernel to end the child when we end, pins it, and then becomes the program.

import CLinux
import Glibc

/// A program that we started.
final class Child {
    /// Its process.
    let pid: pid_t
    /// What it is called in messages.
    let name: String
    /// The file that its standard output and error go to.
    let outputPath: String
    private var status: Int32?

    /// Starts `program`, on core `cpu` if given, with `priority` if that is not ours; standard output and error go to a
    /// file in `folder`, or to `outputPath`.
    init(
        _ name: String, _ program: String, _ arguments: [String], cpu: Int?, folder: TemporaryFolder,
        outputPath: String? = nil, priority: Priority? = nil
    ) throws {
        self.name = name
        self.outputPath = outputPath ?? "\(folder.path)/\(name).\(monotonicNow() % 1_000_000_000).out"
        var words = [ownExecutable(), "launch", "--parent", "\(getpid())"]
        if let cpu { words += ["--cpu", "\(cpu)"] }
        if let priority { words += ["--priority", priority.rawValue] }
        words += ["--", program] + arguments
        pid = try Self.spawn(words, outputPath: self.outputPath)
    }

    deinit { stop() }

    private static func spawn(_ words: [String], outputPath: String) throws -> pid_t {
        // Safety: the actions are initialised here and destroyed below; all strings live through the calls.
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe _ = posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var pid: pid_t = 0
        let code = unsafe withArgumentVector(words) { vector in
            unsafe posix_spawn(&pid, words[0], &actions, nil, vector, environ)
        }
        guard code == 0 else { throw SystemFailure("starting \(words[0])", code: code) }
        return pid
    }

    /// Whether it still runs.
    var isRunning: Bool {
        if status != nil { return false }
        var word: Int32 = 0
        // Safety: waitpid fills the word it is given.
        if unsafe waitpid(pid, &word, WNOHANG) == pid { status = word }
        return status == nil
    }

    /// What it wrote so far.
    var output: String { readSystemFile(outputPath) ?? "" }

    /// How it ended, in words; nil while it runs.
    var ending: String? {
        guard !isRunning, let status else { return nil }
        if hd_exited(status) != 0 { return "exit status \(hd_exit_status(status))" }
        return "signal \(hd_term_signal(status))"
    }

    /// Waits for its end at most `milliseconds`; whether it ended.
    @discardableResult func wait(milliseconds: Int) -> Bool {
        let giveUpAt = monotonicNow() + UInt64(milliseconds) * 1_000_000
        while isRunning {
            if monotonicNow() > giveUpAt { return false }
            pause(milliseconds: 2)
        }
        return true
    }

    /// Asks it to end, with `signal`; after two seconds it and all that it started are ended without asking.
    func stop(signal: Int32 = SIGTERM) {
        guard isRunning else { return }
        let family = processFamily(of: pid)
        kill(pid, signal)
        if wait(milliseconds: 2000) { return }
        for member in family { kill(member, SIGKILL) }
        wait(milliseconds: 2000)
    }
}

/// Lets `body` see `words` as the kernel wants arguments: pointers with a nil at the end.
func withArgumentVector<R>(
    _ words: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
    // Safety: each copy is freed after the body, which is the only one to see them.
    var vector = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { for i in unsafe vector.indices { unsafe free(vector[i]) } }
    return unsafe vector.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!) }
}

/// The hidden command that turns into a program.
func launchCommand() -> Command {
    Command(
        name: "launch", summary: "",
        help: """
            usage: hdproxy-bench launch --parent PID [--cpu N] [--priority NAME] -- PROGRAM [ARGUMENT …]

            For the harness itself: becomes PROGRAM, pinned to a core, which gets SIGTERM when PID ends.
            """,
        options: [
            OptionSpec("--parent", "PID", "who starts it"), OptionSpec("--cpu", "N", "the core to stay on"),
            OptionSpec("--priority", "NAME", "idle, normal, real-time"),
        ],
        isListed: false
    ) { arguments in
        guard let program = arguments.rest.first else { throw UsageError("launch needs -- PROGRAM") }
        let parent = try arguments.number("--parent", 0, in: 0...Int(Int32.max))
        hd_die_with_parent(SIGTERM)
        // Who ended before that call sends no signal any more.
        guard parent == 0 || getppid() == pid_t(parent) else { throw Failure("the parent is gone") }
        if arguments.has("--cpu") { try pin(to: try arguments.number("--cpu", 0, in: 0...1023)) }
        if let name = arguments.text("--priority") {
            guard let priority = Priority(rawValue: name) else { throw UsageError("--priority \(name)?") }
            // Where it is not allowed the child does without.
            priority.take()
        }
        let code = unsafe withArgumentVector(arguments.rest) { vector in
            // Safety: the vector lives until the program takes over.
            unsafe execvp(program, vector)
            return errno
        }
        throw SystemFailure("starting \(program)", code: code)
    }
}
