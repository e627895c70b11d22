// What did a probe find? One closed list, whose words stand in the log, in status and in metrics.

import ProxyCore

/// What came of one probe.
public enum ProbeFinding: Sendable, Hashable {
    /// The endpoint is well; the status of its answer, nil where only a connection was asked for.
    case passed(status: Int?)
    /// It is not.
    case failed(ProbeFailure)
    /// Nothing can be said, for a reason on our own side: no descriptor, no port was left.
    case inconclusive(String)

    /// What it was, for people.
    public var text: String {
        switch self {
        case .passed(let status?): "status \(status)"
        case .passed(nil): "connected"
        case .failed(let failure): failure.text
        case .inconclusive(let cause): "not probed: \(cause)"
        }
    }
}

/// Why an endpoint is not well.
public enum ProbeFailure: Sendable, Hashable {
    /// Nothing listens there.
    case refused
    /// No way leads there.
    case unreachable
    /// No connection came about in time.
    case connectTimeout
    /// No whole head in time; so many bytes of one had come.
    case answerTimeout(bytes: Int)
    /// TLS did not come about; why, in OpenSSL's words.
    case insecure(String)
    /// The connection broke before the head was whole.
    case reset
    /// The peer closed before the head was whole; so many bytes of one had come.
    case closed(bytes: Int)
    /// What came is no answer in HTTP/1, or a head beyond our limits.
    case malformed(Rejection)
    /// More interim answers than anybody needs (RFC 9110 §15.2).
    case tooManyInterim
    /// A head that comes in very many small pieces.
    case tooManyPieces
    /// An answer of this service whose status was not the expected one.
    case status(Int)
    /// The answer came from some other service; what was seen of it.
    case ghost(String)

    /// The word for it in metrics and the log.
    public var word: StaticString {
        switch self {
        case .refused: "refused"
        case .unreachable: "unreachable"
        case .connectTimeout: "connect_timeout"
        case .answerTimeout: "answer_timeout"
        case .insecure: "insecure"
        case .reset: "reset"
        case .closed: "closed"
        case .malformed: "malformed"
        case .tooManyInterim: "too_many_interim"
        case .tooManyPieces: "too_many_pieces"
        case .status: "status"
        case .ghost: "ghost"
        }
    }

    /// Whether nothing answers there: a process that hangs, or a machine that is gone.
    public var isSilence: Bool {
        switch self {
        case .refused, .unreachable, .connectTimeout, .answerTimeout: true
        case .insecure, .reset, .closed, .malformed, .tooManyInterim, .tooManyPieces, .status, .ghost: false
        }
    }

    /// What it was, for people.
    public var text: String {
        switch self {
        case .refused: "connection refused"
        case .unreachable: "unreachable"
        case .connectTimeout: "no connection in time"
        case .answerTimeout(0): "connected, no answer in time"
        case .answerTimeout(let bytes): "connected, no whole answer in time (\(bytes) bytes of a head)"
        case .insecure(let reason): "no TLS: \(reason)"
        case .reset: "connection reset before an answer"
        case .closed(0): "connection closed without an answer"
        case .closed(let bytes): "connection closed within the answer's head (after \(bytes) bytes)"
        case .malformed(let rejection): "malformed answer: \(rejection.reason)"
        case .tooManyInterim: "too many interim answers"
        case .tooManyPieces: "an answer in too many small pieces"
        case .status(let status): "status \(status)"
        case .ghost(let seen): "not this service: \(seen)"
        }
    }
}
