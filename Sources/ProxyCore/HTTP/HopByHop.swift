// Which field lines travel on? What concerns one hop alone stays behind, what says who the client is is ours to say,
// and what says where the body ends is written anew. RFC 9110 §7.6.1.

extension FieldName {
    /// Whether a request's line of this name goes on to the upstream as it is; `isTrusted` tells whether a trusted proxy
    /// sent it.
    @inline(__always)
    func travelsUpstream(isTrusted: Bool) -> Bool {
        switch self {
        case .other, .guarded, .host, .trailer, .maxForwards, .via, .userAgent, .traceparent, .authorization, .cookie,
            .accept, .date, .setCookie:
            true
        case .cfConnectingIP, .cfConnectingIPv6, .cfRay, .cloudflare: isTrusted
        case .contentLength, .transferEncoding, .connection, .keepAlive, .proxyConnection, .te, .upgrade,
            .http2Settings, .proxyAuthenticate, .proxyAuthorization, .expect, .xForwardedFor, .xForwardedProto,
            .xForwardedHost, .xRealIP, .xRequestID, .forged:
            false
        }
    }

    /// Whether a response's line of this name goes on to the client as it is.
    @inline(__always) var travelsDownstream: Bool {
        switch self {
        case .contentLength, .transferEncoding, .connection, .keepAlive, .proxyConnection, .te, .upgrade,
            .http2Settings, .proxyAuthenticate, .proxyAuthorization, .xRequestID:
            false
        case .other, .guarded, .host, .trailer, .expect, .maxForwards, .via, .userAgent, .cfConnectingIP,
            .cfConnectingIPv6, .cfRay, .cloudflare, .traceparent, .authorization, .cookie, .accept, .date, .setCookie,
            .xForwardedFor, .xForwardedProto, .xForwardedHost, .xRealIP, .forged:
            true
        }
    }
}

/// The names that a message's `Connection` nominated, remembered until its trailers come: as hashes, a few of them. A
/// trailer that is dropped for another's hash is no loss (RFC 9110 §6.5.1); one that slips through could be.
struct NominatedNames: Equatable, Sendable {
    private static let most = 4
    private var hashes = (UInt32(0), UInt32(0), UInt32(0), UInt32(0))
    private var count: UInt8 = 0

    /// Whether none was nominated.
    var isEmpty: Bool { count == 0 }

    /// Notes what the `Connection` lines of `fields` nominate.
    mutating func note(_ fields: borrowing FieldSection, _ bytes: Span<UInt8>) {
        for i in 0..<fields.lines.count where fields.lines[i].known == .connection {
            _ = Scan.forEachMember(bytes, fields.lines[i].value) { member in
                insert(Self.hash(bytes, member))
                return true
            }
        }
    }

    /// Whether a trailer line was nominated, as far as that is remembered.
    func contains(_ line: FieldLine, _ bytes: Span<UInt8>) -> Bool {
        if count > Self.most { return true }
        let hash = Self.hash(bytes, line.name)
        return (count > 0 && hashes.0 == hash) || (count > 1 && hashes.1 == hash) || (count > 2 && hashes.2 == hash)
            || (count > 3 && hashes.3 == hash)
    }

    private mutating func insert(_ hash: UInt32) {
        switch count {
        case 0: hashes.0 = hash
        case 1: hashes.1 = hash
        case 2: hashes.2 = hash
        case 3: hashes.3 = hash
        default: break
        }
        count = min(count + 1, UInt8(Self.most + 1))
    }

    /// FNV-1a over the lower-case name.
    private static func hash(_ bytes: Span<UInt8>, _ name: ByteRange) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        for at in name.range { hash = (hash ^ UInt32(ASCII.lowercased(bytes[at]))) &* 16_777_619 }
        return hash
    }

    static func == (a: NominatedNames, b: NominatedNames) -> Bool { a.count == b.count && a.hashes == b.hashes }
}

extension FieldSection {
    /// Whether a `Connection` line nominates the line `name`, which then stays behind.
    borrowing func nominates(_ line: FieldLine, _ bytes: Span<UInt8>) -> Bool {
        if line.known.survivesNomination { return false }
        var i = 0
        while i < lines.count {
            let other = lines[i]
            i &+= 1
            guard other.known == .connection else { continue }
            let isFree = Scan.forEachMember(bytes, other.value) { !Scan.equalsIgnoringCase(bytes, $0, line.name) }
            if !isFree { return true }
        }
        return false
    }
}
