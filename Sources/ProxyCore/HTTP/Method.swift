// What does the client ask for? RFC 9110 §9.

/// A request method. Methods that are not registered travel like any other, as `other`.
public enum Method: UInt8, Sendable, CaseIterable {
    case get, head, post, put, delete, patch, options, trace, connect
    /// Any other token.
    case other

    /// The method spelled by the bytes of `range`, by case (RFC 9110 §9.1).
    @inline(__always)
    static func recognize(_ bytes: Span<UInt8>, _ range: ByteRange) -> Method {
        let start = Int(range.start)
        @inline(__always) func spells(_ text: StaticString) -> Bool {
            // Safety: a static string has as many bytes as it says.
            let expected = unsafe text.utf8Start
            for i in 0..<text.utf8CodeUnitCount where bytes[start &+ i] != (unsafe expected[i]) { return false }
            return true
        }
        switch range.count {
        case 3: return spells("GET") ? .get : spells("PUT") ? .put : .other
        case 4: return spells("POST") ? .post : spells("HEAD") ? .head : .other
        case 5: return spells("PATCH") ? .patch : spells("TRACE") ? .trace : .other
        case 6: return spells("DELETE") ? .delete : .other
        case 7: return spells("OPTIONS") ? .options : spells("CONNECT") ? .connect : .other
        default: return .other
        }
    }

    /// As it is spelled, `other` for those not registered: what metrics are labelled with.
    public var name: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .patch: "PATCH"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .connect: "CONNECT"
        case .other: "other"
        }
    }

    /// Whether doing it twice is the same as doing it once, so that it may be tried again (RFC 9110 §9.2.2).
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .patch, .connect, .other: false
        }
    }

    /// Whether a request without a body still says `Content-Length: 0`, because the method anticipates one
    /// (RFC 9110 §8.6).
    var anticipatesBody: Bool {
        switch self {
        case .post, .put, .patch: true
        case .get, .head, .delete, .options, .trace, .connect, .other: false
        }
    }
}
