// What did a parser make of a head? All of it as plain values, so that two readings can be compared.

@testable import ProxyCore

/// A reading of bytes as a head.
enum HeadReading: Equatable {
    case complete(HeadView)
    case needMore
    case refused(Rejection)
}

/// A head as plain values.
struct HeadView: Equatable {
    struct Line: Equatable {
        var name: [UInt8]
        var value: [UInt8]
        var known: FieldName
    }

    var byteCount = 0
    var lines: [Line] = []
    var framing = BodyFraming.none
    var connection = ConnectionOptions()
    var isHTTP10 = false
    /// Method, target, path with query, path, host of a request; reason of a response.
    var texts: [[UInt8]] = []
    /// Port, status and so on.
    var numbers: [UInt64?] = []
    var flags: [Bool] = []

    init(_ head: borrowing RequestHead, _ bytes: [UInt8]) {
        add(head.fields, bytes)
        byteCount = head.byteCount
        framing = head.framing
        connection = head.connection
        isHTTP10 = head.isHTTP10
        texts = [
            head.methodBytes, head.target.whole, head.target.pathAndQuery, head.target.path, head.authority.host,
            head.upgrade,
        ].map { Array(bytes[$0.range]) }
        numbers = [
            head.authority.port.map(UInt64.init), head.maxForwards.map(UInt64.init), UInt64(head.ownHops),
            UInt64(head.method.rawValue), UInt64(head.target.form.rawValue),
        ]
        flags = [head.saysLength, head.expectsContinue, head.acceptsTrailers]
    }

    init(_ head: borrowing ResponseHead, _ bytes: [UInt8]) {
        add(head.fields, bytes)
        byteCount = head.byteCount
        framing = head.framing
        connection = head.connection
        isHTTP10 = head.isHTTP10
        texts = [head.reason, head.upgrade].map { Array(bytes[$0.range]) }
        numbers = [UInt64(head.status), head.contentLength, head.keepAliveSeconds.map(UInt64.init)]
        flags = [head.isChunked, head.hasDate]
    }

    private mutating func add(_ fields: borrowing FieldSection, _ bytes: [UInt8]) {
        for i in 0..<fields.lines.count {
            let line = fields.lines[i]
            lines.append(
                Line(name: Array(bytes[line.name.range]), value: Array(bytes[line.value.range]), known: line.known))
        }
    }

    /// The values of the lines whose name is `name`, in any letter case.
    func values(_ name: String) -> [[UInt8]] {
        let wanted = Array(name.utf8)
        return lines.filter { $0.name.map(ASCII.lowercased) == wanted }.map(\.value)
    }
}

/// Bytes that a peer sends after a head, which must not change what is made of it.
let tails: [[UInt8]] = ["GET /next HTTP/1.1\r\nHost: b\r\n\r\n", "\r\n", "\n", "\0", " ", "X: y\r\n\r\n"]
    .map { Array($0.utf8) }

/// Holds `whole`, the reading of `bytes`, against the readings of their beginnings and of more bytes.
func expectSteadiness(
    _ bytes: [UInt8], _ whole: HeadReading, read: ([UInt8]) -> HeadReading
) throws {
    let end: Int
    if case .complete(let view) = whole {
        end = view.byteCount
        try expect(end > 0 && end <= bytes.count, "a head of \(end) bytes out of \(bytes.count)")
    } else {
        end = bytes.count
    }
    var refusal: Rejection?
    for cut in cuts(end) {
        let reading = read(Array(bytes[..<cut]))
        switch (reading, whole) {
        case (.complete, _): throw Finding("complete with \(cut) bytes, but the whole is \(whole)")
        case (.needMore, _):
            try expect(refusal == nil, "refused (\(refusal!)) with fewer bytes, but more are needed at \(cut)")
        case (.refused(let reason), .refused): refusal = reason
        case (.refused(let reason), _):
            throw Finding("refused (\(reason)) with \(cut) bytes, but the whole is \(whole)")
        }
    }
    for tail in tails {
        let reading = read(Array(bytes[..<end]) + tail)
        switch (whole, reading) {
        case (.needMore, _): break
        case (.refused, .refused): break
        default: try expect(reading == whole, "followed by \(tail.escaped): \(reading), alone: \(whole)")
        }
    }
}
