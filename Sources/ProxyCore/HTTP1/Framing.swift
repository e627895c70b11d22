// Where does this body end? RFC 9112 §6.3, with every doubt a rejection: what two readers could see differently is
// how one client's request is smuggled into another's.

/// What a message's field lines say about its body, collected while they are read.
struct FramingFields {
    private var lengthLines: UInt8 = 0
    private var codingLines: UInt8 = 0
    private var coding = Coding.chunked
    private(set) var contentLength: UInt64 = 0
    private var isLengthValid = true

    private enum Coding {
        /// Exactly `chunked`.
        case chunked
        /// Other codings, then `chunked` once at the end.
        case unknownThenChunked
        /// Something that leaves the length open, or is no list of codings.
        case malformed
    }

    var hasContentLength: Bool { lengthLines > 0 }
    var hasTransferEncoding: Bool { codingLines > 0 }

    /// Notes a Content-Length line: `1*DIGIT` and nothing else (RFC 9110 §8.6).
    mutating func addContentLength(_ bytes: Span<UInt8>, _ value: ByteRange) {
        lengthLines = lengthLines == 255 ? 255 : lengthLines + 1
        guard !value.isEmpty, value.count <= 64 else {
            isLengthValid = false
            return
        }
        var length: UInt64 = 0
        for at in value.range {
            guard let digit = ASCII.digit(bytes[at]) else {
                isLengthValid = false
                return
            }
            let (tens, overflow) = length.multipliedReportingOverflow(by: 10)
            let (sum, carried) = tens.addingReportingOverflow(UInt64(digit))
            // Beyond Int64 some reader's number is negative.
            guard !overflow, !carried, sum <= UInt64(Int64.max) else {
                isLengthValid = false
                return
            }
            length = sum
        }
        contentLength = length
    }

    /// Notes a Transfer-Encoding line (RFC 9112 §6.1).
    mutating func addTransferEncoding(_ bytes: Span<UInt8>, _ value: ByteRange) {
        codingLines = codingLines == 255 ? 255 : codingLines + 1
        if Scan.equals(bytes, value, "chunked") { return }
        coding = .malformed
        var isList = true
        var last = ByteRange()
        var chunkedCount = 0
        _ = Scan.forEachMember(bytes, value) { member in
            for at in member.range where !ASCII.isToken(bytes[at]) { isList = false }
            if Scan.equals(bytes, member, "chunked") { chunkedCount += 1 }
            last = member
            return true
        }
        let isIdentity = Scan.equals(
            bytes, ByteRange(Int(value.start), min(value.end, Int(value.start) + 8)), "identity")
        if isList, chunkedCount == 1, Scan.equals(bytes, last, "chunked"), !isIdentity, codingLines == 1,
            last.start != value.start, bytes[Int(value.start)] != ASCII.comma
        {
            coding = .unknownThenChunked
        }
    }

    /// Where a request's body ends.
    ///
    /// - Throws: a rejection with status 400, or 501 for a coding that is not `chunked`.
    @inline(__always)
    func requestFraming(isHTTP10: Bool) throws(Rejection) -> BodyFraming {
        if codingLines == 0 {
            if lengthLines == 0 { return .none }
            guard lengthLines == 1, isLengthValid else { throw .badContentLength }
            return contentLength == 0 ? .none : .length(contentLength)
        }
        guard lengthLines == 0 else { throw .conflictingFraming }
        guard codingLines == 1, !isHTTP10 else { throw .badTransferEncoding }
        switch coding {
        case .chunked: return .chunked
        case .unknownThenChunked: throw .unknownTransferCoding
        case .malformed: throw .badTransferEncoding
        }
    }

    /// Where a response's body ends, for a request of `method`. What must not have a body has none, whatever its
    /// fields say, but they must make sense all the same.
    ///
    /// - Throws: a rejection, on which the client gets a 502.
    @inline(__always)
    func responseFraming(status: Int, method: Method, isHTTP10: Bool) throws(Rejection) -> BodyFraming {
        if lengthLines > 0 { guard lengthLines == 1, isLengthValid else { throw .badContentLength } }
        if codingLines > 0 {
            guard lengthLines == 0 else { throw .conflictingFraming }
            guard codingLines == 1, !isHTTP10, coding == .chunked else { throw .badTransferEncoding }
        }
        if method == .head || status < 200 || status == 204 || status == 304 { return .none }
        if codingLines > 0 { return .chunked }
        if lengthLines > 0 { return contentLength == 0 ? .none : .length(contentLength) }
        return .untilClose
    }
}
