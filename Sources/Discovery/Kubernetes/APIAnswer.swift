// What did the API server answer, and where does its body end? The bytes of one HTTP response after another, wherever
// they were cut, read by the proxy's own parsers: an API server gets no more credit than any other upstream.

import ProxyCore

/// What the head of an answer says.
struct APIAnswer: Sendable, Equatable {
    var status: Int
    /// When to ask again, where the server says so in seconds.
    var retryAfterSeconds: Int?
    /// The content coding, which we never ask for.
    var coding: String?
    /// Whether nothing can be asked on this connection afterwards.
    var closes: Bool
}

/// Reads the answers that come on one connection.
struct AnswerReader: ~Copyable {
    /// What comes next.
    enum Step: Sendable, Equatable {
        /// It goes on behind the bytes at hand.
        case needMore
        /// A head that is no interim one.
        case head(APIAnswer)
        /// Bytes of its body.
        case body(ByteRange)
        /// The answer is over.
        case end
    }

    private enum Place {
        /// Before or in a head.
        case head
        /// In a body that has so many bytes left.
        case counted(UInt64)
        /// In a chunked body.
        case chunked
        /// In a body that the end of the connection ends.
        case untilClose
    }

    /// Bytes of a head.
    static let headBytesMax = 32 * 1024
    private static let linesMax = 100

    private var place = Place.head
    private var head = ResponseHead(lines: linesMax)
    private var chunks = ChunkedDecoder()
    private var trailers = FieldSection(lines: linesMax)
    private let limits = HeadLimits(headerBytes: headBytesMax - 2048, requestTargetBytes: 0)

    /// Reads on from `at`, and moves it behind what was taken.
    ///
    /// - Throws: what is wrong with the answer; nothing more can be read then.
    mutating func next(_ bytes: Span<UInt8>, at: inout Int) throws(Rejection) -> Step {
        while true {
            switch place {
            case .head:
                let rest = bytes.extracting(at..<bytes.count)
                guard try ResponseParser.parse(rest, into: &head, answering: .get, limits: limits) == .complete else {
                    return .needMore
                }
                at += head.byteCount
                if head.isInterim {
                    // We never ask to switch protocols, and nothing follows a 101 that we could read.
                    guard head.status != 101 else { throw .badStatusLine }
                    continue
                }
                switch head.framing {
                case .none: place = .counted(0)
                case .length(let count): place = .counted(count)
                case .chunked:
                    chunks = ChunkedDecoder()
                    place = .chunked
                case .untilClose: place = .untilClose
                }
                return .head(answer(rest))
            case .counted(0):
                place = .head
                return .end
            case .counted(let count):
                guard at < bytes.count else { return .needMore }
                let taken = Int(min(count, UInt64(bytes.count - at)))
                place = .counted(count - UInt64(taken))
                defer { at += taken }
                return .body(ByteRange(at, at + taken))
            case .chunked:
                switch try chunks.next(bytes, at: &at, trailers: &trailers, limits: limits) {
                case .data(let range): return .body(range)
                case .needMore: return .needMore
                case .end:
                    place = .head
                    return .end
                }
            case .untilClose:
                guard at < bytes.count else { return .needMore }
                defer { at = bytes.count }
                return .body(ByteRange(at, bytes.count))
            }
        }
    }

    /// Whether the end of the connection, here, is the end of the answer too.
    var endsWithConnection: Bool {
        if case .untilClose = place { true } else { false }
    }

    private func answer(_ bytes: Span<UInt8>) -> APIAnswer {
        var answer = APIAnswer(status: head.status, closes: head.connection.close || head.isHTTP10)
        if case .untilClose = head.framing { answer.closes = true }
        for i in 0..<head.fields.lines.count {
            let line = head.fields.lines[i]
            if Scan.equals(bytes, line.name, "retry-after") {
                answer.retryAfterSeconds = Self.seconds(bytes, line.value)
            } else if Scan.equals(bytes, line.name, "content-encoding"), !Scan.equals(bytes, line.value, "identity") {
                let value = line.value.range.prefix(32).map { bytes[$0] }
                answer.coding = String(decoding: value, as: UTF8.self)
            }
        }
        return answer
    }

    /// `1*DIGIT` (RFC 9110 §10.2.3); the other form, a date, is not used by API servers.
    private static func seconds(_ bytes: Span<UInt8>, _ value: ByteRange) -> Int? {
        guard !value.isEmpty, value.count <= 9 else { return nil }
        var seconds = 0
        for at in value.range {
            guard let digit = ASCII.digit(bytes[at]) else { return nil }
            seconds = seconds * 10 + Int(digit)
        }
        return seconds
    }
}
