// For whom does a peer speak? What a load balancer says before the first byte of its client: HAProxy's PROXY protocol,
// version 1 (§2.1, a line of text) and version 2 (§2.2, binary), as its specification spells them.

/// Reads the header of the PROXY protocol. Stateless: an incomplete one is read again when more has come.
enum ProxyHeader {
    /// For whom a peer speaks.
    enum Source: Equatable {
        /// For itself, to look whether we are well.
        case peer
        /// For a client that it has no address for.
        case unknown
        /// For the client at this address.
        case client(NetworkAddress)
    }

    /// What the bytes at hand are.
    enum Reading: Equatable {
        /// The beginning of a header.
        case needMore
        /// A header of so many bytes, and for whom the peer speaks.
        case complete(bytes: Int, source: Source)
        /// No header, whatever may follow.
        case malformed
    }

    /// Bytes of the longest header that is read. Version 2 may carry 64 KiB of which we understand nothing; balancers send
    /// a few hundred.
    static let bytesMax = 4096
    /// Bytes of the longest header of version 1, its line end included (§2.1).
    private static let lineBytesMax = 107

    /// Reads a header from the beginning of `bytes`.
    static func read(_ bytes: Span<UInt8>) -> Reading {
        guard bytes.count > 0 else { return .needMore }
        return bytes[0] == UInt8(ascii: "P") ? readLine(bytes) : readBinary(bytes)
    }

    // MARK: Version 1

    private static func readLine(_ bytes: Span<UInt8>) -> Reading {
        var at = 0
        for expected in "PROXY ".utf8 {
            guard at < bytes.count else { return .needMore }
            guard bytes[at] == expected else { return .malformed }
            at &+= 1
        }
        // Up to its line end the line is not looked at, but for what no line holds.
        var end = at
        while end < bytes.count, bytes[end] != ASCII.cr {
            guard bytes[end] >= 0x20, bytes[end] < 0x7F, end < lineBytesMax &- 2 else { return .malformed }
            end &+= 1
        }
        guard end &+ 1 < bytes.count else { return end &+ 2 <= lineBytesMax ? .needMore : .malformed }
        guard bytes[end &+ 1] == ASCII.lf else { return .malformed }
        var words = Words(at: at, end: end)
        guard let family = words.next(bytes) else { return .malformed }
        // Whatever stands behind UNKNOWN is to be ignored.
        if isUnknown(bytes, family) { return .complete(bytes: end &+ 2, source: .unknown) }
        guard let isIPv4 = isTCP4(bytes, family), let source = words.next(bytes), let target = words.next(bytes),
            let sourcePort = words.next(bytes), let targetPort = words.next(bytes), words.isOver,
            let ip = address(bytes, source, isIPv4: isIPv4), address(bytes, target, isIPv4: isIPv4) != nil,
            let port = port(bytes, sourcePort), self.port(bytes, targetPort) != nil
        else { return .malformed }
        return .complete(bytes: end &+ 2, source: .client(NetworkAddress(ip: ip, port: port)))
    }

    /// The words of a line, which have one space between them.
    private struct Words {
        var at: Int
        let end: Int
        /// Whether the last word was followed by the end.
        var isOver = false

        init(at: Int, end: Int) {
            self.at = at
            self.end = end
        }

        mutating func next(_ bytes: Span<UInt8>) -> ByteRange? {
            if isOver { return nil }
            let start = at
            while at < end, bytes[at] != ASCII.space { at &+= 1 }
            let word = ByteRange(start, at)
            if at == end { isOver = true } else { at &+= 1 }
            return word.isEmpty ? nil : word
        }
    }

    /// Whether the word is `UNKNOWN`, in capitals.
    private static func isUnknown(_ bytes: Span<UInt8>, _ word: ByteRange) -> Bool {
        var at = Int(word.start)
        for expected in "UNKNOWN".utf8 {
            guard at < word.end, bytes[at] == expected else { return false }
            at &+= 1
        }
        return at == word.end
    }

    /// Whether the word is `TCP4` and not `TCP6`, by case; nil where it is neither.
    private static func isTCP4(_ bytes: Span<UInt8>, _ word: ByteRange) -> Bool? {
        let at = Int(word.start)
        guard word.count == 4, bytes[at] == UInt8(ascii: "T"), bytes[at &+ 1] == UInt8(ascii: "C"),
            bytes[at &+ 2] == UInt8(ascii: "P")
        else { return nil }
        switch bytes[at &+ 3] {
        case UInt8(ascii: "4"): return true
        case UInt8(ascii: "6"): return false
        default: return nil
        }
    }

    private static func address(_ bytes: Span<UInt8>, _ word: ByteRange, isIPv4: Bool) -> IPAddress? {
        var hasColon = false
        for at in word.range where bytes[at] == ASCII.colon { hasColon = true }
        return hasColon == isIPv4 ? nil : IPAddress.parse(bytes.extracting(word.range))
    }

    /// A number without leading zeros, 0 to 65535.
    private static func port(_ bytes: Span<UInt8>, _ word: ByteRange) -> UInt16? {
        guard word.count <= 5, word.count == 1 || bytes[Int(word.start)] != UInt8(ascii: "0") else { return nil }
        var port: UInt32 = 0
        for at in word.range {
            guard let digit = ASCII.digit(bytes[at]) else { return nil }
            port = port &* 10 &+ UInt32(digit)
        }
        return port <= 65535 ? UInt16(truncatingIfNeeded: port) : nil
    }

    // MARK: Version 2

    private static let signature: [12 of UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]

    private static func readBinary(_ bytes: Span<UInt8>) -> Reading {
        for i in 0..<12 {
            guard i < bytes.count else { return .needMore }
            guard bytes[i] == signature[i] else { return .malformed }
        }
        guard bytes.count > 12 else { return .needMore }
        // The version, and whether the peer speaks for somebody (1) or for itself (0).
        guard bytes[12] == 0x20 || bytes[12] == 0x21 else { return .malformed }
        let speaksForItself = bytes[12] == 0x20
        guard bytes.count > 13 else { return .needMore }
        let least: Int
        switch bytes[13] {
        case 0x11: least = 12
        case 0x21: least = 36
        // No family, or Unix sockets: somebody whose address is none.
        case 0x00, 0x31: least = 0
        // Of a peer's own words the family does not matter; else datagrams, or what nobody has defined.
        default:
            guard speaksForItself else { return .malformed }
            least = 0
        }
        guard bytes.count > 15 else { return .needMore }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard length >= (speaksForItself ? 0 : least), 16 + length <= bytesMax else { return .malformed }
        guard bytes.count >= 16 + length else { return .needMore }
        // What follows the addresses says more of the client's connection; nothing here asks for it.
        let total = 16 + length
        if speaksForItself { return .complete(bytes: total, source: .peer) }
        if least == 0 { return .complete(bytes: total, source: .unknown) }
        let address: IPAddress
        let port: Int
        if least == 12 {
            address = IPAddress(v4: UInt32(truncatingIfNeeded: number(bytes, from: 16, count: 4)))
            port = 24
        } else {
            address = IPAddress(high: number(bytes, from: 16, count: 8), low: number(bytes, from: 24, count: 8))
            port = 48
        }
        let source = UInt16(truncatingIfNeeded: number(bytes, from: port, count: 2))
        return .complete(bytes: total, source: .client(NetworkAddress(ip: address, port: source)))
    }

    private static func number(_ bytes: Span<UInt8>, from: Int, count: Int) -> UInt64 {
        var number: UInt64 = 0
        for i in 0..<count { number = number << 8 | UInt64(bytes[from &+ i]) }
        return number
    }
}
