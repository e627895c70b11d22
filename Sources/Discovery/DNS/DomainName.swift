// What is a name? Labels, held as they travel (RFC 1035 §3.1) and in lower case, so that comparing two names compares
// bytes (RFC 4343). What a peer sends is escaped wherever it is written out.

import ProxyCore

/// An absolute domain name.
struct DomainName: Hashable, Sendable {
    /// The labels in lower case, each behind its length, and the root's zero length at the end.
    private(set) var wire: [UInt8]

    /// Bytes that a name has at most on the wire, the root's zero included (RFC 1035 §2.3.4).
    static let wireBytesMax = 255
    /// Bytes of a label.
    static let labelBytesMax = 63

    /// `.`, which ends every name.
    static let root = DomainName(lowercasedWire: [0])

    /// Takes labels that are known to be well-formed and in lower case.
    init(lowercasedWire wire: [UInt8]) { self.wire = wire }

    /// Reads a name as people write it, with or without a dot at its end. Letters, digits, `-` and `_` alone are taken,
    /// and no name that ends in a number: `010.0.0.1` is an address to some readers, and no host is called so.
    init?(_ text: some StringProtocol) {
        var wire: [UInt8] = []
        var label: [UInt8] = []
        let bytes = Array(text.utf8)
        let end = bytes.last == UInt8(ascii: ".") ? bytes.count - 1 : bytes.count
        for byte in bytes[..<end] {
            if byte == UInt8(ascii: ".") {
                guard Self.close(&label, into: &wire) else { return nil }
            } else {
                guard Self.isPlain(byte) else { return nil }
                label.append(ASCII.lowercased(byte))
            }
        }
        guard !label.allSatisfy({ ASCII.digit($0) != nil }) else { return nil }
        guard Self.close(&label, into: &wire) else { return nil }
        wire.append(0)
        guard wire.count <= Self.wireBytesMax else { return nil }
        self.wire = wire
    }

    private static func close(_ label: inout [UInt8], into wire: inout [UInt8]) -> Bool {
        guard !label.isEmpty, label.count <= labelBytesMax else { return false }
        wire.append(UInt8(label.count))
        wire += label
        label.removeAll(keepingCapacity: true)
        return true
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    /// This name, completed by `suffix`; nil where the two are too long together.
    func completed(by suffix: DomainName) -> DomainName? {
        guard wire.count - 1 + suffix.wire.count <= Self.wireBytesMax else { return nil }
        return DomainName(lowercasedWire: wire.dropLast() + suffix.wire)
    }

    /// Whether this is `ancestor` or a name below it.
    func isWithin(_ ancestor: DomainName) -> Bool {
        var start = 0
        while wire.count - start >= ancestor.wire.count {
            if wire.count - start == ancestor.wire.count { return wire[start...] == ancestor.wire[...] }
            start += 1 + Int(wire[start])
        }
        return false
    }
}

extension DomainName: CustomStringConvertible {
    /// The name without the dot at its end (the root is `.`). Whatever is no letter, digit, `-` or `_` is escaped as in
    /// zone files (RFC 1035 §5.1), so that a peer's bytes neither end a log line nor pretend to be another name.
    var description: String {
        if wire.count <= 1 { return "." }
        var text = ""
        var at = 0
        while at < wire.count, wire[at] != 0 {
            if at > 0 { text.append(".") }
            let length = Int(wire[at])
            for byte in wire[(at + 1)...].prefix(length) {
                if Self.isPlain(byte) {
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                } else {
                    let digits = String(byte)
                    text += "\\" + String(repeating: "0", count: 3 - digits.utf8.count) + digits
                }
            }
            at += 1 + length
        }
        return text
    }
}
