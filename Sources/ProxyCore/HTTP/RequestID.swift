// How is a request told from all others? By the id that client, upstream and log all see.

/// A request's id: one of ours, or the one that a trusted proxy gave it. It goes by value through every head and line, so a
/// given one, which is long, stays where it is kept.
public enum RequestID {
    /// Ours.
    case own(RandomID)
    /// That of a trusted proxy before us, whose log knows the request by it: where it is kept, and in which slot, as long as
    /// the exchange goes on.
    case given(Slab<GivenID>, Int32)

    /// Our id of these bits.
    public init(high: UInt64, low: UInt64) { self = .own(RandomID(high: high, low: low)) }

    /// Bytes of its text at most.
    static let textBytesMax = GivenID.bytesMax

    /// Bytes of its text.
    var textBytes: Int {
        switch self {
        case .own: RandomID.textBytes
        case .given(let ids, let slot): Int(ids[slot].count)
        }
    }

    /// Appends its text.
    @inline(__always) func append(to buffer: inout ByteBuffer) {
        switch self {
        case .own(let id):
            buffer.append(hex: id.high, width: 16)
            buffer.append(hex: id.low, width: 16)
        case .given(let ids, let slot): ids[slot].append(to: &buffer)
        }
    }
}

/// 128 random bits, spelled as 32 hexadecimal digits.
public struct RandomID: BitwiseCopyable, Hashable, Sendable {
    var high: UInt64
    var low: UInt64

    /// Bytes of its text.
    static let textBytes = 32
}

/// The text of an id that a trusted proxy gave. A token, so it needs no escape in a field or in JSON.
public struct GivenID: BitwiseCopyable, Sendable {
    /// Bytes that it has at most.
    static let bytesMax = 128

    private var text = [128 of UInt8](repeating: 0)
    fileprivate(set) var count: UInt8 = 0

    /// None; what an unused slot holds.
    init() {}

    /// The id that the value `range` of `bytes` is; nil where that is no token, or a longer one (RFC 9110 §5.6.2).
    init?(_ bytes: Span<UInt8>, _ range: ByteRange) {
        guard range.count > 0, range.count <= Self.bytesMax else { return nil }
        for at in range.range {
            guard ASCII.isToken(bytes[at]) else { return nil }
            text[at &- Int(range.start)] = bytes[at]
        }
        count = UInt8(range.count)
    }

    fileprivate func append(to buffer: inout ByteBuffer) {
        for i in 0..<Int(count) { buffer.append(text[i]) }
    }
}
