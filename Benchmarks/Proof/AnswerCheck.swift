// Is this the answer to that request, from that service, whole and untouched?

/// An answer as it comes in.
struct AnswerCheck {
    private var head: [UInt8] = []
    private var isInBody = false
    private var left = 0
    private var at = 0
    private var status = 0
    private var fields: [String: String] = [:]
    private var wrong: String?
    /// `X-Pod`.
    private(set) var pod = ""
    /// `X-Saw`.
    private(set) var saw = ""
    /// Whether the connection ends after it.
    private(set) var closes = false
    /// Bytes so far.
    private(set) var received = 0
    private var note: [UInt8] = []

    /// Nothing has come.
    init() {}

    /// Whether anything has come.
    var hasBegun: Bool { received > 0 }

    /// Takes in what has come for request `id`; whether the answer is whole now.
    mutating func take(_ bytes: ArraySlice<UInt8>, to id: Int, _ pattern: [UInt8]) -> Bool {
        received += bytes.count
        var rest = bytes
        if !isInBody {
            head += bytes
            let text = head
            let parsed: MessageHead?
            do { parsed = try MessageHead.parse(text.span) } catch {
                wrong = "no HTTP"
                return true
            }
            guard let parsed else { return false }
            rest = text[parsed.length...]
            read(String(decoding: text[..<parsed.length], as: UTF8.self))
            closes = parsed.closes
            if case .length(let length) = parsed.framing { left = length } else { wrong = "framing \(parsed.framing)" }
            isInBody = true
            let shape = RequestShape(id)
            at = shape.answerStart
            if status == 200, left != shape.answerBytes { wrong = "\(left) bytes, not \(shape.answerBytes)" }
            if wrong != nil { return true }
        }
        let count = min(left, rest.count)
        let piece = rest.prefix(count)
        if status == 200 {
            if !piece.elementsEqual(pattern[at..<at + count]) { wrong = wrong ?? "other bytes in the body" }
        } else {
            note += piece.prefix(200)
        }
        at += count
        left -= count
        if rest.count > count { wrong = wrong ?? "\(rest.count - count) bytes behind the answer" }
        return left == 0
    }

    private mutating func read(_ text: String) {
        for (number, line) in text.split(separator: "\r\n").enumerated() {
            if number == 0 {
                status = Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0
            } else if let colon = line.firstIndex(of: ":") {
                let value = line[line.index(after: colon)...].drop { $0 == " " }
                fields[line[..<colon].lowercased()] = String(value)
            }
        }
        pod = fields["x-pod"] ?? ""
        saw = fields["x-saw"] ?? ""
    }

    /// What is wrong with the whole answer; nil for nothing.
    func judge(service: String, id: Int, digest: String) -> (kind: Loss.Kind, detail: String)? {
        let came = fields["x-service"]
        if let came, came != service { return (.foreign, "X-Service: \(came), X-Pod: \(pod)") }
        if let wrong { return (.garbled, wrong) }
        guard status == 200 else {
            return (.status(status), String(decoding: note, as: UTF8.self).filter { $0 != "\n" })
        }
        if came == nil { return (.foreign, "no X-Service") }
        if fields["x-id"] != "\(id)" { return (.garbled, "the answer to request \(fields["x-id"] ?? "?")") }
        if fields["x-hash"] != digest {
            return (.garbled, "the pod received a body with hash \(fields["x-hash"] ?? "?")")
        }
        return nil
    }
}
