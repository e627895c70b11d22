// Where does a list in pages go on? The `continue` token, which clients hand back as they got it.

import Glibc
import ProxyCore

/// The `continue` of a list: where it goes on, and in which version (base64 of JSON, without padding).
struct ContinueToken {
    var version: Int
    var start: String

    init(version: Int, start: String) {
        self.version = version
        self.start = start
    }

    init?(_ text: String) {
        guard let bytes = Base64.decoded(text) else { return nil }
        let json = String(decoding: bytes, as: UTF8.self)
        guard let rv = json.firstMatch(of: /"rv":(-?[0-9]+)/), let number = Int(rv.1),
            let start = json.firstMatch(of: /"start":"([^"]*)"/)
        else { return nil }
        version = number
        self.start = String(start.1).replacing("\\u0000", with: "\u{0}")
    }

    var text: String {
        Base64.encoded(
            Array("{\"v\":\"meta.k8s.io/v1\",\"rv\":\(version),\"start\":\(JSON.string(start))}".utf8))
    }
}

/// Base64 without padding.
enum Base64 {
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encoded(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                out.append(letters[Int(bits >> UInt32(count) & 63)])
            }
        }
        if count > 0 { out.append(letters[Int(bits << UInt32(6 - count) & 63)]) }
        return String(decoding: out, as: UTF8.self)
    }

    static func decoded(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        for byte in text.utf8 {
            guard let value = letters.firstIndex(of: byte) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return out
    }
}
