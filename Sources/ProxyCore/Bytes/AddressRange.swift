// Which addresses share their first bits? A range as operators write it (`10.42.0.0/16`), by the grammar of RFC 4632
// §3.1 and RFC 4291 §2.3, and nothing more lenient: a typing error here would trust, or lock out, strangers.

/// The addresses that have their first ``prefixBits`` in common. IPv4 is held in its mapped form like any
/// ``IPAddress``, so those of an IPv4 range count from 96.
public struct AddressRange: Hashable, Sendable, CustomStringConvertible {
    /// The lowest of them.
    public let first: IPAddress
    /// How many bits of the 128 are the same, 0 to 128.
    public let prefixBits: Int

    /// What is wrong with a text that should be a range.
    public enum Fault: Error, Equatable, Sendable {
        /// It does not begin with an address.
        case noAddress
        /// What follows the slash is no number of bits that this kind of address has.
        case badPrefix
        /// The address goes on behind the prefix: the range that may have been meant.
        case hostBits(AddressRange)
    }

    private init(containing address: IPAddress, prefixBits: Int) {
        first = IPAddress(
            high: address.high & Self.mask(prefixBits), low: address.low & Self.mask(prefixBits - 64))
        self.prefixBits = prefixBits
    }

    /// The range of `address` alone.
    public init(_ address: IPAddress) { self.init(containing: address, prefixBits: 128) }

    /// Reads `"10.42.0.0/16"`, `"2400:cb00::/32"`, or an address alone.
    public init(_ text: String) throws(Fault) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { throw .noAddress }
        guard parts.count == 2 else {
            self.init(address)
            return
        }
        let digits = parts[1].utf8
        // "08" and "+8" are numbers to some readers only.
        guard 1...3 ~= digits.count, digits.allSatisfy({ ASCII.digit($0) != nil }),
            digits.count == 1 || digits.first != UInt8(ascii: "0"), let bits = Int(parts[1])
        else { throw .badPrefix }
        // A mapped address in the IPv6 spelling counts all of its bits.
        let offset = parts[0].utf8.contains(ASCII.colon) ? 0 : 96
        guard bits <= 128 - offset else { throw .badPrefix }
        let range = AddressRange(containing: address, prefixBits: bits + offset)
        guard range.first == address else { throw .hostBits(range) }
        self = range
    }

    /// The highest of them.
    public var last: IPAddress {
        IPAddress(high: first.high | ~Self.mask(prefixBits), low: first.low | ~Self.mask(prefixBits - 64))
    }

    /// Whether all of `other` are among them.
    public func contains(_ other: AddressRange) -> Bool {
        other.prefixBits >= prefixBits && AddressRange(containing: other.first, prefixBits: prefixBits) == self
    }

    /// Whether they are IPv4 addresses.
    public var isIPv4: Bool { prefixBits >= 96 && first.isIPv4 }

    /// The canonical text, the prefix always written out.
    public var description: String { "\(first)/\(isIPv4 ? prefixBits - 96 : prefixBits)" }

    /// 64 bits of which the first `bits` are set; all of them or none beyond either end.
    private static func mask(_ bits: Int) -> UInt64 {
        if bits <= 0 { return 0 }
        return bits >= 64 ? .max : ~(.max >> UInt64(bits))
    }
}
