// Is this text at all? UTF-8 by the table of RFC 3629 §4, checked once for a whole file, so that whoever reads it later
// need not ask again.

/// Whether bytes are UTF-8 (RFC 3629 §4).
enum UTF8Check {
    /// The offset of the first byte that is not part of well-formed UTF-8, or nil.
    static func firstInvalid(in bytes: [UInt8]) -> Int? {
        var at = 0
        while at < bytes.count {
            let first = bytes[at]
            var second: ClosedRange<UInt8> = 0x80...0xBF
            let length: Int
            switch first {
            case 0x00...0x7F: length = 1
            case 0xC2...0xDF: length = 2
            case 0xE0: (length, second) = (3, 0xA0...0xBF)
            case 0xED: (length, second) = (3, 0x80...0x9F)
            case 0xE1...0xEF: length = 3
            case 0xF0: (length, second) = (4, 0x90...0xBF)
            case 0xF1...0xF3: length = 4
            case 0xF4: (length, second) = (4, 0x80...0x8F)
            default: return at
            }
            guard at + length <= bytes.count else { return at }
            for i in 1..<max(length, 1) where !(i == 1 ? second : 0x80...0xBF).contains(bytes[at + i]) { return at }
            at += length
        }
        return nil
    }
}
