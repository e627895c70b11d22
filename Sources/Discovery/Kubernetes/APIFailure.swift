// What can go wrong with an API server, in a fixed list of words, and what a failed answer means.

import ProxyCore

/// Why a request to the API server came to nothing.
struct APIFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The words of `hdproxy_discovery_errors_total{reason}`.
    enum Reason: String, Sendable, CaseIterable {
        /// We were told to stop. Never counted.
        case cancelled
        /// What the configuration names cannot be read: CA, certificate, token, kubeconfig.
        case credentials
        /// The server's name has no address.
        case resolve
        /// No connection: refused, unreachable, no answer.
        case connect
        /// No TLS: the certificate is not accepted, or the two sides do not agree.
        case tls
        /// The connection ended before the answer did.
        case closed
        /// No answer, or no more of it, in time.
        case timeout
        /// What came is not HTTP, not JSON, or not what was asked for.
        case malformed
        /// More than anybody would keep.
        case tooLarge = "too_large"
        case unauthorized
        case forbidden
        case notFound = "not_found"
        /// The version that was asked for is gone (410).
        case expired
        /// The version that was asked for is not there yet (504, `ResourceVersionTooLarge`).
        case behind
        /// The server has too much to do (429).
        case throttled
        /// The server does not take what we asked (any other 4xx).
        case refused
        case serverError = "server_error"
    }

    var reason: Reason
    /// For people.
    var description: String
    /// When to ask again at the earliest, where the server says so.
    var retryAfterSeconds: Int?
    /// Where a list whose `continue` is too old may go on.
    var continueToken: String?

    init(_ reason: Reason, _ description: String, retryAfterSeconds: Int? = nil, continueToken: String? = nil) {
        self.reason = reason
        self.description = description
        self.retryAfterSeconds = retryAfterSeconds
        self.continueToken = continueToken
    }

    /// Whether the server was reached and answers for the connection: it is in touch, whatever it says.
    var isAnswer: Bool {
        switch reason {
        case .expired, .behind: true
        default: false
        }
    }

    /// What an answer with a status other than 200 means; `body` may be a Status, text or nothing.
    static func of(_ answer: APIAnswer, _ body: [UInt8]) -> APIFailure {
        let status = APIStatus.read(body)
        return of(code: answer.status, status, text: body, retryAfterSeconds: answer.retryAfterSeconds)
    }

    /// What the ERROR event of a watch means.
    static func of(_ status: APIStatus) -> APIFailure {
        of(code: status.code, status, text: [], retryAfterSeconds: status.retryAfterSeconds)
    }

    private static func of(
        code: Int, _ status: APIStatus?, text: [UInt8], retryAfterSeconds: Int?
    ) -> APIFailure {
        let reason: Reason =
            switch code {
            case 401: .unauthorized
            case 403: .forbidden
            case 404: .notFound
            case 410: .expired
            case 429: .throttled
            case _ where status?.isTooLargeVersion ?? false: .behind
            case 400...499: .refused
            case 500...599: .serverError
            default: .malformed
            }
        let words = status.map(\.message) ?? String(decoding: text.prefix(200), as: UTF8.self)
        // What a server says goes to logs and pages: one line, no control characters.
        let line = words.unicodeScalars.prefix(300).map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) }
        return APIFailure(
            reason, "\(code) \(String(line))", retryAfterSeconds: retryAfterSeconds ?? status?.retryAfterSeconds,
            continueToken: status?.continueToken)
    }
}

extension APIStatus {
    /// Whether the server's cache has not seen the version yet that we asked for. Old servers give no cause.
    var isTooLargeVersion: Bool {
        causes.contains("ResourceVersionTooLarge")
            || (reason == "Timeout" && message.contains("Too large resource version"))
    }
}
