// What a command comes to: text for standard output, text for standard error, and how the process exits.

import Glibc

/// The result of a command.
struct Reply: Equatable {
    /// 0, or what the contract says for this command.
    var status: Int32
    /// For standard output.
    var output = ""
    /// For standard error.
    var errors = ""

    /// A usage error: what is wrong, and where help is.
    static func usage(_ error: UsageError, command: String?) -> Reply {
        let help = command.map { "hdproxy help \($0)" } ?? "hdproxy help"
        return Reply(status: 2, errors: "hdproxy: \(error.text)\nSee `\(help)`.\n")
    }

    /// What is wrong with a configuration, a line each.
    static func invalid(_ problems: ConfigurationProblems) -> Reply {
        Reply(status: 2, errors: problems.lines.map { $0 + "\n" }.joined())
    }
}

/// Writes all of `text` to the descriptor. Returns 0, or the error number of the write that failed.
@discardableResult func writeFully(_ text: String, to descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        // Safety: the pointer is used for this call alone, with the length that belongs to it.
        let count = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 {
            if errno == EINTR { continue }
            return errno
        }
        bytes = bytes.dropFirst(count)
    }
    return 0
}
