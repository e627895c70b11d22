// Why did a request need more than one try? A few words for its line in the access log.

/// How the tries before the last one ended.
struct RetryReasons {
    private var kinds = (Outcome.Kind.ok, Outcome.Kind.ok, Outcome.Kind.ok)
    private var count: UInt8 = 0

    /// Notes how a try ended that another one follows. A request gets no more than are noted.
    mutating func append(_ kind: Outcome.Kind) {
        switch count {
        case 0: kinds.0 = kind
        case 1: kinds.1 = kind
        case 2: kinds.2 = kind
        default: return
        }
        count += 1
    }

    /// Appends `,"retried":["connect_refused"]`; nothing where the first try was the last.
    @inline(__always) func append(to line: inout ByteBuffer) {
        if count > 0 { appendWords(to: &line) }
    }

    private func appendWords(to line: inout ByteBuffer) {
        line.append(",\"retried\":[\"")
        line.append(kinds.0.word)
        if count > 1 {
            line.append("\",\"")
            line.append(kinds.1.word)
        }
        if count > 2 {
            line.append("\",\"")
            line.append(kinds.2.word)
        }
        line.append("\"]")
    }
}
