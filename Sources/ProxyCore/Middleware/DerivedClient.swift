// Who is the client? One derivation for everything that asks: the log, what the upstream is told, limits and lists.
// The peer is who it is by its socket; what others say of the client counts only where the peer is trusted to say it.

/// The client of a request, as far as it can be known.
struct DerivedClient: Equatable, Sendable {
    /// Its address.
    var address: IPAddress
    /// Whether it spoke https, to us or to the trusted proxy before us.
    var isHTTPS: Bool
    /// Whether a trusted proxy sent the request.
    var isFromTrustedProxy: Bool

    /// What is known where the head tells nothing: the peer is the client.
    init(peer: IPAddress, isTLS: Bool) {
        address = peer
        isHTTPS = isTLS
        isFromTrustedProxy = false
    }

    /// The client of the request `head`, whose bytes are `bytes`. It came from `peer`, over TLS where `isTLS`.
    ///
    /// Of a peer that is not `trusted` nothing else is believed. What a trusted one says:
    ///
    /// - `CF-Connecting-IPv6`, where it is one IPv6 address, before `CF-Connecting-IP`, where it is one address: with
    ///   Cloudflare's Pseudo IPv4 the latter, and `X-Forwarded-For` with it, holds a made-up address.
    /// - Else the right-most entry of `X-Forwarded-For` that is not trusted itself; where all are, the left-most. An
    ///   entry that is no address ends the search: what stands left of it nobody trusted has seen.
    /// - `X-Forwarded-Proto`, where it is `http` or `https` and stands once, tells how the client came.
    static func derive(
        _ head: borrowing RequestHead, _ bytes: Span<UInt8>, peer: IPAddress, isTLS: Bool,
        trusted: borrowing AddressSet
    ) -> DerivedClient {
        var client = DerivedClient(peer: peer, isTLS: isTLS)
        guard trusted.contains(peer) else { return client }
        client.isFromTrustedProxy = true
        let noted = head.noted
        if let address = address(bytes, noted.cfConnectingIPv6), !address.isIPv4 {
            client.address = address
        } else if let address = address(bytes, noted.cfConnectingIP) {
            client.address = address
        } else if noted.hasForwardedFor {
            client.address = furthest(head, bytes, from: peer, trusted: trusted)
        }
        if let proto = noted.xForwardedProto.only {
            if Scan.equals(bytes, proto, "https") { client.isHTTPS = true }
            if Scan.equals(bytes, proto, "http") { client.isHTTPS = false }
        }
        return client
    }

    /// The address that a field says, where it stands once and is nothing else.
    private static func address(_ bytes: Span<UInt8>, _ field: RequestHead.SingleValue) -> IPAddress? {
        guard let value = field.only, let address = IPAddress.parse(bytes.extracting(value.range)) else { return nil }
        return address.isUnspecified ? nil : address
    }

    /// Walks `X-Forwarded-For` from its end, the last line first, for as long as those who wrote it are trusted.
    private static func furthest(
        _ head: borrowing RequestHead, _ bytes: Span<UInt8>, from peer: IPAddress, trusted: borrowing AddressSet
    ) -> IPAddress {
        var client = peer
        var i = head.fields.lines.count
        while i > 0 {
            i &-= 1
            let line = head.fields.lines[i]
            guard line.known == .xForwardedFor else { continue }
            let start = Int(line.value.start)
            var end = line.value.end
            while end > start {
                var begin = end
                while begin > start, bytes[begin &- 1] != ASCII.comma { begin &-= 1 }
                let entry = Scan.trimmed(bytes, ByteRange(begin, end))
                // Behind the comma before this entry ends the one before it.
                end = begin &- 1
                if entry.isEmpty { continue }
                guard let address = node(bytes, entry) else { return client }
                client = address
                if !trusted.contains(address) { return client }
            }
        }
        return client
    }

    /// The address of an entry: alone, in brackets, or with a port, as some write it.
    private static func node(_ bytes: Span<UInt8>, _ entry: ByteRange) -> IPAddress? {
        let start = Int(entry.start)
        let isBracketed = bytes[start] == UInt8(ascii: "[")
        var colons = 0
        var end = entry.end
        for at in entry.range {
            if isBracketed {
                guard bytes[at] == UInt8(ascii: "]") else { continue }
                end = at
                break
            }
            if bytes[at] == ASCII.colon {
                colons &+= 1
                if colons == 1 { end = at }
            }
        }
        if !isBracketed, colons != 1 { end = entry.end }
        let port = isBracketed ? end &+ 1 : end
        if port < entry.end {
            guard bytes[port] == ASCII.colon, port &+ 1 < entry.end, entry.end &- port <= 6 else { return nil }
            for at in (port &+ 1)..<entry.end where ASCII.digit(bytes[at]) == nil { return nil }
        } else if isBracketed, end == entry.end {
            return nil
        }
        guard let address = IPAddress.parse(bytes.extracting((isBracketed ? start &+ 1 : start)..<end)) else {
            return nil
        }
        return address.isUnspecified ? nil : address
    }
}
