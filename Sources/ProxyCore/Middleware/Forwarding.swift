// Who is the client, as the upstream is told? `X-Forwarded-For`, `-Proto`, `-Host`, `X-Real-IP` and `X-Request-Id`
// are written by us from what we know; what the client sent of them, in any spelling, has stayed behind.

/// What an upstream is told of the client.
package struct Forwarding {
    /// The client's address.
    var client: IPAddress
    /// The request's id.
    var id: RequestID

    /// What is told of `client` in the request `id`.
    package init(client: IPAddress, id: RequestID) {
        self.client = client
        self.id = id
    }

    /// Bytes that the lines need at most, apart from the host.
    static let lineBytesMax = 256

    /// Appends the lines; `host` is what the client asked for, with its port.
    @inline(__always)
    func append(to head: inout ByteBuffer, _ bytes: Span<UInt8>, host: ByteRange) {
        head.append("X-Forwarded-For: ")
        client.append(to: &head)
        head.append("\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ")
        head.append(bytes, host)
        head.append("\r\nX-Real-IP: ")
        client.append(to: &head)
        head.append("\r\nX-Request-Id: ")
        id.append(to: &head)
        head.append("\r\n")
    }
}
