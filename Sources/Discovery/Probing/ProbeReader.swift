// What does the answer to a probe say? From its bytes, as they come, to a finding: RFC 9112 §4 and §5 by the same parser
// and as strictly as for a client's answer, because what a probe accepts a request must be able to use.

import ProxyCore

/// Reads the answer to one probe. Pure: bytes in, a finding out.
struct ProbeReader: ~Copyable {
    private let expected: ExpectedStatuses
    private let identity: IdentitySpec?
    private var head = ResponseHead(lines: linesMax)
    private var interimCount = 0

    init(_ expected: ExpectedStatuses, _ identity: IdentitySpec?) {
        self.expected = expected
        self.identity = identity
    }

    /// Looks at the bytes at hand, and takes interim answers away; nil while the head is not whole.
    mutating func read(_ buffer: inout ByteBuffer) -> ProbeFinding? {
        while true {
            let finding = buffer.withReadable { bytes in inspect(bytes) }
            guard finding == nil, isInterim else { return finding }
            isInterim = false
            buffer.consume(head.byteCount)
            interimCount += 1
            if interimCount > Self.interimMax { return .failed(.tooManyInterim) }
        }
    }

    /// Whether the head that was read last is an interim one, and still lies in the buffer.
    private var isInterim = false

    private mutating func inspect(_ bytes: Span<UInt8>) -> ProbeFinding? {
        do throws(Rejection) {
            let step = try ResponseParser.parse(bytes, into: &head, answering: .get, limits: Self.limits)
            guard step == .complete else { return nil }
        } catch {
            return .failed(.malformed(error))
        }
        // Nobody asked for another protocol: 101 ends HTTP here, so it is taken as the answer that it is.
        isInterim = head.isInterim && head.status != 101
        if isInterim { return nil }
        if let identity, let stranger = stranger(bytes, identity) { return .failed(.ghost(stranger)) }
        return expected.contains(head.status) ? .passed(status: head.status) : .failed(.status(head.status))
    }

    /// What was seen where the answer is not of this service; nil where it is.
    private func stranger(_ bytes: Span<UInt8>, _ identity: IdentitySpec) -> String? {
        var other: String?
        var server: String?
        for index in 0..<head.fields.lines.count {
            let line = head.fields.lines[index]
            if Self.matches(bytes, line.name, identity.header, ignoringCase: true) {
                if Self.matches(bytes, line.value, identity.value, ignoringCase: false) { return nil }
                other = other ?? Self.text(bytes, line.value)
            } else if Scan.equals(bytes, line.name, "server") {
                server = server ?? Self.text(bytes, line.value)
            }
        }
        let field = other.map { "\(identity.header): \($0)" } ?? "no \(identity.header)"
        return "status \(head.status), \(field)" + (server.map { ", Server: \($0)" } ?? "")
    }

    private static func matches(
        _ bytes: Span<UInt8>, _ range: ByteRange, _ text: String, ignoringCase: Bool
    ) -> Bool {
        guard Int(range.count) == text.utf8.count else { return false }
        var at = Int(range.start)
        for byte in text.utf8 {
            let same = ignoringCase ? ASCII.lowercased(bytes[at]) == ASCII.lowercased(byte) : bytes[at] == byte
            guard same else { return false }
            at += 1
        }
        return true
    }

    /// A stranger's value, for people: its beginning, and nothing in it that a terminal or a log would obey.
    private static func text(_ bytes: Span<UInt8>, _ value: ByteRange) -> String {
        let shown = value.range.prefix(shownBytesMax)
        let text = String(
            decoding: shown.map { bytes[$0] >= 0x20 && bytes[$0] < 0x7F ? bytes[$0] : UInt8(ascii: "?") },
            as: UTF8.self)
        return shown.count < value.range.count ? text + "…" : text
    }

    /// Interim answers to one probe.
    private static var interimMax: Int { 16 }
    /// Field lines of a head.
    private static var linesMax: Int { 200 }
    /// Bytes of a stranger's value that are told.
    private static var shownBytesMax: Int { 80 }
    /// Bytes of a whole head, its status line included, are fewer than this.
    static var headBytesMax: Int { 16 * 1024 }
    private static var limits: HeadLimits { HeadLimits(headerBytes: 12 * 1024, requestTargetBytes: 0) }
}
