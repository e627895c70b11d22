// Chunked bodies: decoded whole as in pieces and as the slow grammar says, and written anew in any room so that the same
// body comes out.

@testable import ProxyCore

enum ChunkedTarget {
    private static let linesMax = 8
    private static let limits = HeadLimits(headerBytes: 512, requestTargetBytes: 0)

    /// What became of a body.
    struct Body: Equatable {
        enum End: Equatable {
            case complete(Int)
            case needMore
            case refused(Rejection)
        }

        var data: [UInt8] = []
        var trailers: [[UInt8]] = []
        var end = End.needMore

        /// Whether both are the same, whatever a refusal's reason: the first of two faults may be seen sooner in pieces.
        static func ~= (a: Body, b: Body) -> Bool {
            if case .refused = a.end, case .refused = b.end { return a.data == b.data }
            return a == b
        }
    }

    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let step = 1 + Int(input.byte()) % 40
        let room = 320 + Int(input.byte()) * 3
        let bytes = input.remainder()

        let whole = try inProportion(to: bytes.count, "a chunked body") { decode(bytes, step: .max / 2) }
        for pieces in [1, step] where pieces < bytes.count || bytes.count < 2 {
            let body = decode(bytes, step: pieces)
            try expect(body ~= whole, "\(pieces) bytes at a time: \(body), whole: \(whole)")
        }
        try expectSlowAgrees(bytes, whole)
        if case .complete(let end) = whole.end {
            for tail in tails {
                let body = decode(Array(bytes[..<end]) + tail, step: .max / 2)
                try expect(body == whole, "followed by \(tail.escaped): \(body)")
            }
        }
        for asChunks in [true, false] {
            try expectRecoding(bytes, whole, step: step, room: room, asChunks: asChunks)
        }
    }

    static func decode(_ bytes: [UInt8], step: Int, limits: HeadLimits = limits) -> Body {
        var body = Body()
        var decoder = ChunkedDecoder()
        var trailers = FieldSection(lines: linesMax)
        var at = 0
        var shown = 0
        repeat {
            shown = min(shown + step, bytes.count)
            let view = bytes.span.extracting(0..<shown)
            steps: while true {
                do throws(Rejection) {
                    switch try decoder.next(view, at: &at, trailers: &trailers, limits: limits) {
                    case .data(let range): body.data += bytes[range.range]
                    case .needMore: break steps
                    case .end:
                        for i in 0..<trailers.lines.count {
                            let line = trailers.lines[i]
                            body.trailers.append(bytes[line.name.range] + [UInt8(ascii: ":")] + bytes[line.value.range])
                        }
                        body.end = .complete(at)
                        return body
                    }
                } catch {
                    body.end = .refused(error)
                    return body
                }
            }
        } while shown < bytes.count
        return body
    }

    // MARK: The slow grammar

    private static func expectSlowAgrees(_ bytes: [UInt8], _ whole: Body) throws {
        let slow = slowDecode(bytes)
        switch whole.end {
        case .complete(let end):
            guard let slow else { throw Finding("taken, but the grammar says no") }
            try expect(slow.data == whole.data && slow.end == end, "other data than the grammar's")
        case .needMore, .refused: try expect(slow == nil, "\(whole.end), but the grammar says yes: \(bytes.escaped)")
        }
    }

    /// The body that `bytes` begin with, or nil where they are none or not all of one.
    private static func slowDecode(_ bytes: [UInt8]) -> (data: [UInt8], end: Int)? {
        var data: [UInt8] = []
        var at = 0
        var extensions = 0
        while true {
            guard let end = SlowHead.lineEnd(bytes, from: at) else { return nil }
            let line = Array(bytes[at..<end])
            let digits = line.prefix { ASCII.hexDigit($0) != nil }
            let rest = Array(line[digits.count...])
            guard (1...16).contains(digits.count),
                let size = UInt64(String(decoding: digits, as: UTF8.self), radix: 16),
                size <= UInt64(Int64.max), rest.count <= 1024, isExtension(rest)
            else { return nil }
            extensions += rest.count
            guard extensions <= 16 * 1024 else { return nil }
            at = end + 2
            if size == 0 { break }
            guard UInt64(bytes.count - at) >= size + 2 else { return nil }
            data += bytes[at..<(at + Int(size))]
            at += Int(size)
            guard SlowHead.isCRLF(bytes, at) else { return nil }
            at += 2
        }
        let section = Array("X\r\n".utf8) + bytes[at...]
        guard let trailers = SlowHead(section, emptyLines: 0, startParts: 1), trailers.fields.count <= linesMax,
            trailers.byteCount - 3 - 2 <= limits.headerBytes
        else { return nil }
        return (data, at + trailers.byteCount - 3)
    }

    /// What may stand behind a size: nothing, or white space and then a semicolon with anything that quotes allow.
    private static func isExtension(_ bytes: [UInt8]) -> Bool {
        if bytes.isEmpty { return true }
        guard bytes.drop(while: { $0 == 0x20 || $0 == 9 }).first == UInt8(ascii: ";") else { return false }
        var isQuoted = false
        var isEscaped = false
        for byte in bytes {
            guard SlowHead.isTextByte(byte) else { return false }
            if isEscaped {
                isEscaped = false
            } else if isQuoted {
                if byte == UInt8(ascii: "\\") { isEscaped = true }
                if byte == UInt8(ascii: "\"") { isQuoted = false }
            } else if byte == UInt8(ascii: "\"") {
                isQuoted = true
            } else {
                guard SlowHead.isTokenByte(byte) || " \t;=".utf8.contains(byte) else { return false }
            }
        }
        return !isQuoted
    }

    // MARK: Written anew

    private static func expectRecoding(_ bytes: [UInt8], _ whole: Body, step: Int, room: Int, asChunks: Bool) throws {
        let once = try recode(bytes, step: .max / 2, room: bytes.count * 2 + 4096, asChunks: asChunks)
        let pieces = try recode(bytes, step: step, room: room, asChunks: asChunks)
        if case .refused = whole.end {
            for end in [once.end, pieces.end] {
                guard case .refused = end else { throw Finding("recoded: \(end), decoded: \(whole.end)") }
            }
            return
        }
        try expect(once.end == whole.end, "recoded: \(once.end), decoded: \(whole.end)")
        // Trailers that do not fit into the room stay where they are.
        let fits = whole.trailers.reduce(0) { $0 + $1.count + 3 } + 16 <= room - 64
        if !fits, pieces.end == .refused(.headerTooLarge) { return }
        try expect(pieces.end == whole.end, "recoded by \(step) in \(room): \(pieces.end), decoded: \(whole.end)")
        guard case .complete = whole.end else { return }
        for written in [once.written, pieces.written] {
            guard asChunks else {
                try expect(written == whole.data, "recoded bare: other data")
                continue
            }
            let again = decode(written, step: .max / 2, limits: HeadLimits(headerBytes: 4096, requestTargetBytes: 0))
            try expect(again.data == whole.data, "recoded by \(step) in \(room): other data")
            try expect(again.end == .complete(written.count), "recoded by \(step) in \(room): \(again.end)")
            for trailer in again.trailers {
                try expect(whole.trailers.contains(trailer), "a trailer that nobody sent: \(trailer.escaped)")
            }
        }
        try expect(once.written.count <= 8 * bytes.count + 64, "\(bytes.count) bytes became \(once.written.count)")
    }

    private static func recode(
        _ bytes: [UInt8], step: Int, room: Int, asChunks: Bool
    ) throws -> (written: [UInt8], end: Body.End) {
        var progress = BodyProgress(.chunked, emitsChunks: asChunks)
        var input = ByteBuffer(capacity: bytes.count + 16)
        var output = ByteBuffer(capacity: room)
        var trailers = FieldSection(lines: linesMax)
        var written: [UInt8] = []
        var fed = 0
        var starved = 0
        var turns = 0
        func flush() {
            written += output.withReadable { span in span.indices.map { span[$0] } }
            output.clear()
        }
        while true {
            turns += 1
            try expect(turns <= 8 * bytes.count + 64, "recoding does not come to an end")
            switch BodyCoder.recode(&progress, from: &input, to: &output, trailers: &trailers, limits: limits) {
            case .moved:
                starved = 0
                if progress.isEnded {
                    flush()
                    return (written, .complete(fed - input.count))
                }
            case .needInput:
                if fed == bytes.count {
                    flush()
                    return (written, .needMore)
                }
                let next = min(bytes.count, fed + step)
                input.append(bytes.span, from: fed, count: next - fed)
                fed = next
            case .needRoom:
                flush()
                starved += 1
                if starved > 2 { return (written, .refused(.headerTooLarge)) }
            case .malformed(let rejection):
                flush()
                return (written, .refused(rejection))
            }
            if output.writableCount < BodyCoder.roomMin { flush() }
        }
    }
}
