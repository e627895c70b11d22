// How did this exchange end? One word for the log, the metrics, the pool and the answer.

/// How an exchange ended, or why it could not go on. Its side (client, upstream, us) tells whose doing it was.
public enum Outcome: Equatable, Sendable {
    /// The upstream's response was delivered.
    case ok
    /// The rule sent the client elsewhere.
    case redirected
    /// Answered by ourselves: `OPTIONS *`, or `Max-Forwards: 0`.
    case answeredLocally
    /// A tunnel ended.
    case tunnelClosed

    /// The client's message broke a rule.
    case rejected(Rejection)
    /// The client's head did not come in time.
    case headTimeout
    /// The client's body did not come in time.
    case bodyTimeout
    /// The client was gone before the end.
    case clientClosed
    /// The client did not read.
    case clientStalled

    /// No rule meets the host or the path.
    case noRoute
    /// The service has no endpoint that could be asked.
    case noEndpoint
    /// All endpoints have as many requests as they may, and as many wait as may.
    case queueFull
    /// The same, and none had room in the time for which the request might wait.
    case queueTimeout
    /// No endpoint could be connected to; why the last one could not.
    case connectFailed(ConnectFailure)
    /// The upstream closed or reset the connection before or in its response.
    case upstreamClosed
    /// The upstream's message broke a rule.
    case upstreamMalformed(Rejection)
    /// The answer came from somebody else than the service.
    case ghost
    /// The upstream did not begin its response in time.
    case responseTimeout
    /// The upstream stopped in the middle of its response, or of reading the request.
    case upstreamStalled

    /// We have no descriptor, memory or slot left.
    case overloaded
    /// The drain's time was over.
    case drained
}

/// Why a connection could not be made.
public enum ConnectFailure: UInt8, Sendable {
    /// Refused: nothing listens there.
    case refused
    /// No answer in time.
    case timeout
    /// No way there.
    case unreachable
    /// Whoever answers there does not speak TLS as it must, or is not whom we expect.
    case insecure
}

extension Outcome {
    /// The status that the client gets where nothing was sent yet; nil where nobody is left to read it, or the
    /// upstream's own answer went out.
    public var status: Int? {
        switch self {
        case .ok, .tunnelClosed, .redirected, .clientClosed, .clientStalled, .drained: nil
        case .answeredLocally: 200
        case .rejected(let rejection): rejection.status
        case .headTimeout, .bodyTimeout: 408
        case .noRoute: 404
        case .noEndpoint, .queueFull, .queueTimeout, .overloaded: 503
        case .connectFailed, .upstreamClosed, .upstreamMalformed, .ghost: 502
        case .responseTimeout, .upstreamStalled: 504
        }
    }

    /// Whether the client's connection cannot go on after an answer of ours: the request's end is in doubt, unread,
    /// or we want it gone.
    public var endsConnection: Bool {
        switch self {
        case .ok, .redirected, .answeredLocally, .noRoute, .noEndpoint, .queueFull, .queueTimeout, .connectFailed,
            .upstreamClosed, .upstreamMalformed, .ghost, .responseTimeout, .upstreamStalled:
            false
        case .rejected(let rejection): rejection.endsConnection
        case .tunnelClosed, .headTimeout, .bodyTimeout, .clientClosed, .clientStalled, .overloaded, .drained: true
        }
    }

    /// The error type of RFC 9209 §2.3.
    var proxyStatus: StaticString {
        switch self {
        case .ok, .redirected, .answeredLocally, .tunnelClosed: "proxy_internal_response"
        case .rejected(.loop): "proxy_loop_detected"
        case .rejected(.connectRefused), .rejected(.traceRefused): "http_request_denied"
        case .rejected, .headTimeout, .bodyTimeout, .clientClosed, .clientStalled: "http_request_error"
        case .noRoute: "destination_not_found"
        case .noEndpoint: "destination_unavailable"
        case .connectFailed(.refused): "connection_refused"
        case .connectFailed(.timeout): "connection_timeout"
        case .connectFailed(.unreachable): "destination_ip_unroutable"
        case .connectFailed(.insecure): "tls_certificate_error"
        case .upstreamClosed: "connection_terminated"
        case .upstreamMalformed(.headerTooLarge), .upstreamMalformed(.tooManyHeaders),
            .upstreamMalformed(.tooManyOptions):
            "http_response_header_section_size"
        case .upstreamMalformed(.badTransferEncoding), .upstreamMalformed(.badChunk): "http_response_transfer_coding"
        case .upstreamMalformed: "http_protocol_error"
        case .ghost: "destination_unavailable"
        case .responseTimeout: "http_response_timeout"
        case .upstreamStalled: "connection_read_timeout"
        case .queueFull, .queueTimeout, .overloaded: "connection_limit_reached"
        case .drained: "proxy_internal_error"
        }
    }

    /// The word for it in the access log: before the colon, and the reason behind it where there is one.
    public var word: StaticString { kind.word }

    /// An outcome without its details: what is counted.
    public enum Kind: UInt8, Sendable, CaseIterable {
        case ok, redirected, answered, tunnel
        case rejected, headTimeout, bodyTimeout, clientClosed, clientStalled
        case noRoute, noEndpoint, queueFull, queueTimeout, connectRefused, connectTimeout, connectUnreachable
        case connectInsecure
        case upstreamReset, upstreamMalformed, ghost, responseTimeout, upstreamStalled
        case overloaded, drained

        /// Whether an endpoint, or the way there, failed the request.
        public var isUpstreamFailure: Bool {
            switch self {
            case .connectRefused, .connectTimeout, .connectUnreachable, .connectInsecure, .upstreamReset,
                .upstreamMalformed, .ghost, .responseTimeout, .upstreamStalled:
                true
            case .ok, .redirected, .answered, .tunnel, .rejected, .headTimeout, .bodyTimeout, .clientClosed,
                .clientStalled, .noRoute, .noEndpoint, .queueFull, .queueTimeout, .overloaded, .drained:
                false
            }
        }

        /// The word for it in the log and in metrics.
        public var word: StaticString {
            switch self {
            case .ok, .tunnel: "ok"
            case .redirected: "redirected"
            case .answered: "answered"
            case .rejected: "rejected"
            case .headTimeout: "header_timeout"
            case .bodyTimeout: "body_timeout"
            case .clientClosed: "client_closed"
            case .clientStalled: "client_stalled"
            case .noRoute: "no_route"
            case .noEndpoint: "no_endpoint"
            case .queueFull: "queue_full"
            case .queueTimeout: "queue_timeout"
            case .connectRefused: "connect_refused"
            case .connectTimeout: "connect_timeout"
            case .connectUnreachable: "connect_unreachable"
            case .connectInsecure: "connect_insecure"
            case .upstreamReset: "upstream_reset"
            case .upstreamMalformed: "upstream_malformed"
            case .ghost: "ghost"
            case .responseTimeout: "timeout"
            case .upstreamStalled: "upstream_stalled"
            case .overloaded: "overloaded"
            case .drained: "drained"
            }
        }

        /// Whether we refused, before anybody was asked: its word, or that of the rejection, is a reason of
        /// `hdproxy_rejected_total`.
        public var isRefusal: Bool {
            switch self {
            case .rejected, .headTimeout, .bodyTimeout, .noRoute, .noEndpoint, .queueFull, .queueTimeout, .overloaded:
                true
            case .ok, .redirected, .answered, .tunnel, .clientClosed, .clientStalled, .connectRefused, .connectTimeout,
                .connectUnreachable, .connectInsecure, .upstreamReset, .upstreamMalformed, .ghost, .responseTimeout,
                .upstreamStalled, .drained:
                false
            }
        }

        /// Why a connection could not be made.
        @inline(__always) init(_ failure: ConnectFailure) {
            switch failure {
            case .refused: self = .connectRefused
            case .timeout: self = .connectTimeout
            case .unreachable: self = .connectUnreachable
            case .insecure: self = .connectInsecure
            }
        }
    }

    /// What it is without its details.
    @inline(__always) public var kind: Kind {
        switch self {
        case .ok: .ok
        case .redirected: .redirected
        case .answeredLocally: .answered
        case .tunnelClosed: .tunnel
        case .rejected: .rejected
        case .headTimeout: .headTimeout
        case .bodyTimeout: .bodyTimeout
        case .clientClosed: .clientClosed
        case .clientStalled: .clientStalled
        case .noRoute: .noRoute
        case .noEndpoint: .noEndpoint
        case .queueFull: .queueFull
        case .queueTimeout: .queueTimeout
        case .connectFailed(let failure): Kind(failure)
        case .upstreamClosed: .upstreamReset
        case .upstreamMalformed: .upstreamMalformed
        case .ghost: .ghost
        case .responseTimeout: .responseTimeout
        case .upstreamStalled: .upstreamStalled
        case .overloaded: .overloaded
        case .drained: .drained
        }
    }

    /// Whether the proxy itself refused the client's message.
    var isRejection: Bool {
        switch self {
        case .rejected, .headTimeout, .bodyTimeout: true
        default: false
        }
    }

    /// The rejection inside, which the log names behind the word.
    public var rejection: Rejection? {
        switch self {
        case .rejected(let rejection), .upstreamMalformed(let rejection): rejection
        default: nil
        }
    }
}
