// What happens next in this request? The state of one request and its responses, from a complete request head on.
// One function an event, an `Action` back; nothing else changes the state. RFC 9110 §3, RFC 9112 §9.
//
//     request   receiving ──────────────> complete              (a body that comes)
//                   └──> abandoned                              (we stopped reading it)
//
//     response  connecting ──> awaiting ──> relaying ──> complete
//                   │  ^          │ │ └───> tunnel ────────┘
//                   │  └──retry───┘ └─> (1xx: stays)
//                   └─────────> answered ────────────────> complete

/// One request and all its responses.
public struct Exchange: Sendable {
    /// What has come of the request.
    public enum RequestSide: UInt8, Sendable, CaseIterable {
        /// Its body is still coming.
        case receiving
        /// All of it has come.
        case complete
        /// The rest of it is not wanted any more.
        case abandoned
    }

    /// What has come of the response.
    public enum ResponseSide: UInt8, Sendable, CaseIterable {
        /// No upstream connection yet.
        case connecting
        /// The request is on its way, or there; no final head yet.
        case awaiting
        /// The final head went out, the body follows.
        case relaying
        /// Bytes both ways, after a 101.
        case tunnel
        /// The answer is our own.
        case answered
        /// All of it is over.
        case complete
    }

    /// Interim responses that one request may get.
    public static let interimsMax = 32
    /// Tries that one request gets, whatever they met.
    public static let attemptsMax = 4

    /// The request's side.
    public private(set) var request: RequestSide
    /// The response's side.
    public private(set) var response = ResponseSide.connecting
    /// Whether the client's connection can go on afterwards.
    public private(set) var keepsClient: Bool
    /// Tries so far.
    public private(set) var attempts: UInt8 = 0
    /// How often it was sent again after an endpoint may have seen it.
    public private(set) var repetitions: UInt8 = 0
    private var interims: UInt8 = 0
    /// Whether the client waits for our `100 Continue`, or had it.
    private var continuation: Continuation
    private let isHTTP10: Bool
    private let asksUpgrade: Bool
    private let isIdempotent: Bool
    private let repetitionsMax: UInt8

    private enum Continuation: UInt8, Sendable {
        /// Nobody asked.
        case none
        /// Owed as soon as we are ready to read.
        case owed
        /// Sent by us.
        case sent
    }

    /// What must be known of a request when its exchange opens.
    public struct Opening: Sendable {
        /// Whether a body follows.
        public var hasBody: Bool
        /// Whether the client asked for another exchange on its connection.
        public var keepsClient: Bool
        /// Whether it waits for `100 Continue`.
        public var expectsContinue: Bool
        /// Whether it speaks HTTP/1.0, which knows no interim responses.
        public var isHTTP10: Bool
        /// Whether it asks for an upgrade that may be passed on.
        public var asksUpgrade: Bool
        /// Whether it may be carried out twice.
        public var isIdempotent: Bool
        /// How often it may be sent again after an endpoint may have seen it.
        public var repetitionsMax: UInt8

        /// A plain GET unless told otherwise.
        public init(
            hasBody: Bool = false, keepsClient: Bool = true, expectsContinue: Bool = false, isHTTP10: Bool = false,
            asksUpgrade: Bool = false, isIdempotent: Bool = true, repetitionsMax: UInt8 = 2
        ) {
            self.hasBody = hasBody
            self.keepsClient = keepsClient
            self.expectsContinue = expectsContinue
            self.isHTTP10 = isHTTP10
            self.asksUpgrade = asksUpgrade
            self.isIdempotent = isIdempotent
            self.repetitionsMax = repetitionsMax
        }
    }

    /// What must be known before a request is sent again.
    public struct NextTry: Sendable {
        /// Whether the request is still whole in our buffer.
        public var isWhole: Bool
        /// Whether there is an endpoint to send it to.
        public var hasEndpoint: Bool
        /// Whether the service's budget has one more repetition.
        public var isAffordable: Bool

        /// Everything is there for it unless told otherwise.
        public init(isWhole: Bool = true, hasEndpoint: Bool = true, isAffordable: Bool = true) {
            self.isWhole = isWhole
            self.hasEndpoint = hasEndpoint
            self.isAffordable = isAffordable
        }
    }

    /// An exchange whose request head is complete.
    public init(_ opening: Opening) {
        request = opening.hasBody ? .receiving : .complete
        keepsClient = opening.keepsClient
        continuation = opening.expectsContinue && opening.hasBody ? .owed : .none
        isHTTP10 = opening.isHTTP10
        asksUpgrade = opening.asksUpgrade
        isIdempotent = opening.isIdempotent
        repetitionsMax = opening.repetitionsMax
    }

    /// Whether it became a tunnel.
    public private(set) var wasTunnel = false

    /// Whether there is no upstream connection yet.
    var isConnecting: Bool { response == .connecting }

    /// Whether no byte of a response has gone out, so that an answer of our own is still possible.
    public var isUnanswered: Bool { response == .connecting || response == .awaiting }

    // MARK: Events of the upstream's side

    /// An endpoint is being tried.
    public mutating func attemptBegan() { attempts = attempts == .max ? .max : attempts + 1 }

    /// The connection is there, new or from the pool.
    public mutating func connected() -> Action {
        switch response {
        case .connecting:
            response = .awaiting
            guard continuation == .owed else { return .sendRequest(tellContinue: false) }
            // A client whose body is already coming does not wait (RFC 9110 §10.1.1).
            continuation = .sent
            return .sendRequest(tellContinue: request == .receiving)
        case .awaiting, .relaying, .tunnel, .answered, .complete: return .wait
        }
    }

    /// The connection could not be made. Nothing was sent, so any method may go elsewhere.
    public mutating func connectFailed(_ failure: ConnectFailure, canTryAnother: Bool) -> Action {
        switch response {
        case .connecting:
            if canTryAnother, attempts < Self.attemptsMax { return .connect }
            return answer(.connectFailed(failure))
        case .awaiting, .relaying, .tunnel, .answered, .complete: return .wait
        }
    }

    /// The endpoint that was to answer is gone, and has seen no byte of the request. It did nothing wrong, and whoever
    /// is asked next is no further attempt: how often this happens is not a peer's to choose.
    public mutating func endpointLeft() -> Action {
        switch response {
        case .connecting, .awaiting:
            response = .connecting
            if attempts > 0 { attempts -= 1 }
            return .connect
        case .relaying, .tunnel, .answered, .complete: return .wait
        }
    }

    /// A complete response head is in. `offersUpgrade`: a 101 names a protocol that was asked for.
    public mutating func responseHeadArrived(status: Int, offersUpgrade: Bool = false) -> Action {
        switch response {
        case .awaiting:
            if status == 101 {
                guard asksUpgrade, offersUpgrade else { return answer(.upstreamMalformed(.badStatusLine)) }
                response = .tunnel
                wasTunnel = true
                keepsClient = false
                return .openTunnel
            }
            if status < 200 {
                interims += 1
                guard interims <= Self.interimsMax else { return answer(.upstreamMalformed(.tooManyHeaders)) }
                // Never to HTTP/1.0 (RFC 9110 §15.2); and one 100 is enough.
                let isOurs = status == 100 && continuation == .sent
                return isHTTP10 || isOurs ? .dropInterim : .relayInterim
            }
            response = .relaying
            // An early answer: what is left of the body may never come, so the connection ends.
            if request == .receiving { keepsClient = false }
            return .relayHead
        case .connecting, .relaying, .tunnel, .answered, .complete: return .wait
        }
    }

    /// The response's body is over.
    public mutating func responseBodyEnded() -> Action {
        switch response {
        case .relaying, .answered:
            response = .complete
            if request == .receiving {
                request = .abandoned
                keepsClient = false
            }
            return .finish(keepClient: keepsClient && request == .complete)
        case .tunnel:
            response = .complete
            return .finish(keepClient: false)
        case .connecting, .awaiting, .complete: return .wait
        }
    }

    /// The upstream closed or reset its connection before the response was over. `wasSentTo`: a byte of the request had
    /// gone, so that it may have been carried out.
    public mutating func upstreamClosed(wasSentTo: Bool, next: NextTry) -> Action {
        switch response {
        case .awaiting: return sendAgain(next, wasSentTo: wasSentTo) ?? answer(.upstreamClosed)
        case .relaying:
            response = .complete
            keepsClient = false
            return .cut(.upstreamClosed)
        case .tunnel:
            response = .complete
            return .finish(keepClient: false)
        case .connecting, .answered, .complete: return .wait
        }
    }

    /// The upstream's bytes break a rule. `isUnsent`: the head that was to be relayed has not gone out yet.
    public mutating func upstreamMalformed(
        _ rejection: Rejection, isUnsent: Bool = false, next: NextTry
    ) -> Action {
        if response == .relaying, isUnsent { response = .awaiting }
        if response == .awaiting, let action = sendAgain(next, wasSentTo: true) { return action }
        return fail(.upstreamMalformed(rejection))
    }

    /// The response does not carry the service's identity: it is somebody else's, and goes nowhere. Whoever it was may
    /// have carried the request out. The budget is not asked: the stranger is asked nothing again.
    public mutating func ghostAnswered(next: NextTry) -> Action {
        switch response {
        case .awaiting:
            guard isIdempotent, next.isWhole, next.hasEndpoint, attempts < Self.attemptsMax else {
                return answer(.ghost)
            }
            response = .connecting
            return .connect
        case .connecting, .relaying, .tunnel, .answered, .complete: return .wait
        }
    }

    /// One try has taken as long as a try may. ``Action/wait`` where nobody else can be asked: it goes on then.
    public mutating func tryTimedOut(next: NextTry) -> Action {
        switch response {
        case .awaiting: return sendAgain(next, wasSentTo: true) ?? .wait
        case .connecting, .relaying, .tunnel, .answered, .complete: return .wait
        }
    }

    /// Whether a try that is waited for could be given up for another one.
    var mayRepeat: Bool { isIdempotent && repetitions < repetitionsMax && attempts < Self.attemptsMax }

    /// Sends the request again if that is allowed: to nobody who may have carried it out, unless that does no harm
    /// (RFC 9110 §9.2.2, RFC 9112 §9.3.1). What certainly nobody has seen is no repetition.
    private mutating func sendAgain(_ next: NextTry, wasSentTo: Bool) -> Action? {
        guard next.isWhole, next.hasEndpoint, attempts < Self.attemptsMax else { return nil }
        if wasSentTo {
            guard isIdempotent, repetitions < repetitionsMax, next.isAffordable else { return nil }
            repetitions += 1
        }
        response = .connecting
        return .connect
    }

    // MARK: Events of the client's side

    /// The request's body is over.
    public mutating func requestBodyEnded() {
        if request == .receiving { request = .complete }
        if continuation == .owed { continuation = .none }
    }

    /// Bytes of the body came, so the client does not wait for our word.
    public mutating func requestBodyBegan() {
        if continuation == .owed { continuation = .sent }
    }

    /// The request's body breaks a rule.
    public mutating func requestMalformed(_ rejection: Rejection) -> Action {
        fail(.rejected(rejection))
    }

    /// The client closed its sending side. With its request complete it may still read (RFC 9112 §9.6).
    public mutating func clientEnded() -> Action {
        keepsClient = false
        switch request {
        case .receiving:
            switch response {
            case .connecting, .awaiting, .relaying:
                request = .abandoned
                response = .complete
                return .abandon(.clientClosed)
            case .tunnel, .answered, .complete: return .wait
            }
        case .complete, .abandoned: return .wait
        }
    }

    /// The client's connection is broken both ways.
    public mutating func clientFailed() -> Action {
        switch response {
        case .complete: return .wait
        case .connecting, .awaiting, .relaying, .tunnel, .answered:
            response = .complete
            request = .abandoned
            keepsClient = false
            return .abandon(.clientClosed)
        }
    }

    // MARK: Events of our own

    /// A time was over, or something of ours ran out; `outcome` says which.
    public mutating func failed(_ outcome: Outcome) -> Action { fail(outcome) }

    /// The connection must end after this exchange: we are draining.
    public mutating func endsConnection() { keepsClient = false }

    private mutating func fail(_ outcome: Outcome) -> Action {
        switch response {
        case .connecting, .awaiting: return answer(outcome)
        case .relaying, .answered:
            response = .complete
            request = .abandoned
            keepsClient = false
            return .cut(outcome)
        case .tunnel:
            response = .complete
            keepsClient = false
            return .abandon(outcome)
        case .complete: return .wait
        }
    }

    private mutating func answer(_ outcome: Outcome) -> Action {
        guard outcome.status != nil || outcome == .redirected else {
            response = .complete
            request = .abandoned
            keepsClient = false
            return .abandon(outcome)
        }
        response = .answered
        if request == .receiving { request = .abandoned }
        if request == .abandoned || outcome.endsConnection { keepsClient = false }
        return .answer(outcome)
    }
}
