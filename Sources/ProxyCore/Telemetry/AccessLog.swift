// Where do a worker's lines gather? In one piece of memory that is handed over as a whole, so that a line costs no
// system call and a slow reader of the log slows no request.

/// One worker's part of the access log.
public struct AccessLog: ~Copyable {
    /// Bytes that are gathered before they are handed over.
    static let chunkBytes = 32 * 1024
    /// For how long a line may wait.
    static let delay = Instant.Span.milliseconds(100)

    /// Whether requests are logged.
    var isOn = false
    private var lines = ByteBuffer()
    private var oldest = Instant.never
    private let handOver: @Sendable ([UInt8]) -> Bool
    /// Lines that found no room.
    private(set) var dropped: UInt64 = 0

    /// A log whose gathered lines go to `handOver`, which says whether it had room for them.
    public init(handOver: @escaping @Sendable ([UInt8]) -> Bool) { self.handOver = handOver }

    /// Writes the line whose text lies in `record`.
    mutating func write(_ record: borrowing ByteBuffer, id: RequestID, wallMicroseconds: Int64, at now: Instant) {
        if !lines.hasMemory { lines = ByteBuffer(capacity: Self.chunkBytes) }
        if lines.writableCount < record.count + AccessRecord.prefixBytesMax { flush() }
        if lines.isEmpty { oldest = now }
        AccessRecord.prefix(wallMicroseconds, id, to: &lines)
        _ = lines.append(from: record)
    }

    /// When the gathered lines are due; `.never` where there are none.
    public var due: Instant { lines.isEmpty ? .never : oldest + Self.delay }

    /// Hands over what is gathered.
    public mutating func flush() {
        if lines.isEmpty { return }
        let bytes = lines.withReadable { bytes in
            [UInt8](capacity: bytes.count) { output in
                for i in 0..<bytes.count { output.append(bytes[i]) }
            }
        }
        if !handOver(bytes) { dropped &+= UInt64(bytes.count { $0 == ASCII.lf }) }
        lines.clear()
        oldest = .never
    }
}
