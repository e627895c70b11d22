// How do the pages of the corpus write bytes? As text, with backslashes before what no text has.

/// The bytes that `text` stands for: `\r`, `\n`, `\t`, `\0`, `\\`, and `\xNN` for any byte.
package func unescaped(_ text: String) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "\\") else {
            bytes.append(byte)
            continue
        }
        switch rest.popFirst() {
        case UInt8(ascii: "r"): bytes.append(13)
        case UInt8(ascii: "n"): bytes.append(10)
        case UInt8(ascii: "t"): bytes.append(9)
        case UInt8(ascii: "0"): bytes.append(0)
        case UInt8(ascii: "\\"): bytes.append(UInt8(ascii: "\\"))
        case UInt8(ascii: "x"):
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else { throw WireError("no hexadecimal byte: \(text)") }
            bytes.append(value)
            rest = rest.dropFirst(2)
        default: throw WireError("no such escape: \(text)")
        }
    }
    return bytes
}
