// Response heads, read and written: an upstream that is broken or hostile must not make one client's bytes reach another.

@testable import ProxyCore

enum ResponseHeadTarget {
    private static let linesMax = 24

    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let method = input.choice([Method.get, .head, .post, .options])
        let limits = HeadLimits(headerBytes: input.choice([8192, 8192, 64, 16]), requestTargetBytes: 0)
        let isHTTP10 = input.choice([false, false, true])
        let bytes = input.remainder()

        let whole = try inProportion(to: bytes.count, "a response head") { read(bytes, method, limits) }
        try expectSteadiness(bytes, whole) { read($0, method, limits) }
        try expectSlowAgrees(bytes, whole, method, limits)
        if case .complete(let view) = whole { try expectForwarding(bytes, view, method, limits, isHTTP10) }
    }

    private static func read(
        _ bytes: [UInt8], _ method: Method, _ limits: HeadLimits, lines: Int = linesMax
    ) -> HeadReading {
        var head = ResponseHead(lines: lines)
        do throws(Rejection) {
            let step = try ResponseParser.parse(bytes.span, into: &head, answering: method, limits: limits)
            return step == .complete ? .complete(HeadView(head, bytes)) : .needMore
        } catch {
            return .refused(error)
        }
    }

    private static func expectSlowAgrees(
        _ bytes: [UInt8], _ whole: HeadReading, _ method: Method, _ limits: HeadLimits
    ) throws {
        let slow = SlowHead(bytes, emptyLines: 0, startParts: 3)
        let allowed = slow.map { isAllowed($0, bytes, limits) } ?? false
        switch whole {
        case .complete(let view):
            guard let slow, allowed else { throw Finding("taken, but the grammar says no: \(bytes.escaped)") }
            try expect(view.byteCount == slow.byteCount, "\(view.byteCount) bytes, the grammar says \(slow.byteCount)")
            try expect(
                view.lines.elementsEqual(slow.fields) { $0.name == $1.name && $0.value == $1.value },
                "other lines than the grammar's")
            let status = view.numbers[0] ?? 0
            let length = slow.values("content-length").first.flatMap(SlowHead.number)
            let framing: BodyFraming =
                if method == .head || status < 200 || status == 204 || status == 304 {
                    .none
                } else if !slow.values("transfer-encoding").isEmpty {
                    .chunked
                } else if let length {
                    length == 0 ? .none : .length(length)
                } else {
                    .untilClose
                }
            try expect(view.framing == framing, "framing \(view.framing), the grammar says \(framing)")
        case .needMore: try expect(slow == nil, "needs more, but a whole head is there")
        case .refused(let reason):
            try expect(!allowed, "refused (\(reason)), but the grammar says yes: \(bytes.escaped)")
        }
    }

    private static func isAllowed(_ slow: SlowHead, _ bytes: [UInt8], _ limits: HeadLimits) -> Bool {
        guard slow.start.count >= 2, slow.fields.count <= linesMax else { return false }
        let version = String(decoding: slow.start[0], as: UTF8.self)
        guard version == "HTTP/1.1" || version == "HTTP/1.0", slow.start[1].count == 3,
            let status = SlowHead.number(slow.start[1]), (100...599).contains(status)
        else { return false }
        let reason = slow.start.count > 2 ? slow.start[2] : []
        guard reason.allSatisfy(SlowHead.isTextByte), reason.count <= min(1024, limits.headerBytes) else {
            return false
        }
        let startBytes = slow.start.reduce(0) { $0 + $1.count } + slow.start.count - 1
        guard slow.byteCount - 2 - startBytes - 2 <= limits.headerBytes else { return false }
        guard slow.hasAllowedConnection else { return false }
        let lengths = slow.values("content-length")
        let codings = slow.values("transfer-encoding")
        if !lengths.isEmpty { guard lengths.count == 1, SlowHead.number(lengths[0]) != nil else { return false } }
        if codings.isEmpty { return true }
        return lengths.isEmpty && version == "HTTP/1.1" && codings.count == 1 && SlowHead.lower(codings[0]) == "chunked"
    }

    // MARK: What the client gets

    private static func expectForwarding(
        _ bytes: [UInt8], _ view: HeadView, _ method: Method, _ limits: HeadLimits, _ isHTTP10: Bool
    ) throws {
        var head = ResponseHead(lines: linesMax)
        _ = try ResponseParser.parse(bytes.span, into: &head, answering: method, limits: limits)
        let framing: BodyFraming =
            switch view.framing {
            case .untilClose, .chunked: isHTTP10 ? .untilClose : .chunked
            case .none, .length: view.framing
            }
        let closes = isHTTP10 || head.connection.close
        let terms = HeadWriter.ResponseTerms(
            framing: framing, id: head.isInterim ? nil : RequestID(high: 1, low: 2), closes: closes, isHTTP10: isHTTP10)
        var out = ByteBuffer(capacity: view.byteCount + HeadWriter.responseGrowthMax)
        let date = HTTPDate(unixSeconds: 1_795_511_667)
        try inProportion(to: view.byteCount, "writing a response head") {
            out.clear()
            HeadWriter.write(head, bytes.span, terms: terms, date: date, into: &out)
        }
        let written = out.withReadable { span in span.indices.map { span[$0] } }

        let wide = HeadLimits(headerBytes: 1 << 20, requestTargetBytes: 0)
        let reading = read(written, method, wide, lines: linesMax + 16)
        guard case .complete(let sent) = reading else {
            throw Finding("what was written reads as \(reading): \(written.escaped)")
        }
        try expect(sent.byteCount == written.count, "a head of \(sent.byteCount) bytes was written in \(written.count)")
        try expect(sent.numbers[0] == view.numbers[0] && sent.texts[0] == view.texts[0], "another status line")
        let isBodyless = view.numbers[0]! < 200 || view.numbers[0] == 204 || view.numbers[0] == 304 || method == .head
        if !isBodyless { try expect(sent.framing == framing, "framing \(sent.framing) out of \(framing)") }
        try expect(sent.connection.close == closes, "the connection's end is told otherwise")
        try expect(sent.values("content-length").count + sent.values("transfer-encoding").count <= 1, "framed twice")
        if isHTTP10 { try expect(sent.values("transfer-encoding").isEmpty, "chunks for HTTP/1.0") }
        if !head.isInterim {
            try expect(sent.values("x-request-id").count == 1, "\(sent.values("x-request-id").count) request ids")
            try expect(!sent.values("date").isEmpty, "no date")
        }
        for name in [FieldName.setCookie, .guarded, .date] where !(name == .date && view.values("date").isEmpty) {
            try expect(
                view.lines.filter { $0.known == name } == sent.lines.filter { $0.known == name },
                "lines \(name) changed")
        }
    }
}
