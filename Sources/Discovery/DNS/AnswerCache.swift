// What was answered a moment ago? Findings by question, each until its end, and never more than a set number of them.

import ProxyCore

/// What a lookup of one question found out.
struct Finding: Equatable, Sendable {
    /// What it is.
    enum Content: Equatable, Sendable {
        /// The addresses, in the order of their numbers.
        case addresses([IPAddress])
        /// The services, and the addresses of their targets as far as the answer gave them.
        case services([Message.ServiceRecord], targets: [DomainName: [IPAddress]])
        /// Nothing is there.
        case absent(Message.Absence)
        /// Nobody could tell.
        case failed(LookupFailure)
    }

    /// What was found.
    var content: Content
    /// Until when it is good.
    var expires: Instant

    /// How long it is good from `now` on.
    func remaining(_ now: Instant) -> Duration { .nanoseconds(max(0, (expires - now).nanoseconds)) }

    /// Whether nobody could tell.
    var isFailure: Bool {
        if case .failed = content { return true }
        return false
    }

    /// The bounds within which a server's word on lives counts: shorter would be asking without end, longer would be
    /// believing for too long what may have changed.
    static let secondsMin: UInt32 = 1
    static let secondsMax: UInt32 = 30

    /// When something found now ends that is good for `seconds`.
    static func end(_ seconds: UInt32, from now: Instant) -> Instant {
        now + .milliseconds(Int64(min(max(seconds, secondsMin), secondsMax)) * 1000)
    }
}

/// Findings that are still good.
struct AnswerCache {
    private var findings: [Message.Question: Finding] = [:]
    private let countMax: Int

    /// A cache of at most `countMax` findings.
    init(countMax: Int = 4096) { self.countMax = countMax }

    /// How many there are, good or over.
    var count: Int { findings.count }

    /// What is known of `question`.
    func finding(for question: Message.Question, _ now: Instant) -> Finding? {
        guard let finding = findings[question], finding.expires > now else { return nil }
        return finding
    }

    /// Keeps what was found.
    mutating func keep(_ finding: Finding, for question: Message.Question, _ now: Instant) {
        guard finding.expires > now else {
            findings[question] = nil
            return
        }
        if findings.count >= countMax, findings[question] == nil { makeRoom(now) }
        findings[question] = finding
    }

    /// Forgets everything.
    mutating func clear() { findings.removeAll() }

    private mutating func makeRoom(_ now: Instant) {
        findings = findings.filter { $0.value.expires > now }
        // A quarter at once, so that a full cache is not searched for each new question.
        if findings.count >= countMax {
            let ends = findings.values.map(\.expires).sorted()
            let limit = ends[ends.count / 4]
            findings = findings.filter { $0.value.expires > limit }
        }
    }
}
