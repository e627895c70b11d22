// Which field lines travel on? What concerns one hop alone stays behind, what says who the client is is ours to say,
// and what says where the body ends is written anew. RFC 9110 §7.6.1.

extension FieldName {
    /// Whether a request's line of this name goes on to the upstream as it is.
    @inline(__always) var travelsUpstream: Bool {
        switch self {
        case .other, .guarded, .host, .trailer, .maxForwards, .via, .userAgent, .cfRay, .traceparent, .authorization, .cookie,
            .accept, .date, .setCookie:
            true
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
        case .other, .guarded, .host, .trailer, .expect, .maxForwards, .via, .userAgent, .cfRay, .traceparent, .authorization,
            .cookie, .accept, .date, .setCookie, .xForwardedFor, .xForwardedProto, .xForwardedHost, .xRealIP, .forged:
            true
        }
    }
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
