// What went wrong, in the system's words: the call, its errno, and what we were doing.

import Glibc

/// A system call that failed.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The call, as in `bind`.
    public var call: StaticString
    /// Its `errno`.
    public var code: Int32
    /// What we were doing, as in `listening on 127.0.0.1:80`.
    public var doing: String

    /// The failure of `call` with the present `errno`, or `code`.
    public init(_ call: StaticString, code: Int32 = errno, doing: String) {
        self.call = call
        self.code = code
        self.doing = doing
    }

    /// Two errors are the same where call, code and occasion are.
    public static func == (a: SystemError, b: SystemError) -> Bool {
        a.code == b.code && a.doing == b.doing && a.call.description == b.call.description
    }

    /// As in `listening on 127.0.0.1:80: bind: Address already in use`.
    public var description: String { "\(doing): \(call): \(Self.text(code))" }

    /// The system's text for an errno.
    public static func text(_ code: Int32) -> String {
        // Safety: strerror returns a NUL-terminated string that stays until this thread's next call.
        unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
    }
}
