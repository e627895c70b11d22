// Did this answer come from the service? It carries the service's header with its value, or it did not.

/// The header that each answer of a service carries, ready to be compared.
struct IdentityCheck: ~Copyable {
    private var name = Table<UInt8>(capacity: 0)
    private var value = Table<UInt8>(capacity: 0)

    /// Nothing is asked for.
    init() {}

    /// What `spec` asks for.
    init(_ spec: IdentitySpec?) {
        guard let spec else { return }
        name = Self.table(spec.header.utf8.map { ASCII.lowercased($0) })
        value = Self.table(Array(spec.value.utf8))
    }

    private static func table(_ bytes: [UInt8]) -> Table<UInt8> {
        var table = Table<UInt8>(capacity: bytes.count)
        for byte in bytes { _ = table.append(byte) }
        return table
    }

    /// Whether anything is asked for.
    @inline(__always) var isOn: Bool { name.count > 0 }

    /// Whether a head carries it.
    @inline(__always) func accepts(_ head: borrowing ResponseHead, _ bytes: Span<UInt8>) -> Bool {
        for i in 0..<head.fields.lines.count {
            let line = head.fields.lines[i]
            if Int(line.value.count) == value.count, isNamed(line, bytes), isValue(line.value, bytes) { return true }
        }
        return false
    }

    /// What a head carries instead: the value of the last header of that name, cut to what fits a line, what is not
    /// printable as `?`; nil where there is none.
    func found(_ head: borrowing ResponseHead, _ bytes: Span<UInt8>) -> String? {
        var found: String?
        for i in 0..<head.fields.lines.count where isNamed(head.fields.lines[i], bytes) {
            var text = ""
            for at in Int(head.fields.lines[i].value.start)..<head.fields.lines[i].value.end where text.count < 64 {
                let byte = bytes[at]
                text.unicodeScalars.append(byte >= 0x20 && byte < 0x7F ? Unicode.Scalar(byte) : "?")
            }
            found = text
        }
        return found
    }

    @inline(__always) private func isNamed(_ line: FieldLine, _ bytes: Span<UInt8>) -> Bool {
        guard Int(line.name.count) == name.count else { return false }
        let start = Int(line.name.start)
        for i in 0..<name.count where ASCII.lowercased(bytes[start &+ i]) != name[i] { return false }
        return true
    }

    @inline(__always) private func isValue(_ range: ByteRange, _ bytes: Span<UInt8>) -> Bool {
        let start = Int(range.start)
        for i in 0..<value.count where bytes[start &+ i] != value[i] { return false }
        return true
    }
}
