// What did the access log say? Its lines, gathered for the checks at the end.

import Synchronization

/// The access log's lines, as they were handed over.
final class LogBook: Sendable {
    struct Line {
        let text: String

        /// The text of a member, which has no quotes inside.
        func value(of name: String) -> String? {
            let parts = text.split(separator: "\"", omittingEmptySubsequences: false)
            guard let at = parts.firstIndex(of: name[...]), at + 2 < parts.count else { return nil }
            return String(parts[at + 2])
        }
    }

    private let bytes = Mutex<[UInt8]>([])

    func add(_ more: [UInt8]) -> Bool {
        bytes.withLock { $0 += more }
        return true
    }

    var lines: [Line] {
        bytes.withLock { $0 }.split(separator: 10).map { Line(text: String(decoding: $0, as: UTF8.self)) }
    }
}
