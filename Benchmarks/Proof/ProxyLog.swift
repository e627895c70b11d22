// What does the proxy say of its requests? Its log through a pipe, read as it is written: kept are requests that did not
// go smoothly, and the events.

import Glibc
import ProxyCore
import Synchronization

/// The log of one running proxy.
final class ProxyLog: Sendable {
    private struct State {
        var requests = 0
        var entries: [Int: LogEntry] = [:]
        var retried = 0
        var events: [(time: UInt64, line: String)] = []
        var rest: [UInt8] = []
    }

    /// The pipe that the proxy writes to.
    let path: String
    private let fd: Int32
    private let state = Mutex(State())

    /// Makes the pipe in `folder`, and reads it from then on.
    init(in folder: TemporaryFolder) throws {
        let path = "\(folder.path)/log.\(monotonicNow() % 1_000_000_000)"
        // Safety: the path is passed as a NUL-terminated string that lives through the calls.
        guard unsafe mkfifo(path, 0o600) == 0 else { throw SystemFailure("making \(path)") }
        // Opened for both, so that it neither waits for a writer nor ends without one.
        let fd = unsafe open(path, O_RDWR | O_CLOEXEC)
        guard fd >= 0 else { throw SystemFailure("opening \(path)") }
        self.path = path
        self.fd = fd
        _ = try Thread(name: "log") { [self] in readOn() }
    }

    private func readOn() {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            // Safety: the kernel writes at most as many bytes as the array has.
            let count = unsafe read(fd, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            state.withLock { take(buffer[..<count], &$0) }
        }
    }

    private func take(_ bytes: ArraySlice<UInt8>, _ state: inout State) {
        state.rest += bytes
        var start = 0
        let held = state.rest
        while let end = find(UInt8(ascii: "\n"), in: held.span, from: start) {
            line(held[start..<end], &state)
            start = end + 1
        }
        state.rest = Array(held[start...])
    }

    private func line(_ bytes: ArraySlice<UInt8>, _ state: inout State) {
        let text = String(decoding: bytes, as: UTF8.self)
        let isRequest = text.contains("\"event\":\"request\"")
        if isRequest {
            state.requests += 1
            if text.contains("\"attempts\":1,\"outcome\":\"ok\"") { return }
        }
        guard let json = try? JSON(parsing: text) else {
            state.events.append((monotonicNow(), text))
            return
        }
        if let entry = LogEntry(json) {
            if entry.outcome == "ok" { state.retried += 1 } else { state.entries[entry.id] = entry }
        } else if !isRequest, state.events.count < 100_000 {
            state.events.append((monotonicNow(), text))
        }
    }

    /// Lines of requests so far.
    var requests: Int { state.withLock { $0.requests } }
    /// Requests that ended well after more than one attempt.
    var retried: Int { state.withLock { $0.retried } }
    /// Requests that did not end well, by number.
    var entries: [Int: LogEntry] { state.withLock { $0.entries } }
    /// All else that the proxy said, and when it was read.
    var events: [(time: UInt64, line: String)] { state.withLock { $0.events } }

    /// When something was said first, from `moment` on, that has all of `words`; nil where nothing was.
    func firstEvent(since moment: UInt64, with words: String...) -> UInt64? {
        state.withLock { state in
            state.events.first { event in event.time >= moment && words.allSatisfy { event.line.contains($0) } }?.time
        }
    }
}
