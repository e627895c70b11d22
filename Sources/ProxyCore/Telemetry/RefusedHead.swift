// What did a refused request look like? Enough to see what is wrong with it, and nothing that would let its reader act as
// its sender: values of queries, credentials, cookies and whatever else is not known to be harmless are left out.

/// The head of a request that was refused.
public struct RefusedHead: Sendable, Equatable {
    /// When, in microseconds since 1970.
    public var wallMicroseconds: Int64
    /// Why, by the words of `hdproxy_rejected_total`.
    public var reason: String
    /// Whose connection it came on.
    public var peer: IPAddress
    /// Its lines, redacted. A head that never ended ends here, too.
    public var lines: [String]

    /// A head whose redacted `lines` came from `peer` at that time, refused for `reason`.
    public init(wallMicroseconds: Int64, reason: String, peer: IPAddress, lines: [String]) {
        self.wallMicroseconds = wallMicroseconds
        self.reason = reason
        self.peer = peer
        self.lines = lines
    }

    /// How many are kept.
    public static let most = 32
    /// Lines and bytes of one that are kept.
    static let linesMax = 64
    static let lineBytesMax = 256
    static let bytesMax = 4096

    /// The redacted lines of the head that `bytes` begin with, up to its empty line.
    static func redact(_ bytes: Span<UInt8>) -> [String] {
        var lines: [String] = []
        var at = 0
        let count = min(bytes.count, bytesMax)
        while at < count, lines.count < linesMax {
            var end = at
            while end < count, bytes[end] != ASCII.lf { end &+= 1 }
            var stop = end
            // A line ends as lines should; any other CR shows.
            if stop > at, stop < count, bytes[stop &- 1] == ASCII.cr { stop &-= 1 }
            if stop == at, !lines.isEmpty { break }
            if stop > at {
                let range = ByteRange(at, stop)
                lines.append(lines.isEmpty ? requestLine(bytes, range) : fieldLine(bytes, range))
            }
            at = end &+ 1
        }
        return lines
    }

    /// A request line without what stands in its target's query, fragment, parameters and user, and without what stands
    /// where nothing should.
    private static func requestLine(_ bytes: Span<UInt8>, _ range: ByteRange) -> String {
        var end = Int(range.start)
        while end < range.end, ASCII.isToken(bytes[end]) { end &+= 1 }
        // What nobody would take for HTTP may be anything.
        guard end > Int(range.start), end < range.end, bytes[end] == ASCII.space else {
            return hidden(Int(range.count), "no request line")
        }
        // Spaces before the target, and behind the version, are what may be wrong with the line.
        var start = end &+ 1
        while start < range.end, bytes[start] == ASCII.space { start &+= 1 }
        let rest = ByteRange(start, range.end)
        let stop = first(bytes, rest) { $0 == ASCII.space || $0 == ASCII.tab || $0 == ASCII.cr }
        let version = max(stop, versionStart(bytes, rest))
        return text(bytes, ByteRange(Int(range.start), start)) + redactTarget(bytes, ByteRange(start, stop))
            + (version > stop ? hidden(version &- stop, "") : "") + text(bytes, ByteRange(version, range.end))
    }

    /// Where ` HTTP/1.1`, with any two digits, begins that ends a line, spaces behind it aside; the line's end where it
    /// does not end so.
    private static func versionStart(_ bytes: Span<UInt8>, _ range: ByteRange) -> Int {
        var end = range.end
        while end > Int(range.start), bytes[end &- 1] == ASCII.space { end &-= 1 }
        let start = end &- 9
        guard start >= Int(range.start), bytes[start] == ASCII.space,
            Scan.equals(bytes, ByteRange(start &+ 1, start &+ 6), "http/"), ASCII.digit(bytes[end &- 3]) != nil,
            bytes[end &- 2] == UInt8(ascii: "."), ASCII.digit(bytes[end &- 1]) != nil
        else { return range.end }
        return start
    }

    private static func redactTarget(_ bytes: Span<UInt8>, _ range: ByteRange) -> String {
        let question = UInt8(ascii: "?")
        let hash = UInt8(ascii: "#")
        var result = ""
        var at = Int(range.start)
        func endsAuthority(_ byte: UInt8) -> Bool { byte == ASCII.slash || byte == question || byte == hash }
        // Of an authority, with a scheme before it or alone as in CONNECT, the user goes.
        if at < range.end, bytes[at] != ASCII.slash {
            let colon = first(bytes, range) { $0 == ASCII.colon || $0 == UInt8(ascii: "@") || endsAuthority($0) }
            if colon &+ 3 <= range.end, Scan.equals(bytes, ByteRange(colon, colon &+ 3), "://") {
                result = text(bytes, ByteRange(at, colon &+ 3))
                at = colon &+ 3
            }
            let authority = ByteRange(at, first(bytes, ByteRange(at, range.end), endsAuthority))
            var host = authority.end
            while host > at, bytes[host &- 1] != UInt8(ascii: "@") { host &-= 1 }
            if host > at { result += "*@" }
            result += text(bytes, ByteRange(host, authority.end))
            at = authority.end
        }
        // Of a path its parameters, which some keep sessions in.
        let pathEnd = first(bytes, ByteRange(at, range.end)) { $0 == question || $0 == hash }
        while at < pathEnd {
            let piece = first(bytes, ByteRange(at, pathEnd)) { $0 == UInt8(ascii: ";") }
            result += text(bytes, ByteRange(at, piece))
            if piece < pathEnd { result += ";*" }
            at = first(bytes, ByteRange(piece, pathEnd)) { $0 == ASCII.slash }
        }
        // Of a query all but names.
        let queryEnd = first(bytes, ByteRange(at, range.end)) { $0 == hash }
        while at < queryEnd {
            result += escaped(bytes[at])
            let end = first(bytes, ByteRange(at &+ 1, queryEnd)) { $0 == UInt8(ascii: "&") }
            let equals = first(bytes, ByteRange(at &+ 1, end)) { $0 == UInt8(ascii: "=") }
            if equals < end {
                result += text(bytes, ByteRange(at &+ 1, equals)) + "=*"
            } else if end > at &+ 1 {
                result += "*"
            }
            at = end
        }
        return queryEnd < range.end ? result + "#*" : result
    }

    /// The first place in `range` whose byte is `wanted`; its end where there is none.
    private static func first(_ bytes: Span<UInt8>, _ range: ByteRange, _ wanted: (UInt8) -> Bool) -> Int {
        var at = Int(range.start)
        while at < range.end, !wanted(bytes[at]) { at &+= 1 }
        return at
    }

    /// Bytes as they are shown; of many the first ones.
    private static func text(_ bytes: Span<UInt8>, _ range: ByteRange) -> String {
        var text = ""
        for at in range.range {
            if text.utf8.count >= lineBytesMax { return text + "…" }
            text += escaped(bytes[at])
        }
        return text
    }

    /// A field line; its value only where that cannot be anybody's secret.
    private static func fieldLine(_ bytes: Span<UInt8>, _ range: ByteRange) -> String {
        var colon = Int(range.start)
        while colon < range.end, ASCII.isToken(bytes[colon]) { colon &+= 1 }
        guard colon > Int(range.start), colon < range.end else { return hidden(Int(range.count), "no field line") }
        let name = ByteRange(Int(range.start), colon)
        // The colon, or what stands in its place: then it may be a line of anything.
        guard bytes[colon] == ASCII.colon else { return hidden(Int(range.count), "no field line") }
        // A CR that ends no line may be one's end to others, and what follows it a field of its own.
        let shown = min(range.end, first(bytes, range) { $0 == ASCII.cr } &+ 1)
        if isHarmless(bytes, name) {
            let rest = range.end &- shown
            return text(bytes, ByteRange(Int(range.start), shown)) + (rest > 0 ? hidden(rest, "") : "")
        }
        return text(bytes, name) + ": " + hidden(range.end &- colon &- 1, "")
    }

    /// Whether values of this field tell nobody who may do what.
    private static func isHarmless(_ bytes: Span<UInt8>, _ name: ByteRange) -> Bool {
        for known in harmless where Scan.equals(bytes, name, known) { return true }
        return false
    }

    private static let harmless: [StaticString] = [
        "host", "user-agent", "accept", "accept-encoding", "accept-language", "connection", "content-length",
        "content-type", "content-encoding", "transfer-encoding", "te", "trailer", "upgrade", "expect", "via",
        "max-forwards", "cdn-loop", "cf-ray", "cf-ipcountry", "cf-visitor", "cf-connecting-ip", "x-forwarded-for",
        "x-forwarded-proto", "x-forwarded-host", "range", "cache-control", "date", "http2-settings",
    ]

    private static func hidden(_ count: Int, _ what: String) -> String {
        "<\(count) bytes\(what.isEmpty ? "" : ", \(what)")>"
    }

    private static func escaped(_ byte: UInt8) -> String {
        if byte >= 0x20, byte < 0x7F { return String(UnicodeScalar(byte)) }
        return "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
}

/// The heads that were refused last, the latest one last. To write one down costs many times what refusing it costs, so of
/// a flood only some are: whoever sends it must not set the price.
struct RefusedHeads {
    /// From one head that is kept to the next in the long run; as many as there is room for may come at once.
    static let distance = Instant.Span.milliseconds(10)

    private(set) var all: [RefusedHead] = []
    /// When the last of those that were kept would have come, had they come one by one.
    private var paidUntil = Instant(nanoseconds: .min)

    /// Whether one that is refused at `now` is to be kept.
    mutating func wants(_ now: Instant) -> Bool {
        let burst = Instant.Span(nanoseconds: Self.distance.nanoseconds * Int64(RefusedHead.most))
        let next = max(paidUntil, now) + Self.distance
        guard next <= now + burst else { return false }
        paidUntil = next
        return true
    }

    /// Adds one; the oldest goes where there are many.
    mutating func add(_ head: RefusedHead) {
        if all.count == RefusedHead.most { all.removeFirst() }
        all.append(head)
    }
}
