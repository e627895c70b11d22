// Where does one event of a watch end and the next begin? The body of a watch is JSON objects back to back. Chunks of
// the transfer coding are cut anywhere, and a line end is a habit of the server and no rule, so an object ends where its
// outermost brace closes. Bytes are looked at once, however they were cut.

import FoundationEssentials

/// Cuts the body of a watch into JSON objects.
struct EventFramer {
    /// Why a body is no row of JSON objects.
    enum Refusal: Error, Equatable, CustomStringConvertible {
        /// Between objects stands something else.
        case notAnObject(UInt8)
        /// An object has more bytes than anybody would keep.
        case tooLarge(limit: Int)

        var description: String {
            switch self {
            case .notAnObject(let byte): "the watch has byte \(byte) where a JSON object should begin"
            case .tooLarge(let limit): "an event of the watch has more than \(limit) bytes"
            }
        }
    }

    /// Bytes of the largest event that is taken: some hundred times what an object in etcd may have.
    static let eventBytesMax = 64 * 1024 * 1024
    /// Memory that is kept for the events to come.
    private static let keptBytes = 256 * 1024

    private let limit: Int
    private var bytes: [UInt8] = []
    /// Where the present object begins.
    private var start = 0
    private var scanner = Scanner()

    init(limit: Int = EventFramer.eventBytesMax) { self.limit = limit }

    /// Whether bytes of an object have come that is not complete.
    var isInsideObject: Bool { scanner.depth > 0 }

    /// Takes the next bytes of the body.
    mutating func append(_ more: Span<UInt8>) {
        if start == bytes.count {
            if bytes.capacity > Self.keptBytes { bytes = [] } else { bytes.removeAll(keepingCapacity: true) }
            scanner.at = 0
            start = 0
        } else if start > Self.keptBytes {
            bytes.removeFirst(start)
            scanner.at -= start
            start = 0
        }
        // Safety: the span's bytes are read while it is borrowed.
        unsafe more.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
    }

    /// The next complete object; nil where more bytes are needed.
    mutating func next() throws(Refusal) -> Data? {
        var scanner = scanner
        defer { self.scanner = scanner }
        if scanner.depth == 0 {
            scanner.skipSpace(bytes.span)
            start = scanner.at
            if start < bytes.count, bytes[start] != UInt8(ascii: "{") { throw .notAnObject(bytes[start]) }
        }
        guard let end = scanner.end(bytes.span) else {
            guard bytes.count - start <= limit else { throw .tooLarge(limit: limit) }
            return nil
        }
        guard end - start <= limit else { throw .tooLarge(limit: limit) }
        let event = Data(bytes[start..<end])
        start = end
        return event
    }

    /// Looks at each byte once.
    private struct Scanner {
        /// What was looked at already.
        var at = 0
        /// How many braces and brackets are open.
        var depth = 0
        private var isInString = false
        private var isEscaped = false

        mutating func skipSpace(_ bytes: Span<UInt8>) {
            while at < bytes.count {
                switch bytes[at] {
                case 0x20, 0x0A, 0x0D, 0x09: at &+= 1
                default: return
                }
            }
        }

        /// Looks on until the present object is over: its end, or nil where the bytes end before.
        mutating func end(_ bytes: Span<UInt8>) -> Int? {
            let count = bytes.count
            var at = at
            defer { self.at = at }
            while at < count {
                let byte = bytes[at]
                at &+= 1
                if isInString {
                    if isEscaped {
                        isEscaped = false
                    } else if byte == UInt8(ascii: "\\") {
                        isEscaped = true
                    } else if byte == UInt8(ascii: "\"") {
                        isInString = false
                    }
                    continue
                }
                switch byte {
                case UInt8(ascii: "\""): isInString = true
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth &+= 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    depth &-= 1
                    if depth == 0 { return at }
                default: break
                }
            }
            return nil
        }
    }
}
