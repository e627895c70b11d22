// Why is this message refused? One closed list for both directions: a client's is answered with its status, an
// upstream's with 502, and the connection it came on is not used again.

/// A message that breaks a rule.
public enum Rejection: UInt8, Error, Sendable, CaseIterable {
    /// The request line is not `method SP target SP version CRLF` (RFC 9112 §3).
    case badRequestLine
    /// A method longer than any that is known.
    case methodTooLong
    /// The target is in no form that may stand with this method, or holds a byte that may not stand there.
    case badTarget
    /// HTTP, but neither 1.0 nor 1.1.
    case unsupportedVersion
    /// The status line is not `version SP code SP reason CRLF` (RFC 9112 §4).
    case badStatusLine
    /// A field line is malformed: its name, the colon, a control byte, a folded line (RFC 9112 §5).
    case badFieldLine
    /// A CR without LF or an LF without CR (RFC 9112 §2.2).
    case bareLineEnd
    /// No Host, more than one, or one that is no host (RFC 9112 §3.2).
    case badHost
    /// Content-Length that is not one number, or stands twice (RFC 9112 §6.3).
    case badContentLength
    /// Transfer-Encoding that does not end in one `chunked`, stands in HTTP/1.0, or stands twice (RFC 9112 §6.1).
    case badTransferEncoding
    /// Both Content-Length and Transfer-Encoding: two readers could disagree on where the message ends.
    case conflictingFraming
    /// A transfer coding other than `chunked`.
    case unknownTransferCoding
    /// A chunk's size, extension or line end is malformed (RFC 9112 §7.1).
    case badChunk
    /// More bytes in the field section than allowed.
    case headerTooLarge
    /// More field lines than allowed.
    case tooManyHeaders
    /// A longer `Connection` than anybody needs.
    case tooManyOptions
    /// A longer target than allowed.
    case targetTooLong
    /// A longer body than allowed.
    case bodyTooLarge
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    case unknownExpectation
    /// CONNECT: we are no forward proxy.
    case connectRefused
    /// TRACE: an echo of what the client sent, cookies included.
    case traceRefused
    /// The path can be read in two ways, and rules by path depend on it.
    case ambiguousPath
    /// The request passed through us too often.
    case loop
    /// The host is one for which other clients are let in than its connection was made for (RFC 9110 §15.5.20).
    case misdirected

    /// What a client is answered.
    public var status: Int {
        switch self {
        case .badRequestLine, .badTarget, .badStatusLine, .badFieldLine, .bareLineEnd, .badHost, .badContentLength,
            .badTransferEncoding, .conflictingFraming, .badChunk, .ambiguousPath:
            400
        case .methodTooLong, .unknownTransferCoding, .connectRefused: 501
        case .unsupportedVersion: 505
        case .headerTooLarge, .tooManyHeaders, .tooManyOptions: 431
        case .targetTooLong: 414
        case .bodyTooLarge: 413
        case .unknownExpectation: 417
        case .traceRefused: 405
        case .misdirected: 421
        case .loop: 502
        }
    }

    /// Whether the request's end is in doubt or unread, so that nothing more can be read on its connection.
    public var endsConnection: Bool {
        switch self {
        case .traceRefused, .ambiguousPath, .loop, .unknownExpectation, .misdirected: false
        default: true
        }
    }

    /// The word for it in the log and in `hdproxy_rejected_total{reason}`.
    public var reason: StaticString {
        switch self {
        case .badRequestLine: "bad_request_line"
        case .methodTooLong: "method_too_long"
        case .badTarget: "bad_target"
        case .unsupportedVersion: "unsupported_version"
        case .badStatusLine: "bad_status_line"
        case .badFieldLine: "bad_field_line"
        case .bareLineEnd: "bare_line_end"
        case .badHost: "bad_host"
        case .badContentLength: "bad_content_length"
        case .badTransferEncoding: "bad_transfer_encoding"
        case .conflictingFraming: "conflicting_framing"
        case .unknownTransferCoding: "unknown_transfer_coding"
        case .badChunk: "bad_chunk"
        case .headerTooLarge: "header_too_large"
        case .tooManyHeaders: "too_many_headers"
        case .tooManyOptions: "too_many_options"
        case .targetTooLong: "target_too_long"
        case .bodyTooLarge: "body_too_large"
        case .unknownExpectation: "unknown_expectation"
        case .connectRefused: "connect_refused"
        case .traceRefused: "trace_refused"
        case .ambiguousPath: "ambiguous_path"
        case .loop: "loop"
        case .misdirected: "misdirected"
        }
    }
}
