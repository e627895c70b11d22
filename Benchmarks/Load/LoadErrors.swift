// What went wrong, and how often? Every request that was not answered as it should be is counted by kind and shown.

/// The ways in which a request can fail.
enum LoadError: Int, CaseIterable {
    case connect, reset, closedEarly, badStatus, malformed, wrongLength, excess, handshake, wrongEcho, timeout, tooEarly
    case tls, anotherTLS

    /// For people.
    var text: String {
        switch self {
        case .connect: "connect failed"
        case .reset: "connection reset"
        case .closedEarly: "closed before the answer was complete"
        case .badStatus: "status other than 2xx"
        case .malformed: "malformed answer"
        case .wrongLength: "body of another length"
        case .excess: "bytes behind the answer"
        case .handshake: "WebSocket handshake refused or wrong"
        case .wrongEcho: "message came back changed"
        case .timeout: "no answer in time"
        case .tooEarly: "answered before the body was sent"
        case .tls: "TLS handshake failed"
        case .anotherTLS: "TLS other than was meant: its protocol, a ticket, or none"
        }
    }
}

/// Errors by kind.
struct LoadErrors {
    private var counts = [13 of Int](repeating: 0)

    /// None so far.
    init() {}

    /// How many of `kind`.
    subscript(kind: LoadError) -> Int {
        get { counts[kind.rawValue] }
        set { counts[kind.rawValue] = newValue }
    }

    /// All of them.
    var total: Int { LoadError.allCases.reduce(0) { $0 + self[$1] } }

    /// `3 connection reset, 1 no answer in time`; empty for none.
    var text: String {
        LoadError.allCases.filter { self[$0] > 0 }.map { "\(grouped(self[$0])) \($0.text)" }.joined(separator: ", ")
    }
}
