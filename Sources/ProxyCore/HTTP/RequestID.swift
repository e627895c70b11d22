// How is a request told from all others? By the id that client, upstream and log all see.

/// A request's id: 128 random bits, spelled as 32 hexadecimal digits.
public struct RequestID: BitwiseCopyable, Hashable, Sendable {
    var high: UInt64
    var low: UInt64

    /// The id of these bits.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Bytes of its text.
    static let textBytes = 32

    /// Appends its text.
    @inline(__always) func append(to buffer: inout ByteBuffer) {
        buffer.append(hex: high, width: 16)
        buffer.append(hex: low, width: 16)
    }
}
