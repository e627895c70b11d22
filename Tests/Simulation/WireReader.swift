// What was received, read as strictly as a careful peer would: an HTTP/1.1 reader that shares nothing with the proxy's.

/// What a peer may never see.
struct WireFault: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A head as it was received.
struct WireHead {
    var startLine: [String] = []
    var fields: [String: [String]] = [:]

    /// The value of a field that stands at most once.
    func one(_ name: String) throws -> String? {
        let values = fields[name] ?? []
        guard values.count <= 1 else { throw WireFault("\(name) stands \(values.count) times: \(values)") }
        return values.first
    }

    var status: Int { Int(startLine[1]) ?? 0 }

    func says(_ name: String, _ word: String) -> Bool {
        (fields[name] ?? []).contains { value in
            value.split(separator: ",").contains { $0.trimmed.lowercased() == word }
        }
    }

    /// Where the body ends, unless status or method say that there is none.
    func framing() throws -> WireFraming {
        let length = try one("content-length")
        let coding = try one("transfer-encoding")
        if let coding {
            guard coding == "chunked", length == nil else { throw WireFault("framing \(coding), \(length ?? "-")") }
            return .chunked
        }
        guard let length else { return .untilClose }
        guard let count = Int(length), String(count) == length, count >= 0 else { throw WireFault("length \(length)") }
        return .length(count)
    }
}

enum WireFraming: Equatable {
    case none
    case length(Int)
    case chunked
    case untilClose
}

extension Substring {
    var trimmed: Substring {
        var text = self
        while text.first == " " || text.first == "\t" { text.removeFirst() }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }
}

/// Reads messages as they come in.
struct WireReader {
    enum Event {
        case head(WireHead)
        case body([UInt8])
        case end
        case needMore
    }

    private enum State: Equatable {
        case head
        case bytes(left: Int)
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case trailers
        case untilClose
        /// After a switch of protocols.
        case raw
    }

    /// What has come and was not looked at.
    private(set) var buffer: [UInt8] = []
    private var at = 0
    private var scanned = 0
    private var state = State.head
    /// Trailers of the latest body.
    private(set) var trailers: [String: [String]] = [:]

    var unread: Int { buffer.count - at }
    /// Whether nothing of a message has been begun.
    var isBetweenMessages: Bool { state == .head && unread == 0 }
    var isUntilClose: Bool { state == .untilClose }

    mutating func withBuffer<R>(_ body: (inout [UInt8]) -> R) -> R {
        if at > 0 {
            buffer.removeFirst(at)
            scanned -= at
            at = 0
        }
        return body(&buffer)
    }

    /// Tells how the body of the head that was just read ends.
    mutating func begin(_ framing: WireFraming) {
        switch framing {
        case .none, .length(0): state = .bytes(left: 0)
        case .length(let count): state = .bytes(left: count)
        case .chunked: state = .chunkSize
        case .untilClose: state = .untilClose
        }
    }

    mutating func becomeRaw() { state = .raw }

    mutating func next() throws -> Event {
        while true {
            switch state {
            case .head:
                guard let lines = try section() else { return .needMore }
                return .head(try Self.parse(lines))
            case .bytes(let left):
                if left == 0 {
                    state = .head
                    return .end
                }
                guard let taken = take(left) else { return .needMore }
                state = .bytes(left: left - taken.count)
                return .body(taken)
            case .chunkSize:
                guard let line = try line() else { return .needMore }
                let text = String(decoding: line, as: UTF8.self)
                guard let count = Int(text, radix: 16), count >= 0, text.first != "+", text.first != "-" else {
                    throw WireFault("chunk size \(text)")
                }
                state = count == 0 ? .trailers : .chunk(left: count)
            case .chunk(let left):
                guard let taken = take(left) else { return .needMore }
                state = taken.count == left ? .chunkEnd : .chunk(left: left - taken.count)
                return .body(taken)
            case .chunkEnd:
                guard unread >= 2 else { return .needMore }
                guard buffer[at] == 13, buffer[at + 1] == 10 else { throw WireFault("no line end behind a chunk") }
                at += 2
                state = .chunkSize
            case .trailers:
                // An empty section is its empty line alone.
                if unread >= 2, buffer[at] == 13, buffer[at + 1] == 10 {
                    at += 2
                    trailers = [:]
                } else {
                    guard let lines = try section() else { return .needMore }
                    trailers = try Self.fields(lines[...])
                }
                state = .head
                return .end
            case .untilClose, .raw:
                guard let taken = take(.max) else { return .needMore }
                return .body(taken)
            }
        }
    }

    private mutating func take(_ most: Int) -> [UInt8]? {
        let count = min(most, unread)
        if count == 0 { return nil }
        defer { at += count }
        return Array(buffer[at..<at + count])
    }

    private mutating func line() throws -> ArraySlice<UInt8>? {
        guard let end = buffer[at...].firstIndex(of: 10) else {
            guard unread < 40 else { throw WireFault("a long chunk size") }
            return nil
        }
        guard end > at, buffer[end - 1] == 13 else { throw WireFault("a bare line feed") }
        defer { at = end + 1 }
        return buffer[at..<end - 1]
    }

    /// The lines up to an empty one.
    private mutating func section() throws -> [ArraySlice<UInt8>]? {
        var from = max(at, scanned - 3)
        var end: Int?
        while let feed = buffer[from...].firstIndex(of: 10) {
            if feed >= at + 3, buffer[feed - 2] == 10 || (feed == at + 1) {
                end = feed
                break
            }
            from = feed + 1
        }
        guard let end else {
            scanned = buffer.count
            guard unread < 200_000 else { throw WireFault("a head without end") }
            return nil
        }
        var lines: [ArraySlice<UInt8>] = []
        var start = at
        while start <= end {
            guard let feed = buffer[start...end].firstIndex(of: 10), feed > start, buffer[feed - 1] == 13 else {
                throw WireFault("a bare line feed in a head")
            }
            let line = buffer[start..<feed - 1]
            if line.contains(13) { throw WireFault("a bare carriage return in a head") }
            lines.append(line)
            start = feed + 1
        }
        guard lines.last?.isEmpty == true else { throw WireFault("a head without an empty line") }
        at = end + 1
        scanned = at
        return lines.dropLast()
    }

    private static func parse(_ lines: [ArraySlice<UInt8>]) throws -> WireHead {
        guard let first = lines.first else { throw WireFault("an empty head") }
        let words = String(decoding: first, as: UTF8.self)
            .split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard words.count == 3 else { throw WireFault("start line \(words)") }
        return WireHead(startLine: words, fields: try fields(lines.dropFirst()))
    }

    private static func fields(_ lines: ArraySlice<ArraySlice<UInt8>>) throws -> [String: [String]] {
        var fields: [String: [String]] = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: 58), colon > line.startIndex, !line[..<colon].contains(32) else {
                throw WireFault("field line \(String(decoding: line, as: UTF8.self))")
            }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            fields[name, default: []].append(String(String(decoding: line[(colon + 1)...], as: UTF8.self)[...].trimmed))
        }
        return fields
    }
}
