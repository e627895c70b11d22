// What may be lost, and was that it? One request that went wrong, what the proxy's log says of it, and the judgement: a
// request may fail only when it had begun at somebody who fell ill, and may not be done twice.

/// A request that went wrong, as its client saw it.
struct Loss: Sendable {
    /// What the client got in place of a right answer.
    enum Kind: Sendable, Equatable {
        /// A whole answer with that status, not 200.
        case status(Int)
        /// The proxy did not accept the connection.
        case refused
        /// The connection ended before the answer began.
        case closed
        /// It ended in the middle of the answer.
        case truncated
        /// There was no whole answer in time.
        case timeout
        /// The answer of another service.
        case foreign
        /// A whole answer that is not the right one, or no HTTP.
        case garbled
    }

    var id: Int
    var isPost: Bool
    var kind: Kind
    /// When it was sent, and when it was known to be lost.
    var began: UInt64
    var ended: UInt64
    /// What was seen, for people.
    var detail: String
}

/// What the proxy's log says of a request.
struct LogEntry: Sendable {
    var id: Int
    var method: String
    var status: Int
    var outcome: String
    var endpoint: String
    var attempts: Int
    var milliseconds: Double

    /// The entry in a line of the log; nil where it has none of a request with a number.
    init?(_ json: JSON) {
        let target = Array((json["target"]?.text ?? "").utf8)
        guard json["event"]?.text == "request", let id = requestNumber(target.span, 0) else { return nil }
        self.id = id
        method = json["method"]?.text ?? ""
        status = Int(json["status"]?.double ?? 0)
        outcome = json["outcome"]?.text ?? ""
        endpoint = json["endpoint"]?.text ?? "-"
        attempts = Int(json["attempts"]?.double ?? 0)
        milliseconds = json["duration_ms"]?.double ?? 0
    }

    /// Whether nothing of the request can have reached anybody.
    var isUnsent: Bool {
        ["connect_refused", "connect_timeout", "connect_unreachable", "no_endpoint", "overloaded", "queue_full"]
            .contains(outcome) || outcome.hasPrefix("queue")
    }
}

/// Somebody was ill from a moment on, for some time.
struct Illness: Sendable {
    /// `127.0.0.1:80`.
    var address: String
    /// What was done to it.
    var name: String
    var from: UInt64
    /// Until when requests may suffer from it; far away while it lasts.
    var until: UInt64 = .max
}

/// What a loss counts as.
enum Verdict: Int, Sendable, CaseIterable {
    /// Allowed: a POST that had begun at somebody who fell ill.
    case begun
    /// Allowed: the answer had begun to arrive when its endpoint fell ill.
    case cut
    /// A GET could have been asked again.
    case getFailed
    /// A POST of which nothing was sent could have gone elsewhere.
    case unsentPost
    /// An answer that is not this service's.
    case foreign
    /// An answer that is not the right one.
    case garbled
    /// Nothing came within all timeouts.
    case hung
    /// Nobody was ill who could be the cause.
    case unexplained

    /// Whether it may be.
    var isAllowed: Bool { self == .begun || self == .cut }

    /// For people.
    var name: String {
        switch self {
        case .begun: "POSTs failed that had begun at the victim"
        case .cut: "answers cut that the victim had begun"
        case .getFailed: "GETs failed"
        case .unsentPost: "POSTs failed of which nothing was sent"
        case .foreign: "foreign answers delivered"
        case .garbled: "garbled answers delivered"
        case .hung: "requests without an end in time"
        case .unexplained: "other failures"
        }
    }

    /// For programs.
    var key: String {
        switch self {
        case .begun: "posts_begun"
        case .cut: "answers_cut"
        case .getFailed: "gets_failed"
        case .unsentPost: "posts_unsent"
        case .foreign: "foreign"
        case .garbled: "garbled"
        case .hung: "hung"
        case .unexplained: "unexplained"
        }
    }
}

/// A loss with its cause.
struct JudgedLoss: Sendable {
    var loss: Loss
    var entry: LogEntry?
    var verdict: Verdict
    /// What was done to the endpoint at that time; empty where nothing was.
    var illness: String
    /// Where it was tried last, as the log or else a pod says; empty where neither does.
    var endpoint: String
    /// Whether a pod has seen the head of it.
    var wasSeen: Bool

    /// Judges `loss` by what the log says, by where a pod has read it, and by who was ill.
    init(_ loss: Loss, _ entry: LogEntry?, seenAt: String?, illnesses: [Illness]) {
        self.loss = loss
        self.entry = entry
        wasSeen = seenAt != nil
        let named = entry?.endpoint ?? "-"
        let endpoint = named == "-" ? seenAt ?? "" : named
        self.endpoint = endpoint
        // Of an endpoint that has left meanwhile the log may not tell the address: then it was one that had just left.
        let cause = illnesses.last {
            ($0.address == endpoint || endpoint.isEmpty) && $0.from <= loss.ended && loss.began <= $0.until
        }
        illness = cause?.name ?? ""
        verdict =
            switch loss.kind {
            case .foreign: .foreign
            case .garbled: .garbled
            case .timeout: .hung
            case .refused, .closed: .unexplained
            case .truncated: cause == nil ? .unexplained : .cut
            case .status:
                if !loss.isPost {
                    .getFailed
                } else if entry?.isUnsent == true {
                    .unsentPost
                } else {
                    cause == nil ? .unexplained : .begun
                }
            }
    }

    /// Cause and effect in a few words, by which losses are counted.
    var summary: String {
        let what =
            switch loss.kind {
            case .status(let status): "status \(status)"
            case .refused: "refused"
            case .closed: "closed without an answer"
            case .truncated: "answer cut"
            case .timeout: "no answer in time"
            case .foreign: "foreign answer"
            case .garbled: "garbled answer"
            }
        let tries = entry.map { $0.attempts == 1 ? "" : ", \($0.attempts) attempts" } ?? ""
        let seen = loss.isPost && verdict == .begun ? (wasSeen ? ", the victim had it" : ", written to the victim") : ""
        let unnamed = endpoint.isEmpty ? ", the log names no endpoint" : ""
        return "\(loss.isPost ? "POST" : "GET"): \(what), log: \(entry?.outcome ?? "nothing")\(tries)"
            + "\(illness.isEmpty ? "" : ", endpoint \(illness)")\(unnamed)\(seen)"
    }
}
