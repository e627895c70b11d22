// What is a WebSocket on the wire? The handshake's key and the frame head of RFC 6455, for both ends of a measurement.

import ProxyCore

/// The words of RFC 6455 that load generator and backend share.
enum WebSocketWire {
    /// The answer to `key` (RFC 6455 §4.2.2).
    static func accept(for key: String) -> String {
        base64(Digest.sha1(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
    }

    /// The head of one whole binary message of `count` bytes; masked where `mask` is given.
    static func frameHead(count: Int, mask: [UInt8]? = nil) -> [UInt8] {
        let maskBit: UInt8 = mask == nil ? 0 : 0x80
        var head: [UInt8] = [0x82]
        if count < 126 {
            head.append(maskBit | UInt8(count))
        } else if count < 65536 {
            head += [maskBit | 126, UInt8(count >> 8), UInt8(count & 255)]
        } else {
            head.append(maskBit | 127)
            head += (0..<8).map { UInt8(truncatingIfNeeded: count >> (56 - 8 * $0)) }
        }
        return head + (mask ?? [])
    }

    /// RFC 4648 §4.
    static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            bits <<= UInt32(8 * (3 - group.count))
            for place in 0..<4 {
                let isPadding = place > group.count
                text.append(isPadding ? UInt8(ascii: "=") : alphabet[Int(bits >> UInt32(18 - 6 * place) & 63)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
