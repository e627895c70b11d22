// Feeds a wire case to the parsers and compares what comes out: whole, every beginning of it, and with bytes of the
// next message behind it. Heads are used again for each case, as a worker does, so that nothing may stay behind.

import TestTools

@testable import ProxyCore

/// What the parsers make of some bytes.
enum WireReading: Equatable {
    case needsMore
    case refused(String)
    case complete(Int)
}

/// Runs the cases of one page, one after the other.
final class WireRunner {
    private var request = RequestHead(lines: 64)
    private var response = ResponseHead(lines: 64)
    /// What does not hold.
    private(set) var complaints: [String] = []
    private var title = ""

    private func expect(_ holds: Bool, _ complaint: @autoclosure () -> String) {
        if !holds { complaints.append("\(title): \(complaint())") }
    }

    func run(_ wire: WireCase) throws {
        title = wire.title
        let before = complaints.count
        try judge(wire)
        guard wire.isKnownBug else { return }
        let isFixed = complaints.count == before
        complaints.removeSubrange(before...)
        expect(!isFixed, "it holds now: remove `not yet`")
    }

    private func judge(_ wire: WireCase) throws {
        // Neighbouring cases often have the same lines: a case with other limits gets heads of its own size.
        if request.fields.lines.capacity != wire.linesMax {
            request = RequestHead(lines: wire.linesMax)
            response = ResponseHead(lines: wire.linesMax)
        }
        switch wire.kind {
        case .request, .response: try runHead(wire)
        case .chunks: try runChunks(wire)
        }
    }

    // MARK: Heads

    private func read(_ bytes: [UInt8], _ wire: WireCase) -> WireReading {
        do throws(Rejection) {
            if case .response(let method) = wire.kind {
                let step = try ResponseParser.parse(
                    bytes.span, into: &response, answering: method, limits: wire.limits)
                return step == .complete ? .complete(response.byteCount) : .needsMore
            }
            let step = try RequestParser.parse(bytes.span, into: &request, limits: wire.limits)
            return step == .complete ? .complete(request.byteCount) : .needsMore
        } catch {
            return .refused("\(error.reason)")
        }
    }

    private func describe(_ bytes: [UInt8], _ wire: WireCase) -> WireDescription {
        if case .response = wire.kind { return WireDescription(response, bytes) }
        return WireDescription(request, bytes)
    }

    private static let tails = ["GET /next HTTP/1.1\r\nHost: b\r\n\r\n", "\r\n", "\n", "\0", " ", "X: y\r\n\r\n"]

    private func runHead(_ wire: WireCase) throws {
        let whole = read(wire.bytes, wire)
        switch wire.verdict! {
        case .needsMore:
            expect(whole == .needsMore, "expected to need more, got \(whole)")
            for n in 0..<wire.bytes.count {
                let reading = read(Array(wire.bytes[..<n]), wire)
                expect(reading == .needsMore, "at byte \(n): expected to need more, got \(reading)")
            }
        case .refused(let reasons):
            expect(whole == .refused(reasons[0]), "expected \(reasons[0]), got \(whole)")
            checkRefusals(wire, reasons)
        case .read(let conditions):
            expect(whole == .complete(wire.bytes.count), "expected a head of \(wire.bytes.count) bytes, got \(whole)")
            guard case .complete = whole else { return }
            let description = describe(wire.bytes, wire)
            complaints += try description.complaints(conditions).map { "\(title): \($0)" }
            if let forwarded = wire.forwarded { checkForwarding(wire, forwarded) }
            for n in 0..<wire.bytes.count {
                let reading = read(Array(wire.bytes[..<n]), wire)
                expect(reading == .needsMore, "at byte \(n): expected to need more, got \(reading)")
            }
            for tail in Self.tails {
                let bytes = wire.bytes + Array(tail.utf8)
                let reading = read(bytes, wire)
                expect(reading == whole, "followed by \(tail.utf8.escaped): got \(reading)")
                guard reading == whole else { continue }
                expect(describe(bytes, wire) == description, "followed by \(tail.utf8.escaped): it reads otherwise")
            }
        }
    }

    /// What is refused stays refused, whatever follows; no beginning of it is a message.
    private func checkRefusals(_ wire: WireCase, _ reasons: [String]) {
        var refusedAt: Int?
        for n in 0...wire.bytes.count {
            switch read(Array(wire.bytes[..<n]), wire) {
            case .needsMore:
                if let refusedAt { expect(false, "refused at byte \(refusedAt), but not at byte \(n)") }
            case .refused(let reason):
                if refusedAt == nil { refusedAt = n }
                expect(reasons.contains(reason), "at byte \(n): expected \(reasons), got \(reason)")
            case .complete(let count): expect(false, "at byte \(n): complete with \(count) bytes")
            }
        }
        for tail in Self.tails {
            let reading = read(wire.bytes + Array(tail.utf8), wire)
            if case .refused = reading, reasons[0] == "\(Rejection.headerTooLarge.reason)" {
                // A line that now ends, or breaks, is looked at before its length.
                continue
            }
            expect(reading == .refused(reasons[0]), "followed by \(tail.utf8.escaped): got \(reading)")
        }
        checkEndurance(wire, refusedAt)
    }

    private func checkEndurance(_ wire: WireCase, _ refusedAt: Int?) {
        guard let endures = wire.endures else { return }
        expect(wire.bytes.starts(with: endures), "what endures is not how it begins")
        expect(
            refusedAt == endures.count + 1,
            "expected to be refused at byte \(endures.count + 1), got \(refusedAt.map(String.init) ?? "never")")
    }

    private func checkForwarding(_ wire: WireCase, _ forwarded: [UInt8]) {
        var out = ByteBuffer(capacity: wire.bytes.count + 2048)
        let growthMax: Int
        if case .response = wire.kind {
            let date = HTTPDate(unixSeconds: WireText.unixSeconds)
            HeadWriter.write(response, wire.bytes.span, terms: terms(wire), date: date, into: &out)
            growthMax = HeadWriter.responseGrowthMax
        } else {
            var client = DerivedClient(peer: WireText.client, isTLS: false)
            client.isFromTrustedProxy = wire.given["trusted"] != nil
            let forwarding = Forwarding(client, id: WireText.id)
            HeadWriter.write(request, wire.bytes.span, forwarding: forwarding, into: &out)
            growthMax =
                HeadWriter.requestGrowthMax + Int(request.authority.host.count) + Int(request.upgrade.count) + 6
        }
        let written = out.bytes
        expect(written == forwarded, "expected to forward\n  \(forwarded.escaped), got\n  \(written.escaped)")
        expect(written.count <= wire.bytes.count + growthMax, "it grew by \(written.count - wire.bytes.count) bytes")
        // What we write, we must be able to read.
        var plain = wire
        plain.given = [:]
        let reading = read(written, plain)
        expect(reading == .complete(written.count), "what was written reads as \(reading)")
        _ = read(wire.bytes, wire)
    }

    private func terms(_ wire: WireCase) -> HeadWriter.ResponseTerms {
        var framing = response.framing
        switch wire.given["framing"] {
        case "close": framing = .untilClose
        case "chunked": framing = .chunked
        case "none": framing = .none
        default: break
        }
        return HeadWriter.ResponseTerms(
            framing: framing, id: wire.given["interim"] == nil ? WireText.id : nil,
            closes: wire.given["closes"] != nil)
    }

    // MARK: Chunks

    /// A chunked body as it was read.
    private struct Body: Equatable {
        var data: [UInt8] = []
        var trailers: [String] = []
        var reading = WireReading.needsMore
    }

    /// Decodes `bytes`, of which more and more is shown, `step` bytes at a time.
    private func decode(_ bytes: [UInt8], step: Int, _ wire: WireCase) -> Body {
        var body = Body()
        var decoder = ChunkedDecoder()
        var trailers = FieldSection(lines: wire.linesMax)
        var at = 0
        var shown = 0
        repeat {
            shown = min(shown + step, bytes.count)
            let view = Array(bytes[..<shown])
            steps: while true {
                do throws(Rejection) {
                    switch try decoder.next(view.span, at: &at, trailers: &trailers, limits: wire.limits) {
                    case .data(let range): body.data += view[range.range]
                    case .needMore: break steps
                    case .end:
                        for i in 0..<trailers.lines.count {
                            let line = trailers.lines[i]
                            body.trailers.append(
                                "\(view[line.name.range].escaped): \(view[line.value.range].escaped)")
                        }
                        body.reading = .complete(at)
                        return body
                    }
                } catch {
                    body.reading = .refused("\(error.reason)")
                    return body
                }
            }
        } while shown < bytes.count
        return body
    }

    private func runChunks(_ wire: WireCase) throws {
        let whole = decode(wire.bytes, step: .max / 2, wire)
        switch wire.verdict! {
        case .needsMore: expect(whole.reading == .needsMore, "expected to need more, got \(whole.reading)")
        case .refused(let reasons):
            expect(whole.reading == .refused(reasons[0]), "expected \(reasons[0]), got \(whole.reading)")
            for (n, tail) in Self.tails.enumerated() {
                let reading = decode(wire.bytes + Array(tail.utf8), step: n + 1, wire).reading
                expect(reading == whole.reading, "followed by \(tail.utf8.escaped): got \(reading)")
            }
            guard wire.endures != nil else { break }
            let refusedAt = (0...wire.bytes.count).first {
                decode(Array(wire.bytes[..<$0]), step: .max / 2, wire).reading != .needsMore
            }
            checkEndurance(wire, refusedAt)
        case .read(let conditions):
            expect(
                whole.reading == .complete(wire.bytes.count),
                "expected a body of \(wire.bytes.count) bytes, got \(whole.reading)")
            complaints += try conditions.compactMap { try complaint($0, whole) }.map { "\(title): \($0)" }
            for tail in Self.tails {
                let body = decode(wire.bytes + Array(tail.utf8), step: .max / 2, wire)
                expect(body == whole, "followed by \(tail.utf8.escaped): got \(body)")
            }
        }
        for step in [1, 2, 3, 7] {
            let body = decode(wire.bytes, step: step, wire)
            expect(body == whole, "\(step) bytes at a time: got \(body)")
        }
        checkRecoding(wire, whole)
    }

    private func complaint(_ condition: String, _ body: Body) throws -> String? {
        if condition == "no trailers" { return body.trailers.isEmpty ? nil : "trailers \(body.trailers)" }
        if condition == "data" || condition.hasPrefix("data ") {
            let wanted = try WireText.bytes(String(condition.dropFirst(5)))
            return body.data == wanted ? nil : "expected \(condition), got \(body.data.escaped)"
        }
        if condition.hasPrefix("trailers ") {
            let wanted = try condition.dropFirst(9).split(separator: " | ").map {
                try WireText.bytes(String($0)).escaped
            }
            return body.trailers == wanted ? nil : "expected \(condition), got \(body.trailers)"
        }
        throw WireError("\(title): no such condition: \(condition)")
    }

    private func nominate(_ names: String, in progress: inout BodyProgress) {
        let text = Array("Connection: \(names)\r\n".utf8)
        var fields = FieldSection(lines: 1)
        var at = 0
        if case .line(let line)? = try? FieldLineParser.next(text.span, at: &at) { _ = fields.append(line) }
        progress.nominated.note(fields, text.span)
    }

    /// What comes out of the body coder, and whether it says the same as the decoder.
    private func recode(
        _ bytes: [UInt8], step: Int, room: Int, asChunks: Bool, _ wire: WireCase
    ) -> (written: [UInt8], reading: WireReading) {
        var progress = BodyProgress(.chunked, emitsChunks: asChunks)
        if let names = wire.given["nominated"] { nominate(names, in: &progress) }
        var input = ByteBuffer(capacity: bytes.count + 16)
        var output = ByteBuffer(capacity: room)
        var trailers = FieldSection(lines: wire.linesMax)
        var written: [UInt8] = []
        var fed = 0
        var starved = 0
        while true {
            switch BodyCoder.recode(
                &progress, from: &input, to: &output, trailers: &trailers, limits: wire.limits)
            {
            case .moved:
                if progress.isEnded { return (written + output.bytes, .complete(fed - input.count)) }
            case .needInput:
                if fed == bytes.count { return (written + output.bytes, .needsMore) }
                let next = min(fed + step, bytes.count)
                input.append(Array(bytes[fed..<next]).span)
                fed = next
                starved = 0
            case .needRoom:
                written += output.bytes
                output.clear()
                starved += 1
                if starved > 2 { return (written, .refused("no room")) }
            case .malformed(let rejection): return (written + output.bytes, .refused("\(rejection.reason)"))
            }
            if output.writableCount < BodyCoder.roomMin {
                written += output.bytes
                output.clear()
            }
        }
    }

    private func checkRecoding(_ wire: WireCase, _ whole: Body) {
        let large = wire.bytes.count * 2 + 4096
        let tail = Array(Self.tails[0].utf8)
        for asChunks in [true, false] {
            let once = recode(wire.bytes, step: .max / 2, room: large, asChunks: asChunks, wire)
            expect(once.reading == whole.reading, "recoded: expected \(whole.reading), got \(once.reading)")
            if let wanted = asChunks ? wire.forwarded : wire.forwardedBare {
                expect(
                    once.written == wanted,
                    "expected to forward\n  \(wanted.escaped), got\n  \(once.written.escaped)")
            }
            guard case .complete = whole.reading else { continue }
            let followed = recode(wire.bytes + tail, step: .max / 2, room: large, asChunks: asChunks, wire)
            expect(followed.written == once.written, "recoded with bytes behind it: got \(followed.written.escaped)")
            expect(followed.reading == once.reading, "recoded with bytes behind it: got \(followed.reading)")
            let plain = decode(once.written, step: .max / 2, wire)
            for (step, room) in [(1, large), (2, large), (5, large), (.max / 2, 512), (3, 512)] {
                let pieces = recode(wire.bytes, step: step, room: room, asChunks: asChunks, wire)
                expect(pieces.reading == whole.reading, "recoded by \(step) in \(room): got \(pieces.reading)")
                if asChunks {
                    let again = decode(pieces.written, step: .max / 2, wire)
                    expect(
                        again.data == whole.data && again.trailers == plain.trailers
                            && again.reading == .complete(pieces.written.count),
                        "recoded by \(step) in \(room): got \(pieces.written.escaped)")
                } else {
                    expect(pieces.written == whole.data, "recoded by \(step): got \(pieces.written.escaped)")
                }
            }
        }
    }
}

extension ByteBuffer {
    /// The readable bytes, copied.
    var bytes: [UInt8] {
        borrowing get { withReadable { bytes in (0..<bytes.count).map { bytes[$0] } } }
    }
}
