// Which bytes may stand where? The character classes of RFC 9110 §5.6 and RFC 3986, as bit sets, so that a test
// costs a shift and no table has to be loaded.

/// Character classes over single bytes.
public enum ASCII {
    static let space = UInt8(ascii: " ")
    static let tab: UInt8 = 9
    static let cr: UInt8 = 13
    static let lf: UInt8 = 10
    static let colon = UInt8(ascii: ":")
    static let comma = UInt8(ascii: ",")
    static let semicolon = UInt8(ascii: ";")
    static let slash = UInt8(ascii: "/")
    static let percent = UInt8(ascii: "%")

    /// The value of a decimal digit, or nil.
    @inline(__always) public static func digit(_ byte: UInt8) -> UInt8? {
        let value = byte &- UInt8(ascii: "0")
        return value < 10 ? value : nil
    }

    /// The value of a hexadecimal digit of either case, or nil.
    @inline(__always) public static func hexDigit(_ byte: UInt8) -> UInt8? {
        if let value = digit(byte) { return value }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? letter &+ 10 : nil
    }

    /// Whether `byte` is a `tchar` (RFC 9110 §5.6.2).
    @inline(__always) public static func isToken(_ byte: UInt8) -> Bool {
        if byte >= 128 { return false }
        let set: UInt64 = byte < 64 ? 0x03FF_6CFA_0000_0000 : 0x57FF_FFFF_C7FF_FFFE
        return (set &>> UInt64(byte & 63)) & 1 == 1
    }

    /// A letter becomes its lower case, anything else stays (bytes from 128 on are left alone).
    @inline(__always) public static func lowercased(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }

    /// Whether `byte` is SP or HTAB, the only white space that HTTP trims (RFC 9110 §5.6.3).
    @inline(__always) public static func isOWS(_ byte: UInt8) -> Bool { byte == space || byte == tab }
}
