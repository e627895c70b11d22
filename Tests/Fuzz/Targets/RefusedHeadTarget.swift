// What is written down of a refused head: however broken it is, no credential that stands in it may be read there.

@testable import ProxyCore

enum RefusedHeadTarget {
    /// Bytes that no input has by chance, and the first few of them, since a line may be cut.
    private static let secret = Array("q7Zk9wVx3".utf8)
    private static let start = "q7Zk9"

    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let form = input.byte()
        let place = Int(input.byte())
        let bytes = input.remainder()
        if String(decoding: bytes, as: UTF8.self).contains(start) { return }
        let head = form % 8 < 4 ? withField(bytes, form % 4, place) : withTarget(bytes, form % 4, place)
        let lines = try inProportion(to: head.count, "a head that is kept") { RefusedHead.redact(head.span) }
        try expect(lines.count <= RefusedHead.linesMax, "\(lines.count) lines")
        let length = lines.reduce(0) { $0 + $1.utf8.count }
        try expect(
            length <= 4 * RefusedHead.bytesMax + 64 * RefusedHead.linesMax, "\(length) bytes of a head of \(head.count)"
        )
        for line in lines {
            try expect(
                line.unicodeScalars.allSatisfy { (0x20..<0x7F).contains($0.value) || $0 == "…" },
                "a line that is no plain text: \(line.utf8.escaped)")
            try expect(!line.contains(start), "a secret shows: \(line)\nof \(head.escaped)")
        }
    }

    /// `bytes` with a secret field behind one of the ends of their lines, whoever may take a byte for one.
    private static func withField(_ bytes: [UInt8], _ form: UInt8, _ place: Int) -> [UInt8] {
        let names = ["Authorization: ", "cookie:", "Authorization : ", "X-Api-Key:\r\n "]
        let field = Array(names[Int(form)].utf8) + secret + [13, 10]
        let ends = bytes.indices.filter { bytes[$0] == ASCII.lf || bytes[$0] == ASCII.cr }
        guard !ends.isEmpty else { return Array("GET / HTTP/1.1\r\n".utf8) + field + bytes }
        let at = ends[place % ends.count] + 1
        return bytes[..<at] + field + bytes[at...]
    }

    /// A request line whose target has a secret in its query, its fragment, its parameters or its user, amid `bytes`.
    private static func withTarget(_ bytes: [UInt8], _ form: UInt8, _ place: Int) -> [UInt8] {
        let end = bytes.firstIndex { $0 == ASCII.lf || $0 == ASCII.cr } ?? bytes.count
        let cut = min(place, end)
        // Before the secret nothing ends the part of the target that it belongs to.
        let front = bytes[..<cut]
        let behind = bytes[cut...]
        let host = front.filter { !"/?#".utf8.contains($0) }
        switch form {
        case 0: return Array("GET /".utf8) + front + Array("?k=".utf8) + secret + behind
        case 1: return Array("GET /".utf8) + front + Array("#k=".utf8) + secret + behind
        case 2: return Array("GET /".utf8) + front + Array(";k=".utf8) + secret + behind
        default:
            let method = place % 2 == 0 ? "GET http://" : "CONNECT "
            return Array(method.utf8) + host + Array(":".utf8) + secret + Array("@a.example".utf8) + behind
        }
    }
}
