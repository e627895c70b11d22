// Who is the client, as the upstream is told? `X-Forwarded-For`, `-Proto`, `-Host`, `X-Real-IP` and `X-Request-Id`
// are written by us from what we know; what came in of them, in any spelling, has stayed behind.

/// What an upstream is told of the client.
package struct Forwarding {
    /// The client's address.
    var client: IPAddress
    /// Whether the client spoke https.
    var isHTTPS: Bool
    /// Whether a trusted proxy sent the request, so that what Cloudflare says of the client travels on.
    var isFromTrustedProxy: Bool
    /// The request's id.
    var id: RequestID

    /// What is told of `client`, who came without TLS and without a proxy that is trusted, in the request `id`.
    package init(client: IPAddress, id: RequestID) {
        self.init(DerivedClient(peer: client, isTLS: false), id: id)
    }

    /// What is told of `client` in the request `id`.
    init(_ client: DerivedClient, id: RequestID) {
        self.client = client.address
        isHTTPS = client.isHTTPS
        isFromTrustedProxy = client.isFromTrustedProxy
        self.id = id
    }

    /// Appends the lines; `host` is what the client asked for, with its port. The client's address alone stands in
    /// `X-Forwarded-For`, so whoever reads it from the left and whoever reads it from the right learn the same.
    @inline(__always)
    func append(to head: inout ByteBuffer, _ bytes: Span<UInt8>, host: ByteRange) {
        head.append("X-Forwarded-For: ")
        client.append(to: &head)
        head.append(
            isHTTPS
                ? "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: "
                : "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: "
        )
        head.append(bytes, host)
        head.append("\r\nX-Real-IP: ")
        client.append(to: &head)
        head.append("\r\nX-Request-Id: ")
        id.append(to: &head)
        head.append("\r\n")
    }
}
